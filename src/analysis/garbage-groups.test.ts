import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { smallGraphs } from '../../tests/support/random-graph.ts';
import { findGarbage } from './garbage.ts';
import { computeGarbageGroups } from './garbage-groups.ts';
import { computePathTree } from './paths.ts';

test('garbage is grouped by the types of its cycles, with what hangs on them', () => {
  const { graph, node } = drawGraph(`
    root module app -> app
    root native -> kept
    app: module .x -> x
    kept: Node .other -> kept2
    kept2: Node .other -> kept
    a1: Node 100 .other -> b1, .name -> s1
    b1: Node 100 .other -> a1
    s1: str 10
    a2: Node 100 .other -> b2
    b2: Node 100 .other -> a2, .x -> x
    loop: list 56 [0] -> loop, [1] -> inner
    inner: Inner 8 .m -> inner2
    inner2: Inner 8 .m -> inner
    alone: Lost 7
  `);

  const groups = computeGarbageGroups(graph, findGarbage(graph, computePathTree(graph)).nodes);

  expect(groups).toEqual([
    { cycleTypes: ['Node'], pieceCount: 2, nodeCount: 5, allocatedBytes: 410, example: node('a1') },
    {
      cycleTypes: ['list'],
      pieceCount: 1,
      nodeCount: 3,
      allocatedBytes: 72,
      example: node('loop'),
    },
    { cycleTypes: [], pieceCount: 1, nodeCount: 1, allocatedBytes: 7, example: node('alone') },
  ]);
});

test('groups count each unreachable object once, and a piece of every head', () => {
  fc.assert(
    fc.property(smallGraphs(16), (graph) => {
      const garbage = findGarbage(graph, computePathTree(graph));
      const groups = computeGarbageGroups(graph, garbage.nodes);
      const sum = (of: (group: (typeof groups)[number]) => number) =>
        groups.reduce((total, group) => total + of(group), 0);
      expect(sum((group) => group.nodeCount)).toBe(garbage.nodeCount);
      expect(sum((group) => group.allocatedBytes)).toBe(garbage.allocatedBytes);
      expect(sum((group) => group.pieceCount)).toBe(countHeads(graph, garbage.nodes));
    }),
    { numRuns: 500 },
  );
});

/** Components (mutually reachable objects) that nothing outside of them refers to, by brute force. */
function countHeads(graph: Parameters<typeof computeGarbageGroups>[0], nodes: Uint32Array): number {
  const reach = (from: number): Set<number> => {
    const reached = new Set([from]);
    for (const at of reached) {
      for (let edge = graph.firstEdge[at]; edge < graph.firstEdge[at + 1]; edge++) {
        reached.add(graph.edgeTarget[edge]);
      }
    }
    return reached;
  };
  const reachOf = new Map([...nodes].map((node) => [node, reach(node)]));
  const isHead = (node: number) =>
    [...nodes].every((other) => !reachOf.get(other)?.has(node) || reachOf.get(node)?.has(other));
  const heads = [...nodes].filter(isHead);
  return new Set(
    heads.map((node) =>
      Math.min(
        ...heads.filter((other) => reachOf.get(node)?.has(other) && reachOf.get(other)?.has(node)),
      ),
    ),
  ).size;
}
