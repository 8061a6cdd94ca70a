// Which pages a core has, and which of them are the process's own: what the pagemap tells of a running process. Pages of
// files that the core has although they are as in the file (the kernel dumps whole mappings) are told by comparing them.
//
// A core does not tell which pages were resident: those that never were are zeros there. Such are left out where copying
// them would cost much and nobody reads them: below the stack pointers, in memory that is not writable (gcore dumps also
// what no right allows to read), and whole blocks of 64 MiB.

import { findRange } from './address-ranges.ts';
import type { CoreFile, CoreSegment } from './core-file.ts';
import type { CoreLibraries } from './core-libraries.ts';
import { fillFromFile } from './core-memory.ts';
import { isFileMapping, type Mapping, type PageCounts, type PagePresence } from './mappings.ts';
import { PAGE_SIZE, type PageRun } from './memory-image.ts';
import type { Address } from './memory-reader.ts';

const PART_BYTES = 1 << 20;
const PAGE_HALVES = PAGE_SIZE / 4;
/** Below the stack pointer a function may keep values, too (System V ABI, red zone). */
const RED_ZONE_BYTES = 128;
const BLOCK_BYTES = 64 << 20;

export class CorePages implements PagePresence {
  private readonly core: CoreFile;
  private readonly libraries: CoreLibraries;
  private readonly mappings: readonly Mapping[];
  /** Stack pointers, ascending. */
  private readonly stackPointers: readonly Address[];
  private readonly part = new Uint32Array(PART_BYTES / 4);
  private readonly filePart = new Uint32Array(PART_BYTES / 4);

  constructor(core: CoreFile, libraries: CoreLibraries, mappings: readonly Mapping[]) {
    this.core = core;
    this.libraries = libraries;
    this.mappings = mappings;
    this.stackPointers = core.notes.threads
      .map(({ stackPointer }) => stackPointer ?? 0)
      .sort((a, b) => a - b);
  }

  /** [start, end) lies in one mapping. */
  appendRuns(
    start: Address,
    end: Address,
    onlyOwn: boolean,
    runs: PageRun[],
    counts: PageCounts = { ownPages: 0, filePages: 0, swappedPages: 0 },
  ): boolean {
    const segment = findRange(this.core.segments, start);
    const mapping = findRange(this.mappings, start);
    if (segment === undefined || mapping === undefined) return true;
    const heldEnd = Math.min(end, segment.heldEnd);
    if (heldEnd <= start) return true;
    if (!mapping.isPrivate) {
      appendPages(runs, start, heldEnd);
      counts.filePages += (heldEnd - start) / PAGE_SIZE;
    } else if (isFileMapping(mapping)) {
      this.appendFileRuns(segment, mapping, start, heldEnd, onlyOwn, runs, counts);
    } else this.appendAnonymousRuns(segment, start, heldEnd, runs, counts);
    return true;
  }

  private appendFileRuns(
    segment: CoreSegment,
    mapping: Mapping,
    start: Address,
    end: Address,
    onlyOwn: boolean,
    runs: PageRun[],
    counts: PageCounts,
  ): void {
    this.forEachPart(segment, start, end, (address, halves, pageCount) => {
      const inFile = new Uint8Array(this.filePart.buffer, 0, pageCount * PAGE_SIZE);
      const isKnown = fillFromFile(this.libraries, mapping, address, inFile);
      for (let page = 0; page < pageCount; page++) {
        const isOwn = !isKnown || differs(halves, this.filePart, page * PAGE_HALVES);
        if (isOwn) counts.ownPages++;
        else counts.filePages++;
        if (onlyOwn && !isOwn) continue;
        const at = address + page * PAGE_SIZE;
        appendPages(runs, at, at + PAGE_SIZE);
      }
    });
  }

  private appendAnonymousRuns(
    segment: CoreSegment,
    start: Address,
    end: Address,
    runs: PageRun[],
    counts: PageCounts,
  ): void {
    const lowest = this.stackPointers.find((each) => segment.start <= each && each < segment.end);
    const unused = lowest === undefined ? start : lowest - RED_ZONE_BYTES;
    const stackStart = Math.max(start, Math.min(end, unused - (unused % PAGE_SIZE)));
    const before = runs.at(-1);
    const beforePages = before?.pageCount ?? 0;
    const firstRow = runs.length;
    const sparseEnd = segment.writable ? stackStart : end;
    this.appendWithoutZeros(segment, start, sparseEnd, runs);
    for (let address = sparseEnd; address < end; address += BLOCK_BYTES) {
      const blockEnd = Math.min(end, address + BLOCK_BYTES);
      const isEmpty =
        blockEnd - address === BLOCK_BYTES && this.isEmpty(segment, address, blockEnd);
      if (!isEmpty) appendPages(runs, address, blockEnd);
    }
    counts.ownPages += (before?.pageCount ?? 0) - beforePages;
    for (let row = firstRow; row < runs.length; row++) counts.ownPages += runs[row].pageCount;
  }

  private appendWithoutZeros(
    segment: CoreSegment,
    start: Address,
    end: Address,
    runs: PageRun[],
  ): void {
    let next = start;
    for (const zeros of this.findZeroRuns(segment, start, end)) {
      appendPages(runs, next, zeros.address);
      next = zeros.address + zeros.pageCount * PAGE_SIZE;
    }
    appendPages(runs, next, end);
  }

  private isEmpty(segment: CoreSegment, start: Address, end: Address): boolean {
    const isZeroRange = (from: Address, to: Address) =>
      this.findZeroRuns(segment, from, to)[0]?.pageCount === (to - from) / PAGE_SIZE;
    return isZeroRange(start, start + PAGE_SIZE) && isZeroRange(start, end);
  }

  /** The pages of zeros in [start, end), which the core has of one segment. Reads all of them. */
  findZeroRuns(segment: CoreSegment, start: Address, end: Address): PageRun[] {
    const zeros: PageRun[] = [];
    this.forEachPart(segment, start, end, (address, halves, pageCount) => {
      for (let page = 0; page < pageCount; page++) {
        if (!isZeroPage(halves, page * PAGE_HALVES)) continue;
        const at = address + page * PAGE_SIZE;
        appendPages(zeros, at, at + PAGE_SIZE);
      }
    });
    return zeros;
  }

  private forEachPart(
    segment: CoreSegment,
    start: Address,
    end: Address,
    visit: (address: Address, halves: Uint32Array, pageCount: number) => void,
  ): void {
    for (let address = start; address < end; address += PART_BYTES) {
      const byteCount = Math.min(PART_BYTES, end - address);
      const room = new Uint8Array(this.part.buffer, 0, byteCount);
      const at = segment.fileOffset + address - segment.start;
      const pageCount = Math.floor(this.core.source.read(at, room) / PAGE_SIZE);
      visit(address, this.part, pageCount);
      if (pageCount * PAGE_SIZE < byteCount) return;
    }
  }
}

/** Whether the page that begins at row `first` of 32-bit halves is zeros. */
export function isZeroPage(halves: Uint32Array, first: number): boolean {
  for (let i = first; i < first + PAGE_HALVES; i++) if (halves[i] !== 0) return false;
  return true;
}

function differs(a: Uint32Array, b: Uint32Array, first: number): boolean {
  for (let i = first; i < first + PAGE_HALVES; i++) if (a[i] !== b[i]) return true;
  return false;
}

/** Joins the last run where that ends at `start`. */
export function appendPages(runs: PageRun[], start: Address, end: Address): void {
  if (end <= start) return;
  const pageCount = (end - start) / PAGE_SIZE;
  const last = runs.at(-1);
  if (last !== undefined && last.address + last.pageCount * PAGE_SIZE === start) {
    last.pageCount += pageCount;
  } else runs.push({ address: start, pageCount });
}
