// Growth of lost C memory and lost references, told by `hunt` and `native`, is what the program itself lost in between:
// it loses a fixed number between two captures, exactly. See tests/programs/native_leaks.py.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
    });
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
