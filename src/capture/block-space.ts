// The blocks that pymalloc and malloc have given out, as one space: any word of an image leads to the block around it.
// Joins cpython/pymalloc.ts and malloc's heap for the conservative mark (mark-blocks.ts), which asks for every word.
//
// A pointer to the very end of a block is none into it: its last usable word is where the next chunk's header begins.

import { findBlockStart, forEachLiveBlock, type Pymalloc } from '../cpython/pymalloc.ts';
import { chunkContaining, IN_USE, MMAPPED } from '../malloc/chunk-rows.ts';
import {
  endWordOfChunk,
  findChunkAtAddress,
  isGivenOut,
  type MallocHeap,
} from '../malloc/malloc-heap.ts';
import { type MemoryImage, pageOfWord } from '../memory/memory-image.ts';

const CHUNK_UNIT_BYTES = 16;

export class BlockSpace {
  readonly image: MemoryImage;
  readonly pymalloc: Pymalloc;
  /** undefined where the C allocator is not known: then there are pymalloc's blocks alone. */
  readonly heap: MallocHeap | undefined;
  /** Per GiB of the address space: whether malloc has memory there. */
  private readonly mallocGibs = new Uint8Array(1 << 18);
  private foundArenas: Int32Array | undefined;

  constructor(image: MemoryImage, pymalloc: Pymalloc, heap: MallocHeap | undefined) {
    this.image = image;
    this.pymalloc = pymalloc;
    this.heap = heap;
    for (const { start, end } of heap?.segments ?? []) {
      this.mallocGibs.fill(1, Math.floor(start / 2 ** 30), Math.ceil(end / 2 ** 30));
    }
  }

  isInPool(word: number): boolean {
    return this.pymalloc.poolByPage[pageOfWord(word)] !== 0;
  }

  /** Word at which the block in use around `word` begins; 0 if there is none. Some 10 ns. */
  findStart(word: number): number {
    if (this.isInPool(word)) return findBlockStart(this.pymalloc, word);
    const { heap } = this;
    if (heap === undefined) return 0;
    const row = chunkContaining(heap.index, word);
    if (row < 0) return 0;
    const state = heap.rows.state[row];
    return state === IN_USE || state === MMAPPED ? heap.rows.headerWord[row] + 1 : 0;
  }

  /**
   * The same for an address in a page that was not copied: of a block that was never touched there, or whose inside is
   * bulk. Some ns for what is no address at all, 200 ns near malloc's memory.
   */
  findStartAtAddress(lo: number, hi: number): number {
    const { heap } = this;
    if (heap === undefined || this.mallocGibs[(hi << 2) | (lo >>> 30)] !== 1) return 0;
    const row = findChunkAtAddress(heap, this.image, hi * 2 ** 32 + lo);
    return row >= 0 && isGivenOut(heap, row) ? heap.rows.headerWord[row] + 1 : 0;
  }

  /** Bytes that the block which begins at `start` costs, header included. */
  blockBytes(start: number): number {
    const pool = this.pymalloc.poolByPage[pageOfWord(start)];
    if (pool !== 0) return this.pymalloc.blockBytes[pool - 1];
    const { heap } = this;
    const row = heap === undefined ? -1 : chunkContaining(heap.index, start);
    return heap === undefined || row < 0 ? 0 : heap.rows.sizeUnits[row] * CHUNK_UNIT_BYTES;
  }

  /**
   * Word behind the last copied one of the block that begins at `start`. Words of a large block whose pages were not all
   * copied follow each other without a gap.
   */
  endOf(start: number): number {
    const { heap } = this;
    if (heap === undefined || this.isInPool(start)) {
      return Math.min(start + this.blockBytes(start) / 8, this.image.runEnd(start));
    }
    const row = chunkContaining(heap.index, start);
    return row < 0 ? start : endWordOfChunk(heap, row);
  }

  /** Pymalloc's blocks in use, in ascending order. */
  forEachPoolBlock(visit: (start: number, bytes: number, poolRow: number) => void): void {
    const { blockBytes, dataOffsetWords } = this.pymalloc;
    forEachLiveBlock(this.image, this.pymalloc, (word, _bytes, row) => {
      visit(word - dataOffsetWords, blockBytes[row], row);
    });
  }

  /** All blocks in use: pymalloc's first, each in ascending order. */
  forEachBlock(visit: (start: number, bytes: number, isInPool: boolean) => void): void {
    this.forEachPoolBlock((start, bytes) => visit(start, bytes, true));
    if (this.heap === undefined) return;
    const { length, state, headerWord, sizeUnits } = this.heap.rows;
    for (let row = 0; row < length; row++) {
      if (state[row] !== IN_USE && state[row] !== MMAPPED) continue;
      const start = headerWord[row] + 1;
      // Arenas of pymalloc's lie in chunks of their own where they do not come from mmap.
      if (!this.isInPool(start)) visit(start, sizeUnits[row] * CHUNK_UNIT_BYTES, false);
    }
  }

  /** Row of the pool, in pymalloc's columns, that `word` lies in; -1 if in none. */
  poolOf(word: number): number {
    return this.pymalloc.poolByPage[pageOfWord(word)] - 1;
  }

  /** Per pool: row of the arena that it lies in; -1 for one outside of all. */
  get arenaOfPool(): Int32Array {
    this.foundArenas ??= this.findArenas();
    return this.foundArenas;
  }

  private findArenas(): Int32Array {
    const { arenas, poolWord } = this.pymalloc;
    return Int32Array.from(poolWord, (word) => {
      const address = this.image.addressOfWord(word);
      let low = 0;
      let high = arenas.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if (arenas[middle].start <= address) low = middle;
        else high = middle - 1;
      }
      const arena = arenas[low];
      return arena !== undefined && arena.start <= address && address < arena.end ? low : -1;
    });
  }

  /** Per arena of pymalloc: bytes of its blocks in use. */
  countLiveByArena(): Float64Array {
    const { arenaOfPool } = this;
    const live = new Float64Array(this.pymalloc.arenas.length);
    this.forEachPoolBlock((_start, bytes, row) => {
      if (arenaOfPool[row] >= 0) live[arenaOfPool[row]] += bytes;
    });
    return live;
  }
}
