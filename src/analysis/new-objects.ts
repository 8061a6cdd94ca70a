// The objects of a later capture that an earlier one did not have. An address that is in both counts as the same object
// when type and content in short are the same as well (survival.ts): a reused address is then told from a survivor,
// except where the new object is of the same type and looks the same.

import type { HeapGraph, NodeIndex } from '../graph/heap-graph.ts';
import { isSameObject } from './survival.ts';

/** Nodes of `after`, ascending. One pass over both columns of addresses, which are in order. */
export function findNewNodes(before: HeapGraph, after: HeapGraph): Uint32Array<ArrayBuffer> {
  const found = new Uint32Array(after.nodeCount);
  const { address: then, nodeCount: thenCount } = before;
  const { address: now, nodeCount: nowCount } = after;
  let count = 0;
  let node: NodeIndex = 0;
  for (let i = 0; i < nowCount; i++) {
    while (node < thenCount && then[node] < now[i]) node++;
    const isOld = node < thenCount && then[node] === now[i] && isSameObject(before, node, after, i);
    if (!isOld) found[count++] = i;
  }
  return found.slice(0, count);
}
