// Finds the objects that fill a chunk of malloc's and that no reference leads to: takes the chunks in use of a heap and adds
// those that are bytes, str or int to the objects of a capture, as pymalloc's blocks are. Above 512 bytes these types lie in
// chunks, and no list of the collector has them: only so can one whose last reference was lost be told from a lost block.
// Source: Objects/obmalloc.c (SMALL_REQUEST_THRESHOLD), glibc malloc/malloc.c (what a chunk has more than was asked for).

import { hasBit } from '../base/bit-set.ts';
import type { ObjectAdmission } from '../cpython/object-admission.ts';
import { NO_ARENA } from '../malloc/chunk-rows.ts';
import { forEachChunk, isGivenOut, type MallocHeap } from '../malloc/malloc-heap.ts';
import { PAGE_SIZE } from '../memory/memory-image.ts';

/** Rounding to 16 bytes, and a rest that is too small for a chunk of its own. */
const SLACK_BYTES = 32;
/** Whole pages are mapped. */
const MAPPED_SLACK_BYTES = PAGE_SIZE + SLACK_BYTES;

export interface ChunkObjectInputs {
  heap: MallocHeap;
  admission: ObjectAdmission;
  /** See `makeFindWhole`. */
  findWhole: (word: number, roomBytes: number, slackBytes: number) => number;
  /** Words that a debug allocator puts before each block, and as many or fewer behind. */
  dataOffsetWords: number;
  /** Whether pymalloc has the word's page: its arenas lie in chunks where they do not come from mmap. */
  isInPool: (word: number) => boolean;
}

/** To be asked when all references were followed: what an object owns is none itself. Some 10 ns a chunk. */
export function addChunkObjects(inputs: ChunkObjectInputs): void {
  const { heap, admission, findWhole, dataOffsetWords, isInPool } = inputs;
  const { objectBits, ownedBits } = admission;
  const headBytes = dataOffsetWords * 8;
  forEachChunk(heap, (row, userWord, userBytes) => {
    const word = userWord + dataOffsetWords;
    if (!isGivenOut(heap, row) || hasBit(objectBits, word)) return;
    const slack = heap.rows.arena[row] === NO_ARENA ? MAPPED_SLACK_BYTES : SLACK_BYTES;
    const typeId = findWhole(word, userBytes - headBytes, slack + headBytes);
    if (typeId < 0 || hasBit(ownedBits, word) || isInPool(word)) return;
    admission.addWhole(word, typeId);
  });
}
