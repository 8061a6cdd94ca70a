// What of a process need not be copied when only tracemalloc's tables are wanted: pymalloc's arenas, which hold small
// objects, but for the pages with names of files. Turns a live or stopped process into ranges of addresses by a few reads.
// Source: as arena-table.ts and tracemalloc-state.ts. Not handled: stripped builds of 3.8 to 3.11, where nothing is left out.

import { MemoryReadError } from '../base/errors.ts';
import { type AddressRange, subtractRanges } from '../memory/address-ranges.ts';
import { PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findObmallocState, MAX_ARENAS } from './arena-table.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { findFileNamesTable } from './tracemalloc-state.ts';

const TWO_32 = 2 ** 32;
/** More names, and looking for them would take longer than copying. */
const MAX_NAMES = 20_000;
const MAX_BUCKETS = 1 << 20;
/** What pymalloc gives out at most. */
const MAX_OBJECT_BYTES = 512;

/** Some microseconds a file name; empty where the arenas or the names cannot be told. Ascending. */
export function findUnneededArenas(memory: MemoryReader, runtime: PythonRuntime): AddressRange[] {
  try {
    const names = findNamePages(memory, runtime);
    if (names === undefined) return [];
    return findArenaRanges(memory, runtime).flatMap((arena) => subtractRanges(arena, names));
  } catch (error) {
    if (error instanceof MemoryReadError) return [];
    throw error;
  }
}

function findArenaRanges(memory: MemoryReader, runtime: PythonRuntime): AddressRange[] {
  const { layout, features } = runtime;
  const starts = new Set<Address>();
  for (const { table, count } of findTables(memory, runtime)) {
    if (table === 0 || count === 0 || count > MAX_ARENAS) continue;
    const entryBytes = layout.size('arena_object');
    const bytes = memory.bytesAt(table, count * entryBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += entryBytes) {
      const start = view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
      if (start !== 0 && start % PAGE_SIZE === 0) starts.add(start);
    }
  }
  return [...starts]
    .sort((a, b) => a - b)
    .map((start) => ({ start, end: start + features.arenaBytes }));
}

function findTables(
  memory: MemoryReader,
  runtime: PythonRuntime,
): { table: Address; count: number }[] {
  const { layout, features } = runtime;
  if (features.obmalloc === 'static') {
    const [arenas, maxArenas] = ['arenas', 'maxarenas'].map((name) => runtime.findSymbol(name));
    if (arenas === undefined || maxArenas === undefined) return [];
    return [{ table: memory.readAddress(arenas), count: memory.readU32(maxArenas) }];
  }
  const states = new Set(
    runtime.interpreters.map(({ address }) => findObmallocState(memory, runtime, address)),
  );
  states.delete(undefined);
  return [...(states as Set<Address>)].map((state) => ({
    table: memory.readAddress(state + layout.offset('_obmalloc_state.mgmt.arenas')),
    count: memory.readU32(state + layout.offset('_obmalloc_state.mgmt.maxarenas')),
  }));
}

/** The pages in which names of files may lie, ascending; undefined if there are too many names or none can be found. */
function findNamePages(memory: MemoryReader, runtime: PythonRuntime): AddressRange[] | undefined {
  const { layout } = runtime;
  const table = findFileNamesTable(memory, runtime);
  if (table === undefined) return undefined;
  const at = (field: string) => table + layout.offset(`_Py_hashtable_t.${field}`);
  const isInline = layout.has('_Py_hashtable_t.key_size');
  const bucketCount = memory.readI64(at(isInline ? 'num_buckets' : 'nbuckets'));
  if (bucketCount < 1 || bucketCount > MAX_BUCKETS) return undefined;
  const buckets = memory.bytesAt(memory.readAddress(at('buckets')), bucketCount * 8);
  const view = new DataView(buckets.buffer, buckets.byteOffset, buckets.byteLength);
  const pages = new Set<Address>();
  let count = 0;
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    let entry = view.getUint32(bucket * 8, true) + view.getUint32(bucket * 8 + 4, true) * TWO_32;
    while (entry !== 0) {
      if (++count > MAX_NAMES) return undefined;
      // Next, hash, key.
      const head = memory.bytesAt(entry, 24);
      const words = new DataView(head.buffer, head.byteOffset, head.byteLength);
      const name = words.getUint32(16, true) + words.getUint32(20, true) * TWO_32;
      pages.add(name - (name % PAGE_SIZE));
      pages.add(name + MAX_OBJECT_BYTES - ((name + MAX_OBJECT_BYTES) % PAGE_SIZE));
      entry = words.getUint32(0, true) + words.getUint32(4, true) * TWO_32;
    }
  }
  return [...pages].sort((a, b) => a - b).map((start) => ({ start, end: start + PAGE_SIZE }));
}
