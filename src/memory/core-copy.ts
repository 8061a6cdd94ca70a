// A copy of what a core has, as live-copy.ts makes one of a running process: the pages that may hold objects, names and
// pointers, without the bulk that the caller leaves out. Turns a core with its files into a MemoryImage with the facts of
// the process. Reads what it copies, and of what it leaves out only whether it is zeros.

import type { AddressRange } from './address-ranges.ts';
import type { ByteMemory } from './byte-memory.ts';
import { computeCopyLayout, type LeftOut, type MappingResidency } from './copy-layout.ts';
import { copyRun, makeCopyRoom, placeNone } from './copy-runs.ts';
import type { CoreFile } from './core-file.ts';
import type { CoreLibraries } from './core-libraries.ts';
import { notedPathOf } from './core-mappings.ts';
import { appendPages, CorePages, isZeroPage } from './core-pages.ts';
import { isFileMapping, type Mapping } from './mappings.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { MemoryImage, PAGE_SIZE, type PageRun } from './memory-image.ts';

/** Read between two chances to cancel: some 50 ms. */
const PORTION_BYTES = 64 << 20;

export interface CoreCopyOptions {
  /** Memory to leave out, such as the data of large arrays; ascending. */
  skipped: readonly AddressRange[];
  budget: MemoryBudget | undefined;
  /** Called between portions of work; what it throws cancels. */
  report: () => Promise<void>;
}

export interface CoreCopy {
  image: MemoryImage;
  copiedBytes: number;
  /** Of what should have been copied: cut off, or in a file that was not found. */
  unreadableBytes: number;
  /** The same by file, for files that were not found. */
  unreadableByFile: Map<string, number>;
  /** Bytes of memory in the core, without anonymous pages of zeros. */
  inCoreBytes: number;
  /** What the core has of each mapping. */
  residency: MappingResidency[];
  /** Pages of what was left out. */
  skippedRuns: PageRun[];
  /** Anonymous pages of zeros: whether they were resident is not known. */
  zeroRuns: PageRun[];
  leftOut: LeftOut[];
}

/** Some 0.5 s per GB from the page cache. Throws as `makeCopyRoom`, and what `report` throws. */
export async function copyCore(
  core: CoreFile,
  libraries: CoreLibraries,
  mappings: readonly Mapping[],
  memory: ByteMemory,
  { skipped, budget, report }: CoreCopyOptions,
): Promise<CoreCopy> {
  const pages = new CorePages(core, libraries, mappings);
  const layout = computeCopyLayout(
    mappings,
    pages,
    (mapping) => libraries.isElf(notedPathOf(mapping)),
    skipped,
  );
  const storage = makeCopyRoom(layout.pageCount, 0, core.path, budget);
  await report();
  const placed = placeNone();
  const unreadableByFile = new Map<string, number>();
  let reportedBytes = 0;
  for (const run of layout.runs) {
    const before = placed.unreadableBytes;
    // In portions, so that a gigabyte in one piece does not keep out Ctrl-C.
    for (let page = 0; page < run.pageCount; page += PORTION_BYTES / PAGE_SIZE) {
      const pageCount = Math.min(run.pageCount - page, PORTION_BYTES / PAGE_SIZE);
      copyRun(
        { ...run, address: run.address + page * PAGE_SIZE, pageCount },
        memory,
        storage,
        placed,
      );
      if (placed.endBytes - reportedBytes < PORTION_BYTES) continue;
      reportedBytes = placed.endBytes;
      await report();
    }
    const lost = placed.unreadableBytes - before;
    if (lost > 0 && run.source.kind === 'file') {
      const { path } = run.source.mapping;
      unreadableByFile.set(path, (unreadableByFile.get(path) ?? 0) + lost);
    }
  }
  const image = new MemoryImage(placed.runs, storage);
  const zeroRuns = findZeroRuns(image, mappings);
  for (const run of layout.skippedRuns) {
    zeroRuns.push(...(await findSkippedZeros(core, pages, run, report)));
  }
  zeroRuns.sort((a, b) => a.address - b.address);
  let inCorePages = 0;
  for (const { ownPages, filePages } of layout.residency) inCorePages += ownPages + filePages;
  for (const { pageCount } of zeroRuns) inCorePages -= pageCount;
  return {
    image,
    copiedBytes: placed.copiedBytes,
    unreadableBytes: placed.unreadableBytes,
    unreadableByFile,
    inCoreBytes: inCorePages * PAGE_SIZE,
    residency: layout.residency,
    skippedRuns: layout.skippedRuns,
    zeroRuns,
    leftOut: layout.leftOut,
  };
}

/** Of private anonymous memory, which is where pages come into being by being looked at. */
function findZeroRuns(image: MemoryImage, mappings: readonly Mapping[]): PageRun[] {
  const zeros: PageRun[] = [];
  for (const mapping of mappings) {
    if (isFileMapping(mapping) || !mapping.isPrivate) continue;
    image.forEachCopiedPart(mapping.start, mapping.end, (startWord, endWord) => {
      const address = image.addressOfWord(startWord);
      for (let word = startWord; word < endWord; word += PAGE_SIZE / 8) {
        if (!isZeroPage(image.halves, word * 2)) continue;
        const at = address + (word - startWord) * 8;
        appendPages(zeros, at, at + PAGE_SIZE);
      }
    });
  }
  return zeros;
}

async function findSkippedZeros(
  core: CoreFile,
  pages: CorePages,
  { address, pageCount }: PageRun,
  report: () => Promise<void>,
): Promise<PageRun[]> {
  const zeros: PageRun[] = [];
  const end = address + pageCount * PAGE_SIZE;
  for (let start = address; start < end; start += PORTION_BYTES) {
    const segment = core.segments.find((each) => each.start <= start && start < each.end);
    if (segment === undefined) continue;
    zeros.push(...pages.findZeroRuns(segment, start, Math.min(end, start + PORTION_BYTES)));
    await report();
  }
  return zeros;
}
