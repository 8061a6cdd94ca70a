// Finds glibc's arenas and its parameters without symbols: turns the writable data of libraries into the address of
// main_arena and of mp_, then follows the ring of arenas and the heaps of each.
// Source: glibc malloc/malloc.c (malloc_state, malloc_par), malloc/arena.c (heap_info), 2.28 to 2.43.
//
// The mark of an arena: a bin without chunks points at itself, and there are 127 bins in a row; the ring of `next` leads
// back. Libraries named libc come first, then all others (a program may contain its libc). Not handled: several libcs in
// one process (dlmopen): the best candidate is taken.

import { type AddressRange, findRange } from '../memory/address-ranges.ts';
import type { Mapping } from '../memory/mappings.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import {
  BIN_COUNT,
  HEAP_INFO_BYTES,
  HEAP_MAX_SIZE,
  heapInfo,
  type MallocParLayout,
  type MallocStateLayout,
  mallocParLayouts,
  mallocStateLayouts,
} from './glibc-layouts.ts';
import { findHalf, findWord, lastRunFrom } from './image-words.ts';

const TWO_32 = 2 ** 32;
const MAX_ARENAS = 1 << 14;
const MAX_HEAPS = 1 << 16;
/** Of a program's data; more is not looked through. */
const MAX_SCANNED_BYTES = 256 << 20;
const MAX_HUGE_PAGE = 2 ** 34;
const LIBC_NAME = /\/libc([.-][^/]*)?\.so[^/]*$/;
/** mp_ and main_arena are neighbours in the data of libc. */
const PAR_WITHIN_BYTES = 64 << 10;
/** Tests that a candidate for mp_ must pass; of 8. */
const LEAST_PAR_SCORE = 5;

/** A part of an arena's memory with a heap_info at its head. */
export interface ArenaHeap {
  /** Address of heap_info. */
  start: Address;
  end: Address;
  /** Where the next heap could begin: `start` plus what is reserved. */
  reservedEnd: Address;
  firstChunk: Address;
}

export interface MallocArena {
  address: Address;
  isMain: boolean;
  /** Of the topmost chunk; the arena itself before the first allocation. */
  top: Address;
  systemBytes: number;
  maxSystemBytes: number;
  flags: number;
  /** A thread was inside of malloc with this arena: lists and chunks may be half changed. */
  isLocked: boolean;
  /** Ascending; empty for the main arena. */
  heaps: ArenaHeap[];
}

export interface FoundPar {
  address: Address;
  layout: MallocParLayout;
}

export interface FoundArenas {
  layout: MallocStateLayout;
  par: FoundPar | undefined;
  /** The main arena first, the others in the order of the ring. */
  arenas: MallocArena[];
  /** Whether the ring of arenas leads back to the first. */
  ringIsClosed: boolean;
}

/** `anonymous`: see `anonymousRanges`. undefined if no arena is there, as when another allocator is used. */
export function findMallocArenas(
  image: MemoryImage,
  mappings: readonly Mapping[],
  anonymous: readonly (AddressRange & { isBrk: boolean })[],
): FoundArenas | undefined {
  for (const ranges of dataOfLibraries(mappings)) {
    const best = findBestState(image, ranges, anonymous);
    if (best === undefined) continue;
    const { address, layout, ring } = best;
    const near = ranges.flatMap(({ start, end }) => {
      const from = Math.max(start, address - PAR_WITHIN_BYTES);
      const to = Math.min(end, address + PAR_WITHIN_BYTES);
      return from < to ? [{ start: from, end: to }] : [];
    });
    const par = findPar(image, near, anonymous);
    const hugePageBytes =
      par === undefined || par.layout.hp_pagesize < 0
        ? 0
        : (findWord(image, par.address + par.layout.hp_pagesize) ?? 0);
    const arenas = [address, ...ring.arenas].flatMap((at, row) => {
      const arena = readArena(image, layout, at);
      if (arena === undefined) return [];
      if (row > 0) arena.heaps = readHeaps(image, layout, arena, hugePageBytes);
      return [{ ...arena, isMain: row === 0 }];
    });
    return { layout, par, arenas, ringIsClosed: ring.isClosed };
  }
  return undefined;
}

/** Writable private data of files with the .bss behind it: first that of libc, then that of all files. */
function dataOfLibraries(mappings: readonly Mapping[]): AddressRange[][] {
  const named: AddressRange[] = [];
  const all: AddressRange[] = [];
  let budget = MAX_SCANNED_BYTES;
  mappings.forEach((mapping, row) => {
    if (!mapping.writable || !mapping.isPrivate || mapping.inode === 0) return;
    const behind = mappings[row + 1];
    const bss = behind?.start === mapping.end && behind.inode === 0 && behind.path === '';
    const end =
      bss && behind.writable ? Math.min(behind.end, mapping.end + (1 << 20)) : mapping.end;
    budget -= end - mapping.start;
    if (budget < 0) return;
    const range = { start: mapping.start, end };
    all.push(range);
    if (LIBC_NAME.test(mapping.path)) named.push(range);
  });
  return [named, all];
}

/** Calls back for each copied run of the ranges with the addresses [from, end) in it and the word of `from`. */
function forEachCopied(
  image: MemoryImage,
  ranges: readonly AddressRange[],
  visit: (from: Address, end: Address, word: number) => void,
): void {
  for (const range of ranges) {
    for (let row = Math.max(0, lastRunFrom(image, range.start)); row < image.runs.length; row++) {
      const run = image.runs[row];
      if (run.address >= range.end) break;
      const from = Math.max(run.address, range.start);
      const end = Math.min(run.address + run.pageCount * PAGE_SIZE, range.end);
      if (from < end) visit(from, end, image.wordAtAddress(from));
    }
  }
}

interface Ring {
  /** Behind the first. */
  arenas: Address[];
  isClosed: boolean;
}

interface StateCandidate {
  address: Address;
  layout: MallocStateLayout;
  ring: Ring;
  score: number;
}

function findBestState(
  image: MemoryImage,
  ranges: readonly AddressRange[],
  anonymous: readonly AddressRange[],
): StateCandidate | undefined {
  const { halves } = image;
  let best: StateCandidate | undefined;
  const tried = new Set<Address>();
  forEachCopied(image, ranges, (from, end, firstWord) => {
    for (let at = from, word = firstWord; at + 16 <= end; at += 8, word++) {
      // The empty bin at `at` has both its pointers at the chunk of which they would be fd and bk.
      const lo = (at - 16) % TWO_32;
      if (halves[2 * word] !== lo || halves[2 * word + 2] !== lo) continue;
      const hi = Math.floor((at - 16) / TWO_32);
      if (halves[2 * word + 1] !== hi || halves[2 * word + 3] !== hi) continue;
      for (const layout of mallocStateLayouts) {
        for (let bin = 0; bin < BIN_COUNT; bin++) {
          const address = at - 16 * bin - layout.bins;
          if (tried.has(address * 2 + mallocStateLayouts.indexOf(layout))) continue;
          const candidate = judgeState(image, layout, address, anonymous);
          if (candidate === undefined) continue;
          tried.add(address * 2 + mallocStateLayouts.indexOf(layout));
          if (best === undefined || candidate.score > best.score) best = candidate;
        }
      }
    }
  });
  return best;
}

function judgeState(
  image: MemoryImage,
  layout: MallocStateLayout,
  address: Address,
  anonymous: readonly AddressRange[],
): StateCandidate | undefined {
  const next = findWord(image, address + layout.next);
  const system = findWord(image, address + layout.system_mem);
  const most = findWord(image, address + layout.max_system_mem);
  if (next === undefined || system === undefined || most === undefined) return undefined;
  if (system > most || most > 2 ** 47 || next === 0 || next % 8 !== 0) return undefined;
  const top = findWord(image, address + layout.top) ?? 0;
  const topIsMapped = top % 16 === 0 && findRange(anonymous, top) !== undefined;
  // Before the first allocation the top is the unsorted bin.
  const topIsInitial = top === address + layout.bins - 16;
  if (!topIsMapped && !topIsInitial) return undefined;
  let bins = 0;
  for (let bin = 0; bin < BIN_COUNT; bin++) {
    if (isBin(image, address + layout.bins + 16 * bin, anonymous)) bins++;
  }
  const ring = followRing(image, layout, address);
  if (bins < BIN_COUNT - 1 && !(ring.isClosed && bins > BIN_COUNT / 2)) return undefined;
  const score = bins + (ring.isClosed ? 1000 : 0) + (topIsMapped ? 100 : 0);
  return { address, layout, ring, score };
}

/** Whether the two words at `at` point at themselves as a bin, or both at memory where chunks may be. */
function isBin(image: MemoryImage, at: Address, anonymous: readonly AddressRange[]): boolean {
  const fd = findWord(image, at) ?? 0;
  const bk = findWord(image, at + 8) ?? 0;
  if (fd === at - 16 && bk === at - 16) return true;
  return (
    fd % 16 === 0 &&
    bk % 16 === 0 &&
    findRange(anonymous, fd) !== undefined &&
    findRange(anonymous, bk) !== undefined
  );
}

function followRing(image: MemoryImage, layout: MallocStateLayout, first: Address): Ring {
  const arenas: Address[] = [];
  const seen = new Set<Address>([first]);
  for (let at = first; arenas.length < MAX_ARENAS; ) {
    const next = findWord(image, at + layout.next);
    if (next === first) return { arenas, isClosed: true };
    if (next === undefined || next === 0 || next % 16 !== 0 || seen.has(next)) break;
    if (findWord(image, next + layout.next) === undefined) break;
    seen.add(next);
    arenas.push(next);
    at = next;
  }
  return { arenas, isClosed: false };
}

function readArena(
  image: MemoryImage,
  layout: MallocStateLayout,
  address: Address,
): MallocArena | undefined {
  const top = findWord(image, address + layout.top);
  const systemBytes = findWord(image, address + layout.system_mem);
  if (top === undefined || systemBytes === undefined) return undefined;
  return {
    address,
    isMain: false,
    top,
    systemBytes,
    maxSystemBytes: findWord(image, address + layout.max_system_mem) ?? 0,
    flags: findHalf(image, address + layout.flags) ?? 0,
    isLocked: (findHalf(image, address) ?? 0) !== 0,
    heaps: [],
  };
}

/** The heaps of a thread's arena, from the one with the top back to the one that holds the arena itself. */
function readHeaps(
  image: MemoryImage,
  layout: MallocStateLayout,
  { address, top }: MallocArena,
  hugePageBytes: number,
): ArenaHeap[] {
  const sizes = [HEAP_MAX_SIZE];
  if (hugePageBytes > 0 && hugePageBytes <= MAX_HUGE_PAGE) sizes.push(hugePageBytes * 4);
  const reserved = sizes.find((size) => {
    const first = address - (address % size);
    return (
      HEAP_INFO_BYTES.includes(address - first) &&
      findWord(image, first + heapInfo.ar_ptr) === address
    );
  });
  if (reserved === undefined) return [];
  const firstHeap = address - (address % reserved);
  const headBytes = address - firstHeap;
  const heaps: ArenaHeap[] = [];
  let at = top - (top % reserved);
  while (heaps.length < MAX_HEAPS) {
    const size = findWord(image, at + heapInfo.size);
    if (findWord(image, at + heapInfo.ar_ptr) !== address || size === undefined) break;
    if (size < PAGE_SIZE || size > reserved || size % PAGE_SIZE !== 0) break;
    const head = at === firstHeap ? headBytes + layout.sizeBytes : headBytes;
    heaps.push({
      start: at,
      end: at + size,
      reservedEnd: at + reserved,
      firstChunk: at + Math.ceil(head / 16) * 16,
    });
    if (at === firstHeap) break;
    const previous = findWord(image, at + heapInfo.prev) ?? 0;
    if (previous === 0 || previous % reserved !== 0) break;
    if (heaps.some(({ start }) => start === previous)) break;
    at = previous;
  }
  return heaps.sort((a, b) => a.start - b.start);
}

/** mp_ lies in the same data as main_arena; candidates are told by limits and defaults of its fields. */
function findPar(
  image: MemoryImage,
  ranges: readonly AddressRange[],
  anonymous: readonly (AddressRange & { isBrk: boolean })[],
): FoundPar | undefined {
  let best: FoundPar | undefined;
  let bestScore = LEAST_PAR_SCORE - 1;
  forEachCopied(image, ranges, (from, end) => {
    for (let address = from; address < end; address += 8) {
      for (const layout of mallocParLayouts) {
        const score = scorePar(image, layout, address, anonymous);
        if (score <= bestScore) continue;
        bestScore = score;
        best = { address, layout };
      }
    }
  });
  return best;
}

/** 0 if it cannot be mp_; else the number of fields that are as they usually are. */
function scorePar(
  image: MemoryImage,
  layout: MallocParLayout,
  address: Address,
  anonymous: readonly (AddressRange & { isBrk: boolean })[],
): number {
  const word = (offset: number) => findWord(image, address + offset) ?? Number.NaN;
  const half = (offset: number) => findHalf(image, address + offset) ?? Number.NaN;
  const mmapThreshold = word(layout.mmap_threshold);
  if (!(mmapThreshold > 0 && mmapThreshold <= 2 ** 40)) return 0;
  const count = half(layout.n_mmaps);
  const bytes = word(layout.mmapped_mem);
  if (!(count <= half(layout.max_n_mmaps) && bytes <= word(layout.max_mmapped_mem))) return 0;
  if ((count === 0) !== bytes < PAGE_SIZE || word(layout.max_mmapped_mem) > 2 ** 47) return 0;
  const maxBytes = word(layout.tcache_max_bytes);
  if (!(word(layout.tcache_bins) <= 64 && maxBytes < 2 ** 24)) return 0;
  if (!(word(layout.arena_test) <= 2 ** 20 && word(layout.tcache_count) <= 65535)) return 0;
  const base = word(layout.sbrk_base);
  const baseRange = findRange(anonymous, base);
  if (baseRange === undefined && base !== 0) return 0;
  return (
    1 +
    (baseRange === undefined ? 0 : 1) +
    (baseRange?.isBrk === true ? 1 : 0) +
    (half(layout.n_mmaps_max) === 65536 ? 1 : 0) +
    (word(layout.arena_test) === 8 ? 1 : 0) +
    (word(layout.tcache_bins) === 64 ? 1 : 0) +
    (maxBytes === 1033 || maxBytes === 1041 ? 1 : 0) +
    (word(layout.tcache_count) === 7 || word(layout.tcache_count) === 16 ? 1 : 0)
  );
}
