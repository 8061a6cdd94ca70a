// The size of the glibc malloc chunk that begins at an address, from its own header, without walking the heap.
// Source: glibc malloc/malloc.c (struct malloc_chunk), 2.28 to 2.43.
//
// A header is believed when its size is possible, the chunk lies within memory of its kind, and the next chunk says that
// this one is in use. Not handled: other allocators (a caller then gets 0 and rounds up the bytes that it knows of).

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { type MemoryImage, PAGE_SIZE, pageOfWord } from '../memory/memory-image.ts';

const PREV_INUSE = 1;
const IS_MMAPPED = 2;
const MIN_CHUNK = 32;
const MAX_CHUNK = 2 ** 42;
/** Chunks behind one that are looked at before a number is believed to be a pointer to it. */
const CHAIN_LENGTH = 8;
const PAGE_WORDS = PAGE_SIZE / 8;

export class ChunkFinder {
  private readonly image: MemoryImage;
  /** Per page of the image: anonymous writable memory, where an allocator may have put chunks. */
  private readonly heapPages: BitSet;

  /** `heapRanges`: [start, end) of the anonymous writable mappings, stacks left out. */
  constructor(image: MemoryImage, heapRanges: readonly { start: number; end: number }[]) {
    this.image = image;
    this.heapPages = makeBitSet(image.endWord / PAGE_WORDS);
    for (const run of image.runs) {
      const runEnd = run.address + run.pageCount * PAGE_SIZE;
      for (const range of heapRanges) {
        const start = Math.max(run.address, range.start);
        const end = Math.min(runEnd, range.end);
        for (let address = start; address < end; address += PAGE_SIZE) {
          setBit(this.heapPages, pageOfWord(image.wordAtAddress(address)));
        }
      }
    }
  }

  /** Whether `word` lies in memory that an allocator may have given out (not in a library's data). */
  isHeap(word: number): boolean {
    return hasBit(this.heapPages, pageOfWord(word));
  }

  /** Bytes of the chunk, header included, whose user memory begins at this address; 0 if there is none in use. */
  blockBytesAt(lo: number, hi: number): number {
    if ((lo & 15) !== 0) return 0;
    const word = this.image.wordAt(lo, hi);
    if (word < 2 || !this.isHeap(word)) return 0;
    const halves = this.image.halves;
    const header = (word - 1) * 2;
    // A chunk may begin at the first word of a copied run: then its header lies in the page before.
    if (word % PAGE_WORDS === 0 && this.image.runEnd(word - 1) <= word) return 0;
    const sizeLo = halves[header];
    const sizeHi = halves[header + 1];
    const size = sizeHi * 2 ** 32 + (sizeLo & ~7) + ((sizeLo & ~7) < 0 ? 2 ** 32 : 0);
    if (size < MIN_CHUNK || size % 16 !== 0 || size > MAX_CHUNK) return 0;
    if ((sizeLo & IS_MMAPPED) !== 0) {
      // glibc 2.43 leaves out the header of 16 bytes.
      const mapped = size % PAGE_SIZE === PAGE_SIZE - 16 ? size + 16 : size;
      return mapped % PAGE_SIZE === 0 && (lo & 0xfff) === 16 ? mapped : 0;
    }
    const next = hi * 2 ** 32 + lo + size - 8;
    const nextWord = this.image.wordAtAddress(next);
    // The header behind a chunk in use was written, so its page is there; a number that merely looks like a size leads
    // nowhere.
    if (nextWord === 0 || !this.isHeap(nextWord)) return 0;
    return (halves[nextWord * 2] & PREV_INUSE) !== 0 ? size : 0;
  }

  /** As `blockBytesAt` for an address that may lie inside of a chunk: those behind it must be chunks, too. */
  blockBytesAtDoubtful(lo: number, hi: number): number {
    const size = this.blockBytesAt(lo, hi);
    if (size === 0 || (lo & 0xfff) === 16) return size;
    const { image } = this;
    let header = hi * 2 ** 32 + lo + size - 8;
    for (let i = 0; i < CHAIN_LENGTH; i++) {
      const word = image.wordAtAddress(header);
      // The last chunk of a heap ends with the memory that was mapped for it.
      if (word === 0 || !this.isHeap(word)) return (header + 8) % PAGE_SIZE === 16 ? size : 0;
      const next = image.halves[word * 2 + 1] * 2 ** 32 + (image.halves[word * 2] >>> 0);
      const nextSize = next - (next % 8);
      if (nextSize < MIN_CHUNK || nextSize % 16 !== 0 || nextSize > MAX_CHUNK) return 0;
      header += nextSize;
    }
    return size;
  }
}
