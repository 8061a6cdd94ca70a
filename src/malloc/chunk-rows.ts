// The chunks of a heap as columns, and the index that leads from any word of the image to its chunk in some
// nanoseconds. Rows ascend by address and leave no word out: what is no chunk (heads of heaps, fenceposts, what could
// not be walked) is a row of state GAP, so that the content of a row ends where the next row begins.
//
// Index: per page of the image the one row that covers it, or 16 pairs of (rows before, bits of the headers in it).

import { type MemoryImage, pageOfWord } from '../memory/memory-image.ts';

export const IN_USE = 0;
/** In the cache of a thread: free, though its header says otherwise. A mapped one (2.43) has `arena` NO_ARENA. */
export const TCACHE = 1;
/** In a fastbin: likewise. */
export const FASTBIN = 2;
/** Free, in one of the doubly linked bins. */
export const BINNED = 3;
export const TOP = 4;
/** In use, with a mapping of its own. */
export const MMAPPED = 5;
/** No chunk. */
export const GAP = 6;

export type ChunkState = number;

/** `arena` of chunks that are mapped by themselves. */
export const NO_ARENA = 0xffff;

const PAGE_WORDS = 512;
const BLOCK_WORDS = 32;
const BLOCKS_PER_PAGE = PAGE_WORDS / BLOCK_WORDS;
const SIZE_UNIT = 16;
const MAX_SIZE_BYTES = 2 ** 36 - SIZE_UNIT;

/** One row per chunk or gap, and a last row behind the image that ends the last one. */
export interface ChunkRows {
  /** Rows without the last. */
  length: number;
  /** Word of the size field in the image; user memory follows. Of a gap: its first copied word. */
  headerWord: Uint32Array;
  /** Header included, in units of 16 bytes; 0 for gaps at the end of a heap. */
  sizeUnits: Uint32Array;
  state: Uint8Array;
  /** Row of the arena, or NO_ARENA. */
  arena: Uint16Array;
}

export class ChunkRowsBuilder {
  length = 0;
  headerWord = new Uint32Array(1024);
  sizeUnits = new Uint32Array(1024);
  state = new Uint8Array(1024);
  arena = new Uint16Array(1024);

  /** Returns the row, or -1 if the word does not lie behind that of the last row (rows must ascend). */
  push(word: number, sizeBytes: number, state: ChunkState, arena: number): number {
    const last = this.length - 1;
    if (last >= 0 && this.headerWord[last] >= word) {
      // A gap without a copied word in it.
      if (this.state[last] === GAP && this.headerWord[last] === word) this.length--;
      else return -1;
    }
    if (this.length === this.state.length) this.grow();
    const row = this.length++;
    this.headerWord[row] = word;
    this.sizeUnits[row] = Math.min(sizeBytes, MAX_SIZE_BYTES) / SIZE_UNIT;
    this.state[row] = state;
    this.arena[row] = arena;
    return row;
  }

  private grow(): void {
    const length = this.length * 2;
    const larger = <A extends Uint32Array | Uint16Array | Uint8Array>(from: A, to: A): A => {
      to.set(from);
      return to;
    };
    this.headerWord = larger(this.headerWord, new Uint32Array(length));
    this.sizeUnits = larger(this.sizeUnits, new Uint32Array(length));
    this.state = larger(this.state, new Uint8Array(length));
    this.arena = larger(this.arena, new Uint16Array(length));
  }

  finish(image: MemoryImage): ChunkRows {
    // The end of the last segment may be the end of the image.
    const isLastEmpty = this.length > 0 && this.headerWord[this.length - 1] >= image.endWord;
    const length = isLastEmpty ? this.length - 1 : this.length;
    const headerWord = new Uint32Array(length + 1);
    headerWord.set(this.headerWord.subarray(0, length));
    headerWord[length] = image.endWord;
    return {
      length,
      headerWord,
      sizeUnits: this.sizeUnits.slice(0, length),
      state: this.state.slice(0, length),
      arena: this.arena.slice(0, length),
    };
  }
}

export interface ChunkIndex {
  /** 0: no chunk; negative: `~row` covers the whole page; else from 1 on the page's place in `marks`. */
  pageEntry: Int32Array;
  /** For each 32 words: rows that begin before them, and a bit for each header in them. */
  marks: Uint32Array;
  state: Uint8Array;
}

/** 4 bytes a page of the image and 128 more for each page with a header; some 10 ns a row. */
export function buildChunkIndex(image: MemoryImage, rows: ChunkRows): ChunkIndex {
  const pageEntry = new Int32Array(Math.ceil(image.endWord / PAGE_WORDS));
  const { length, headerWord, state } = rows;
  let slots = 0;
  for (let row = 0; row < length; row++) {
    if (state[row] === GAP) continue;
    const start = headerWord[row];
    const end = headerWord[row + 1];
    const lastPage = pageOfWord(end - 1);
    for (let page = pageOfWord(start); page <= lastPage; page++) {
      if (pageEntry[page] !== 0) continue;
      const isWhole = start < page * PAGE_WORDS && end >= (page + 1) * PAGE_WORDS;
      // Words behind the end of the image's run belong to another mapping, unless they are of this very chunk.
      pageEntry[page] = isWhole ? ~row : ++slots;
    }
  }
  const marks = new Uint32Array((slots + 1) * BLOCKS_PER_PAGE * 2);
  fillMarks(rows, pageEntry, marks);
  return { pageEntry, marks, state };
}

function fillMarks(rows: ChunkRows, pageEntry: Int32Array, marks: Uint32Array): void {
  const { length, headerWord } = rows;
  let row = 0;
  for (let page = 0; page < pageEntry.length; page++) {
    const slot = pageEntry[page];
    if (slot <= 0) continue;
    while (row < length && headerWord[row] < page * PAGE_WORDS) row++;
    let at = slot * BLOCKS_PER_PAGE * 2;
    for (let block = 0; block < BLOCKS_PER_PAGE; block++, at += 2) {
      const end = page * PAGE_WORDS + (block + 1) * BLOCK_WORDS;
      marks[at] = row;
      let bits = 0;
      for (; row < length && headerWord[row] < end; row++) bits |= 1 << (headerWord[row] & 31);
      marks[at + 1] = bits;
    }
  }
}

/**
 * Row of the chunk in whose user memory `word` of the image lies, whatever its state; -1 for headers and what is no
 * chunk. 5 to 15 ns for words in order and pointers of usual heaps; 60 to 100 ns where each misses the caches (random
 * places in 300 MB of small chunks).
 */
export function chunkContaining(index: ChunkIndex, word: number): number {
  const entry = index.pageEntry[word >>> 9];
  if (entry === 0) return -1;
  if (entry < 0) return ~entry;
  const { marks } = index;
  const at = (entry << 5) + ((word >>> 4) & 30);
  const before = marks[at + 1];
  const bit = 1 << (word & 31);
  if ((before & bit) !== 0) return -1;
  let bits = before & (bit - 1);
  bits -= (bits >>> 1) & 0x55555555;
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  const row = marks[at] + ((((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24) - 1;
  return row < 0 || index.state[row] === GAP ? -1 : row;
}

/** Row of the chunk or gap whose header is exactly at `word`; -1 if there is none. */
export function rowOfHeader(index: ChunkIndex, word: number): number {
  const entry = index.pageEntry[word >>> 9];
  if (entry <= 0) return -1;
  const at = (entry << 5) + ((word >>> 4) & 30);
  const before = index.marks[at + 1];
  const bit = 1 << (word & 31);
  if ((before & bit) === 0) return -1;
  let bits = before & (bit - 1);
  bits -= (bits >>> 1) & 0x55555555;
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return index.marks[at] + ((((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24);
}
