// 500 captures in a row of a busy program with four threads: it stays alive and correct, each capture is consistent but
// for a few counted problems, and leakscope itself does not grow. Prints the figures. See tests/programs/busy.py.

import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openCapture } from '../../src/capture/capture-heap.ts';
import { checkGraph } from '../../src/graph/check-graph.ts';
import { findNodeAt, type HeapGraph, typeNameOf } from '../../src/graph/heap-graph.ts';
import { onePythonPerMinor, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/busy.py', import.meta.url));
const CAPTURES = 500;
/** Captures after which our own memory has its size. */
const WARM_UP = 100;
/** Stopped in the middle of an operation of each thread: an object or two per thread are half made. */
const USUAL_PROBLEMS = 16;
/** Captures in a hundred that may meet more, such as a container that is being taken apart, entry by entry. */
const UNUSUAL_SHARE = 0.01;
const LEAST_COVERAGE = 0.995;
const MIB = 1 << 20;
const TIME_LIMIT_MS = 400_000;

interface Busy {
  pid: number;
  staying: number[];
}

const python = onePythonPerMinor().find(({ minor }) => minor === '3.12') ?? onePythonPerMinor()[0];

test(
  `${CAPTURES} captures in a row leave a busy program correct`,
  async () => {
    const running = await startPython<Busy>(python, PROGRAM);
    const capture = openCapture(running.pid);
    const problems = new Map<string, number>();
    const ownRss: number[] = [];
    let pausedMs = 0;
    let leastCoverage = 1;
    let mostProblems = 0;
    const unusual: string[] = [];
    const startedAt = performance.now();
    try {
      for (let i = 0; i < CAPTURES; i++) {
        const graph = await capture.capture();
        const facts = graph.capture;
        let problemsHere = 0;
        for (const { kind, count } of facts.problems) {
          problems.set(kind, (problems.get(kind) ?? 0) + count);
          problemsHere += count;
        }
        mostProblems = Math.max(mostProblems, problemsHere);
        leastCoverage = Math.min(leastCoverage, facts.coverage);
        pausedMs += facts.pauseMs;
        if (problemsHere > USUAL_PROBLEMS) unusual.push(describeProblems(graph));
        expect(facts.coverage, describeProblems(graph)).toBeGreaterThanOrEqual(LEAST_COVERAGE);
        expect(checkGraph(graph)).toBeUndefined();
        expect(countNodes(graph, running.ready.staying)).toBe(running.ready.staying.length);
        ownRss.push(process.memoryUsage.rss());
      }
      const seconds = (performance.now() - startedAt) / 1000;
      running.send('stop');
      const { operations, failures } = JSON.parse(await running.nextLine());
      const lowest = (from: number, to: number) => Math.min(...ownRss.slice(from, to)) / MIB;
      const early = lowest(WARM_UP, WARM_UP + 100);
      const late = lowest(CAPTURES - 100, CAPTURES);
      console.log(
        `${python.name}: ${CAPTURES} captures in ${seconds.toFixed(0)} s, paused ${(pausedMs / CAPTURES).toFixed(1)} ms ` +
          `on average, ${operations} operations, least coverage ${leastCoverage.toFixed(6)}, at most ${mostProblems} ` +
          `problems in one, in all ${JSON.stringify(Object.fromEntries(problems))}, own RSS ${early.toFixed(0)} -> ` +
          `${late.toFixed(0)} MiB`,
      );
      expect(failures).toEqual([]);
      if (unusual.length > 0) console.log(unusual.join('\n'));
      expect(unusual.length, unusual.join('\n')).toBeLessThanOrEqual(CAPTURES * UNUSUAL_SHARE);
      for (const count of operations as number[]) expect(count).toBeGreaterThan(100);
      expect(late - early).toBeLessThan(24);
    } finally {
      capture.close();
      await running.stop();
    }
  },
  TIME_LIMIT_MS,
);

/** The kinds and counts, and in which objects the first ones were. */
function describeProblems(graph: HeapGraph): string {
  const { problems, coverage } = graph.capture;
  const each = problems.map(({ kind, count, examples }) => {
    const types = examples.map((address) => {
      const node = findNodeAt(graph, address);
      return node === undefined ? 'no object' : typeNameOf(graph, node);
    });
    return `${count} x ${kind} in ${types.join(', ')}`;
  });
  return `coverage ${coverage}: ${each.join('; ')}`;
}

function countNodes(graph: HeapGraph, addresses: readonly number[]): number {
  return addresses.filter((address) => {
    const node = findNodeAt(graph, address);
    return node !== undefined && typeNameOf(graph, node) === '__main__.Node';
  }).length;
}
