// The copied pages of one target at one moment, addressed as the target addresses them. Everything right of `memory`
// reads through this class, whether the pages came from a live process, a core file or a test.
//
// Pages lie in one Uint32Array in ascending order of address. A *word* is the index of an aligned 8-byte unit in it:
// decoders translate an address to a word once (`wordAt`) and then read fields at word + offset / 8. Word 0 lies in a
// page of zeros that belongs to no address, so 0 means "not copied". Pages that follow each other in the target follow
// each other here (a *run*); `runEnd` tells how far it is safe to read, because the page behind belongs elsewhere.
//
// Not handled: big-endian targets, addresses of 2^48 and above, images above 16 GiB (a Uint32Array ends there).

import { assert } from '../base/assert.ts';
import { makeStorage } from '../base/columns.ts';
import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from './memory-reader.ts';

export const PAGE_SIZE = 4096;
const PAGE_WORDS = PAGE_SIZE / 8;
const TWO_32 = 2 ** 32;
/** Pages per second-level table: 1 GiB of address space. */
const TABLE_PAGES = 1 << 18;

/** Page of the image that a word lies in. An image ends below 2^31 words, so that a shift does: it is asked per object. */
export const pageOfWord = (word: number): number => word >>> 9;

/** Consecutive pages of the target. */
export interface PageRun {
  /** Multiple of 4096. */
  address: Address;
  pageCount: number;
}

export class MemoryImage implements MemoryReader {
  /** All pages, as 32-bit halves: the word `w` is `halves[2 * w] + 2^32 * halves[2 * w + 1]`. */
  halves: Uint32Array;
  /** Ascending, not overlapping. */
  readonly runs: readonly PageRun[];
  /** Row of `pageTables` per GiB of address space, in pages; 0 = nothing copied there. */
  private readonly tableByGib = new Uint32Array(1 << 18);
  /** Page number in the image (from 1) per page of the target, 0 = not copied; one table per GiB touched. */
  private readonly pageTables: Uint32Array;
  /** Per page of the image: the first page behind the run that it belongs to. */
  private readonly runEndByPage: Uint32Array;

  /**
   * An image of `runs` (ascending, not overlapping). Without `storage` its pages are zeros, which the caller fills through
   * `bytesOfRun`; with it (see `allocateImageStorage`) the pages of the runs already lie there, end to end from page 1 on.
   */
  constructor(runs: readonly PageRun[], storage?: Uint32Array) {
    this.runs = runs;
    let pageCount = 1;
    const gibs = new Set<number>();
    let previousEnd = 0;
    for (const run of runs) {
      assert(run.address >= previousEnd && run.address % PAGE_SIZE === 0, 'page runs ascend');
      previousEnd = run.address + run.pageCount * PAGE_SIZE;
      pageCount += run.pageCount;
      for (let gib = Math.floor(run.address / 2 ** 30); gib * 2 ** 30 < previousEnd; gib++)
        gibs.add(gib);
    }
    assert(previousEnd <= 2 ** 48, 'addresses are below 2^48');
    const halves = storage ?? allocateImageStorage(pageCount);
    assert(halves.length >= pageCount * PAGE_WORDS * 2, 'the storage holds all runs');
    this.halves = halves.subarray(0, pageCount * PAGE_WORDS * 2);
    this.pageTables = new Uint32Array((gibs.size + 1) * TABLE_PAGES);
    this.runEndByPage = new Uint32Array(pageCount);
    let table = 0;
    for (const gib of gibs) this.tableByGib[gib] = ++table * TABLE_PAGES;
    this.indexRuns();
  }

  private indexRuns(): void {
    let page = 1;
    for (let i = 0; i < this.runs.length; i++) {
      const start = page;
      // Runs may touch (two mappings side by side): reading across them is reading what the target has there.
      while (true) {
        const run = this.runs[i];
        const firstPage = run.address / PAGE_SIZE;
        for (let p = 0; p < run.pageCount; p++) {
          const targetPage = firstPage + p;
          const table = this.tableByGib[Math.floor(targetPage / TABLE_PAGES)];
          this.pageTables[table + (targetPage % TABLE_PAGES)] = page++;
        }
        const next = this.runs[i + 1];
        if (next === undefined || next.address !== run.address + run.pageCount * PAGE_SIZE) break;
        i++;
      }
      this.runEndByPage.fill(page, start, page);
    }
  }

  /** The bytes of run `index`, to be filled by whoever copies. Runs above 2 GiB must be split by the caller. */
  bytesOfRun(index: number): Uint8Array {
    const run = this.runs[index];
    const word = this.wordAtAddress(run.address);
    return new Uint8Array(this.halves.buffer, word * 8, run.pageCount * PAGE_SIZE);
  }

  /**
   * Gives the pages' memory back, at the next collection of garbage; afterwards only addresses and words can be asked for.
   * Of shared memory every thread must do so.
   */
  release(): void {
    const { buffer } = this.halves;
    this.halves = new Uint32Array(0);
    // Whoever else refers to it has no pages any more.
    if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
  }

  /** Bytes copied. */
  get sizeBytes(): number {
    return (this.runEndByPage.length - 1) * PAGE_SIZE;
  }

  /** Word of the address `hi * 2^32 + lo` (its lowest 3 bits are ignored); 0 if that page was not copied. */
  wordAt(lo: number, hi: number): number {
    if (hi > 0xffff) return 0;
    const table = this.tableByGib[(hi << 2) | (lo >>> 30)];
    if (table === 0) return 0;
    const page = this.pageTables[table + ((lo >>> 12) & 0x3ffff)];
    return page === 0 ? 0 : page * PAGE_WORDS + ((lo & 0xfff) >>> 3);
  }

  /** As `wordAt`, for an address as a number. */
  wordAtAddress(address: Address): number {
    const hi = Math.floor(address / TWO_32);
    return this.wordAt((address - hi * TWO_32) >>> 0, hi);
  }

  /** First word behind the run of pages that `word` lies in: words in [word, runEnd) may be read. */
  runEnd(word: number): number {
    return this.runEndByPage[pageOfWord(word)] * PAGE_WORDS;
  }

  /** Calls `visit` with the words of what was copied of [start, end). */
  forEachCopiedPart(
    start: Address,
    end: Address,
    visit: (startWord: number, endWord: number) => void,
  ): void {
    for (let address = start; address < end; ) {
      const word = this.wordAtAddress(address);
      if (word === 0) {
        address = (Math.floor(address / PAGE_SIZE) + 1) * PAGE_SIZE;
        continue;
      }
      const endWord = Math.min(this.runEnd(word), word + Math.floor((end - address) / 8));
      visit(word, endWord);
      address += Math.max(8, (endWord - word) * 8);
    }
  }

  /** Whether `byteCount` bytes from `address` on were all copied. */
  has(address: Address, byteCount: number): boolean {
    const word = this.wordAtAddress(address);
    return word !== 0 && word * 8 + (address % 8) + byteCount <= this.runEnd(word) * 8;
  }

  /** Words of all copied pages: [firstWord, endWord). */
  get endWord(): number {
    return this.runEndByPage.length * PAGE_WORDS;
  }

  /** Address of a word; O(log runs). */
  addressOfWord(word: number): Address {
    const page = pageOfWord(word);
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.firstPageOfRun(middle) <= page) low = middle;
      else high = middle - 1;
    }
    const run = this.runs[low];
    return run.address + (page - this.firstPageOfRun(low)) * PAGE_SIZE + (word % PAGE_WORDS) * 8;
  }

  private firstPageOfRun(index: number): number {
    return pageOfWord(this.wordAtAddress(this.runs[index].address));
  }

  // The readers below are for single values outside hot loops. They throw MemoryReadError where nothing was copied.

  readU8(address: Address): number {
    return this.bytesAt(address, 1)[0];
  }

  readU16(address: Address): number {
    const bytes = this.bytesAt(address, 2);
    return bytes[0] | (bytes[1] << 8);
  }

  readU32(address: Address): number {
    const bytes = this.bytesAt(address, 4);
    return (bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)) >>> 0;
  }

  readI32(address: Address): number {
    return this.readU32(address) | 0;
  }

  /** A pointer. Values of 2^53 and above, which no pointer has, come out rounded. */
  readAddress(address: Address): Address {
    return this.readU32(address) + TWO_32 * this.readU32(address + 4);
  }

  /** A signed 64-bit integer, exact within 2^53. */
  readI64(address: Address): number {
    return this.readU32(address) + TWO_32 * this.readI32(address + 4);
  }

  /** A view (not a copy) of `byteCount` bytes; throws MemoryReadError unless all were copied. */
  bytesAt(address: Address, byteCount: number): Uint8Array {
    if (!this.has(address, byteCount)) throw new MemoryReadError(address, byteCount);
    return new Uint8Array(
      this.halves.buffer,
      this.wordAtAddress(address) * 8 + (address % 8),
      byteCount,
    );
  }

  /** A zero-terminated string (at most `limit` bytes), as Latin-1; undefined if its first byte was not copied. */
  findCString(address: Address, limit = 512): string | undefined {
    const word = this.wordAtAddress(address);
    if (word === 0) return undefined;
    const start = word * 8 + (address % 8);
    const end = Math.min(this.runEnd(word) * 8, start + limit);
    const bytes = new Uint8Array(this.halves.buffer, start, end - start);
    const length = bytes.indexOf(0);
    return Buffer.from(bytes.buffer, start, length < 0 ? bytes.length : length).toString('latin1');
  }
}

/**
 * Room for `pageCount` pages, page 0 included, which stays zeros. Every page is touched, so that a copy that is made while
 * the target stands still does not wait for page faults. About 0.3 s per GB. The limit is 16 GiB. Shared storage is for
 * images that several threads read.
 */
export function allocateImageStorage(pageCount: number, isShared = false): Uint32Array {
  const halves = new Uint32Array(makeStorage(pageCount * PAGE_SIZE, isShared));
  for (let i = 0; i < halves.length; i += PAGE_WORDS * 2) halves[i] = 0;
  return halves;
}

/** An image of the given bytes; each piece is padded with zeros to whole pages. For tests and core files' small parts. */
export function buildMemoryImage(
  pieces: readonly { address: Address; bytes: Uint8Array }[],
): MemoryImage {
  const pages = new Map<number, Uint8Array>();
  for (const piece of pieces) {
    for (let done = 0; done < piece.bytes.length; ) {
      const at = piece.address + done;
      const page = Math.floor(at / PAGE_SIZE);
      const offset = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - offset, piece.bytes.length - done);
      const bytes = pages.get(page) ?? new Uint8Array(PAGE_SIZE);
      bytes.set(piece.bytes.subarray(done, done + count), offset);
      pages.set(page, bytes);
      done += count;
    }
  }
  const numbers = [...pages.keys()].sort((a, b) => a - b);
  const image = new MemoryImage(
    numbers.map((page) => ({ address: page * PAGE_SIZE, pageCount: 1 })),
  );
  numbers.forEach((page, i) => {
    image.bytesOfRun(i).set(pages.get(page) as Uint8Array);
  });
  return image;
}
