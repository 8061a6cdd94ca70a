import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { smallGraphs } from '../../tests/support/random-graph.ts';
import { hasBit } from '../base/bit-set.ts';
import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { computeDominators, computeRetainedSizes, isDominatedBy } from './dominators.ts';
import { computeReachable } from './reachability.ts';

/** What is reached from the roots when `removed` is taken out. */
function reachWithout(graph: HeapGraph, removed: number): Set<number> {
  const reached = new Set([...graph.rootNode].filter((node) => node !== removed));
  for (const node of reached) {
    for (const target of graph.edgeTarget.subarray(
      graph.firstEdge[node],
      graph.firstEdge[node + 1],
    )) {
      if (target !== removed) reached.add(target);
    }
  }
  return reached;
}

/** The dominators of each node other than itself: those without which it is not reached. */
function bruteForceDominators(graph: HeapGraph): Set<number>[] {
  const all = reachWithout(graph, NONE);
  const dominators = Array.from({ length: graph.nodeCount }, () => new Set<number>());
  for (const removed of all) {
    const left = reachWithout(graph, removed);
    for (const node of all) {
      if (node !== removed && !left.has(node)) dominators[node].add(removed);
    }
  }
  return dominators;
}

describe('dominators', () => {
  test('of a diamond: the top dominates the bottom, the sides nothing', () => {
    const { graph, node } = drawGraph(`
      root native -> top
      top: T 1 .a -> left, .b -> right
      left: T 10 .c -> bottom
      right: T 100 .c -> bottom
      bottom: T 1000
      lost: T 5 .d -> bottom
    `);

    const tree = computeDominators(graph);
    const retained = computeRetainedSizes(tree, graph.shallowSize);

    expect(tree.immediateDominator[node('bottom')]).toBe(node('top'));
    expect(tree.immediateDominator[node('top')]).toBe(graph.nodeCount);
    expect(tree.immediateDominator[node('lost')]).toBe(NONE);
    expect(retained[node('top')]).toBe(1111);
    expect(retained[node('left')]).toBe(10);
    expect(retained[node('lost')]).toBe(0);
    expect(isDominatedBy(tree, node('bottom'), node('top'))).toBe(true);
    expect(isDominatedBy(tree, node('bottom'), node('left'))).toBe(false);
  });

  test('a node that is held by two roots is dominated by the virtual root only', () => {
    const { graph, node } = drawGraph(`
      root module a -> a
      root module b -> b
      a: module .x -> shared
      b: module .x -> shared
    `);

    const tree = computeDominators(graph);

    expect(tree.immediateDominator[node('shared')]).toBe(graph.nodeCount);
  });

  test('equal those found by taking each node out, on random graphs', () => {
    fc.assert(
      fc.property(smallGraphs(14), (graph) => {
        const expected = bruteForceDominators(graph);
        const { immediateDominator } = computeDominators(graph);
        for (let node = 0; node < graph.nodeCount; node++) {
          const found = new Set<number>();
          let at = immediateDominator[node];
          for (; at !== NONE && at < graph.nodeCount; at = immediateDominator[at]) found.add(at);
          expect(found).toEqual(expected[node]);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('come in an order in which each node stands behind its dominator', () => {
    fc.assert(
      fc.property(smallGraphs(20), (graph) => {
        const { immediateDominator, order } = computeDominators(graph);
        const position = new Map([...order].map((node, i) => [node, i]));
        expect(position.size).toBe(reachWithout(graph, NONE).size);
        for (const node of order) {
          const dominator = immediateDominator[node];
          if (dominator === graph.nodeCount) continue;
          expect(position.get(dominator)).toBeLessThan(position.get(node) as number);
        }
      }),
    );
  });

  test('are found for a list of 300 000 links without a deep stack', () => {
    const nodeCount = 300_000;
    const { graph } = drawGraph('root native -> a');
    const chain: HeapGraph = {
      ...graph,
      nodeCount,
      edgeCount: nodeCount * 2 - 2,
      firstEdge: new Uint32Array(nodeCount + 1).map((_, i) => Math.min(i * 2, nodeCount * 2 - 2)),
      // Each holds the next and the last.
      edgeTarget: new Uint32Array(nodeCount * 2 - 2).map((_, i) =>
        i % 2 === 0 ? (i >>> 1) + 1 : nodeCount - 1,
      ),
      shallowSize: new Float64Array(nodeCount).fill(1),
    };

    const tree = computeDominators(chain);

    expect(tree.immediateDominator[1000]).toBe(999);
    expect(tree.immediateDominator[nodeCount - 1]).toBe(0);
    expect(computeRetainedSizes(tree, chain.shallowSize)[1000]).toBe(nodeCount - 1001);
  });
});

describe('retained sizes', () => {
  test('of the virtual root are the sum of what is reachable', () => {
    fc.assert(
      fc.property(smallGraphs(20), (graph) => {
        const retained = computeRetainedSizes(computeDominators(graph), graph.allocatedSize);
        const reachable = computeReachable(graph);
        const sum = graph.allocatedSize.filter((_, node) => hasBit(reachable, node));
        expect(retained[graph.nodeCount]).toBe(sum.reduce((a, b) => a + b, 0));
      }),
    );
  });

  test('do not change when an unreachable node is added', () => {
    fc.assert(
      fc.property(smallGraphs(12), (graph) => {
        const more: HeapGraph = {
          ...graph,
          nodeCount: graph.nodeCount + 1,
          edgeCount: graph.edgeCount + graph.nodeCount,
          firstEdge: Uint32Array.of(...graph.firstEdge, graph.edgeCount + graph.nodeCount),
          edgeTarget: Uint32Array.of(...graph.edgeTarget, ...graph.typeId.keys()),
          shallowSize: Float64Array.of(...graph.shallowSize, 4096),
        };
        const before = computeRetainedSizes(computeDominators(graph), graph.shallowSize);
        const after = computeRetainedSizes(computeDominators(more), more.shallowSize);
        expect(after[graph.nodeCount]).toBe(0);
        expect([...after.subarray(0, graph.nodeCount), after[graph.nodeCount + 1]]).toEqual([
          ...before,
        ]);
      }),
    );
  });
});
