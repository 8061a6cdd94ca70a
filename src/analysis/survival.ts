// Whether objects of one capture are still there in a later one: the difference between what is retained and what comes
// and goes in equal numbers. An object is the same when its address, its type and its content in short are the same: a
// new one of the same type at a reused address counts as surviving only if it also looks the same.

import { findNodeAt, type HeapGraph, type NodeIndex } from '../graph/heap-graph.ts';

/** How many of `nodes` (of `before`) are in `after` as well. O(nodes log n). */
export function countSurvivors(
  before: HeapGraph,
  nodes: ArrayLike<NodeIndex>,
  after: HeapGraph,
): number {
  let survivors = 0;
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i];
    const now = findNodeAt(after, before.address[node]);
    if (now !== undefined && isSameObject(before, node, after, now)) survivors++;
  }
  return survivors;
}

export function isSameObject(
  before: HeapGraph,
  node: NodeIndex,
  after: HeapGraph,
  now: NodeIndex,
): boolean {
  if (before.types[before.typeId[node]].name !== after.types[after.typeId[now]].name) return false;
  const start = before.previewStart[node];
  const length = before.previewStart[node + 1] - start;
  const startNow = after.previewStart[now];
  if (after.previewStart[now + 1] - startNow !== length) return false;
  for (let i = 0; i < length; i++) {
    if (before.previewBytes[start + i] !== after.previewBytes[startNow + i]) return false;
  }
  return true;
}
