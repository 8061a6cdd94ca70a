// The lists of free chunks: turns tcaches, fastbins and bins into the states of rows, and counts what they hold, to be
// compared with the walk. Chunks in tcaches and fastbins look used to the walk; their lists are the only evidence.
// Source: glibc malloc/malloc.c (tcache_perthread_struct, malloc_state, PROTECT_PTR), 2.28 to 2.43.
//
// A tcache is a chunk in use of its struct's size whose counts and lists agree, whichever thread it belongs to. One
// operation may be half done in a stopped thread, so counts may be off by one. Not handled: order within large bins.

import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import {
  BINNED,
  type ChunkIndex,
  type ChunkRows,
  FASTBIN,
  GAP,
  IN_USE,
  MMAPPED,
  rowOfHeader,
  TCACHE,
} from './chunk-rows.ts';
import type { FoundArenas, MallocArena } from './find-arenas.ts';
import {
  BIN_COUNT,
  type MallocStateLayout,
  NFASTBINS,
  TCACHE_SMALL_BINS,
  type TcacheLayout,
  tcacheLayouts,
} from './glibc-layouts.ts';
import { findWord } from './image-words.ts';
import type { CorruptionLog } from './walk-segments.ts';

const TWO_32 = 2 ** 32;
const MAX_TCACHE_CHUNKS = 1 << 20;
const USER_BYTES = 16;
/** A chunk may be larger than asked for when too little would remain. */
const SIZE_SLACK_BYTES = 32;

export interface HeapView {
  image: MemoryImage;
  rows: ChunkRows;
  index: ChunkIndex;
}

/** What a bin walk found in an arena. */
export interface BinTotals {
  chunks: number;
  bytes: number;
}

export interface TcacheFound {
  layout: TcacheLayout | undefined;
  isMangled: boolean;
  /** Rows of the chunks that are tcaches, ascending. */
  rows: number[];
}

/** Row of the chunk at `address` (of its header's first word); -1 if there is none. */
function rowOfChunk({ image, index, rows }: HeapView, address: Address): number {
  if (address % 16 !== 0) return -1;
  const word = image.wordAtAddress(address + 8);
  const row = word === 0 ? -1 : rowOfHeader(index, word);
  return row < 0 || rows.state[row] === GAP ? -1 : row;
}

/** The pointer at `position`, which lists since 2.32 keep xored with their own place. */
function findListPointer(
  image: MemoryImage,
  position: Address,
  isMangled: boolean,
): Address | undefined {
  const word = image.wordAtAddress(position);
  if (word === 0) return undefined;
  let lo = image.halves[2 * word];
  let hi = image.halves[2 * word + 1];
  if (isMangled) {
    const shifted = Math.floor(position / 4096);
    lo = (lo ^ (shifted % TWO_32)) >>> 0;
    hi = (hi ^ Math.floor(shifted / TWO_32)) >>> 0;
  }
  return hi * TWO_32 + lo;
}

/** Finds all tcaches and sets the state of the chunks in them. */
export function markTcaches(view: HeapView): TcacheFound {
  let best:
    | { layout: TcacheLayout; isMangled: boolean; rows: number[]; held: number[] }
    | undefined;
  for (const layout of tcacheLayouts) {
    for (const isMangled of layout.mangled) {
      const found = findTcaches(view, layout, isMangled);
      if (best === undefined || found.held.length > best.held.length) {
        best = { layout, isMangled, ...found };
      } else if (found.held.length === best.held.length && found.rows.length > best.rows.length) {
        best = { layout, isMangled, ...found };
      }
    }
  }
  if (best === undefined || best.rows.length === 0) {
    return { layout: undefined, isMangled: false, rows: [] };
  }
  for (const row of best.held) view.rows.state[row] = TCACHE;
  return { layout: best.layout, isMangled: best.isMangled, rows: best.rows };
}

function findTcaches(
  view: HeapView,
  layout: TcacheLayout,
  isMangled: boolean,
): { rows: number[]; held: number[] } {
  const { rows } = view;
  const least = Math.ceil((layout.sizeBytes + 8) / 16);
  const most = least + SIZE_SLACK_BYTES / 16;
  const found: number[] = [];
  const held: number[] = [];
  const isHeld = new Set<number>();
  for (let row = 0; row < rows.length && held.length < MAX_TCACHE_CHUNKS; row++) {
    const units = rows.sizeUnits[row];
    if (units < least || units > most || rows.state[row] !== IN_USE) continue;
    const chunks = findHeldChunks(view, layout, isMangled, row);
    // A chunk is in one list at most: copies of a tcache hold nothing of their own.
    if (chunks === undefined || chunks.some((chunk) => isHeld.has(chunk))) continue;
    found.push(row);
    for (const chunk of chunks) {
      isHeld.add(chunk);
      held.push(chunk);
    }
  }
  return { rows: found, held };
}

/** Rows of the chunks in the tcache that `row` is; undefined if it is none or holds nothing. */
function findHeldChunks(
  view: HeapView,
  layout: TcacheLayout,
  isMangled: boolean,
  row: number,
): number[] | undefined {
  const { image, rows } = view;
  const base = rows.headerWord[row] + 1;
  if (base + layout.sizeBytes / 8 > image.runEnd(base - 1)) return undefined;
  const { halves } = image;
  const held: number[] = [];
  let capacity = -1;
  let wrong = 0;
  for (let bin = 0; bin < layout.bins; bin++) {
    const at = 2 * base + layout.entries / 4 + 2 * bin;
    const first = halves[at + 1] * TWO_32 + halves[at];
    const count = countOf(halves, base, layout, bin);
    const before = held.length;
    if (first !== 0 && !appendList(view, first, bin, isMangled, held)) return undefined;
    const length = held.length - before;
    if (layout.counts === 'chunks') wrong += Math.abs(length - count);
    else if (capacity < 0) capacity = length + count;
    else wrong += Math.abs(capacity - length - count);
    if (wrong > 1) return undefined;
  }
  return held.length > 0 || capacity > 0 ? held : undefined;
}

function countOf(halves: Uint32Array, base: number, layout: TcacheLayout, bin: number): number {
  const byte = bin * layout.countBytes;
  const bits = halves[2 * base + (byte >>> 2)] >>> ((byte & 3) * 8);
  return layout.countBytes === 1 ? bits & 0xff : bits & 0xffff;
}

/** Appends the chunks of a list of user pointers; false if one of them is no chunk of that bin. */
function appendList(
  view: HeapView,
  first: Address,
  bin: number,
  isMangled: boolean,
  held: number[],
): boolean {
  const { image, rows } = view;
  const start = held.length;
  for (let user = first; user !== 0; ) {
    const row = rowOfChunk(view, user - USER_BYTES);
    if (row < 0 || held.length - start > 0xffff) return false;
    const units = rows.sizeUnits[row];
    if (bin < TCACHE_SMALL_BINS ? units !== bin + 2 : units < TCACHE_SMALL_BINS + 2) return false;
    // The walk took it for used: its neighbour was told nothing of its being free. Large bins take mapped chunks, too.
    const isUsed = rows.state[row] === IN_USE || rows.state[row] === MMAPPED;
    if (!isUsed) return false;
    held.push(row);
    const next = findListPointer(image, user, isMangled);
    if (next === undefined) return false;
    user = next;
  }
  return true;
}

/** Sets the state of the chunks in the fastbins of `arena`. `mangledFirst` is what tcaches showed. */
export function markFastbins(
  view: HeapView,
  layout: MallocStateLayout,
  arena: MallocArena,
  mangledFirst: boolean,
  corruption: CorruptionLog,
): BinTotals {
  const totals = { chunks: 0, bytes: 0 };
  if (layout.fastbinsY < 0) return totals;
  for (let bin = 0; bin < NFASTBINS; bin++) {
    const first = findWord(view.image, arena.address + layout.fastbinsY + 8 * bin) ?? 0;
    if (first === 0) continue;
    const list =
      findFastList(view, first, bin, mangledFirst) ?? findFastList(view, first, bin, !mangledFirst);
    if (list === undefined) {
      corruption.add(
        'malloc-fastbin-broken',
        first,
        `fastbin ${bin} leads to no chunk of its size`,
      );
      continue;
    }
    for (const row of list) {
      view.rows.state[row] = FASTBIN;
      totals.chunks++;
      totals.bytes += view.rows.sizeUnits[row] * 16;
    }
  }
  return totals;
}

function findFastList(
  view: HeapView,
  first: Address,
  bin: number,
  isMangled: boolean,
): number[] | undefined {
  const list: number[] = [];
  for (let chunk = first; chunk !== 0; ) {
    const row = rowOfChunk(view, chunk);
    if (row < 0 || view.rows.sizeUnits[row] !== bin + 2 || list.length > view.rows.length) {
      return undefined;
    }
    list.push(row);
    const next = findListPointer(view.image, chunk + USER_BYTES, isMangled);
    if (next === undefined) return undefined;
    chunk = next;
  }
  return list;
}

/** Follows the doubly linked bins of an arena; a list that is broken ends there and is told. About 100 ns a chunk. */
export function walkBins(
  view: HeapView,
  layout: MallocStateLayout,
  arena: MallocArena,
  corruption: CorruptionLog,
): BinTotals {
  const totals = { chunks: 0, bytes: 0 };
  const { rows } = view;
  for (let bin = 0; bin < BIN_COUNT; bin++) {
    const head = arena.address + layout.bins + 16 * bin - USER_BYTES;
    let previous = head;
    let chunk = findWord(view.image, head + USER_BYTES);
    while (chunk !== head && chunk !== undefined) {
      // An arena that was never used has zeros.
      if (chunk === 0 && previous === head) break;
      const row = rowOfChunk(view, chunk);
      if (row < 0) {
        corruption.add('malloc-bin-broken', chunk, `bin ${bin + 1} leads to no chunk`);
        break;
      }
      if (findWord(view.image, chunk + USER_BYTES + 8) !== previous) {
        corruption.add('malloc-bin-broken', chunk, `bin ${bin + 1}: bk does not lead back`);
        break;
      }
      if (!isBinned(rows, row)) {
        corruption.add('malloc-bin-holds-used', chunk, `bin ${bin + 1} holds a chunk in use`);
        break;
      }
      totals.chunks++;
      totals.bytes += rows.sizeUnits[row] * 16;
      if (totals.chunks > rows.length) break;
      previous = chunk;
      chunk = findWord(view.image, chunk + USER_BYTES);
    }
    if (chunk === undefined) {
      corruption.add('malloc-bin-broken', previous, `bin ${bin + 1} leads to what was not copied`);
    }
  }
  return totals;
}

function isBinned(rows: ChunkRows, row: number): boolean {
  if (rows.state[row] === BINNED) return true;
  // The header that would have told was not copied.
  if (rows.state[row] !== IN_USE || row + 1 >= rows.length || rows.state[row + 1] !== GAP) {
    return false;
  }
  rows.state[row] = BINNED;
  return true;
}

/** Sets the states of all chunks in lists; totals are one row per arena. */
export function markFreeLists(
  view: HeapView,
  found: FoundArenas,
  corruption: CorruptionLog,
): { tcache: TcacheFound; fastbins: BinTotals[]; bins: BinTotals[] } {
  const tcache = markTcaches(view);
  const fastbins: BinTotals[] = [];
  const bins: BinTotals[] = [];
  for (const arena of found.arenas) {
    fastbins.push(markFastbins(view, found.layout, arena, tcache.isMangled, corruption));
    bins.push(walkBins(view, found.layout, arena, corruption));
  }
  return { tcache, fastbins, bins };
}
