// How much of an address range is resident: of pages that were copied, and of large blocks whose inside was not.

import { type MemoryImage, PAGE_SIZE, type PageRun } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

/** Anonymous memory only: what was copied of mapped files need not be resident. */
export class ResidentRanges {
  private readonly image: MemoryImage;
  /** Resident pages that were not copied, ascending. */
  private readonly skipped: readonly PageRun[];

  constructor(image: MemoryImage, skipped: readonly PageRun[]) {
    this.image = image;
    this.skipped = skipped;
  }

  /** Resident bytes of [start, end). 10 ns for each page that was copied. */
  countBytes(start: Address, end: Address): number {
    let bytes = this.countSkipped(start, end);
    for (let page = start - (start % PAGE_SIZE); page < end; page += PAGE_SIZE) {
      if (this.image.wordAtAddress(page) === 0) continue;
      bytes += Math.min(end, page + PAGE_SIZE) - Math.max(start, page);
    }
    return bytes;
  }

  private countSkipped(start: Address, end: Address): number {
    const { skipped } = this;
    if (skipped.length === 0 || end - start < PAGE_SIZE) return 0;
    let low = 0;
    let high = skipped.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = skipped[middle];
      if (run.address + run.pageCount * PAGE_SIZE <= start) low = middle + 1;
      else high = middle;
    }
    let bytes = 0;
    for (let i = low; i < skipped.length && skipped[i].address < end; i++) {
      const runEnd = skipped[i].address + skipped[i].pageCount * PAGE_SIZE;
      bytes += Math.min(end, runEnd) - Math.max(start, skipped[i].address);
    }
    return bytes;
  }
}
