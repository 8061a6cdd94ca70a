// Data without pointers is left out of the copy, and nothing is lost by it: sizes are told, lists and dicts are complete.

import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { findNodeAt } from '../../src/graph/heap-graph.ts';
import { onePythonPerMinor, startPython } from '../support/pythons.ts';

type Truth = Record<
  'numbers' | 'text' | 'buffer' | 'items' | 'table',
  { id: number; size: number }
>;

const PROGRAM = fileURLToPath(new URL('../programs/bulk.py', import.meta.url));

test.each(onePythonPerMinor().map((python) => ({ name: python.name, python })))(
  'large arrays, strings and buffers are not copied, and their sizes are known ($name)',
  async ({ python }) => {
    const target = await startPython<Truth>(python, PROGRAM);
    try {
      const graph = await captureHeap(target.pid);

      const truth = target.ready;
      const node = (name: keyof Truth) => findNodeAt(graph, truth[name].id) ?? -1;
      const edges = (at: number) => graph.firstEdge[at + 1] - graph.firstEdge[at];
      for (const name of Object.keys(truth) as (keyof Truth)[]) {
        expect([name, graph.shallowSize[node(name)]]).toEqual([name, truth[name].size]);
      }
      expect(edges(node('items'))).toBe(400_000);
      expect(edges(node('table'))).toBe(400_000);
      expect(graph.capture.copiedBytes).toBeLessThan(graph.capture.rssBytes - 100e6);
      expect(graph.capture.coverage).toBeGreaterThan(0.9999);
    } finally {
      await target.stop();
    }
  },
);
