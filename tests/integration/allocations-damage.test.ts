// Damaged tables of tracemalloc: whatever words lie in them, reading them ends soon, and what comes out fits itself. The
// copies are of real Pythons: 3.8, a stripped one whose tables are searched for, the newest. LEAKSCOPE_FUZZ_COUNT=5000
// for a long run; a failure names the seed.

import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { groupAllocations } from '../../src/analysis/allocation-groups.ts';
import { Problems } from '../../src/base/problems.ts';
import { readTraces } from '../../src/capture/read-traces.ts';
import type { PythonRuntime } from '../../src/cpython/find-runtime.ts';
import { collectEntries, findHashTable } from '../../src/cpython/hashtables.ts';
import { findTracer } from '../../src/cpython/tracemalloc-state.ts';
import type { AllocationTraces } from '../../src/graph/allocation-traces.ts';
import { copyLive } from '../../src/memory/live-copy.ts';
import type { MemoryImage } from '../../src/memory/memory-image.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';
import { makeRandom } from '../support/random-numbers.ts';
import { withRuntime } from '../support/runtimes.ts';

const PROGRAM = fileURLToPath(new URL('../programs/traced.py', import.meta.url));
const COUNT = Number(process.env.LEAKSCOPE_FUZZ_COUNT ?? 150);
const FIRST_SEED = Number(process.env.LEAKSCOPE_FUZZ_SEED ?? 1);
const LIMIT_MS = 5000;

let running: RunningPython | undefined;
afterEach(() => running?.stop());

describeEachPython(
  'damaged tables',
  (python) => {
    test('are read or refused, in bounded time', async () => {
      running = await startPython(python, PROGRAM, { args: ['4', '100', 'domains'] });
      const { image, runtime } = copyProcess(running.pid);
      const words = findTracerWords(image, runtime);
      expect(words.length).toBeGreaterThan(3000);
      const outcomes = { read: 0, unreadable: 0, damaged: 0 };
      for (let seed = FIRST_SEED; seed < FIRST_SEED + COUNT; seed++) {
        const restore = damage(image, words, seed);
        const problems = new Problems();
        const begin = performance.now();
        const { tracer, traces } = readTraces(image, runtime, problems);
        const ms = performance.now() - begin;
        restore();
        expect(ms, `seed ${seed}`).toBeLessThan(LIMIT_MS);
        if (traces === undefined) {
          expect(tracer.state, `seed ${seed}`).not.toBe('on');
          outcomes.unreadable++;
          continue;
        }
        expect(findContradiction(traces), `seed ${seed}`).toBe('');
        groupAllocations(traces, { by: 'line', cumulative: true });
        outcomes[problems.total > 0 ? 'damaged' : 'read']++;
      }
      // Else the damage is too great, or too small, to test anything.
      expect(outcomes.damaged + outcomes.unreadable).toBeGreaterThan(COUNT / 10);
      const { traces } = readTraces(image, runtime, new Problems());
      expect(traces?.traceSize.reduce((sum, size) => sum + size, 0)).toBe(
        traces?.facts.tracedBytes,
      );
    });
  },
  { all: true, minors: ['3.8', '3.11', '3.15'] },
);

const copyProcess = (pid: number): { image: MemoryImage; runtime: PythonRuntime } =>
  withRuntime(pid, (target, runtime) => {
    const { image } = copyLive(target);
    // Asks for all symbols while the files are open.
    readTraces(image, runtime, new Problems());
    return { image, runtime };
  });

/** Words of the tables, some of their buckets, entries, traces and tracebacks. */
function findTracerWords(image: MemoryImage, runtime: PythonRuntime): number[] {
  const found = findTracer(image, runtime);
  if (found.state !== 'on') throw new Error(found.state);
  const words: number[] = [];
  const addWords = (word: number, count: number) => {
    for (let i = 0; i < count && word !== 0; i++) words.push(word + i);
  };
  for (const address of [found.traces, found.tracebacks, found.filenames, found.domains]) {
    const table = address === 0 ? undefined : findHashTable(image, runtime.layout, address);
    if (table === undefined) continue;
    // Heads are few, and damage to them matters most.
    for (let i = 0; i < 20; i++) addWords(image.wordAtAddress(address), 10);
    addWords(image.wordAtAddress(table.buckets), Math.min(table.bucketCount, 500));
    for (const entry of collectEntries(image, table, new Problems()).subarray(0, 400)) {
      addWords(entry, 4);
      for (const pointer of [entry + 2, entry + 3]) {
        const { halves } = image;
        addWords(image.wordAt(halves[pointer * 2], halves[pointer * 2 + 1]), 3);
      }
    }
  }
  return words;
}

/** Changes some of the words; returns what puts them back. */
function damage(image: MemoryImage, words: readonly number[], seed: number): () => void {
  const random = makeRandom(seed);
  const { halves } = image;
  const before: [half: number, value: number][] = [];
  const write = (half: number, value: number) => {
    before.push([half, halves[half]]);
    halves[half] = value;
  };
  const count = 2 ** random(10);
  for (let i = 0; i < count; i++) {
    const half = words[random(words.length)] * 2;
    const other = words[random(words.length)] * 2;
    const address = image.addressOfWord(other / 2);
    const values: [number, number][] = [
      [0, 0],
      [0xffffffff, 0xffffffff],
      [random(70_000), 0],
      [1 << random(31), random(2)],
      [halves[half] ^ (1 << random(32)), halves[half + 1]],
      [halves[other], halves[other + 1]],
      // A pointer to another part of the tables: lists that end nowhere.
      [address % 2 ** 32, Math.floor(address / 2 ** 32)],
      [(address % 2 ** 32) + random(8), Math.floor(address / 2 ** 32)],
    ];
    const [lo, hi] = values[random(values.length)];
    write(half, lo);
    write(half + 1, hi);
  }
  return () => {
    for (const [half, value] of before.reverse()) halves[half] = value;
  };
}

function findContradiction(traces: AllocationTraces): string {
  const { traceTraceback, firstFrame, frameSite, siteFile, facts } = traces;
  const leads: [string, Uint32Array, number][] = [
    ['traceTraceback', traceTraceback, firstFrame.length - 1],
    ['frameSite', frameSite, siteFile.length],
    ['siteFile', siteFile, facts.files.length],
    ['firstFrame', firstFrame, frameSite.length + 1],
  ];
  const wrong = leads.find(([, column, limit]) => column.some((row) => row >= limit));
  if (wrong !== undefined) return wrong[0];
  return traces.traceSize.every((size) => size >= 0 && size <= 2 ** 47) ? '' : 'traceSize';
}
