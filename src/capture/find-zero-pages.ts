// Which pages of a copy are the kernel's page of zeros: memory that was read before anything was written to it, as
// numpy.zeros is. It is mapped everywhere and in no resident set. Turns pages that the process does not have for itself
// (pagemap, bit 56; such are also those that a fork shares) into those that the resident set leaves out.
//
// Not handled: which of several pages of zeros it is where a fork shares some as well; their number is right.

import { type MemoryImage, PAGE_SIZE, type PageRun } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

const PAGE_WORDS = PAGE_SIZE / 8;

/** At most `surplusPages`, by which the pages of the process are more than its resident set; ascending. */
export function findZeroPages(
  image: MemoryImage,
  commonRuns: readonly PageRun[],
  surplusPages: number,
): PageRun[] {
  const found: PageRun[] = [];
  let left = surplusPages;
  for (const run of [...commonRuns].sort((a, b) => a.address - b.address)) {
    for (let page = 0; page < run.pageCount && left > 0; page++) {
      const address = run.address + page * PAGE_SIZE;
      if (!isZero(image, address)) continue;
      left--;
      const last = found.at(-1);
      if (last !== undefined && last.address + last.pageCount * PAGE_SIZE === address) {
        last.pageCount++;
      } else found.push({ address, pageCount: 1 });
    }
  }
  return found;
}

/** Also for a page that was not copied: it is in the middle of bulk. */
function isZero(image: MemoryImage, address: Address): boolean {
  const word = image.wordAtAddress(address);
  if (word === 0) return true;
  const { halves } = image;
  const end = 2 * (word + PAGE_WORDS);
  for (let half = 2 * word; half < end; half++) if (halves[half] !== 0) return false;
  return true;
}
