// Which objects are alive, which are garbage: follows the references that were found from named roots, and from objects
// that have more references than were found.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { type FoundRoot, LASTING, type SortedObjects } from './sort-found.ts';

/** What named roots, static and immortal objects reach; not what only a reference count keeps alive. */
export function computeLiveNodes(sorted: SortedObjects, roots: readonly FoundRoot[]): BitSet {
  const { found, nodeOf } = sorted;
  const flags = found.flags.array;
  const live = makeBitSet(found.word.length);
  const reach = makeReach(sorted, live);
  for (const root of roots) {
    if (hasBit(found.objectBits, root.word)) reach.enter(nodeOf(root.word));
  }
  for (let node = 0; node < found.word.length; node++) {
    if ((flags[node] & LASTING) !== 0) reach.enter(node);
  }
  reach.spread();
  return live;
}

/** What is not alive and is not reached by an object with more references than were found. */
export function computeGarbage(sorted: SortedObjects, live: BitSet): BitSet {
  const { found, explained } = sorted;
  const counts = found.referenceCount.array;
  const kept = live.slice();
  const reach = makeReach(sorted, kept);
  for (let node = 0; node < found.word.length; node++) {
    if (counts[node] > explained[node]) reach.enter(node);
  }
  reach.spread();
  const garbage = makeBitSet(found.word.length);
  for (let node = 0; node < found.word.length; node++) {
    if (!hasBit(kept, node)) setBit(garbage, node);
  }
  return garbage;
}

/** Sets the bits in `reached` of entered nodes, and of all that they lead to. */
function makeReach({ found, edgeTarget }: SortedObjects, reached: BitSet) {
  const firstEdge = found.firstEdge.array;
  const pending = growableUint32();
  const enter = (node: number) => {
    if (((reached[node >>> 5] >>> (node & 31)) & 1) !== 0) return;
    reached[node >>> 5] |= 1 << (node & 31);
    pending.push(node);
  };
  const spread = () => {
    while (pending.length > 0) {
      const node = pending.array[--pending.length];
      const end = firstEdge[node + 1];
      for (let edge = firstEdge[node]; edge < end; edge++) enter(edgeTarget[edge]);
    }
  };
  return { enter, spread };
}
