// Finds pymalloc's tables of arenas: turns a runtime and an image into the arenas that exist, by the static variables
// `arenas` and `maxarenas` (3.8 to 3.11), a search for them in stripped builds, or the obmalloc state of each interpreter
// (inside PyInterpreterState in 3.12, behind a pointer since 3.13).
// Source: Objects/obmalloc.c (3.8 to 3.11), Include/internal/pycore_obmalloc.h (3.12 to 3.15).

import { MemoryReadError } from '../base/errors.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { interpreterOffset } from './field-shifts.ts';
import type { PythonRuntime } from './find-runtime.ts';

/** 16 GiB of arenas of 256 KiB, four times over. */
export const MAX_ARENAS = 1 << 18;
const MAX_POOLS_PER_ARENA = 1 << 12;
const SEARCH_BYTES = 1024;

export interface Arena {
  /** As the allocator of arenas gave it; pools begin at the next multiple of their size. */
  start: Address;
  /** Its first pool. */
  poolsStart: Address;
  /** Behind the last pool that was ever used. */
  carvedEnd: Address;
  poolCount: number;
  /** Empty ones, those that were never used included. */
  freePoolCount: number;
  /** Row in the table; the pools of the arena repeat it. */
  index: number;
}

export interface ArenaTables {
  arenas: Arena[];
  /** Entries of the tables that make no sense; their pools are found by their headers only. */
  badEntries: number;
  /** Blocks given out by malloc for requests above 512 bytes; undefined where the counter cannot be found. */
  rawAllocatedBlocks: number | undefined;
  /** How the tables were found; empty when none was. */
  method: string;
}

/** A pool seen by its header: for finding the table of a stripped build. */
export interface SeenPool {
  address: Address;
  arenaIndex: number;
}

/** All arenas of all interpreters. `seenPools` are used only where there are no symbols and no obmalloc state. */
export function readArenaTables(
  image: MemoryImage,
  runtime: PythonRuntime,
  seenPools: () => readonly SeenPool[],
): ArenaTables {
  const tables: ArenaTables = {
    arenas: [],
    badEntries: 0,
    rawAllocatedBlocks: undefined,
    method: '',
  };
  try {
    if (runtime.features.obmalloc === 'static') readStaticTable(image, runtime, seenPools, tables);
    else readObmallocStates(image, runtime, tables);
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
  }
  return tables;
}

function readObmallocStates(image: MemoryImage, runtime: PythonRuntime, tables: ArenaTables): void {
  const { layout } = runtime;
  const states = new Set<Address>();
  for (const interpreter of runtime.interpreters) {
    const state = findObmallocState(image, runtime, interpreter.address);
    if (state !== undefined) states.add(state);
  }
  for (const state of states) {
    readTable(
      image,
      runtime,
      image.readAddress(state + layout.offset('_obmalloc_state.mgmt.arenas')),
      image.readU32(state + layout.offset('_obmalloc_state.mgmt.maxarenas')),
      tables,
    );
    tables.rawAllocatedBlocks =
      (tables.rawAllocatedBlocks ?? 0) +
      image.readI64(state + layout.offset('_obmalloc_state.mgmt.raw_allocated_blocks'));
  }
  if (states.size > 0) tables.method = 'arenas by PyInterpreterState.obmalloc';
}

/** Micro releases move the field: the nearest place that holds a state is taken. */
export function findObmallocState(
  image: MemoryReader,
  runtime: PythonRuntime,
  interpreter: Address,
): Address | undefined {
  const offset = interpreterOffset(runtime.layout, runtime.shifts, 'PyInterpreterState.obmalloc');
  const isPointer = runtime.features.obmalloc === 'pointer';
  for (let distance = 0; distance <= SEARCH_BYTES; distance += 8) {
    for (const place of distance === 0 ? [offset] : [offset - distance, offset + distance]) {
      try {
        const at = interpreter + place;
        const state = isPointer ? image.readAddress(at) : at;
        if (isObmallocState(image, runtime, state)) return state;
      } catch (error) {
        if (!(error instanceof MemoryReadError)) throw error;
      }
    }
  }
  return undefined;
}

/** The first words are `used`: pairs of equal pointers to pools or to 16 bytes before the pair itself. */
function isObmallocState(image: MemoryReader, runtime: PythonRuntime, state: Address): boolean {
  if (state === 0 || state % 8 !== 0) return false;
  const { layout } = runtime;
  const arenas = image.readAddress(state + layout.offset('_obmalloc_state.mgmt.arenas'));
  const maxArenas = image.readU32(state + layout.offset('_obmalloc_state.mgmt.maxarenas'));
  const inUse = image.readI64(
    state + layout.offset('_obmalloc_state.mgmt.narenas_currently_allocated'),
  );
  const highest = image.readI64(state + layout.offset('_obmalloc_state.mgmt.narenas_highwater'));
  if (maxArenas > MAX_ARENAS || inUse < 0 || inUse > maxArenas || highest < inUse) return false;
  if ((arenas === 0) !== (maxArenas === 0) || arenas % 8 !== 0) return false;
  return isPoolListHead(image, state, 0) && isPoolListHead(image, state, 1);
}

/** usedpools[2 * i] and [2 * i + 1] are nextpool and prevpool of a pool header of which only these exist. */
function isPoolListHead(image: MemoryReader, state: Address, sizeClass: number): boolean {
  const pair = state + sizeClass * 16;
  const header = pair - 16;
  const next = image.readAddress(pair);
  const previous = image.readAddress(pair + 8);
  if (next === header || previous === header) return next === previous;
  return next !== 0 && next % 4096 === 0 && previous % 4096 === 0;
}

function readStaticTable(
  image: MemoryImage,
  runtime: PythonRuntime,
  seenPools: () => readonly SeenPool[],
  tables: ArenaTables,
): void {
  const arenas = runtime.findSymbol('arenas');
  const maxArenas = runtime.findSymbol('maxarenas');
  const raw = runtime.findSymbol('raw_allocated_blocks');
  if (raw !== undefined) tables.rawAllocatedBlocks = image.readI64(raw);
  if (arenas !== undefined && maxArenas !== undefined) {
    readTable(image, runtime, image.readAddress(arenas), image.readU32(maxArenas), tables);
    tables.method = 'arenas by the symbols arenas and maxarenas';
    return;
  }
  const pools = seenPools();
  const table = pools.length === 0 ? undefined : searchTable(image, runtime, pools);
  if (table === undefined) return;
  let highest = 0;
  for (const pool of pools) highest = Math.max(highest, pool.arenaIndex);
  // A block for 2^n * 16 entries; what lies behind the highest arena with a pool in use is empty.
  readTable(image, runtime, table, highest + 1, tables);
  tables.method = 'arenas by a search in static data that agrees with all pools';
}

/** The table that a word of the static data points at and that knows the arenas of all pools. */
function searchTable(
  image: MemoryImage,
  runtime: PythonRuntime,
  pools: readonly SeenPool[],
): Address | undefined {
  const samples = new Map<number, Address>();
  for (const pool of pools) samples.set(pool.arenaIndex, pool.address);
  const entryBytes = runtime.layout.size('arena_object');
  let best: { table: Address; agreeing: number } | undefined;
  for (const range of runtime.staticRanges) {
    for (let at = Math.ceil(range.start / 8) * 8; at < range.end; at += 8) {
      const word = image.wordAtAddress(at);
      if (word === 0) continue;
      const lo = image.halves[word * 2];
      const hi = image.halves[word * 2 + 1];
      if ((lo & 7) !== 0 || image.wordAt(lo, hi) === 0) continue;
      const table = lo + hi * 2 ** 32;
      let agreeing = 0;
      let missed = 0;
      for (const [index, address] of samples) {
        if (coversPool(image, runtime, table + index * entryBytes, address)) agreeing++;
        else if (++missed > samples.size / 8) break;
      }
      if (missed <= samples.size / 8 && agreeing > (best?.agreeing ?? 0))
        best = { table, agreeing };
    }
  }
  return best?.table;
}

function coversPool(
  image: MemoryImage,
  runtime: PythonRuntime,
  entry: Address,
  pool: Address,
): boolean {
  const word = image.wordAtAddress(entry);
  if (word === 0) return false;
  const start = image.halves[word * 2] + image.halves[word * 2 + 1] * 2 ** 32;
  return start !== 0 && pool >= start && pool < start + runtime.features.arenaBytes;
}

function readTable(
  image: MemoryImage,
  runtime: PythonRuntime,
  table: Address,
  arenaCount: number,
  tables: ArenaTables,
): void {
  const { layout } = runtime;
  const { poolBytes } = runtime.features;
  const at = (field: string) => layout.offset(`arena_object.${field}`);
  const entryBytes = layout.size('arena_object');
  for (let index = 0; index < Math.min(arenaCount, MAX_ARENAS); index++) {
    const entry = table + index * entryBytes;
    if (!image.has(entry, entryBytes)) {
      tables.badEntries++;
      continue;
    }
    const address = image.readAddress(entry + at('address'));
    if (address === 0) continue;
    const poolCount = image.readU32(entry + at('ntotalpools'));
    const freePoolCount = image.readU32(entry + at('nfreepools'));
    const carvedEnd = image.readAddress(entry + at('pool_address'));
    const poolsStart = Math.ceil(address / poolBytes) * poolBytes;
    const isPlausible =
      poolCount > 0 &&
      poolCount <= MAX_POOLS_PER_ARENA &&
      freePoolCount <= poolCount &&
      carvedEnd >= poolsStart &&
      carvedEnd <= poolsStart + poolCount * poolBytes &&
      carvedEnd % poolBytes === 0;
    if (isPlausible) {
      tables.arenas.push({
        start: address,
        poolsStart,
        carvedEnd,
        poolCount,
        freePoolCount,
        index,
      });
    } else tables.badEntries++;
  }
}
