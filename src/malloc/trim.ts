// What malloc_trim(0) would give back to the kernel: turns the free chunks of a heap into the resident bytes of the pages
// that would be released, and those that stay because something in use lies in the same page.
// Source: glibc malloc/malloc.c (malloc_consolidate, mtrim, systrim), the same from 2.28 to 2.43 but for fastbins, which
// 2.43 no longer has.
//
// Not handled: swapped pages count as resident (a copy has both); memory that another library took from brk within the
// page behind the top.

import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { BINNED, FASTBIN, TOP } from './chunk-rows.ts';
import { CHUNK_STRUCT_BYTES, MIN_CHUNK_BYTES } from './glibc-layouts.ts';
import type { MallocHeap } from './malloc-heap.ts';

export interface ArenaTrim {
  /** Resident bytes that malloc_trim(0) would return. */
  releasedBytes: number;
  /** Resident bytes of free chunks that stay: their pages hold something in use, too. */
  stuckBytes: number;
  /** Resident bytes of the top that stay: that of threads' arenas is never returned by malloc_trim. */
  topBytes: number;
}

export interface Trim {
  releasedBytes: number;
  /** One row per arena of the heap. */
  arenas: ArenaTrim[];
  /** Ranges of whole pages that would be released, ascending; those without a resident page are left out. */
  ranges: { address: Float64Array; sizeBytes: Float64Array; residentBytes: Float64Array };
}

/**
 * About 100 ns a free chunk and 10 ns a page in them. `countResident` tells how many bytes of [from, end) are resident; by
 * default all that was copied.
 */
export function computeTrim(
  heap: MallocHeap,
  image: MemoryImage,
  countResident: (from: Address, end: Address) => number = (from, end) =>
    countCopied(image, from, end),
): Trim {
  const arenas: ArenaTrim[] = heap.arenas.map(() => ({
    releasedBytes: 0,
    stuckBytes: 0,
    topBytes: 0,
  }));
  const address: number[] = [];
  const sizeBytes: number[] = [];
  const residentBytes: number[] = [];
  const release = (from: Address, end: Address): number => {
    const resident = countResident(from, end);
    if (resident > 0) {
      address.push(from);
      sizeBytes.push(end - from);
      residentBytes.push(resident);
    }
    return resident;
  };
  forEachFreeRun(heap, image, (from, end, row, isTop) => {
    const arena = arenas[row];
    if (arena === undefined) return;
    const isMainTop = isTop && heap.arenas[row].isMain;
    const start = isTop
      ? isMainTop
        ? findTrimmedTop(heap, from, end)
        : end
      : firstWholePage(from);
    const stop = isTop ? end : end - (end % PAGE_SIZE);
    const isReleased = start < stop && (isTop || end - from >= PAGE_SIZE + CHUNK_STRUCT_BYTES);
    const released = isReleased ? release(start, stop) : 0;
    arena.releasedBytes += released;
    const kept = countResident(from, end) - released;
    if (isTop) arena.topBytes += kept;
    else arena.stuckBytes += kept;
  });
  let releasedBytes = 0;
  for (const arena of arenas) releasedBytes += arena.releasedBytes;
  return {
    releasedBytes,
    arenas,
    ranges: {
      address: Float64Array.from(address),
      sizeBytes: Float64Array.from(sizeBytes),
      residentBytes: Float64Array.from(residentBytes),
    },
  };
}

/**
 * Free chunks as they are after malloc_consolidate: those of fastbins joined with free neighbours and with the top.
 * tcaches are left as they are, as malloc_trim does.
 */
function forEachFreeRun(
  { rows }: MallocHeap,
  image: MemoryImage,
  visit: (from: Address, end: Address, arena: number, isTop: boolean) => void,
): void {
  const { length, headerWord, sizeUnits, state, arena } = rows;
  for (let row = 0; row < length; row++) {
    const first = state[row];
    if (first !== BINNED && first !== FASTBIN && first !== TOP) continue;
    const from = image.addressOfWord(headerWord[row]) - 8;
    let end = from + sizeUnits[row] * 16;
    let last = row;
    while (state[last] !== TOP && last + 1 < length) {
      const next = state[last + 1];
      if (next !== BINNED && next !== FASTBIN && next !== TOP) break;
      // Neighbours by row are neighbours by address: all else is a row, too.
      end += sizeUnits[++last] * 16;
    }
    visit(from, end, arena[row], state[last] === TOP);
    row = last;
  }
}

const firstWholePage = (from: Address): Address =>
  Math.ceil((from + CHUNK_STRUCT_BYTES) / PAGE_SIZE) * PAGE_SIZE;

/** Where the part of the main arena's top that systrim returns begins; `end` if it returns none. */
function findTrimmedTop(
  { brkEnd, thpPageBytes }: MallocHeap,
  from: Address,
  end: Address,
): Address {
  // Something else has moved brk since, or the top was mapped.
  if (end !== brkEnd) return end;
  const pageBytes = thpPageBytes > 0 ? thpPageBytes : PAGE_SIZE;
  const area = end - from - MIN_CHUNK_BYTES - 1;
  return area <= 0 ? end : end - (area - (area % pageBytes));
}

/** Bytes of [from, end) in copied pages. */
function countCopied(image: MemoryImage, from: Address, end: Address): number {
  let bytes = 0;
  for (let page = from - (from % PAGE_SIZE); page < end; page += PAGE_SIZE) {
    if (image.wordAtAddress(page) !== 0) {
      bytes += Math.min(end, page + PAGE_SIZE) - Math.max(from, page);
    }
  }
  return bytes;
}
