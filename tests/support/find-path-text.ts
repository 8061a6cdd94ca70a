// The best path to an object as leakscope writes it in one line, for tests that know what it should be.

import { findPath } from '../../src/analysis/path-steps.ts';
import { computePathTree, type PathTree } from '../../src/analysis/paths.ts';
import { findNodeAt, type HeapGraph, typeNameOf } from '../../src/graph/heap-graph.ts';
import { writePath } from '../../src/report/path-text.ts';

export interface FoundObject {
  /** `none` if there is no object at that address. */
  type: string;
  /** `none` if nothing holds it. */
  path: string;
}

/** For each address the object that the graph has there. */
export function describeObjects(graph: HeapGraph, addresses: readonly number[]): FoundObject[] {
  const tree = computePathTree(graph);
  return addresses.map((address) => describeObject(graph, tree, address));
}

function describeObject(graph: HeapGraph, tree: PathTree, address: number): FoundObject {
  const node = findNodeAt(graph, address);
  if (node === undefined) return { type: 'none', path: 'none' };
  const path = findPath(graph, tree, node);
  return {
    type: typeNameOf(graph, node),
    path: path === undefined ? 'none' : writePath(graph, path).text,
  };
}
