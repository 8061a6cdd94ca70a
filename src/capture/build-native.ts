// Everything of a capture that is no Python object: joins the sorted objects, pymalloc, malloc's heap and the residency of
// the mappings into a NativeHeap, and finds the objects whose last reference was lost.

import type { BitSet } from '../base/bit-set.ts';
import type { Problems } from '../base/problems.ts';
import type { PythonRuntime } from '../cpython/find-runtime.ts';
import type { Layout } from '../cpython/layout.ts';
import type { Pymalloc } from '../cpython/pymalloc.ts';
import { NodeFlag } from '../graph/heap-graph.ts';
import { countFree, type NativeHeap } from '../graph/native-heap.ts';
import type { FoundAllocator } from '../malloc/allocators.ts';
import { type MallocHeap, readMallocHeap } from '../malloc/malloc-heap.ts';
import type { MappingResidency } from '../memory/copy-layout.ts';
import type { Mapping } from '../memory/mappings.ts';
import { type MemoryImage, PAGE_SIZE, type PageRun } from '../memory/memory-image.ts';
import type { ThreadState } from '../memory/threads.ts';
import { makeSignatureFinder, type NameAddress } from './block-signatures.ts';
import { BlockSpace } from './block-space.ts';
import { buildLedger } from './build-ledger.ts';
import { findNative } from './find-native.ts';
import { findPins } from './find-pins.ts';
import { findZeroPages } from './find-zero-pages.ts';
import { listNativeBlocks } from './native-blocks.ts';
import { findNumberWords, type ReadFromFile } from './number-words.ts';
import { computeAllocatorRegions, findRootRanges, findStacks } from './regions.ts';
import { ResidentRanges } from './resident-ranges.ts';
import type { FoundRoot, SortedObjects } from './sort-found.ts';

/** Below this, nobody asks who holds free memory. */
const LEAST_FREE_BYTES = 1 << 20;
const NOTABLE_FREE_SHARE = 0.1;

/** What the copy knows beside its pages. */
export interface NativeSource {
  mappings: readonly Mapping[];
  threads: readonly ThreadState[];
  residency: readonly MappingResidency[];
  /** Resident pages of blocks that were not copied. */
  skippedRuns: readonly PageRun[];
  /** Pages that others have, too, or that are the kernel's page of zeros. */
  commonRuns: readonly PageRun[];
  rssBytes: number;
  pssBytes: number | undefined;
  allocator: FoundAllocator;
  nameAddress: NameAddress;
  readFromFile: ReadFromFile;
}

export interface BuildNativeOptions {
  source: NativeSource;
  image: MemoryImage;
  runtime: PythonRuntime;
  pymalloc: Pymalloc;
  /** See `findMallocHeap`. */
  heap: MallocHeap | undefined;
  sorted: SortedObjects;
  roots: readonly FoundRoot[];
  ownedBits: BitSet;
  findTypeName: (lo: number, hi: number) => string | undefined;
}

/** The chunks of glibc's malloc; undefined where another allocator stands behind malloc. */
export function findMallocHeap(
  source: NativeSource,
  image: MemoryImage,
  pymalloc: Pymalloc,
  problems: Problems,
): MallocHeap | undefined {
  const isGlibc = source.allocator.name === 'glibc' || source.allocator.name === 'unknown';
  return isGlibc ? readMallocHeap(image, source.mappings, problems, pymalloc.arenas) : undefined;
}

/** Some 0.2 microseconds an object; see docs/benchmarks.md. Changes the image (see `findNative`). */
export function buildNative(options: BuildNativeOptions): {
  native: NativeHeap;
  lostNodes: BitSet;
} {
  const { source, image, runtime, pymalloc, heap, sorted } = options;
  const space = new BlockSpace(image, pymalloc, heap);
  const stacks = findStacks(source.mappings, source.threads);
  const regions = computeAllocatorRegions(space);
  const lists = (heap?.arenas ?? []).map(({ address }) => ({
    start: address,
    end: address + (heap?.stateBytes ?? 0),
  }));
  const changed = new Set(
    source.residency.filter(({ ownPages }) => ownPages > 0).map(({ mapping }) => mapping),
  );
  const zeroPages = findZeroPages(image, source.commonRuns, countSurplus(source));
  const resident = new ResidentRanges(image, source.skippedRuns, zeroPages);
  const { marks, lostNodes, excess, holders } = findNative({
    space,
    resident,
    numbers: findNumberWords(
      sorted,
      runtime.layout,
      // Elsewhere no number of a library looks like an address.
      regions.some(({ start }) => start < 2 ** 32) ? source.mappings : [],
      source.readFromFile,
    ),
    textOffsets: findTextOffsets(runtime.layout),
    sorted,
    roots: options.roots,
    ownedBits: options.ownedBits,
    rootRanges: findRootRanges(source.mappings, stacks, regions, lists, changed),
    threads: source.threads,
    listHeads: runtime.interpreters.flatMap((interpreter) => [...interpreter.generationHeads]),
    interpreterRanges: findInterpreterRanges(runtime, source.mappings),
  });
  const findSignature = makeSignatureFinder({
    image,
    nameAddress: source.nameAddress,
    findTypeName: options.findTypeName,
    lists,
  });
  const { groups, ...columns } = listNativeBlocks({
    space,
    marks,
    sorted,
    holders,
    findSignature,
  });
  const { ledger, threads, mappings, arenas } = buildLedger({
    space,
    marks,
    resident,
    residency: source.residency,
    stacks,
    regions,
    rssBytes: source.rssBytes,
    foreignObjectBytes: heap === undefined ? countForeignBytes(space, sorted) : 0,
  });
  const isMuchFree =
    countFree(ledger) > Math.max(LEAST_FREE_BYTES, ledger.rssBytes * NOTABLE_FREE_SHARE);
  const native: NativeHeap = {
    ...columns,
    excessNode: excess.node,
    excessCount: excess.count,
    facts: {
      ledger: { ...ledger, pssBytes: source.pssBytes },
      allocator: heap === undefined ? source.allocator.name : 'glibc',
      evidence: [source.allocator.evidence, ...(heap?.method ?? [])],
      blocksAreKnown: heap !== undefined,
      groups,
      threads,
      mappings,
      arenas,
      pins: isMuchFree ? findPins(space, sorted, resident) : [],
      corruption: (heap?.corruption ?? []).map(
        ({ address, what }) => `0x${address.toString(16)}: ${what}`,
      ),
    },
  };
  return { native, lostNodes };
}

/** Of bytes, of ASCII text, of other text. */
const findTextOffsets = (layout: Layout): number[] => [
  layout.word('PyBytesObject.ob_sval'),
  layout.size('PyASCIIObject') / 8,
  layout.size('PyCompactUnicodeObject') / 8,
];

/** Pages that pagemap tells of and the resident set does not have. */
function countSurplus({ residency, rssBytes }: NativeSource): number {
  let pages = -rssBytes / PAGE_SIZE;
  for (const { ownPages, filePages, swappedPages } of residency) {
    pages += ownPages + filePages + swappedPages;
  }
  return pages;
}

/** The interpreters' states, and the data of the file that the interpreter's code is in. */
function findInterpreterRanges(runtime: PythonRuntime, mappings: readonly Mapping[]) {
  const { layout, typeType } = runtime;
  const sizeBytes = layout.size('PyInterpreterState');
  const ranges = runtime.interpreters.map(({ address }) => ({
    start: address,
    end: address + sizeBytes,
  }));
  const row = mappings.findIndex(({ start, end }) => start <= typeType && typeType < end);
  // Its .bss is anonymous memory directly behind.
  for (let i = row; i >= 0 && i < mappings.length; i++) {
    const { start, end, writable, inode } = mappings[i];
    const isNext = i === row || (start === mappings[i - 1].end && writable);
    if (!isNext || (inode !== 0 && inode !== mappings[row].inode)) break;
    if (writable) ranges.push({ start, end });
  }
  return ranges;
}

/** Bytes of objects outside of pymalloc and of libraries' data, where malloc's blocks are not known. */
function countForeignBytes(space: BlockSpace, { found }: SortedObjects): number {
  let bytes = 0;
  for (let row = 0; row < found.word.length; row++) {
    if ((found.flags.array[row] & NodeFlag.static) !== 0) continue;
    if (!space.isInPool(found.word.array[row])) bytes += found.shallowSize.array[row];
  }
  return bytes;
}
