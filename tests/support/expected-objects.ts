// Objects that a test program names by their id, with their type and with what holds them as leakscope writes it: the
// oracle of tests/programs/hostile.py.

import { expect } from 'vitest';
import { findPath } from '../../src/analysis/path-steps.ts';
import { computePathTree } from '../../src/analysis/paths.ts';
import { findNodeAt, type HeapGraph, typeNameOf } from '../../src/graph/heap-graph.ts';
import { writePath } from '../../src/report/path-text.ts';

export interface ExpectedObject {
  id: number;
  /** `__qualname__` */
  type: string;
  /** A regular expression. */
  path: string;
}

/** Expects each object to be in the graph, of its type, and the best path to it to be as the program said. */
export function expectObjects(graph: HeapGraph, objects: readonly ExpectedObject[]): void {
  const tree = computePathTree(graph);
  for (const { id, type, path } of objects) {
    const node = findNodeAt(graph, id);
    const best = node === undefined ? undefined : findPath(graph, tree, node);
    expect({
      type: node === undefined ? 'no object' : typeNameOf(graph, node),
      path: best === undefined ? 'no path' : writePath(graph, best).text,
    }).toEqual({
      type: expect.stringMatching(new RegExp(`(^|\\.)${type}$`)),
      path: expect.stringMatching(path),
    });
  }
}
