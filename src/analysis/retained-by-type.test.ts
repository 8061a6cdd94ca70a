import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { NONE } from '../graph/heap-graph.ts';
import { computeDominators, computeRetainedSizes } from './dominators.ts';
import { computeRetainedByType } from './retained-by-type.ts';

function check(text: string): Record<string, number> {
  const { graph } = drawGraph(text);
  const tree = computeDominators(graph);
  const retained = computeRetainedByType(
    graph,
    tree,
    computeRetainedSizes(tree, graph.allocatedSize),
  );
  return Object.fromEntries(
    graph.types.map((type, row) => [type.name, retained[row]] as const).filter(([, b]) => b > 0),
  );
}

test('a tree of nodes of one type counts once', () => {
  const retained = check(`
    root module app -> app
    app: module 100 .head -> a
    a: Node 10 .left -> b, .right -> c
    b: Node 10 .payload -> p
    c: Node 10
    p: str 50
  `);
  expect(retained).toEqual({ module: 180, Node: 80, str: 50 });
});

test('objects of one type side by side are added', () => {
  const retained = check(`
    root module app -> app
    app: module 100 [0] -> a, [1] -> b
    a: Node 10 .x -> s
    b: Node 10
    s: str 5
    lost: Node 1000
  `);
  expect(retained).toEqual({ module: 125, Node: 25, str: 5 });
});

test('it equals the sum over objects without a dominator of their own type, on random trees', () => {
  const parents = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 3 })), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(parents, (rows) => {
      const lines = rows.map(([, type], i) => {
        const children = rows
          .map(([p], k) => (k > i && p % k === i ? `.c -> n${k}` : ''))
          .filter((text) => text !== '');
        return `n${i}: T${type} ${i + 1} ${children.join(', ')}`;
      });
      const { graph } = drawGraph(`root module m -> n0\n${lines.join('\n')}`);
      const tree = computeDominators(graph);
      const sizes = computeRetainedSizes(tree, graph.allocatedSize);
      const expected = new Float64Array(graph.types.length);
      for (let node = 0; node < graph.nodeCount; node++) {
        let above = tree.immediateDominator[node];
        if (above === NONE) continue;
        while (above !== graph.nodeCount && graph.typeId[above] !== graph.typeId[node]) {
          above = tree.immediateDominator[above];
        }
        if (above === graph.nodeCount) expected[graph.typeId[node]] += sizes[node];
      }
      expect(computeRetainedByType(graph, tree, sizes)).toEqual(expected);
    }),
  );
});
