// The room for a copy, and the filling of it run by run: what copies of processes and of core files share.

import { UnsupportedError } from '../base/errors.ts';
import type { ByteMemory } from './byte-memory.ts';
import type { CopyRun } from './copy-layout.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { allocateImageStorage, PAGE_SIZE } from './memory-image.ts';

/** A Uint32Array, which the image is, ends at 16 GiB. */
const MAX_PAGES = 2 ** 34 / PAGE_SIZE - 1;
/** In one run; the rest of a run with more is given up, because each costs a read while the target stands still. */
const MAX_UNREADABLE_PAGES = 64;

export interface PlacedRuns {
  /** Ascending; all of them lie in the storage one after the other from page 1 on. */
  runs: CopyRun[];
  /** Where the next one goes. */
  endBytes: number;
  copiedBytes: number;
  unreadableBytes: number;
}

export const placeNone = (): PlacedRuns => ({
  runs: [],
  endBytes: PAGE_SIZE,
  copiedBytes: 0,
  unreadableBytes: 0,
});

/** Reads a run into the storage behind the ones that are there; what cannot be read is left out of it. */
export function copyRun(
  run: CopyRun,
  memory: Pick<ByteMemory, 'readAvailable'>,
  storage: Uint32Array,
  placed: PlacedRuns,
): void {
  let failures = 0;
  for (let page = 0; page < run.pageCount; ) {
    const address = run.address + page * PAGE_SIZE;
    const wanted = (run.pageCount - page) * PAGE_SIZE;
    // A view of each run, because one of everything would end at 4 GiB.
    const room = new Uint8Array(storage.buffer, placed.endBytes, wanted);
    const pageCount = Math.floor(memory.readAvailable(address, room, 0, wanted) / PAGE_SIZE);
    if (pageCount > 0) placed.runs.push({ ...run, address, pageCount });
    placed.endBytes += pageCount * PAGE_SIZE;
    placed.copiedBytes += pageCount * PAGE_SIZE;
    page += pageCount;
    if (page === run.pageCount) break;
    // A guard page of a stack, or broken memory: what lies behind it may be readable.
    const lost = ++failures < MAX_UNREADABLE_PAGES ? 1 : run.pageCount - page;
    placed.unreadableBytes += lost * PAGE_SIZE;
    page += lost;
  }
}

/** Leaves room for a run that is filled later. */
export function placeRun(run: CopyRun, placed: PlacedRuns): void {
  placed.runs.push(run);
  placed.endBytes += run.pageCount * PAGE_SIZE;
}

/**
 * Room for `pageCount` pages and some more; `what` completes "Cannot copy ...". Throws UnsupportedError above 16 GiB or what
 * the budget has left. `isShared`: other threads are to see it.
 */
export function makeCopyRoom(
  pageCount: number,
  slackPages: number,
  what: string,
  budget: MemoryBudget | undefined,
  isShared = false,
): Uint32Array {
  if (pageCount > MAX_PAGES) {
    throw new UnsupportedError({
      fact: `Cannot copy ${what}`,
      reason: `it has ${Math.round((pageCount * PAGE_SIZE) / 2 ** 30)} GiB of private memory; a copy holds 16 GiB`,
      next: 'Capture it earlier, while it is smaller.',
    });
  }
  const withSlack = Math.min(pageCount + slackPages, MAX_PAGES) + 1;
  const copyBytes = withSlack * PAGE_SIZE;
  budget?.require(copyBytes, `copy ${what}`, estimateHuntBytes(copyBytes));
  return allocateImageStorage(withSlack, isShared);
}

/** What a hunt allocates in all on a heap of small objects, by measurement at 1 to 50 million. */
export const estimateHuntBytes = (copyBytes: number): number => 64e6 + 4 * copyBytes;
