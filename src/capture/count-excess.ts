// Objects with more references than there are pointers to them: takes those whose count is far above the references that
// were decoded, has the pointers to them counted while all memory is searched, and keeps what is left. Such references were
// taken (Py_INCREF) and never given up, though the object itself is alive.

import { hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import type { BlockMarks } from './mark-blocks.ts';
import type { SortedObjects } from './sort-found.ts';

/** Less than this many references too many are not followed. */
const LEAST_EXCESS = 16;
const MAX_EXCESS = 4096;
/** 3.11 gives static objects this count, and counts on from there. NONE is above it, too. */
const IMMORTAL_COUNT_SINCE_311 = 999_999_999;
const MAX_EXCESS_SEEN = 1 << 18;

/** Objects whose reference count is above the pointers to them that exist anywhere, and by how much. */
export interface ExcessCounts {
  node: Uint32Array;
  count: Uint32Array;
}

/** Objects with many more references than were found, those with the most first. */
export function watchExcess(sorted: SortedObjects, marks: BlockMarks): number[] {
  const { found, explained } = sorted;
  const counts = found.referenceCount.array;
  const nodes: number[] = [];
  for (let node = 0; node < found.word.length && nodes.length < MAX_EXCESS_SEEN; node++) {
    if (counts[node] >= IMMORTAL_COUNT_SINCE_311) continue;
    if (counts[node] >= explained[node] + LEAST_EXCESS) nodes.push(node);
  }
  const excessOf = (node: number) => counts[node] - explained[node];
  const watched = nodes.sort((a, b) => excessOf(b) - excessOf(a)).slice(0, MAX_EXCESS);
  for (const node of watched) marks.watch(found.word.array[node]);
  return watched;
}

/**
 * Of the watched: the count without the references of roots, those of objects that were not scanned (they are exact), and
 * the pointers in all that was.
 */
export function countExcess(
  sorted: SortedObjects,
  marks: BlockMarks,
  watched: readonly number[],
  isScanned: (node: number) => boolean,
): ExcessCounts {
  const { found, edgeTarget, explained } = sorted;
  const isWatched = makeBitSet(found.word.length);
  for (const node of watched) setBit(isWatched, node);
  const fromScanned = new Map(watched.map((node) => [node, 0]));
  const firstEdge = found.firstEdge.array;
  for (let source = 0; watched.length > 0 && source < found.word.length; source++) {
    if (!isScanned(source)) continue;
    for (let edge = firstEdge[source]; edge < firstEdge[source + 1]; edge++) {
      const target = edgeTarget[edge];
      if (hasBit(isWatched, target)) fromScanned.set(target, (fromScanned.get(target) ?? 0) + 1);
    }
  }
  const rows = watched
    .map((node) => {
      const exact = explained[node] - (fromScanned.get(node) ?? 0);
      const pointers = marks.countPointers(found.word.array[node]);
      return { node, count: found.referenceCount.array[node] - exact - pointers };
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.node - b.node);
  return {
    node: Uint32Array.from(rows, (row) => row.node),
    count: Uint32Array.from(rows, (row) => row.count),
  };
}
