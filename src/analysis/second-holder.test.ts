import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { smallGraphs } from '../../tests/support/random-graph.ts';
import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { formatPath } from './path-steps.ts';
import { computePathTree } from './paths.ts';
import { findOtherHolders, prepareHolderSearch } from './second-holder.ts';

const prepare = (graph: HeapGraph) =>
  prepareHolderSearch(graph, computePathTree(graph), buildReverseEdges(graph));

function othersOf(drawing: string, name: string, blocked?: string) {
  const { graph, node } = drawGraph(drawing);
  const found = findOtherHolders(
    prepare(graph),
    node(name),
    blocked === undefined ? undefined : node(blocked),
  );
  return { ...found, paths: found.paths.map(formatPath) };
}

const REGISTRY = `
  root module app -> app
  app: module .open -> open, .log -> log
  open: dict 'a' -> t`;

test('an object that only its container holds has no other holder, whatever it holds itself', () => {
  const found = othersOf(
    `${REGISTRY}
    log: list
    t: Ticket .tags -> tags
    tags: list [0] -> back
    back: Back .ticket -> t`,
    't',
  );
  expect(found).toEqual({ paths: [], isComplete: true, weakCount: 0 });
});

test('a second container is named with its whole path', () => {
  const found = othersOf(
    `${REGISTRY}
    log: list [0] -> record
    record: LogRecord .args -> args
    args: tuple [1] -> t
    t: Ticket`,
    't',
  );
  expect(found.paths).toEqual(['app.log[0].args[1] -> Ticket']);
});

test('a local of a running frame is another holder, and the better of two comes first', () => {
  const found = othersOf(
    `${REGISTRY}
    root native -> c
    root local local 'ticket' of work (app.py:3) -> t
    log: list
    c: C <x> -> t
    t: Ticket`,
    't',
  );
  expect(found.paths).toEqual([
    "local 'ticket' of work (app.py:3) -> Ticket",
    'C code<x> -> Ticket',
  ]);
});

test('the container may stand further up: a path around it is found for what is deep in it', () => {
  const drawing = `
    root module app -> app
    app: module .head -> n0, .last -> n2
    n0: Node .next -> n1
    n1: Node .next -> n2
    n2: Node .next -> n3
    n3: Node`;
  expect(othersOf(drawing, 'n1', 'n0').paths).toEqual([]);
  expect(othersOf(drawing, 'n3', 'n0').paths).toEqual(['app.last.next -> Node']);
});

test('weak references are counted and are no holders', () => {
  const found = othersOf(`${REGISTRY}\nlog: list\nt: Ticket\nweak w -> t\nweak log -> t`, 't');
  expect(found).toEqual({ paths: [], isComplete: true, weakCount: 2 });
});

test('a root has another holder if another root or object holds it', () => {
  expect(othersOf('root module a -> x\nroot module b -> x\nx: X', 'x').paths).toEqual(['b -> X']);
  expect(othersOf('root module a -> x\nx: X .y -> y\ny: Y .x -> x', 'x').paths).toEqual([]);
});

test('there is another holder exactly if the object is still reached without the blocked one', () => {
  fc.assert(
    fc.property(smallGraphs(14), (graph) => {
      const search = prepare(graph);
      for (const node of search.tree.order) {
        const blocked = search.tree.parentNode[node];
        if (blocked === NONE) continue;
        const found = findOtherHolders(search, node);
        expect(found.isComplete).toBe(true);
        expect(found.paths.length > 0).toBe(isReachedWithout(graph, node, blocked));
        for (const { steps } of found.paths) {
          expect(steps.map((step) => step.node)).not.toContain(blocked);
          expect(steps.at(-1)?.node).toBe(node);
        }
      }
    }),
    { numRuns: 500 },
  );
});

function isReachedWithout(graph: HeapGraph, node: number, blocked: number): boolean {
  const reached = new Set([...graph.rootNode].filter((root) => root !== blocked));
  for (const at of reached) {
    for (let edge = graph.firstEdge[at]; edge < graph.firstEdge[at + 1]; edge++) {
      if (graph.edgeTarget[edge] !== blocked) reached.add(graph.edgeTarget[edge]);
    }
  }
  return reached.has(node);
}
