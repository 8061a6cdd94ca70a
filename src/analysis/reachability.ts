// Which nodes the roots reach, as a bit set.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';

/** Every node that a root of any kind holds, `native` ones included. O(nodes + edges), 1 bit per node and the frontier. */
export function computeReachable(graph: HeapGraph): BitSet {
  const { firstEdge, edgeTarget, rootNode } = graph;
  const reachable = makeBitSet(graph.nodeCount);
  const pending = growableUint32();
  for (let i = 0; i < rootNode.length; i++) {
    if (hasBit(reachable, rootNode[i])) continue;
    setBit(reachable, rootNode[i]);
    pending.push(rootNode[i]);
  }
  while (pending.length > 0) {
    const node = pending.array[--pending.length];
    const end = firstEdge[node + 1];
    for (let edge = firstEdge[node]; edge < end; edge++) {
      const target = edgeTarget[edge];
      if (((reachable[target >>> 5] >>> (target & 31)) & 1) !== 0) continue;
      reachable[target >>> 5] |= 1 << (target & 31);
      pending.push(target);
    }
  }
  return reachable;
}
