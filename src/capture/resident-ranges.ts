// How much of an address range is resident: of pages that were copied, and of large blocks whose inside was not.

import { type MemoryImage, PAGE_SIZE, type PageRun } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

/** Anonymous memory only: what was copied of mapped files need not be resident. */
export class ResidentRanges {
  private readonly image: MemoryImage;
  /** Resident pages that were not copied, ascending. */
  private readonly skipped: readonly PageRun[];
  /** Pages that only seem to be resident (see find-zero-pages.ts), ascending. */
  private readonly zero: readonly PageRun[];

  constructor(image: MemoryImage, skipped: readonly PageRun[], zero: readonly PageRun[]) {
    this.image = image;
    this.skipped = skipped;
    this.zero = zero;
  }

  /** Resident bytes of [start, end). 10 ns for each page that was copied. */
  countBytes(start: Address, end: Address): number {
    let bytes = end - start < PAGE_SIZE ? 0 : countOverlap(this.skipped, start, end);
    for (let page = start - (start % PAGE_SIZE); page < end; page += PAGE_SIZE) {
      if (this.image.wordAtAddress(page) === 0) continue;
      bytes += Math.min(end, page + PAGE_SIZE) - Math.max(start, page);
    }
    return bytes - this.countZeros(start, end);
  }

  /** Bytes of [start, end) that pagemap tells of and the resident set does not have. */
  countZeros(start: Address, end: Address): number {
    return countOverlap(this.zero, start, end);
  }
}

/** O(log runs). */
function countOverlap(runs: readonly PageRun[], start: Address, end: Address): number {
  if (runs.length === 0) return 0;
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run.address + run.pageCount * PAGE_SIZE <= start) low = middle + 1;
    else high = middle;
  }
  let bytes = 0;
  for (let i = low; i < runs.length && runs[i].address < end; i++) {
    const runEnd = runs[i].address + runs[i].pageCount * PAGE_SIZE;
    bytes += Math.min(end, runEnd) - Math.max(start, runs[i].address);
  }
  return bytes;
}
