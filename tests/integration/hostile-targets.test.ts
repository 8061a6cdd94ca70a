// Pythons in unusual states and places: each is captured, the objects that it names are found with their type and with
// what holds them, and it goes on. What is printed are the captures' figures. See tests/programs/hostile.py.

import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import { openMemory } from '../../src/memory/live-memory.ts';
import { findProcessStat } from '../../src/memory/process-status.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { type ExpectedObject, expectObjects } from '../support/expected-objects.ts';
import {
  onePythonPerMinor,
  type RunningPython,
  type StartOptions,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/hostile.py', import.meta.url));
const pythons = onePythonPerMinor();
/** Enough for what does not depend on the version. */
const somePythons = [pythons[0], pythons[Math.floor(pythons.length / 2)], pythons.at(-1)!];

interface Hostile {
  pid: number;
  counter: number;
  expected: ExpectedObject[];
}

let running: RunningPython<Hostile> | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));

async function start(
  python: TestPython,
  kind: string,
  options: StartOptions = {},
): Promise<RunningPython<Hostile>> {
  running = await startPython<Hostile>(python, PROGRAM, { ...options, args: [kind] });
  return running;
}

/** Captures, compares with what the target said, and waits for it to count on. */
async function check(title: string, pid: number, ready: Hostile): Promise<HeapGraph> {
  const startedAt = performance.now();
  const graph = await captureHeap(pid);
  const { pauseMs, coverage, problems } = graph.capture;
  const problemText = problems.map(({ kind, count }) => `${kind} ${count}`).join(', ');
  figures.push(
    `${title}: ${graph.nodeCount} objects, paused ${pauseMs.toFixed(0)} ms, ` +
      `${((performance.now() - startedAt) / 1000).toFixed(1)} s, coverage ${coverage.toFixed(6)}  ${problemText}`,
  );
  expectObjects(graph, ready.expected);
  await expectGoesOn(pid, ready.counter);
  return graph;
}

async function expectGoesOn(pid: number, counter: number): Promise<void> {
  const memory = openMemory(pid);
  const before = memory.readAddress(counter);
  const goesOn = await becomesTrue(() => memory.readAddress(counter) > before + 2, 3000);
  memory.close();
  expect({ goesOn, state: findProcessStat(pid)?.state }).not.toMatchObject({ goesOn: false });
  expect(findProcessStat(pid)?.state).not.toBe('T');
}

describe.each(pythons.map((python) => ({ python, name: python.name })))(
  'Python $name',
  ({ python, name }) => {
    test.each([
      ['PYTHONMALLOC=malloc', { env: { PYTHONMALLOC: 'malloc' } }],
      ['PYTHONMALLOC=debug', { env: { PYTHONMALLOC: 'debug' } }],
      ['PYTHONMALLOC=malloc_debug', { env: { PYTHONMALLOC: 'malloc_debug' } }],
      ['PYTHONMALLOC=pymalloc_debug', { env: { PYTHONMALLOC: 'pymalloc_debug' } }],
      ['-X dev', { interpreterArgs: ['-X', 'dev'] }],
      ['-X tracemalloc -O -I', { interpreterArgs: ['-X', 'tracemalloc', '-O', '-I'] }],
    ])('with %s', async (title, options: StartOptions) => {
      const { pid, ready } = await start(python, 'plain', options);
      const { capture } = await check(`${name}, ${title}`, pid, ready);
      expect(capture.problems).toEqual([]);
      expect(capture.coverage).toBe(1);
    });

    test.each(['subinterpreters', 'threads', 'recursion', 'tampering'])('with %s', async (kind) => {
      const { pid, ready } = await start(python, kind);
      const { capture } = await check(`${name}, ${kind}`, pid, ready);
      expect(capture.problems).toEqual([]);
      expect(capture.coverage).toBe(1);
    });

    test('with a collection that runs at nearly every moment', async () => {
      const { pid, ready } = await start(python, 'collecting-large');
      const { capture } = await check(`${name}, collecting-large`, pid, ready);
      expect(capture.coverage).toBeGreaterThan(0.9999);
    });

    test.each(['resizing', 'collecting'])('with %s', async (kind) => {
      const { pid, ready } = await start(python, kind);
      for (let i = 0; i < 5; i++) {
        const { capture } = await check(`${name}, ${kind}`, pid, ready);
        expect(capture.coverage).toBeGreaterThan(0.999);
      }
    });
  },
);

test.each(somePythons.map((python) => ({ python, name: python.name })))(
  'Python $name with 5 million ints in a list, 200 MB of bytes and a chain of a million objects',
  async ({ python, name }) => {
    const { pid, ready } = await start(python, 'large');
    const { capture } = await check(`${name}, large`, pid, ready);
    expect(capture.problems).toEqual([]);
    expect(capture.coverage).toBe(1);
  },
);
