import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { smallGraphs } from '../../tests/support/random-graph.ts';
import { findPreview, NONE, typeNameOf } from './heap-graph.ts';
import { buildReverseEdges, findEdgeSource } from './reverse-edges.ts';

test('the retainers of a node are the edges that lead to it, in order', () => {
  const { graph, node, nameOf } = drawGraph(`
    root native -> a
    a: list [0] -> c, [1] -> c
    b: list [0] -> c
    c: str "'x'"
  `);
  const { firstRetainer, retainerEdge } = buildReverseEdges(graph);

  const c = node('c');
  const edges = [...retainerEdge.subarray(firstRetainer[c], firstRetainer[c + 1])];

  expect(edges).toEqual([0, 1, 2]);
  expect(edges.map((edge) => nameOf(findEdgeSource(graph, edge)))).toEqual(['a', 'a', 'b']);
});

test('retainers of retainers give back the edges', () => {
  fc.assert(
    fc.property(smallGraphs(20), (graph) => {
      const { firstRetainer, retainerEdge } = buildReverseEdges(graph);
      const seen = new Set<number>();
      for (let node = 0; node < graph.nodeCount; node++) {
        for (let i = firstRetainer[node]; i < firstRetainer[node + 1]; i++) {
          const edge = retainerEdge[i];
          const source = findEdgeSource(graph, edge);
          expect(graph.edgeTarget[edge]).toBe(node);
          expect(edge).toBeGreaterThanOrEqual(graph.firstEdge[source]);
          expect(edge).toBeLessThan(graph.firstEdge[source + 1]);
          seen.add(edge);
        }
      }
      expect(seen.size).toBe(graph.edgeCount);
    }),
  );
});

test('a drawing has the sizes, labels, previews, roots and weak references that it shows', () => {
  const { graph, node } = drawGraph(`
    root module app -> app
    app: module 64/80 @0x9000 rc=7 "<module 'app'>" tracked __dict__ -> d
    d: dict @0x2000 .x -> x, [k] -> v, local y -> v, <+24> -> v
    k: str @0x3000 "'k'"
    weak app -> v
  `);

  const app = node('app');
  expect(graph.address[app]).toBe(0x9000);
  expect([graph.shallowSize[app], graph.allocatedSize[app]]).toEqual([64, 80]);
  expect(graph.referenceCount[app]).toBe(7);
  expect(findPreview(graph, app)).toBe("<module 'app'>");
  expect(typeNameOf(graph, node('v'))).toBe('object');
  expect(graph.strings[graph.rootLabel[0]]).toBe('app');
  expect([...graph.weakTarget]).toEqual([node('v')]);
  const d = node('d');
  const kinds = [...graph.edgeKind.subarray(graph.firstEdge[d], graph.firstEdge[d + 1])];
  expect(kinds).toEqual([1, 3, 4, 6, 10]);
  expect(graph.edgeLabel[graph.firstEdge[d] + 1]).toBe(NONE);
});
