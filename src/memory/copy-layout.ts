// Which pages of a process belong into a copy, and where each is had from: turns mappings and the pagemap into
// CopyRuns. Writable private memory is read from the process. Of a library's files only the pages that the process has
// changed are; the others are as in the file and are read there, which costs no pause and no memory of the target.
//
// Of all mappings it tells how much is resident, so that the sum can be held against the kernel's.
//
// Of shared memory only small mappings are copied: C code may keep pointers there, too. Left out: code, devices, what the
// caller asked to skip, and single mappings too large to look through.

import { type AddressRange, subtractRanges } from './address-ranges.ts';
import {
  isFileMapping,
  isSpecialMapping,
  type Mapping,
  type PageCounts,
  type PagePresence,
} from './mappings.ts';
import { PAGE_SIZE, type PageRun } from './memory-image.ts';
import type { Address } from './memory-reader.ts';

/** Where the bytes of a run come from. */
export type RunSource =
  /** From the stopped process. */
  | { kind: 'memory' }
  /** Never changed since it was mapped: from the file, or from the process after it was continued. */
  | { kind: 'file'; mapping: Mapping };

export interface CopyRun extends PageRun {
  source: RunSource;
}

export interface LeftOut {
  mapping: Mapping;
  reason: string;
}

/** A mapping, and what of it is resident. */
export interface MappingResidency extends PageCounts {
  mapping: Mapping;
}

export interface CopyLayout {
  /** Ascending. */
  runs: CopyRun[];
  pageCount: number;
  leftOut: LeftOut[];
  /** Per mapping, ascending; without a pagemap empty. */
  residency: MappingResidency[];
  /** Resident pages of what the caller asked to skip, ascending. */
  skippedRuns: PageRun[];
  /** Anonymous pages that others have, too, or that are the kernel's page of zeros; ascending but for skipped ones. */
  commonRuns: PageRun[];
}

/** Looking up each page of larger mappings would take longer than copying what a heap of 16 GiB has. */
const MAX_MAPPING_BYTES = 64 * 2 ** 30;
/** Of read-only data more than this per mapping is bulk (weights, dictionaries), not names of types. */
const MAX_READ_ONLY_BYTES = 16 << 20;
/** Unchanged pages of larger writable mappings are bulk that was mapped, not a library's static data. */
const MAX_UNCHANGED_BYTES = 64 << 20;
/** Larger mappings that are shared with others hold data for them. */
const MAX_SHARED_BYTES = 1 << 20;
const SHARED_MEMORY = /^(\/dev\/zero|\/memfd:|\/dev\/shm\/|\/SYSV)/;
/** A run is read by one call, which takes less than 2 GiB. */
const MAX_RUN_PAGES = (1 << 30) / PAGE_SIZE;

const MEMORY: RunSource = { kind: 'memory' };

/**
 * The layout of a copy. `isElf` says whether a mapped file is an ELF file; of others only changed pages are copied.
 * `skip` is rounded inward to pages. About 4 ms per 512 MiB of address space.
 */
export function computeCopyLayout(
  mappings: readonly Mapping[],
  pagemap: PagePresence | undefined,
  isElf: (mapping: Mapping) => boolean,
  skip: readonly AddressRange[] = [],
): CopyLayout {
  const runs: CopyRun[] = [];
  const leftOut: LeftOut[] = [];
  const residency: MappingResidency[] = [];
  const skippedRuns: PageRun[] = [];
  const commonRuns: PageRun[] = [];
  const skipped = [...skip].sort((a, b) => a.start - b.start);
  for (const mapping of mappings) {
    const counts: MappingResidency = { mapping, ownPages: 0, filePages: 0, swappedPages: 0 };
    const isTooLarge = mapping.end - mapping.start > MAX_MAPPING_BYTES;
    if (!isWanted(mapping)) {
      if (!isTooLarge && isCounted(mapping)) countPages(mapping, pagemap, counts);
    } else if (isTooLarge) {
      leftOut.push({ mapping, reason: 'larger than 64 GiB' });
    } else if (isFileMapping(mapping) && mapping.isPrivate) {
      appendFileRuns(mapping, pagemap, isElf, runs, counts);
    } else {
      if (mapping.isPrivate) counts.commonRuns = commonRuns;
      appendAnonymousRuns(mapping, pagemap, skipped, runs, counts);
      appendSkippedRuns(mapping, pagemap, skipped, skippedRuns, counts);
    }
    if (pagemap !== undefined) residency.push(counts);
  }
  const split = runs.flatMap(splitRun);
  let pageCount = 0;
  for (const run of split) pageCount += run.pageCount;
  return { runs: split, pageCount, leftOut, residency, skippedRuns, commonRuns };
}

/** The kernel's own data ([vvar]) and devices are in no resident set. */
const isCounted = (mapping: Mapping): boolean =>
  !isSpecialMapping(mapping) || mapping.path === '[vdso]';

function countPages(
  { start, end }: Mapping,
  pagemap: PagePresence | undefined,
  counts: PageCounts,
) {
  pagemap?.appendRuns(start, end, false, [], counts);
}

/** What is skipped is not read, so that what is swapped of it stays so. */
function appendSkippedRuns(
  mapping: Mapping,
  pagemap: PagePresence | undefined,
  skip: readonly AddressRange[],
  runs: PageRun[],
  counts: PageCounts,
): void {
  for (const range of skip) {
    if (range.end <= mapping.start || range.start >= mapping.end) continue;
    const start = Math.ceil(Math.max(range.start, mapping.start) / PAGE_SIZE) * PAGE_SIZE;
    const end = Math.floor(Math.min(range.end, mapping.end) / PAGE_SIZE) * PAGE_SIZE;
    if (end > start) pagemap?.appendRuns(start, end, false, runs, counts);
  }
}

/** Memory that can hold Python objects, names or pointers of C code: writable, or a library's read-only data. */
function isWanted(mapping: Mapping): boolean {
  if (!mapping.readable || isSpecialMapping(mapping)) return false;
  if (!mapping.isPrivate) return isSharedMemory(mapping);
  return mapping.writable || !mapping.executable;
}

/** Shared memory that is no file on a disk, and too small for bulk. */
const isSharedMemory = ({ path, start, end, writable }: Mapping): boolean =>
  writable && end - start <= MAX_SHARED_BYTES && SHARED_MEMORY.test(path);

function appendAnonymousRuns(
  mapping: Mapping,
  pagemap: PagePresence | undefined,
  skip: readonly AddressRange[],
  runs: CopyRun[],
  counts: PageCounts,
): void {
  for (const { start, end } of subtractRanges(mapping, skip)) {
    const present = findPresentRuns(start, end, pagemap, false, counts);
    for (const run of present) runs.push({ ...run, source: MEMORY });
  }
}

function appendFileRuns(
  mapping: Mapping,
  pagemap: PagePresence | undefined,
  isElf: (mapping: Mapping) => boolean,
  runs: CopyRun[],
  counts: PageCounts,
): void {
  const { start, end } = mapping;
  const sizeBytes = end - start;
  const limit = mapping.writable ? MAX_UNCHANGED_BYTES : MAX_READ_ONLY_BYTES;
  const wantsUnchanged = sizeBytes <= limit && isElf(mapping);
  if (!wantsUnchanged && !mapping.writable) {
    countPages(mapping, pagemap, counts);
    return;
  }
  const changed = findPresentRuns(start, end, pagemap, true, counts);
  const source: RunSource = { kind: 'file', mapping };
  let next = start;
  for (const run of changed) {
    if (wantsUnchanged) appendGap(next, run.address, source, runs);
    runs.push({ ...run, source: MEMORY });
    next = run.address + run.pageCount * PAGE_SIZE;
  }
  if (wantsUnchanged) appendGap(next, end, source, runs);
}

function appendGap(start: Address, end: Address, source: RunSource, runs: CopyRun[]): void {
  if (end > start) runs.push({ address: start, pageCount: (end - start) / PAGE_SIZE, source });
}

/** Without a pagemap everything counts as present. */
function findPresentRuns(
  start: Address,
  end: Address,
  pagemap: PagePresence | undefined,
  onlyOwn: boolean,
  counts: PageCounts,
): PageRun[] {
  const runs: PageRun[] = [];
  if (pagemap?.appendRuns(start, end, onlyOwn, runs, counts) !== true) {
    runs.push({ address: start, pageCount: (end - start) / PAGE_SIZE });
  }
  return runs;
}

function splitRun(run: CopyRun): CopyRun[] {
  if (run.pageCount <= MAX_RUN_PAGES) return [run];
  const parts: CopyRun[] = [];
  for (let done = 0; done < run.pageCount; done += MAX_RUN_PAGES) {
    const pageCount = Math.min(MAX_RUN_PAGES, run.pageCount - done);
    parts.push({ address: run.address + done * PAGE_SIZE, pageCount, source: run.source });
  }
  return parts;
}
