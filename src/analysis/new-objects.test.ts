import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { findNewNodes } from './new-objects.ts';

test('an object is new when its address was free, or held another type or content', () => {
  const before = drawGraph(`
    root module app -> kept
    kept: list 56 @0x1000
    freed: str 50 @0x2000 "'old'"
    other: tuple 50 @0x3000
    text: str 50 @0x4000 "'same'"
  `);
  const after = drawGraph(`
    root module app -> kept
    first: int 28 @0x500 "1"
    kept: list 56 @0x1000
    reused: str 50 @0x2000 "'new'"
    retyped: dict 64 @0x3000
    text: str 50 @0x4000 "'same'"
    last: int 28 @0x9000 "2"
  `);

  const names = [...findNewNodes(before.graph, after.graph)].map(after.nameOf);

  expect(names).toEqual(['first', 'reused', 'retyped', 'last']);
});

test('nothing is new between a capture and itself, all is new after an empty one', () => {
  const { graph } = drawGraph('root module app -> a\na: list 56 [0] -> b\nb: str 50');
  const empty = drawGraph('');

  expect(findNewNodes(graph, graph)).toHaveLength(0);
  expect(findNewNodes(empty.graph, graph)).toHaveLength(graph.nodeCount);
});
