// Core files on the command line: every command that takes a target, hunts over cores, what is refused and why, and a core
// that the kernel itself has dumped.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { readGraphFile } from '../../src/capture/graph-file.ts';
import { ledgerSchema } from '../../src/report/ledger-schema.ts';
import { captureSchema, huntSchema, topSchema } from '../../src/report/schemas.ts';
import {
  finishCommand,
  runCommand,
  runJson,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import { dumpCore, makeTestFolder } from '../support/core-files.ts';
import { onePythonPerMinor, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/core_target.py', import.meta.url));
const LEAK = fileURLToPath(new URL('../programs/leak_by_step.py', import.meta.url));
const folder = makeTestFolder('core cli');
const pythons = onePythonPerMinor();
const python = pythons.at(-1)!;

interface Ready {
  pid: number;
  rows: number;
}

let core = '';
let ready: Ready;
beforeAll(async () => {
  const running = await startPython<Ready>(python, PROGRAM, { args: [folder] });
  ready = running.ready;
  core = dumpCore(running.pid, folder);
  await running.stop();
});

describe('commands take a core file', () => {
  const address = () => `0x${ready.rows.toString(16)}`;
  const commands: [string, () => string[], RegExp][] = [
    ['top', () => ['top', core], /in the core\n[\s\S]*__main__\.Row/],
    ['show', () => ['show', core, address()], /list/],
    ['path', () => ['path', core, address()], /__main__[\s\S]*rows/],
    ['graph', () => ['graph', core, address()], /digraph/],
    [
      'ledger',
      () => ['ledger', core, '--verbose'],
      /in the core +share +account[\s\S]*Python objects/,
    ],
    ['native', () => ['native', core], /in the core +allocator glibc/],
    [
      'stacks',
      () => ['stacks', core],
      /MainThread\n +thread \d+, main, waits in read\n[\s\S]*core_target\.py/,
    ],
    ['tasks', () => ['tasks', core], /0 tasks/],
    ['new', () => ['new', core, core], /python/],
    ['growth', () => ['growth', core, core], /in the cores/],
  ];
  test.each(commands)('%s', async (_, args, output) => {
    const { code, stdout, stderr } = await runCommand(...args());
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(output);
    expect(stdout).not.toMatch(/paused|RSS/);
  });

  test('allocations: the tracer was off', async () => {
    const { code, stdout } = await runCommand('allocations', core);
    expect(code).toBe(5);
    expect(stdout).toMatch(/tracemalloc is off[\s\S]*before the next core/);
    expect(stdout).not.toContain('--start');
  });

  test('capture makes a snapshot of it that says so', async () => {
    const file = join(folder, 'x.lscope');
    const report = await runJson(captureSchema, 'capture', core, '-o', file);
    expect(report.capture).toMatchObject({
      pauseMs: 0,
      core: { missingFiles: [], cutOffBytes: 0 },
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const top = await runJson(topSchema, 'top', file);
    expect(top.capture).toEqual(report.capture);
    expect(top.target.startedAt).toBeNull();
  });

  test('the accounts of the ledger sum up to what is in the core', async () => {
    const { accounts, rssBytes, residueBytes, pssBytes } = await runJson(
      ledgerSchema,
      'ledger',
      core,
    );
    const sum = Object.values(accounts).reduce((total, bytes) => total + bytes, 0);
    expect([sum + residueBytes, residueBytes, pssBytes]).toEqual([rssBytes, 0, null]);
    expect(rssBytes).toBeLessThan(statSync(core).size);
  });
});

describe('what is no core is refused with what it is', () => {
  const refused: [string, () => string, RegExp][] = [
    ['a program', () => process.execPath, /is no core file: it is an ELF program or library/],
    [
      'a compressed core',
      () => write('core.gz', gzipSync(readFileSync(core).subarray(0, 1000))),
      /compressed \(gzip\)[\s\S]*coredumpctl/,
    ],
    ['text', () => write('text', Buffer.from('nothing')), /snapshot/],
    ['a core of no Python', () => dumpOther(), /is not the core of a Python/],
  ];
  test.each(refused)('%s', async (_, path, reason) => {
    const { code, stdout, stderr } = await runCommand('top', path());
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(reason);
  });

  test('a snapshot needs no capture, and wrong options are told', async () => {
    const file = join(folder, 'again.lscope');
    await runCommand('capture', core, '-o', file);
    const again = await runCommand('capture', file, '-o', join(folder, 'y.lscope'));
    expect([again.code, again.stderr]).toEqual([2, expect.stringMatching(/is no core file/)]);
    for (const option of ['--exe', '--sysroot']) {
      const { code, stderr } = await runCommand('top', core, option, '/nowhere');
      expect([code, stderr]).toEqual([2, expect.stringMatching(/There is no such/)]);
    }
  });

  const write = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const dumpOther = (): string => {
    const sleeper = spawnSync('sh', ['-c', 'sleep 100 >/dev/null 2>&1 & echo $!'], {
      encoding: 'utf8',
    });
    const pid = Number(sleeper.stdout);
    try {
      return dumpCore(pid, folder);
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  };
});

test('a budget that is too small is refused before anything is written', async () => {
  const out = join(folder, 'small.lscope');
  const { code, stderr } = await runCommand('capture', core, '-o', out, '--max-memory', '60MB');
  expect([code, stderr]).toEqual([4, expect.stringMatching(/--max-memory/)]);
  expect(existsSync(out)).toBe(false);
});

test('Ctrl-C ends a capture of a core and leaves nothing behind', async () => {
  const before = readdirSync(folder).sort();
  const child = startCommand([
    'capture',
    core,
    '-o',
    join(folder, 'cancelled.lscope'),
    '--progress',
  ]);
  const finished = finishCommand(child);
  await untilStderr(child, /copying memory/);
  child.kill('SIGINT');
  expect((await finished).code).toBe(130);
  expect(readdirSync(folder).sort()).toEqual(before);
});

test('a hunt over four cores names the leak', async () => {
  const running = await startPython<{ pid: number }>(python, LEAK);
  const cores: string[] = [];
  const startedAt = Math.floor(Date.now() / 1000) - 300;
  try {
    running.send('');
    await running.nextLine();
    for (let i = 0; i < 4; i++) {
      running.send('');
      await running.nextLine();
      const path = join(folder, `leak-${i}`);
      copyFileSync(dumpCore(running.pid, folder), path);
      // A minute apart: the time of a core is that of its file.
      const at = startedAt + i * 60;
      utimesSync(path, at, at);
      cores.push(path);
    }
  } finally {
    await running.stop();
  }
  const { code, stdout, stderr } = await runCommand('hunt', ...cores, '--json');
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  const { suspects, captures, seconds, growth } = huntSchema.parse(JSON.parse(stdout));
  expect(suspects[0]).toMatchObject({ type: '__main__.Ticket', holder: '__main__.desk.open' });
  expect([captures.length, Math.round(seconds)]).toEqual([4, 180]);
  expect(growth.bytes).toBeGreaterThan(400 * 100);
  const text = await runCommand('hunt', ...cores);
  expect(text.stdout).toMatch(/^core +[▁-█]/m);
  const backwards = await runCommand('hunt', ...cores.reverse());
  expect([backwards.code, backwards.stderr]).toEqual([
    2,
    expect.stringMatching(/was not captured after/),
  ]);
});

/** Where the kernel gives cores to a program (systemd-coredump, apport) it writes none: then gcore's is the only kind. */
const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();

describe.each(
  pattern.includes('/') || pattern.startsWith('|')
    ? []
    : pythons.map((each) => ({ name: each.name, each })),
)('a core that the kernel dumped ($name)', ({ each }) => {
  const cwd = makeTestFolder('kernel core');
  let running: RunningPython<Ready>;
  afterAll(() => running?.stop());

  test('has what the process had, and its signal', async () => {
    running = await startPython<Ready>(each, PROGRAM, { args: [cwd], cwd });
    spawnSync('prlimit', ['--core=unlimited', '--pid', `${running.pid}`]);
    const live = await captureHeap(running.pid, { native: true });
    running.send('abort');
    await running.ended;
    const [name] = readdirSync(cwd).filter((entry) => entry.startsWith('core'));
    const graph = await readGraphFile(join(cwd, name));
    expect(graph.capture.core?.signal).toBe('SIGABRT');
    expect(graph.capture.problems).toEqual(live.capture.problems);
    // The line that it read and what os.abort needs came after the capture.
    expect(Math.abs(graph.nodeCount - live.nodeCount)).toBeLessThan(20);
    const counts = [live, graph].map(
      ({ types, typeId }) => typeId.filter((id) => types[id].name === '__main__.Row').length,
    );
    expect(counts).toEqual([5000, 5000]);
    const threads = [live, graph].map(({ execution }) =>
      execution!.facts.threads.map(({ nativeId, frameCount, isCutOff }) => [
        nativeId,
        frameCount,
        isCutOff,
      ]),
    );
    expect(threads[1]).toEqual(threads[0]);
  });
});
