// Whether tracemalloc traces, and where its tables lie: in _PyRuntime (3.12), in static variables of _tracemalloc.c by
// their symbols (3.8 to 3.11), or by a search where those were stripped (tracemalloc-search.ts).
// Source: Modules/_tracemalloc.c (3.8 to 3.12), Python/tracemalloc.c (3.13), Include/internal/pycore_tracemalloc.h.

import { MemoryReadError } from '../base/errors.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { SEARCH_BYTES, searchOffset } from './field-shifts.ts';
import type { RuntimeLocation } from './find-runtime.ts';
import { searchTracerTables } from './tracemalloc-search.ts';

const RUNTIME_FIELD = '_PyRuntimeState.tracemalloc';
const INITIALIZED = 1;
/** tracemalloc.start() takes fewer since 3.9; 3.8 took more. */
const MAX_FRAMES = 65_535;

/** Where the tables of a tracer that is on lie. */
export interface TracerTables {
  maxFrames: number;
  tracedBytes: number;
  peakBytes: number | undefined;
  /** Addresses of the _Py_hashtable_t; 0 where a version has none. */
  filenames: Address;
  tracebacks: Address;
  traces: Address;
  domains: Address;
  /** How they were found, in words. */
  method: string;
}

export type FoundTracer =
  | { state: 'off' }
  | { state: 'unreadable'; reason: string }
  | ({ state: 'on' } & TracerTables);

interface TracerConfig {
  address: Address;
  isTracing: boolean;
  maxFrames: number;
}

/** A few reads. undefined where the state of the tracer cannot be told. */
export function findIsTracing(
  memory: MemoryReader,
  location: RuntimeLocation,
): boolean | undefined {
  return findConfig(memory, location)?.isTracing;
}

/** Costs nothing when it is off. Never throws. */
export function findTracer(image: MemoryImage, location: RuntimeLocation): FoundTracer {
  try {
    return findTables(image, location);
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
    return { state: 'unreadable', reason: 'its tables were not copied' };
  }
}

function findTables(image: MemoryImage, location: RuntimeLocation): FoundTracer {
  const config = findConfig(image, location);
  if (config === undefined) return { state: 'unreadable', reason: 'its state was not found' };
  if (!config.isTracing) return { state: 'off' };
  const { maxFrames } = config;
  if (location.layout.has(RUNTIME_FIELD)) {
    return { state: 'on', maxFrames, ...readRuntimeFields(image, location, config.address) };
  }
  const bySymbols = findBySymbols(image, location);
  if (bySymbols !== undefined) return { state: 'on', maxFrames, ...bySymbols };
  const bySearch = searchTracerTables(image, location, maxFrames);
  if (bySearch !== undefined) return { state: 'on', maxFrames, ...bySearch };
  const reason = 'this Python has no symbols, and its tables were not found by their content';
  return { state: 'unreadable', reason };
}

function findConfig(memory: MemoryReader, location: RuntimeLocation): TracerConfig | undefined {
  const { layout } = location;
  const address = layout.has(RUNTIME_FIELD)
    ? findRuntimeConfig(memory, location)
    : location.findSymbol('_Py_tracemalloc_config');
  if (address === undefined) return undefined;
  try {
    const at = (field: string) => address + layout.offset(`_PyTraceMalloc_Config.${field}`);
    const initialized = memory.readU32(at('initialized'));
    const tracing = memory.readU32(at('tracing'));
    const maxFrames = memory.readU32(at('max_nframe'));
    if (initialized > 2 || tracing > 1 || maxFrames > 2 ** 31) return undefined;
    const isTracing = initialized === INITIALIZED && tracing === 1;
    return { address, isTracing, maxFrames: Math.min(maxFrames, MAX_FRAMES) };
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/** Where the layout says, or near it where a micro release has moved it and it is on. */
function findRuntimeConfig(
  memory: MemoryReader,
  { layout, runtimeAddress }: RuntimeLocation,
): Address | undefined {
  const expected = layout.offset(RUNTIME_FIELD);
  const isConfig = (offset: number) => {
    const address = runtimeAddress + offset;
    const maxFrames = memory.readU32(address + layout.offset('_PyTraceMalloc_Config.max_nframe'));
    return (
      memory.readU32(address) <= 2 &&
      memory.readU32(address + layout.offset('_PyTraceMalloc_Config.tracing')) <= 1 &&
      maxFrames > 0 &&
      maxFrames <= MAX_FRAMES
    );
  };
  // Whatever is on keeps four tables side by side, with their sizes in front of them.
  const hasTables = (offset: number) => {
    const moved = runtimeAddress + offset - expected;
    const table = (name: string) => memory.readAddress(moved + layout.offset(fieldOf(name)));
    const bucketCount = memory.readI64(table('traces') + 8);
    return (
      memory.readU32(runtimeAddress + offset) === INITIALIZED &&
      bucketCount >= 16 &&
      2 ** Math.round(Math.log2(bucketCount)) === bucketCount &&
      memory.readI64(moved + layout.offset(fieldOf('traced_memory'))) <=
        memory.readI64(moved + layout.offset(fieldOf('peak_traced_memory')))
    );
  };
  const found =
    searchOffset(0, expected, isConfig) ??
    searchOffset(SEARCH_BYTES, expected, isConfig, hasTables);
  return found === undefined ? undefined : runtimeAddress + found;
}

const fieldOf = (name: string): string => `${RUNTIME_FIELD}.${name}`;

function readRuntimeFields(
  image: MemoryImage,
  { layout }: RuntimeLocation,
  config: Address,
): Omit<TracerTables, 'maxFrames'> {
  const base = config - layout.offset(RUNTIME_FIELD);
  const at = (name: string) => base + layout.offset(fieldOf(name));
  return {
    tracedBytes: image.readI64(at('traced_memory')),
    peakBytes: image.readI64(at('peak_traced_memory')),
    filenames: image.readAddress(at('filenames')),
    tracebacks: image.readAddress(at('tracebacks')),
    traces: image.readAddress(at('traces')),
    domains: image.readAddress(at('domains')),
    method: 'tracemalloc by _PyRuntime.tracemalloc',
  };
}

function findBySymbols(
  image: MemoryImage,
  location: RuntimeLocation,
): Omit<TracerTables, 'maxFrames'> | undefined {
  const at = (name: string) => location.findSymbol(`tracemalloc_${name}`);
  const [traces, tracebacks, filenames] = [at('traces'), at('tracebacks'), at('filenames')];
  const [traced, peak] = [at('traced_memory'), at('peak_traced_memory')];
  if (traces === undefined || tracebacks === undefined || filenames === undefined) return undefined;
  if (traced === undefined || peak === undefined) return undefined;
  const domains = at('domains');
  return {
    tracedBytes: image.readI64(traced),
    peakBytes: image.readI64(peak),
    filenames: image.readAddress(filenames),
    tracebacks: image.readAddress(tracebacks),
    traces: image.readAddress(traces),
    domains: domains === undefined ? 0 : image.readAddress(domains),
    method: 'tracemalloc by its symbols',
  };
}

/** Address of the table of file names, by fields and symbols alone: a few reads. Throws MemoryReadError. */
export function findFileNamesTable(
  memory: MemoryReader,
  location: RuntimeLocation,
): Address | undefined {
  const { layout } = location;
  const config = findConfig(memory, location);
  if (config?.isTracing !== true) return undefined;
  const place = layout.has(RUNTIME_FIELD)
    ? config.address - layout.offset(RUNTIME_FIELD) + layout.offset(fieldOf('filenames'))
    : location.findSymbol('tracemalloc_filenames');
  const table = place === undefined ? 0 : memory.readAddress(place);
  return table === 0 ? undefined : table;
}

/**
 * Whether the tables are being changed at this moment: then a copy may show them in disorder. Of a target that stands
 * still; a few reads. False where the lock cannot be found.
 */
export function areTablesLocked(memory: MemoryReader, location: RuntimeLocation): boolean {
  const { layout } = location;
  try {
    const config = findConfig(memory, location);
    if (config?.isTracing !== true) return false;
    if (layout.has(fieldOf('tables_lock._bits'))) {
      const moved = config.address - layout.offset(RUNTIME_FIELD);
      return (memory.readU8(moved + layout.offset(fieldOf('tables_lock._bits'))) & 1) === 1;
    }
    const place = layout.has(RUNTIME_FIELD)
      ? config.address - layout.offset(RUNTIME_FIELD) + layout.offset(fieldOf('tables_lock'))
      : location.findSymbol('tables_lock');
    if (place === undefined) return false;
    const semaphore = memory.readAddress(place);
    // sem_t of glibc and musl: the value in the first 4 bytes, 0 when it is taken; the highest bit: somebody waits.
    return semaphore !== 0 && (memory.readU32(semaphore) & 0x7fffffff) === 0;
  } catch (error) {
    if (error instanceof MemoryReadError) return false;
    throw error;
  }
}
