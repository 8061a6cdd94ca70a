// Which memory malloc got from the kernel: turns arenas and mappings into segments, ascending: the heap of brk, heaps of
// threads' arenas, parts of the main arena that were mapped because brk was blocked, and chunks with a mapping of their own.
// Source: glibc malloc/malloc.c (sysmalloc, sysmalloc_mmap, _int_memalign, mmap_set_chunk), 2.28 to 2.43.
//
// Mapped chunks are told by their header at the start of a page: no previous size, flag IS_MMAPPED, whole pages. Those
// that memalign moved have a second header, 16 bytes below a multiple of the alignment. KNOWN IMPRECISION: data that looks like such a header in memory of another allocator; the counters tell.

import { type AddressRange, findRange } from '../memory/address-ranges.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { NO_ARENA } from './chunk-rows.ts';
import type { FoundArenas } from './find-arenas.ts';
import { IS_MMAPPED, MIN_CHUNK_BYTES, NONCONTIGUOUS, PREV_INUSE } from './glibc-layouts.ts';
import { findWord, lastRunFrom } from './image-words.ts';
import { leadsOn, type Segment, type WalkContext } from './walk-segments.ts';

const TWO_32 = 2 ** 32;
const HEADER_BYTES = 16;
/** In prev_size of a mapped chunk (2.43): made of huge pages. */
const MMAP_HP = 1;
/** memalign moves a chunk by no less (before 2.43). */
const MIN_MOVE_BYTES = 48;
const MAX_ALIGNMENT = 2 ** 36;
/** Chunks in a mapped part of the main arena. */
const MAX_CHAIN = 2 ** 31;

export interface AnonymousRange extends AddressRange {
  isBrk: boolean;
}

/** Segments of all arenas and of mapped chunks, ascending and without overlap; `brkEnd` is where brk's memory ends, or 0. */
export function findSegments(
  context: WalkContext,
  found: FoundArenas,
  anonymous: readonly AnonymousRange[],
  others: readonly AddressRange[],
): { segments: Segment[]; brkEnd: Address } {
  const segments: Segment[] = [];
  // What begins within a page lies in a chunk of malloc's.
  const taken: AddressRange[] = others.filter(({ start }) => start % PAGE_SIZE === 0);
  const main = findMainSegment(context.image, found, anonymous);
  if (main !== undefined) {
    segments.push(main.segment);
    taken.push(main.range);
  }
  found.arenas.forEach((arena, row) => {
    for (const heap of arena.heaps) {
      taken.push({ start: heap.start, end: heap.reservedEnd });
      const top = arena.top >= heap.start && arena.top < heap.end ? arena.top : 0;
      const { start, firstChunk, end } = heap;
      segments.push({ start, firstChunk, end, arena: row, top });
    }
  });
  taken.sort((a, b) => a.start - b.start);
  segments.push(...findMapped(context, found, subtract(anonymous, taken)));
  return {
    segments: withoutOverlap(segments.sort((a, b) => a.start - b.start)),
    brkEnd: main?.range.end ?? 0,
  };
}

function withoutOverlap(segments: readonly Segment[]): Segment[] {
  let end = 0;
  return segments.filter((segment) => {
    if (segment.start < end || segment.end <= segment.firstChunk) return false;
    end = segment.end;
    return true;
  });
}

/** What brk made, and the range that it lies in. */
function findMainSegment(
  image: MemoryImage,
  { arenas, par }: FoundArenas,
  anonymous: readonly AnonymousRange[],
): { segment: Segment; range: AddressRange } | undefined {
  const [{ top, address, flags }] = arenas;
  if (Math.abs(top - address) < PAGE_SIZE) return undefined;
  const base = par === undefined ? 0 : (findWord(image, par.address + par.layout.sbrk_base) ?? 0);
  const isContiguous = (flags & NONCONTIGUOUS) === 0;
  const range =
    findRange(anonymous, base) ??
    (isContiguous ? findRange(anonymous, top) : undefined) ??
    anonymous.find(({ isBrk }) => isBrk);
  if (range === undefined) return undefined;
  // Where brk was blocked from the beginning, sbrk_base is mapped memory, which is found as such.
  if (!isContiguous && !range.isBrk) return undefined;
  const isBaseHere = base >= range.start && base < range.end;
  const start = isBaseHere ? base : range.start;
  const hasTop = top >= start && top < range.end;
  const end = hasTop ? findTopEnd(image, top, range.end) : range.end;
  const firstChunk = Math.ceil(start / 16) * 16;
  return { segment: { start, firstChunk, end, arena: 0, top: hasTop ? top : 0 }, range };
}

/** Where the top of the main arena ends: before `end` if something else took memory from brk since. */
function findTopEnd(image: MemoryImage, top: Address, end: Address): Address {
  const sizeAt = (address: Address): number => {
    const size = findWord(image, address + 8) ?? 0;
    return size - (size % 8);
  };
  const size = sizeAt(top);
  // Not yet written by a thread that stands in malloc.
  if (size < MIN_CHUNK_BYTES || top + size > end) return end;
  // Divided by such a thread, and the new top is not told yet.
  const next = top + size;
  return next < end && next + sizeAt(next) === end ? end : next;
}

/** What is left of ascending ranges without `taken`, which ascends. */
function subtract(ranges: readonly AddressRange[], taken: readonly AddressRange[]): AddressRange[] {
  const left: AddressRange[] = [];
  let first = 0;
  for (const { start, end } of ranges) {
    let next = start;
    while (first < taken.length && taken[first].end <= start) first++;
    for (let i = first; i < taken.length && taken[i].start < end; i++) {
      if (taken[i].start > next) left.push({ start: next, end: taken[i].start });
      next = Math.max(next, taken[i].end);
    }
    if (next < end) left.push({ start: next, end });
  }
  return left;
}

/** Mapped chunks and mapped parts of the main arena. */
function findMapped(
  context: WalkContext,
  found: FoundArenas,
  ranges: readonly AddressRange[],
): Segment[] {
  const { image } = context;
  const { runs } = image;
  const isNoncontiguous = (found.arenas[0].flags & NONCONTIGUOUS) !== 0;
  const segments: Segment[] = [];
  for (const range of ranges) {
    let page = range.start;
    let from = range.start;
    for (let run = Math.max(0, lastRunFrom(image, page)); run < runs.length; run++) {
      if (runs[run].address >= range.end) break;
      page = Math.max(page, runs[run].address);
      const runEnd = Math.min(runs[run].address + runs[run].pageCount * PAGE_SIZE, range.end);
      while (page < runEnd) {
        const bounds = { start: from, end: range.end };
        const segment =
          findMappedChunk(image, found, page, bounds) ??
          (isNoncontiguous ? findMappedPart(context, found, page, range.end) : undefined);
        if (segment !== undefined) {
          segments.push(segment);
          from = segment.end;
        }
        page = segment === undefined ? page + PAGE_SIZE : segment.end;
      }
    }
  }
  return segments;
}

/** The mapped chunk whose mapping begins at `page` and lies within `bounds`. */
function findMappedChunk(
  image: MemoryImage,
  { par }: FoundArenas,
  page: Address,
  bounds: AddressRange,
): Segment | undefined {
  const pageWord = image.wordAtAddress(page);
  if ((image.halves[2 * pageWord + 2] & 15) !== IS_MMAPPED) return undefined;
  const isShort = par?.layout.mmappedSizeIsShort;
  const plain = findChunkOfMapping(image, page, page, bounds, isShort);
  // memalign moves the header and leaves the first one behind, which soon is wrong.
  for (let alignment = 32; alignment <= MAX_ALIGNMENT; alignment *= 2) {
    const user = Math.ceil((page + HEADER_BYTES + 1) / alignment) * alignment;
    for (const firstChunk of [user - HEADER_BYTES, user + alignment - HEADER_BYTES]) {
      if (firstChunk >= bounds.end) return plain;
      if (firstChunk > user - HEADER_BYTES && user - page >= MIN_MOVE_BYTES) break;
      const moved = findChunkOfMapping(image, page, firstChunk, bounds, isShort);
      if (moved !== undefined) return moved;
    }
  }
  return plain;
}

/** The chunk at `firstChunk` if it says that its mapping begins at `start`. */
function findChunkOfMapping(
  image: MemoryImage,
  start: Address,
  firstChunk: Address,
  bounds: AddressRange,
  isShort: boolean | undefined,
): Segment | undefined {
  const { halves } = image;
  const word = image.wordAtAddress(firstChunk);
  if (word === 0 || (halves[2 * word + 2] & 15) !== IS_MMAPPED) return undefined;
  const moved = halves[2 * word + 1] * TWO_32 + (halves[2 * word] - (halves[2 * word] & MMAP_HP));
  if (moved !== firstChunk - start) return undefined;
  const size = halves[2 * word + 3] * TWO_32 + (halves[2 * word + 2] - IS_MMAPPED);
  const rest = (firstChunk + size) % PAGE_SIZE;
  if (rest !== 0 && rest !== PAGE_SIZE - HEADER_BYTES) return undefined;
  if (isShort !== undefined && isShort !== (rest !== 0)) return undefined;
  const end = firstChunk + size + (rest === 0 ? 0 : HEADER_BYTES);
  if (end > bounds.end || end - firstChunk < 2 * HEADER_BYTES) return undefined;
  return { start, firstChunk, end, arena: NO_ARENA, top: 0 };
}

/** A mapped part of the main arena that begins at `page`: its chunks lead to the top or to fenceposts at a page's end. */
function findMappedPart(
  context: WalkContext,
  { arenas }: FoundArenas,
  page: Address,
  rangeEnd: Address,
): Segment | undefined {
  const lo = context.image.halves[2 * context.image.wordAtAddress(page) + 2];
  if ((lo & 15) !== PREV_INUSE || context.resumeSteps <= 0) return undefined;
  const { top } = arenas[0];
  const part = { start: page, firstChunk: page, end: rangeEnd, arena: 0, top };
  const steps = context.resumeSteps;
  const end = leadsOn(context, part, page, MAX_CHAIN);
  if (end === undefined || end % PAGE_SIZE !== 0 || end <= page) return undefined;
  const hasTop = top >= page && top < end;
  // A chain to the end of the mapping that met neither top nor fenceposts is none.
  if (!hasTop && !endsWithFenceposts(context.image, end)) return undefined;
  context.resumeSteps = steps;
  return { ...part, end, top: hasTop ? top : 0 };
}

function endsWithFenceposts(image: MemoryImage, end: Address): boolean {
  const first = findWord(image, end - 24) ?? 0;
  const second = findWord(image, end - 8) ?? 0;
  // The first one says whether the chunk before it is free.
  return first - (first % 2) === HEADER_BYTES && second === (HEADER_BYTES | PREV_INUSE);
}
