// Weak references that go when the collector frees what they refer to: those with a callback (the entries of weak
// containers), and those by which a class knows its subclasses. As long as their referent is garbage that was not
// collected yet they are reachable and grow in number with it, although nothing keeps them: no suspect is made of them.
//
// A weak reference of the program's own without a callback stays when its referent goes, and counts as any object.

import { type BitSet, makeBitSet, setBit } from '../base/bit-set.ts';
import {
  type EdgeIndex,
  EdgeKind,
  type HeapGraph,
  NONE,
  type NodeIndex,
} from '../graph/heap-graph.ts';
import type { PathTree } from './paths.ts';

/** Such references, with the keys under which dicts hold them; undefined if there are none. O(weak references). */
export function findDyingReferences(graph: HeapGraph, tree: PathTree): BitSet | undefined {
  const { weakSource, weakTarget } = graph;
  const callback = graph.strings.indexOf('__callback__');
  const tp_subclasses = graph.strings.indexOf('tp_subclasses');
  let dying: BitSet | undefined;
  for (let row = 0; row < weakSource.length; row++) {
    const reference = weakSource[row];
    if (tree.rootRow[weakTarget[row]] !== NONE || tree.rootRow[reference] === NONE) continue;
    const isRemoved =
      hasEdge(graph, reference, callback) || isEntryOf(graph, tree, reference, tp_subclasses);
    if (!isRemoved) continue;
    dying ??= makeBitSet(graph.nodeCount);
    setBit(dying, reference);
    const key = findOwnKey(graph, tree, reference);
    if (key !== undefined) setBit(dying, key);
  }
  return dying;
}

function hasEdge(graph: HeapGraph, node: NodeIndex, label: number): boolean {
  for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
    if (graph.edgeLabel[edge] === label && graph.edgeKind[edge] === EdgeKind.attribute) return true;
  }
  return false;
}

/** Whether what holds `node` is in turn held under this name: by its class, or for static types by the interpreter (3.12). */
function isEntryOf(graph: HeapGraph, tree: PathTree, node: NodeIndex, label: number): boolean {
  const holder = tree.parentNode[node];
  if (holder === NONE) return false;
  const edge: EdgeIndex = tree.parentEdge[holder];
  if (edge === NONE) return graph.rootLabel[tree.rootRow[holder]] === label;
  return graph.edgeLabel[edge] === label && graph.edgeKind[edge] === EdgeKind.internal;
}

/** The key under which a dict holds `node`, if it is known by that alone. */
function findOwnKey(graph: HeapGraph, tree: PathTree, node: NodeIndex): NodeIndex | undefined {
  const edge = tree.parentEdge[node];
  if (edge === NONE || graph.edgeKind[edge] !== EdgeKind.dictValue) return undefined;
  const key = graph.edgeTarget[edge - 1];
  return tree.parentEdge[key] === edge - 1 ? key : undefined;
}
