// Ranges of addresses that ascend: which one an address lies in, and what is left of one without others.

import { PAGE_SIZE } from './memory-image.ts';
import type { Address } from './memory-reader.ts';

export interface AddressRange {
  start: Address;
  /** Exclusive. */
  end: Address;
}

/** The range with `address` in it, of ranges that ascend. */
export function findRange<R extends AddressRange>(
  ranges: readonly R[],
  address: Address,
): R | undefined {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (address < range.start) high = middle - 1;
    else if (address >= range.end) low = middle + 1;
    else return range;
  }
  return undefined;
}

/** What is left of a range without the whole pages of `skip`, which ascend. */
export function subtractRanges(
  { start, end }: AddressRange,
  skip: readonly AddressRange[],
): AddressRange[] {
  const left: AddressRange[] = [];
  let next = start;
  for (const range of skip) {
    const skipStart = Math.ceil(range.start / PAGE_SIZE) * PAGE_SIZE;
    const skipEnd = Math.floor(range.end / PAGE_SIZE) * PAGE_SIZE;
    if (skipEnd <= next || skipEnd <= skipStart) continue;
    if (skipStart >= end) break;
    if (skipStart > next) left.push({ start: next, end: skipStart });
    next = skipEnd;
  }
  if (next < end) left.push({ start: next, end });
  return left;
}
