// Growth of lost C memory and lost references, told by `hunt` and `native`, is what the program itself lost in between:
// it loses a fixed number between two captures, exactly. See tests/programs/native_leaks.py.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nativeSchema } from '../../src/report/native-schema.ts';
import type { Suspect } from '../../src/report/schemas.ts';
import {
  finishCommand,
  runCommand,
  runJson,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import { huntRounds } from '../support/hunting.ts';
import { hasTool } from '../support/native-extensions.ts';
import { compileLeaks, type LeakingProgram, startLeaks } from '../support/native-leaks.ts';
import { describeEachPython, onePythonPerMinor, type TestPython } from '../support/pythons.ts';

type Step = readonly [string, ...unknown[]];

let folder = '';
const canCompile = hasTool('gcc') && hasTool('g++');
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-growth-'));
  if (canCompile) compileLeaks(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function withLeaks<Result>(
  python: TestPython,
  run: (target: LeakingProgram) => Promise<Result>,
): Promise<Result> {
  const target = await startLeaks(python, folder);
  try {
    return await run(target);
  } finally {
    await target.stop();
  }
}

const takeSteps = async (target: LeakingProgram, steps: readonly Step[]): Promise<void> => {
  for (const step of steps) await target.call(...step);
};

const near = (count: number) =>
  expect.toSatisfy((value: number) => Math.abs(value - count) <= count * 0.05);

/** What one step per round should be told as. */
const LEAKS: readonly { step: Step; perRound: number; kind: Suspect['kind']; type: RegExp }[] = [
  { step: ['lose', 0, 100, 500], perRound: 500, kind: 'native-lost', type: /^blocks of 112 B/ },
  { step: ['lose', 0, 70_000, 50], perRound: 50, kind: 'native-lost', type: /^blocks of 7/ },
  { step: ['lose', 1, 200, 500], perRound: 500, kind: 'native-lost', type: /^blocks of 208 B/ },
  { step: ['forget', 'list', 500], perRound: 500, kind: 'refcount', type: /^list/ },
  { step: ['forget', 'bytes', 500], perRound: 500, kind: 'refcount', type: /^bytes/ },
  { step: ['forget_large', 'ascii', 5000, 300], perRound: 300, kind: 'refcount', type: /^str/ },
  { step: ['take_references', 'one', 500], perRound: 500, kind: 'refcount', type: /^object/ },
];

describeEachPython('hunt', (python) => {
  test.runIf(canCompile)('counts what is lost in each round', { timeout: 240_000 }, async () => {
    const steps = LEAKS.map(({ step }) => step);
    const report = await withLeaks(python, (target) =>
      huntRounds(target.pid, () => takeSteps(target, steps)),
    );
    const told = LEAKS.map(({ step, kind, type }) => {
      const own = report.suspects.filter((each) => each.kind === kind && type.test(each.type));
      const rounds = own.map((each) => each.perRound.map(({ count }) => count));
      return { step: step.join(' '), counts: own.map(({ count }) => count), rounds };
    });
    const others = report.suspects.length - LEAKS.length;
    expect({ verdict: report.verdict, others, told }, JSON.stringify(report.suspects)).toEqual({
      verdict: 'leak',
      others: 0,
      told: LEAKS.map(({ step, perRound }) => ({
        step: step.join(' '),
        counts: [near(3 * perRound)],
        rounds: [[1, 2, 3].map(() => near(perRound))],
      })),
    });
  });
});

/** Leaks of several blocks and objects each: one step per round, what is told, and the least bytes that it takes with it. */
const WHOLES: readonly {
  step: Step;
  kind: Suspect['kind'];
  perRound: number;
  bytes: number;
  type: RegExp;
  contents: readonly RegExp[];
}[] = [
  {
    // Two structs, two buffers, a dict with a list.
    step: ['lose_records', 500, 300],
    kind: 'native-lost',
    perRound: 600,
    bytes: 300 * (2 * (64 + 500) + 200),
    type: /^blocks of 80 B/,
    contents: [/^blocks of 512 B/, /^dict$/, /^list$/],
  },
  {
    step: ['lose_boxes', 40, 300],
    kind: 'native-lost',
    perRound: 300,
    bytes: 300 * (40 + 320),
    type: /vtable for boxes::Box/,
    contents: [/^blocks of 336 B/],
  },
  {
    step: ['forget_holders', 700, 300],
    kind: 'refcount',
    perRound: 300,
    bytes: 300 * (2 * 700 + 200),
    type: /Holder$/,
    contents: [/^list$/],
  },
  {
    step: ['drop_cycles', 900, 300],
    kind: 'cycles',
    perRound: 300,
    bytes: 300 * (900 + 200),
    type: /Holder$/,
    contents: [/^dict$/, /^list$/],
  },
];

describeEachPython('one leak is one suspect with all its bytes', (python) => {
  test.runIf(canCompile).each(WHOLES)('$step.0', async (whole) => {
    const report = await withLeaks(python, (target) =>
      huntRounds(target.pid, () => takeSteps(target, [whole.step])),
    );
    const { suspects } = report;
    expect(
      suspects.map(({ kind, type, count }) => ({ kind, type, count })),
      JSON.stringify(suspects),
    ).toEqual([
      {
        kind: whole.kind,
        type: expect.stringMatching(whole.type),
        count: near(3 * whole.perRound),
      },
    ]);
    const [{ bytes, contents, explains }] = suspects;
    expect(bytes).toBeGreaterThan(3 * whole.bytes * 0.95);
    expect(bytes).toBeLessThan(3 * whole.bytes * 2);
    expect(explains).toBeGreaterThan(0.8);
    const types = contents.map(({ type }) => type);
    for (const wanted of whole.contents)
      expect(types).toContainEqual(expect.stringMatching(wanted));
  });
});

const [plain] = onePythonPerMinor().filter(({ minor }) => minor === '3.12' || minor === '3.11');

test.runIf(canCompile && plain !== undefined)(
  'native tells the growth between two files',
  async () => {
    await withLeaks(plain, async (target) => {
      const files = ['before', 'after'].map((name) => join(folder, `${name}.lscope`));
      for (const file of files) {
        await takeSteps(target, [
          ['lose', 0, 100, 2000],
          ['forget', 'dict', 300],
          ['take_references', 'one', 700],
        ]);
        await runCommand('capture', `${target.pid}`, '-o', file);
      }
      const report = await runJson(nativeSchema, 'native', ...files);
      expect(report.groups[0]).toMatchObject({ kind: 'native-lost', blocksGrowth: near(2000) });
      expect(report.lostReferences[0]).toMatchObject({ type: 'dict', countGrowth: near(300) });
      expect(report.excess[0]).toMatchObject({ type: 'object', growth: near(700) });
    });
  },
);

/** `native --every` that has made its first capture and waits. */
async function startNativeTwice({ pid }: LeakingProgram) {
  const child = startCommand(['native', `${pid}`, '--every', '3s', '--json', '--progress']);
  const finished = finishCommand(child);
  await untilStderr(child, /waiting 3 s/);
  return { finished };
}

test.runIf(canCompile && plain !== undefined)('native --every tells it for a process', async () => {
  await withLeaks(plain, async (target) => {
    await takeSteps(target, [['lose_boxes', 40, 1000]]);
    const { finished } = await startNativeTwice(target);
    await takeSteps(target, [['lose_boxes', 40, 1500]]);
    const report = nativeSchema.parse(JSON.parse((await finished).stdout));
    expect(report.lost.blocks).toEqual(near(5000));
    const box = report.groups.find(({ signature }) => signature.includes('boxes::Box'));
    expect(box).toMatchObject({
      kind: 'native-lost',
      blocks: near(2500),
      blocksGrowth: near(1500),
      lostWith: null,
    });
    const cells = report.groups.find(({ leastBytes }) => leastBytes === 336);
    expect(cells).toMatchObject({ lostWith: expect.stringContaining('boxes::Box') });
  });
});

test.runIf(canCompile && plain !== undefined)(
  'native --every tells what it has of a process that ends',
  async () => {
    await withLeaks(plain, async (target) => {
      await takeSteps(target, [['lose_boxes', 40, 1000]]);
      const { finished } = await startNativeTwice(target);
      await target.stop();
      const { code, stdout, stderr } = await finished;
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: expect.stringContaining(`process ${target.pid} has ended`),
      });
      const report = nativeSchema.parse(JSON.parse(stdout));
      expect(report.groups[0]).toMatchObject({ kind: 'native-lost', blocksGrowth: null });
    });
  },
);

const START_AS_PID = fileURLToPath(new URL('../programs/start_as_pid.py', import.meta.url));
const WAIT_FOR_STDIN = 'import os; print(os.getpid(), flush=True); os.read(0, 1)';

/** A Python under that pid, ready; undefined without the right to choose pids. */
async function startAsPid(
  python: TestPython,
  pid: number,
): Promise<{ stop(): Promise<void> } | undefined> {
  const [program, ...args] = python.command;
  const child = spawn(
    program,
    [...args, START_AS_PID, `${pid}`, ...python.command, '-c', WAIT_FOR_STDIN],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...python.env },
    },
  );
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer | number];
  if (typeof line === 'number') {
    expect(line).toBe(77);
    return undefined;
  }
  expect(`${line}`.trim()).toBe(`${pid}`);
  return {
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

test.runIf(canCompile && plain !== undefined)(
  'native --every refuses another process with the pid of the first',
  async ({ skip }) => {
    await withLeaks(plain, async (target) => {
      const { finished } = await startNativeTwice(target);
      await target.stop();
      const other = await startAsPid(plain, target.pid);
      if (other === undefined) return skip('pids cannot be chosen without being root');
      try {
        const { code, stdout, stderr } = await finished;
        expect({ code, stdout, stderr }).toEqual({
          code: 3,
          stdout: '',
          stderr: expect.stringMatching(
            /Process \d+ is no longer the one of the first capture[\s\S]*its pid was given to another/,
          ),
        });
      } finally {
        await other.stop();
      }
    });
  },
);
