// The ledger against programs that know how many bytes they put where: the account grows by that much, all accounts and the
// residue sum up to the kernel's resident set, and what malloc_trim would return is what it then returns. See
// tests/programs/native_leaks.py.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { ACCOUNTS, type Account, type Ledger } from '../../src/graph/native-heap.ts';
import { ledgerSchema } from '../../src/report/ledger-schema.ts';
import { nativeSchema } from '../../src/report/native-schema.ts';
import { runCommand, runJson } from '../support/command-line.ts';
import { hasTool } from '../support/native-extensions.ts';
import { compileLeaks, type LeakingProgram, startLeaks } from '../support/native-leaks.ts';
import {
  allPythons,
  describeEachPython,
  findPython,
  findPythonWithPackages,
  type TestPython,
} from '../support/pythons.ts';

const MB = 1_000_000;
const canCompile = hasTool('gcc') && hasTool('g++');
let folder = '';
let target: LeakingProgram | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-ledger-'));
  if (canCompile) compileLeaks(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(async () => {
  await target?.stop();
  target = undefined;
});

async function start(
  python: TestPython,
  env: Record<string, string> = {},
): Promise<LeakingProgram> {
  target = await startLeaks(python, folder, env);
  return target;
}

/** Captures, and checks what every ledger must hold. */
async function takeLedger(pid: number): Promise<Ledger> {
  const { native } = await captureHeap(pid, { native: true });
  if (native === undefined) throw new Error('the capture did not look at C memory');
  const { ledger } = native.facts;
  const sum = ACCOUNTS.reduce((total, name) => total + ledger.accounts[name], 0);
  expect(sum + ledger.residueBytes).toBe(ledger.rssBytes);
  const share = Math.abs(ledger.residueBytes) / ledger.rssBytes;
  expect(share, `residue ${ledger.residueBytes} of ${ledger.rssBytes}`).toBeLessThan(0.01);
  const wrong = ledger.checks.filter(({ expected, found }) => expected !== found);
  expect(wrong).toEqual([]);
  for (const account of ['threadStacks', 'fileBacked', 'shared'] as const) {
    const rows = native.facts.mappings.filter((row) => row.account === account);
    const bytes = rows.reduce((total, row) => total + row.bytes, 0);
    expect({ account, bytes }).toEqual({ account, bytes: ledger.accounts[account] });
  }
  return ledger;
}

const sumOf = (ledger: Ledger, names: readonly Account[]): number =>
  names.reduce((sum, name) => sum + ledger.accounts[name], 0);

const FREE: readonly Account[] = ['mallocTop', 'mallocTrimmable', 'mallocStuck'];

interface Filling {
  kind: string;
  megabytes: number;
  accounts: readonly Account[];
  tolerance?: number;
}

const FILLINGS: readonly Filling[] = [
  { kind: 'lists', megabytes: 40, accounts: ['pythonBuffers'] },
  { kind: 'bytes', megabytes: 20, accounts: ['pythonObjects'] },
  { kind: 'large bytes', megabytes: 40, accounts: ['pythonObjects'] },
  { kind: 'bytearrays', megabytes: 20, accounts: ['pythonBuffers', 'pythonObjects'] },
  { kind: 'arrays', megabytes: 20, accounts: ['pythonBuffers'] },
  { kind: 'floats', megabytes: 20, accounts: ['pythonObjects', 'pythonBuffers'] },
  { kind: 'shared', megabytes: 20, accounts: ['shared'] },
  { kind: 'held C', megabytes: 20, accounts: ['nativeReachable', 'nativeOwned'] },
  { kind: 'lost C', megabytes: 20, accounts: ['nativeUnreachable'] },
  { kind: 'freed below', megabytes: 30, accounts: FREE },
  // Pools of 4 kB (3.8, 3.9) have room for 16 blocks of 240 bytes only.
  {
    kind: 'freed pools',
    megabytes: 30,
    accounts: ['pymallocFreeBlocks', 'pymallocFreePools'],
    tolerance: 0.07,
  },
  { kind: 'cycles', megabytes: 20, accounts: ['unreachableObjects'] },
];

async function checkFillings(python: TestPython, fillings: readonly Filling[]): Promise<void> {
  const program = await start(python);
  // Imports what it needs.
  for (const { kind } of fillings) if (kind === 'numpy') await program.call('fill', kind, MB);
  let before = await takeLedger(program.pid);
  const told: string[] = [];
  for (const { kind, megabytes, accounts, tolerance = 0.02 } of fillings) {
    await program.call('fill', kind, megabytes * MB);
    const after = await takeLedger(program.pid);
    const grown = (sumOf(after, accounts) - sumOf(before, accounts)) / MB;
    if (Math.abs(grown - megabytes) > megabytes * tolerance) {
      const moved = ACCOUNTS.map(
        (name) => [name, (after.accounts[name] - before.accounts[name]) / MB] as const,
      )
        .filter(([, by]) => Math.abs(by) > 0.1)
        .map(([name, by]) => `${name} ${by.toFixed(2)}`);
      told.push(`${kind}: ${grown.toFixed(2)} of ${megabytes} MB (${moved.join(', ')})`);
    }
    before = after;
  }
  expect(told).toEqual([]);
}

describeEachPython('the ledger', (python) => {
  test.runIf(canCompile)(
    'has every byte in the account it was put into',
    { timeout: 240_000 },
    async () => {
      await checkFillings(python, FILLINGS);
    },
  );
});

/** Debian's packages of other allocators. */
const ALLOCATORS = [
  { name: 'jemalloc', library: '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2' },
  { name: 'tcmalloc', library: '/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4' },
  { name: 'mimalloc', library: '/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0' },
].filter(({ library }) => existsSync(library));
const usual = findPython('3.12') ?? allPythons().at(-1);
const withPackages = findPythonWithPackages();

describe.skipIf(!canCompile || usual === undefined)('the ledger of other programs', () => {
  test.each(['malloc', 'malloc_debug', 'pymalloc_debug'])('with PYTHONMALLOC=%s', async (name) => {
    const program = await start(usual!, { PYTHONMALLOC: name });
    const before = await takeLedger(program.pid);
    await program.call('fill', 'lists', 20 * MB);
    const after = await takeLedger(program.pid);
    const names: Account[] = ['pythonObjects', 'pythonBuffers'];
    const grown = sumOf(after, names) - sumOf(before, names);
    expect(Math.abs(grown - 20 * MB), `${grown}`).toBeLessThan(0.4 * MB);
  });

  test('with a subinterpreter that lives, and after one that has ended', async () => {
    const program = await start(usual!);
    expect(await program.call('run_subinterpreter', false)).toBe(true);
    const before = await takeLedger(program.pid);
    await program.call('run_subinterpreter', true);
    const after = await takeLedger(program.pid);
    const grown = after.accounts.pythonBuffers - before.accounts.pythonBuffers;
    expect(grown).toBeGreaterThan(10 * MB);
  });

  test('of a parent and of workers that share its memory', async () => {
    const program = await start(usual!);
    const pids = await program.call<number[]>('fork_workers', 2);
    try {
      for (const pid of [program.pid, ...pids]) await takeLedger(pid);
      const report = await runJson(ledgerSchema, 'ledger', `${pids[0]}`);
      expect(report.pssBytes).toBeLessThan(report.rssBytes * 0.8);
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGKILL');
    }
  });

  test.each([
    ['the main heap', 'fill', 'freed below', 60 * MB],
    ['arenas of threads', 'fill_in_threads', 8, 60 * MB],
  ])('tells what malloc_trim returns of %s', async (_, ...command) => {
    const program = await start(usual!);
    await program.call(...command);
    const report = await runJson(ledgerSchema, 'ledger', `${program.pid}`);
    const predicted = report.fragmentation?.trimBytes ?? 0;
    const returned = await program.call<number>('trim');
    expect(returned).toBeGreaterThan(20 * MB);
    expect(Math.abs(predicted - returned), `${predicted} of ${returned}`).toBeLessThan(
      returned * 0.15,
    );
  });

  test('tells sparse arenas of pymalloc, which nothing returns', async () => {
    const program = await start(usual!);
    await program.call('fill', 'freed pools', 60 * MB);
    const report = await runJson(ledgerSchema, 'ledger', `${program.pid}`);
    expect(report.fragmentation?.pymallocFreeBytes).toBeGreaterThan(55 * MB);
    expect(await program.call<number>('trim')).toBeLessThan(5 * MB);
    expect(report.fragmentation?.pins[0]).toMatchObject({ allocator: 'pymalloc', type: 'bytes' });
  });

  test.each(ALLOCATORS)('with $name tells what is not known', async ({ name, library }) => {
    const program = await start(usual!, { LD_PRELOAD: library });
    await program.call('fill', 'lists', 20 * MB);
    await program.call('fill', 'lost C', 10 * MB);
    await takeLedger(program.pid);
    const native = await runJson(nativeSchema, 'native', `${program.pid}`);
    expect(native).toMatchObject({ allocator: name, blocksAreKnown: false });
    expect(native.lost.bytes).toBeLessThan(0.1 * MB);
    const { stdout } = await runCommand('native', `${program.pid}`);
    expect(stdout).toContain(`The blocks of ${name} cannot be told apart`);
  });

  test('of a heap that was overrun says so and goes on', async () => {
    const program = await start(usual!);
    await program.call('overrun', 2000);
    for (const command of ['ledger', 'native']) {
      const { code, stdout } = await runCommand(command, `${program.pid}`, '--json');
      expect({ command, code, damage: JSON.parse(stdout).corruption.length > 0 }).toEqual({
        command,
        code: 0,
        damage: true,
      });
    }
  });
});

describe.skipIf(!canCompile || withPackages === undefined)('the ledger of numpy', () => {
  test('counts touched pages of arrays once', async () => {
    await checkFillings(withPackages!, [
      { kind: 'numpy', megabytes: 80, accounts: ['pythonBuffers'] },
    ]);
  });

  test('counts no pages of zeros that were only read', async () => {
    const program = await start(withPackages!);
    const before = await takeLedger(program.pid);
    await program.call('fill', 'read zeros', 200 * MB);
    const after = await takeLedger(program.pid);
    const grown = after.accounts.pythonBuffers - before.accounts.pythonBuffers;
    expect(Math.abs(grown)).toBeLessThan(2 * MB);
  });
});
