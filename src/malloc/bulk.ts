// Finds large blocks without a pointer in them (the data of arrays, bytes, bytearrays, images, text), which need not be
// copied: turns a live process's mappings into address ranges to leave out. Source: glibc malloc/malloc.c (mmapped
// chunks: a header at the start of a page, size in whole pages, bit 1 set; 2.28 to 2.43).
//
// A block is believed to be bulk when no word of the pages sampled all over it could be a pointer into the process. The
// first pages of each block are always copied: an object's own header and the beginning of its content lie there.
// Such blocks are found by looking at one page in 256 KiB: only before pages without pointers is a block's header sought.
// The process runs while it is looked at, so `isStillBulk` must be asked again when it stands still.
//
// Not handled: blocks below 1 MiB, large blocks in the main heap and in other allocators (they are copied), numbers that
// look like pointers (the block is copied). KNOWN IMPRECISION: a pointer that lies alone between sampled pages is missed;
// blocks that hold pointers (items of lists, tables of dicts) are dense with them.

import { MemoryReadError } from '../base/errors.ts';
import type { AddressRange } from '../memory/address-ranges.ts';
import type { PageRun } from '../memory/memory-image.ts';
import type { MemoryReader } from '../memory/memory-reader.ts';

const PAGE_SIZE = 4096;
const MIN_BULK_BYTES = 1 << 20;
/** Of each block, copied in any case. */
const KEPT_BYTES = 4 * PAGE_SIZE;
const IS_MMAPPED = 2;
const FLAG_BITS = 7;
/** Lower bits of the size field where it leaves out the header (glibc 2.43). */
const SHORT_BY_HEADER = 0xff2;
const MIN_SAMPLES = 32;
const SAMPLE_EVERY_BYTES = 1 << 20;
const GIB_BITS = 18;
/** Distance of the pages looked at first: a block has several of them. */
const PROBE_BYTES = 1 << 18;
/** Read in all while looking for headers. */
const MAX_READ_BYTES = 2 ** 30;

export interface BulkRange {
  start: number;
  /** Exclusive. */
  end: number;
  /** Address of the chunk, and what its size field says. */
  chunk: number;
  sizeField: number;
}

/** Which GiB of the address space have mappings: what a word must point into to be a pointer. */
export type PointerRanges = Uint8Array;

export function pointerRangesOf(mappings: readonly AddressRange[]): PointerRanges {
  const mapped = new Uint8Array(1 << GIB_BITS);
  for (const { start, end } of mappings) {
    for (let gib = Math.floor(start / 2 ** 30); gib * 2 ** 30 < end; gib++) {
      if (gib < mapped.length) mapped[gib] = 1;
    }
  }
  return mapped;
}

/**
 * Ranges of bulk in memory that is resident: `runs` of pages of anonymous writable mappings, ascending. Reads a page in 64
 * and what lies before those without pointers, 1 GiB at most; some 3 ms per GiB of objects.
 */
export function findBulk(
  memory: MemoryReader,
  runs: readonly PageRun[],
  mappings: readonly AddressRange[],
  pointers: PointerRanges,
): BulkRange[] {
  const found: BulkRange[] = [];
  let at = 0;
  let readBytes = 0;
  for (const run of runs) {
    const runEnd = run.address + run.pageCount * PAGE_SIZE;
    at = Math.max(at, run.address);
    while (at < runEnd && readBytes < MAX_READ_BYTES) {
      // The header lies within the piece whose last page is the first one that looks like bulk.
      const last = Math.min(at + PROBE_BYTES, runEnd) - PAGE_SIZE;
      const pieceEnd = last + PAGE_SIZE;
      if (hasPointer(memory, last, pointers)) {
        at = pieceEnd;
        continue;
      }
      readBytes += pieceEnd - at;
      const range = findBulkFrom(memory, at, pieceEnd, mappings, pointers);
      at = range?.end ?? pieceEnd;
      if (range?.isBulk === true) found.push(range);
    }
  }
  return found;
}

/** The first large mmapped chunk that begins in [start, end), on a whole page, and whether it is bulk. */
function findBulkFrom(
  memory: MemoryReader,
  start: number,
  end: number,
  mappings: readonly AddressRange[],
  pointers: PointerRanges,
): (BulkRange & { isBulk: boolean }) | undefined {
  const bytes = findBytes(memory, start, end - start);
  if (bytes === undefined) return undefined;
  for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
    if (!looksLikeChunk(bytes, offset)) continue;
    const chunk = start + offset;
    const mappingEnd = mappings.find((mapping) => mapping.end > chunk)?.end ?? 0;
    const sizeField = findChunkSize(memory, chunk, mappingEnd);
    if (sizeField === 0) continue;
    const size = mappedBytes(sizeField);
    const range = { start: chunk + KEPT_BYTES, end: chunk + size, chunk, sizeField };
    const isBulk = size >= MIN_BULK_BYTES && isWithoutPointers(memory, range, pointers);
    return { ...range, isBulk };
  }
  return undefined;
}

/** Bytes that were mapped for a chunk with this size field: whole pages; glibc 2.43 leaves out its header of 16 bytes. */
const mappedBytes = (sizeField: number): number => {
  const size = sizeField - (sizeField % 8);
  return size % PAGE_SIZE === PAGE_SIZE - 16 ? size + 16 : size;
};

function findBytes(memory: MemoryReader, address: number, count: number): Uint8Array | undefined {
  try {
    return memory.bytesAt(address, count);
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/** Whether the page at `offset` begins as a large mmapped chunk does. */
function looksLikeChunk(bytes: Uint8Array, offset: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, 16);
  if (view.getUint32(0, true) !== 0 || view.getUint32(4, true) !== 0) return false;
  const lo = view.getUint32(8, true);
  const hi = view.getUint32(12, true);
  const isWhole = (lo & 0xfff) === IS_MMAPPED || (lo & 0xfff) === SHORT_BY_HEADER;
  return isWhole && hi < 0x100 && (hi > 0 || lo >= MIN_BULK_BYTES);
}

/** Whether a range that `findBulk` gave is still the same block and without pointers. For use while the target stands still. */
export function isStillBulk(
  memory: MemoryReader,
  range: BulkRange,
  pointers: PointerRanges,
): boolean {
  return (
    findChunkSize(memory, range.chunk, range.end) === range.sizeField &&
    isWithoutPointers(memory, range, pointers)
  );
}

/** The size field of the mmapped chunk at `address`; 0 if there is none that ends by `end`. */
function findChunkSize(memory: MemoryReader, address: number, end: number): number {
  try {
    const prevSize = memory.readAddress(address);
    const sizeField = memory.readAddress(address + 8);
    const size = mappedBytes(sizeField);
    const isMmapped = sizeField % 8 === IS_MMAPPED;
    const fits = size >= PAGE_SIZE && size % PAGE_SIZE === 0 && address + size <= end;
    return prevSize === 0 && isMmapped && fits ? sizeField : 0;
  } catch (error) {
    if (error instanceof MemoryReadError) return 0;
    throw error;
  }
}

function isWithoutPointers(
  memory: MemoryReader,
  { start, end }: AddressRange,
  pointers: PointerRanges,
): boolean {
  const pageCount = Math.floor((end - start) / PAGE_SIZE);
  const samples = Math.max(MIN_SAMPLES, Math.ceil((end - start) / SAMPLE_EVERY_BYTES));
  const step = Math.max(1, Math.floor(pageCount / samples));
  for (let page = 0; page < pageCount; page += step) {
    if (hasPointer(memory, start + page * PAGE_SIZE, pointers)) return false;
  }
  return true;
}

function hasPointer(memory: MemoryReader, address: number, pointers: PointerRanges): boolean {
  let bytes: Uint8Array;
  try {
    bytes = memory.bytesAt(address, PAGE_SIZE);
  } catch (error) {
    // What cannot be read is not left out on a guess.
    if (error instanceof MemoryReadError) return true;
    throw error;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_SIZE);
  for (let offset = 0; offset < PAGE_SIZE; offset += 8) {
    const lo = view.getUint32(offset, true);
    if ((lo & FLAG_BITS) !== 0) continue;
    const hi = view.getUint32(offset + 4, true);
    if (hi > 0xffff || (lo === 0 && hi === 0)) continue;
    if (pointers[(hi << 2) | (lo >>> 30)] === 1) return true;
  }
  return false;
}
