// The entries of weak containers: weak references that go when what they refer to goes. Turns a graph into the nodes that
// no suspect is made of, since nobody but their referent decides how many there are: what they cost counts for it.
//
// These are the references with a callback (WeakSet, WeakKeyDictionary, WeakValueDictionary take the entry out with it)
// and those by which a class knows its subclasses. A referent that is garbage, not collected yet, still has them.
//
// A weak reference without a callback stays when its referent goes, and more than a few to one object are not told by that
// object's life: both count as any object.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import {
  type EdgeIndex,
  EdgeKind,
  type HeapGraph,
  NONE,
  type NodeIndex,
} from '../graph/heap-graph.ts';
import type { PathTree } from './paths.ts';

/** In more weak containers than this an object is hardly ever. */
const MAX_REFERENCES = 8;

export interface WeakEntries {
  /** Such references, and the keys under which dicts hold them. */
  nodes: BitSet;
  /** Side by side: a node of them, and the object it refers to (or is the key of). */
  entry: Uint32Array;
  referent: Uint32Array;
}

/** undefined if there are none. O(weak references). */
export function findWeakEntries(graph: HeapGraph, tree: PathTree): WeakEntries | undefined {
  const { weakSource, weakTarget } = graph;
  const callback = graph.strings.indexOf('__callback__');
  const tp_subclasses = graph.strings.indexOf('tp_subclasses');
  const rows = Array.from(weakSource.keys()).filter(
    (row) =>
      tree.rootRow[weakSource[row]] !== NONE &&
      (hasEdge(graph, weakSource[row], callback) ||
        isEntryOf(graph, tree, weakSource[row], tp_subclasses)),
  );
  if (rows.length === 0) return undefined;
  const count = new Map<NodeIndex, number>();
  for (const row of rows) count.set(weakTarget[row], (count.get(weakTarget[row]) ?? 0) + 1);
  const nodes = makeBitSet(graph.nodeCount);
  const pairs: [NodeIndex, NodeIndex][] = [];
  for (const row of rows) {
    const [reference, referent] = [weakSource[row], weakTarget[row]];
    const isGarbage = tree.rootRow[referent] === NONE;
    if (!isGarbage && (count.get(referent) as number) > MAX_REFERENCES) continue;
    for (const entry of [reference, findOwnKey(graph, tree, reference)]) {
      if (entry === undefined || hasBit(nodes, entry)) continue;
      setBit(nodes, entry);
      pairs.push([entry, referent]);
    }
  }
  return {
    nodes,
    entry: Uint32Array.from(pairs, ([entry]) => entry),
    referent: Uint32Array.from(pairs, ([, referent]) => referent),
  };
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
