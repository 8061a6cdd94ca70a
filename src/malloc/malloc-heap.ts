// glibc's heap as it is in a copy of a process: turns pages and mappings into the chunks of all arenas and of single
// mappings, in columns, each in use or free, with totals per arena and checked against glibc's own counters.
// Source: glibc malloc/malloc.c and malloc/arena.c, 2.28 to 2.43; offsets in glibc-layouts.ts.
//
// Nothing is asked of symbols or versions. A damaged heap is read as far as it goes: problems count what is missing,
// `corruption` names it. Not handled: other allocators (undefined is returned; see allocators.ts), several libcs.

import type { Problems } from '../base/problems.ts';
import { type AddressRange, findRange } from '../memory/address-ranges.ts';
import type { Mapping } from '../memory/mappings.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import {
  BINNED,
  buildChunkIndex,
  type ChunkIndex,
  type ChunkRows,
  ChunkRowsBuilder,
  type ChunkState,
  chunkContaining,
  FASTBIN,
  GAP,
  IN_USE,
  MMAPPED,
  NO_ARENA,
  TCACHE,
  TOP,
} from './chunk-rows.ts';
import { type FoundArenas, findMallocArenas, type MallocArena } from './find-arenas.ts';
import { findSegments } from './find-segments.ts';
import { type BinTotals, markFreeLists } from './free-lists.ts';
import { anonymousRanges, findHalf, findWord, lastRunFrom } from './image-words.ts';
import {
  type Corruption,
  CorruptionLog,
  newWalk,
  type Segment,
  walkSegment,
} from './walk-segments.ts';

const MAX_DRIFT_BYTES = 1 << 20;

export interface ArenaTotals {
  /** What the arena has of the kernel, by the walk. */
  systemBytes: number;
  chunks: number;
  inUseChunks: number;
  inUseBytes: number;
  tcacheChunks: number;
  tcacheBytes: number;
  fastbinChunks: number;
  fastbinBytes: number;
  /** In bins, without tcaches, fastbins and the top. */
  freeChunks: number;
  freeBytes: number;
  topBytes: number;
  /** Heads of heaps, fenceposts, and what could not be walked. */
  otherBytes: number;
}

/** A number that glibc keeps, and the same by the walk. */
export interface MallocCheck {
  name: string;
  expected: number;
  found: number;
}

export interface MallocHeap {
  /** Which structs were recognised. */
  method: string[];
  /** The main arena first; `rows.arena` are rows of this. */
  arenas: (MallocArena & { totals: ArenaTotals })[];
  /** Chunks with a mapping of their own; bytes are those of the mappings. */
  mmapped: { chunks: number; bytes: number };
  /** Of the struct that each arena is: lists of free chunks, and no pointers of the program's. */
  stateBytes: number;
  rows: ChunkRows;
  index: ChunkIndex;
  segments: Segment[];
  /** Where the memory of brk ends; 0 if the main arena has none. */
  brkEnd: Address;
  /** Bytes of user memory are the chunk's less this, for chunks in arenas and for mapped ones. */
  headerBytes: { arena: number; mmapped: number };
  /** 0 unless transparent huge pages were asked for. */
  thpPageBytes: number;
  /** Rows of the chunks in which threads keep their tcache. */
  tcacheRows: number[];
  checks: MallocCheck[];
  /** At most 64. Arenas that a thread was changing (`isLocked`) are left out: they may look damaged without being so. */
  corruption: Corruption[];
}

/**
 * Reads the heap from copied pages and the mappings of that moment. undefined if glibc's malloc is not there or was
 * never used. About 0.2 microseconds a chunk and 11 bytes of result, 0.1 ms a MB of anonymous memory; the index takes
 * 3 % of the heap. `others` is memory that other allocators mapped: what looks like a chunk in there is none.
 */
export function readMallocHeap(
  image: MemoryImage,
  mappings: readonly Mapping[],
  problems: Problems,
  others: readonly AddressRange[] = [],
): MallocHeap | undefined {
  const anonymous = anonymousRanges(mappings);
  const found = findMallocArenas(image, mappings, anonymous);
  if (found === undefined) return undefined;
  const corruption = new CorruptionLog(problems);
  const builder = new ChunkRowsBuilder();
  const context = newWalk(image, builder, problems, corruption);
  const { segments, brkEnd } = findSegments(context, found, anonymous, others);
  for (const segment of segments) walkSegment(context, segment);
  const rows = builder.finish(image);
  const index = buildChunkIndex(image, rows);
  const lists = markFreeLists({ image, rows, index }, found, corruption);
  const totals = sumTotals(found, rows, segments);
  const mmapped = sumMapped(segments);
  const { par } = found;
  const thpAt = par === undefined || par.layout.thp_pagesize < 0 ? -1 : par.layout.thp_pagesize;
  const thpPageBytes =
    thpAt < 0 || par === undefined ? 0 : (findWord(image, par.address + thpAt) ?? 0);
  return {
    method: [
      found.layout.name,
      par?.layout.name ?? 'no malloc_par',
      lists.tcache.layout?.name ?? 'no tcache',
      lists.tcache.isMangled ? 'mangled lists' : 'plain lists',
    ],
    arenas: found.arenas.map((arena, row) => ({ ...arena, totals: totals[row] })),
    mmapped,
    stateBytes: found.layout.sizeBytes,
    rows,
    index,
    segments,
    brkEnd,
    headerBytes: { arena: 8, mmapped: par?.layout.mmappedSizeIsShort === true ? 24 : 16 },
    thpPageBytes,
    tcacheRows: lists.tcache.rows,
    checks: compare(image, found, anonymous, totals, mmapped, lists.bins),
    corruption: corruption.list.filter(({ address }) => !isBeingChanged(found, segments, address)),
  };
}

/** Whether `address`, of a chunk or a bin, belongs to an arena that a thread was changing. */
function isBeingChanged(
  { arenas, layout }: FoundArenas,
  segments: readonly Segment[],
  address: Address,
): boolean {
  const row = findRange(segments, address)?.arena;
  const arena =
    arenas.find((each) => address >= each.address && address < each.address + layout.sizeBytes) ??
    (row === undefined ? undefined : arenas[row]);
  return arena?.isLocked === true;
}

function sumTotals(
  found: FoundArenas,
  rows: ChunkRows,
  segments: readonly Segment[],
): ArenaTotals[] {
  const arenaCount = found.arenas.length;
  const states = GAP + 1;
  const chunks = new Float64Array(arenaCount * states);
  const units = new Float64Array(arenaCount * states);
  for (let row = 0; row < rows.length; row++) {
    const arena = rows.arena[row];
    if (arena >= arenaCount) continue;
    const at = arena * states + rows.state[row];
    chunks[at]++;
    units[at] += rows.sizeUnits[row];
  }
  return found.arenas.map((_, arena) => {
    const count = (state: ChunkState) => chunks[arena * states + state];
    const bytes = (state: ChunkState) => units[arena * states + state] * 16;
    let systemBytes = 0;
    for (const segment of segments) {
      if (segment.arena === arena) systemBytes += segment.end - segment.start;
    }
    const given = bytes(IN_USE) + bytes(TCACHE) + bytes(FASTBIN) + bytes(BINNED) + bytes(TOP);
    return {
      systemBytes,
      chunks: count(IN_USE) + count(TCACHE) + count(FASTBIN) + count(BINNED) + count(TOP),
      inUseChunks: count(IN_USE),
      inUseBytes: bytes(IN_USE),
      tcacheChunks: count(TCACHE),
      tcacheBytes: bytes(TCACHE),
      fastbinChunks: count(FASTBIN),
      fastbinBytes: bytes(FASTBIN),
      freeChunks: count(BINNED),
      freeBytes: bytes(BINNED),
      topBytes: bytes(TOP),
      otherBytes: systemBytes - given,
    };
  });
}

function sumMapped(segments: readonly Segment[]): { chunks: number; bytes: number } {
  let chunks = 0;
  let bytes = 0;
  for (const { arena, start, end } of segments) {
    if (arena !== NO_ARENA) continue;
    chunks++;
    bytes += end - start;
  }
  return { chunks, bytes };
}

function compare(
  image: MemoryImage,
  { par, arenas, ringIsClosed }: FoundArenas,
  anonymous: readonly { start: Address; end: Address }[],
  totals: readonly ArenaTotals[],
  mmapped: { chunks: number; bytes: number },
  bins: readonly BinTotals[],
): MallocCheck[] {
  const checks: MallocCheck[] = [
    { name: 'ring of arenas is closed', expected: 1, found: ringIsClosed ? 1 : 0 },
  ];
  if (par !== undefined) {
    const expected = findHalf(image, par.address + par.layout.n_mmaps) ?? 0;
    checks.push({ name: 'mp_.n_mmaps', expected, found: mmapped.chunks });
    const bytes = findWord(image, par.address + par.layout.mmapped_mem) ?? 0;
    // 2.43 counts 16 bytes too many each time that a mapped chunk is resized, and as many chunks as there are.
    const excess = bytes - mmapped.bytes;
    const isDrift =
      par.layout.mmappedSizeIsShort &&
      expected === mmapped.chunks &&
      excess > 0 &&
      excess < MAX_DRIFT_BYTES &&
      excess % 16 === 0;
    checks.push({
      name: 'mp_.mmapped_mem',
      expected: isDrift ? mmapped.bytes : bytes,
      found: mmapped.bytes,
    });
  }
  arenas.forEach((arena, row) => {
    const name = row === 0 ? 'main arena' : `arena ${row}`;
    const { systemBytes, freeBytes, freeChunks, topBytes } = totals[row];
    checks.push(
      { name: `${name}: system_mem`, expected: arena.systemBytes, found: systemBytes },
      { name: `${name}: bytes in bins`, expected: bins[row].bytes, found: freeBytes },
      { name: `${name}: chunks in bins`, expected: bins[row].chunks, found: freeChunks },
      {
        name: `${name}: top is in its memory`,
        expected: findRange(anonymous, arena.top) === undefined ? 0 : 1,
        // A top whose page was not copied has no row.
        found: topBytes > 0 || findWord(image, arena.top + 8) === undefined ? 1 : 0,
      },
    );
  });
  return checks;
}

/** Calls back for each chunk, gaps left out; user memory is `userBytes` from word `userWord` of the image on. */
export function forEachChunk(
  heap: MallocHeap,
  visit: (row: number, userWord: number, userBytes: number, state: ChunkState) => void,
): void {
  const { length, headerWord, state } = heap.rows;
  for (let row = 0; row < length; row++) {
    if (state[row] !== GAP) visit(row, headerWord[row] + 1, userBytesOf(heap, row), state[row]);
  }
}

/** What malloc_usable_size says of the chunk (of a free one: would say). */
export function userBytesOf({ rows, headerBytes }: MallocHeap, row: number): number {
  const isMapped = rows.arena[row] === NO_ARENA;
  return rows.sizeUnits[row] * 16 - (isMapped ? headerBytes.mmapped : headerBytes.arena);
}

/** Whether the program has the chunk. */
export const isGivenOut = ({ rows }: MallocHeap, row: number): boolean =>
  rows.state[row] === IN_USE || rows.state[row] === MMAPPED;

/**
 * The copied words of the chunk's user memory: [first, end) of the image. Fewer than its size where pages were not
 * copied; words of pages behind a missing one follow directly.
 */
export const firstWordOfChunk = ({ rows }: MallocHeap, row: number): number =>
  rows.headerWord[row] + 1;
export const endWordOfChunk = ({ rows }: MallocHeap, row: number): number =>
  rows.headerWord[row + 1];

/** What malloc returned for the chunk. O(log runs). */
export const addressOfChunk = (heap: MallocHeap, image: MemoryImage, row: number): Address =>
  image.addressOfWord(heap.rows.headerWord[row]) + 8;

/**
 * Row of the chunk with `address` in its user memory, also where that page was not copied (memory that was given out and
 * never touched); -1 if there is none. O(log runs): `chunkContaining` is for words.
 */
export function findChunkAtAddress(heap: MallocHeap, image: MemoryImage, address: Address): number {
  const word = image.wordAtAddress(address);
  if (word !== 0) return chunkContaining(heap.index, word);
  const segment = findRange(heap.segments, address);
  if (segment === undefined) return -1;
  // Headers are in copied pages, so the chunk is the one with the last copied byte before this address, or begins there.
  const run = image.runs[lastRunFrom(image, address)];
  if (run === undefined || run.address + run.pageCount * PAGE_SIZE <= segment.start) return -1;
  const last = image.wordAtAddress(run.address) + run.pageCount * (PAGE_SIZE / 8) - 1;
  const { headerWord, state, length } = heap.rows;
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (headerWord[middle] <= last) low = middle;
    else high = middle - 1;
  }
  return low < length && headerWord[low] <= last && state[low] !== GAP ? low : -1;
}
