// Finds the objects that fill a chunk of malloc's and that no reference leads to: takes the chunks in use of a heap and adds
// those that are bytes, str or int to the objects of a capture, as pymalloc's blocks are. Above 512 bytes these types lie in
// chunks, and no list of the collector has them: only so can one whose last reference was lost be told from a lost block.
// Source: Objects/obmalloc.c (SMALL_REQUEST_THRESHOLD), glibc malloc/malloc.c (what a chunk has more than was asked for).

import { hasBit } from '../base/bit-set.ts';
import type { ObjectFinder } from '../cpython/find-objects.ts';
import type { ReferenceCounts } from '../cpython/object-admission.ts';
import { blockSizeAt, type Pymalloc } from '../cpython/pymalloc.ts';
import { makeFindWhole } from '../cpython/whole-objects.ts';
import { NO_ARENA } from '../malloc/chunk-rows.ts';
import { forEachChunk, isGivenOut, type MallocHeap } from '../malloc/malloc-heap.ts';
import { PAGE_SIZE } from '../memory/memory-image.ts';

/** Rounding to 16 bytes, and a rest that is too small for a chunk of its own. */
const SLACK_BYTES = 32;
/** Whole pages are mapped. */
const MAPPED_SLACK_BYTES = PAGE_SIZE + SLACK_BYTES;

export interface ChunkObjectInputs {
  heap: MallocHeap;
  finder: ObjectFinder;
  referenceCounts: ReferenceCounts;
  pymalloc: Pymalloc;
}

/** To be asked when all references were followed: what an object owns is none itself. About 0.1 microseconds a chunk. */
export function addChunkObjects({ heap, finder, pymalloc, ...rest }: ChunkObjectInputs): void {
  const { image, layout, admission } = finder;
  const { objectBits, ownedBits } = admission;
  const findWhole = makeFindWhole({ ...rest, image, layout, types: finder.types.types });
  // What pymalloc's debug hooks do not serve goes on to malloc's, which put as much before it again.
  const hook = pymalloc.dataOffsetWords;
  const headWords = hook === 0 ? [0] : [hook, 2 * hook];
  forEachChunk(heap, (row, userWord, userBytes) => {
    if (!isGivenOut(heap, row)) return;
    const slack = heap.rows.arena[row] === NO_ARENA ? MAPPED_SLACK_BYTES : SLACK_BYTES;
    for (const head of headWords) {
      const word = userWord + head;
      if (hasBit(objectBits, word)) return;
      // They put no more behind a block than before it.
      const typeId = findWhole(word, userBytes - head * 8, slack + head * 8);
      if (typeId < 0 || hasBit(ownedBits, word)) continue;
      // Arenas of pymalloc's lie in chunks of their own where they do not come from mmap.
      if (blockSizeAt(pymalloc, word) === 0) admission.addWhole(word, typeId);
      return;
    }
  });
}
