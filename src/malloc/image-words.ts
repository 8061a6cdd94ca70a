// Single words of a MemoryImage for the readers of glibc's heap, and the parts of the address space in which it lies.
// A word that was not copied is undefined, never zero.

import type { AddressRange } from '../memory/address-ranges.ts';
import { isAnonymousMemory, type Mapping } from '../memory/mappings.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

const TWO_32 = 2 ** 32;

/** The 8 bytes at `address` as a number (rounded above 2^53); undefined where nothing was copied. */
export function findWord(image: MemoryImage, address: Address): number | undefined {
  const word = image.wordAtAddress(address);
  if (word === 0) return undefined;
  return image.halves[2 * word] + TWO_32 * image.halves[2 * word + 1];
}

/** The 4 bytes at `address`, a multiple of 4, unsigned; undefined where nothing was copied. */
export function findHalf(image: MemoryImage, address: Address): number | undefined {
  const word = image.wordAtAddress(address);
  return word === 0 ? undefined : image.halves[2 * word + (address % 8 === 4 ? 1 : 0)];
}

/** Row of the last run that begins at or below `address`, -1 if none does. O(log runs). */
export function lastRunFrom(image: MemoryImage, address: Address): number {
  const { runs } = image;
  let low = -1;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (runs[middle].address <= address) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Word of the first copied byte at or above `address`; the image's end if there is none. */
export function firstWordFrom(image: MemoryImage, address: Address): number {
  const word = image.wordAtAddress(address);
  if (word !== 0) return word;
  const next = image.runs[lastRunFrom(image, address) + 1];
  return next === undefined ? image.endWord : image.wordAtAddress(next.address);
}

/** Ranges of anonymous memory, ascending; neighbours are joined, the heap that brk made is a range of its own. */
export function anonymousRanges(
  mappings: readonly Mapping[],
): (AddressRange & { isBrk: boolean })[] {
  const ranges: (AddressRange & { isBrk: boolean })[] = [];
  for (const mapping of mappings) {
    if (!isAnonymousMemory(mapping)) continue;
    const isBrk = mapping.path === '[heap]';
    const last = ranges.at(-1);
    if (last !== undefined && last.end === mapping.start && last.isBrk === isBrk) {
      last.end = mapping.end;
    } else ranges.push({ start: mapping.start, end: mapping.end, isBrk });
  }
  return ranges;
}
