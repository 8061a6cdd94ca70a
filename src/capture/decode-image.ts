// Turns the copied pages of one target into a HeapGraph: finds the interpreters in the copy, enumerates pymalloc's blocks
// and the collector's lists, decodes all objects, and names the roots. Works on a live process's copy and, later, on the
// memory of a core file alike. With a second thread it takes about two thirds of the time, and gives the same graph.

import { setBit } from '../base/bit-set.ts';
import { Problems } from '../base/problems.ts';
import { makeCodeReader } from '../cpython/code-reader.ts';
import { findCollectorState } from '../cpython/collector-state.ts';
import { interpreterOffset } from '../cpython/field-shifts.ts';
import type { ObjectFinder } from '../cpython/find-objects.ts';
import { type PythonRuntime, type RuntimeLocation, readRuntime } from '../cpython/find-runtime.ts';
import { readTrackedObjects } from '../cpython/gc-lists.ts';
import { makePreviewWriter } from '../cpython/preview.ts';
import { forEachLiveBlock, readPymalloc } from '../cpython/pymalloc.ts';
import { referenceCountsOf } from '../cpython/reference-counts.ts';
import type { CaptureFacts, HeapGraph } from '../graph/heap-graph.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { ThreadState } from '../memory/threads.ts';
import { collectGarbage } from '../threads/collect-garbage.ts';
import { buildExecution } from './build-execution.ts';
import { buildGraph, draftGraph, type GraphDraft } from './build-graph.ts';
import { buildNative, findMallocHeap, type NativeSource } from './build-native.ts';
import { addChunkObjects } from './chunk-objects.ts';
import type { DecodeThread } from './decode-thread.ts';
import { type FinderFacts, makeFinder } from './make-finder.ts';
import { readRoots } from './read-roots.ts';
import { buildGraphTraces, readTraces } from './read-traces.ts';
import { type SortHelper, sortFound } from './sort-found.ts';
import { type Previews, writePreviews } from './write-previews.ts';

/** Objects decoded between two chances to cancel: some 50 ms. */
const PORTION = 200_000;
/** Six bit sets of words: objects, tracked, owned, raw, blocks, marks. */
const BIT_SET_BYTES_PER_WORD = 6 / 8;
/** While the copy is still there: explained references, previews and where they begin. */
const SORT_BYTES_PER_OBJECT = 4 + 16 + 4;
/** Two cells per 32 words. */
const RANK_BYTES_PER_WORD = 8 / 32;

export interface DecodeImageOptions {
  /** Used up: its pages are given back before the graph needs as much memory. */
  image: MemoryImage;
  location: RuntimeLocation;
  /** [start, end) of the anonymous writable mappings, stacks left out: where an allocator's blocks may lie. */
  heapRanges: readonly { start: number; end: number }[];
  /** Facts of the copy; problems, coverage, collector and method are added here. */
  facts: Omit<CaptureFacts, 'problems' | 'coverage' | 'python' | 'build' | 'collector' | 'tracer'>;
  /** Whether the collector's lists may be believed: no collection was running. */
  listsAreStable: boolean;
  /** What the kernel says of the threads. */
  threads?: readonly ThreadState[];
  /** Number of the main thread as the target sees it: its pid in its own namespace. */
  mainThreadId: number;
  /** Given to decode with it; the image's storage is then shared. Whoever gives it closes it. */
  thread?: DecodeThread | undefined;
  /** Given to look at the memory outside of Python objects, too. */
  native?: NativeSource | undefined;
  /**
   * Called between portions of work, with a count of objects and the bytes that the next portion is about to allocate; what it
   * throws cancels.
   */
  onProgress: (phase: string, done: number, neededBytes?: number) => Promise<void>;
}

/**
 * Throws UnsupportedError when the interpreters in the copy cannot be read. About 0.4 microseconds an object; see
 * docs/benchmarks.md.
 */
export async function decodeImage(options: DecodeImageOptions): Promise<HeapGraph> {
  const { image, thread } = options;
  const { draft, writing } = await decodeContents(options);
  // What numbered the objects, while the thread still writes.
  if (thread !== undefined) collectGarbage();
  const previews = await writing;
  image.release();
  if (thread !== undefined) {
    await thread.close();
    collectGarbage();
  }
  return buildGraph(draft, previews);
}

interface DecodedContents {
  draft: GraphDraft;
  writing: Previews | Promise<Previews>;
}

/** A function of its own, so that nothing that looks into the image is left when it returns. */
async function decodeContents(options: DecodeImageOptions): Promise<DecodedContents> {
  const { image, location, onProgress, thread } = options;
  const problems = new Problems();
  const runtime = readRuntime(image, location);
  await onProgress('reading pymalloc', 0);
  const pymalloc = readPymalloc(image, runtime, problems);
  const referenceCounts = referenceCountsOf(runtime.features);
  const facts: FinderFacts = {
    features: runtime.features,
    typeType: runtime.typeType,
    typesStates: findTypesStates(runtime),
    pymalloc,
    heapRanges: options.heapRanges,
  };
  const isShared = thread !== undefined;
  const finder = makeFinder(image, runtime.layout, facts, problems, { isShared });
  await onProgress('finding objects', 0, image.endWord * BIT_SET_BYTES_PER_WORD);
  await admitObjects(options, runtime, finder, facts, problems);
  const kernelThreads = options.threads ?? [];
  for (const { lacksStack, stackPointer } of kernelThreads) {
    if (lacksStack === true) problems.add('stack-not-in-core', stackPointer ?? 0);
  }
  const codeReader = makeCodeReader(image, runtime);
  const named = readRoots(
    image,
    runtime,
    problems,
    new Map(
      kernelThreads
        // A core does not have them.
        .filter(({ name }) => name !== '')
        .map((thread) => [thread.innerTid, thread.name]),
    ),
    options.mainThreadId,
    codeReader,
  );
  const { roots: namedRoots, weakDicts } = named;
  for (const dict of weakDicts) finder.addWeakDict(dict);
  for (const root of namedRoots) finder.admission.addRoot(root.address);
  const found = finder.startDecoding();
  const decodeRows = async (endRow?: number) => {
    while (finder.decodeSome(found, PORTION, endRow)) {
      await onProgress('decoding', found.flags.length);
    }
  };
  await thread?.decodeBlocks(finder, found, weakDicts, decodeRows);
  await decodeRows();
  const heap =
    options.native === undefined
      ? undefined
      : findMallocHeap(options.native, image, pymalloc, problems);
  if (heap !== undefined) {
    addChunkObjects({ heap, finder, referenceCounts, pymalloc });
    await decodeRows();
  }
  finder.admission.finish();
  // What came from the thread was copied.
  if (thread !== undefined) collectGarbage();
  await onProgress(
    'building the graph',
    0,
    found.word.length * SORT_BYTES_PER_OBJECT + image.endWord * RANK_BYTES_PER_WORD,
  );
  const roots = namedRoots.map((root) => ({ ...root, word: image.wordAtAddress(root.address) }));
  const collector = findCollectorState(image, runtime);
  let written: Promise<Previews> | undefined;
  let sorting: Promise<void> | undefined;
  const helper: SortHelper | undefined = thread && {
    sortColumns: (columns, moves) => {
      sorting = thread.sortColumns(columns, moves);
    },
    useNodes: (nodes) => {
      written = thread.writePreviews(finder, nodes);
    },
  };
  const sorted = sortFound(found, roots, helper);
  await sorting;
  const {
    tracer,
    traces,
    method: tracerMethod,
  } = readTraces(image, location, problems, (word) => setBit(finder.admission.ownedBits, word));
  const graphTraces = traces === undefined ? undefined : buildGraphTraces(traces, sorted, location);
  const execution = buildExecution({
    runtime,
    codeReader,
    threads: named.threads,
    kernelThreads,
    mainThreadId: options.mainThreadId,
    sorted,
    intern: (text) => finder.intern(text),
    problems,
  });
  if (options.native !== undefined) await onProgress('looking for lost memory', 0);
  const outside =
    options.native === undefined
      ? undefined
      : buildNative({
          source: options.native,
          image,
          runtime,
          pymalloc,
          heap,
          sorted,
          roots,
          ownedBits: finder.admission.ownedBits,
          findTypeName: (lo, hi) => {
            const typeId = finder.types.typeIdAt(lo, hi);
            return typeId < 0 ? undefined : finder.types.types[typeId].name;
          },
        });
  const writing =
    written ??
    writePreviews(finder, makePreviewWriter(runtime.layout), {
      word: found.word.finish(),
      typeId: found.typeId.finish(),
      types: found.types,
    });
  finder.release();
  const draft = draftGraph({
    sorted,
    intern: (text) => finder.intern(text),
    roots,
    lostNodes: outside?.lostNodes,
    native: outside?.native,
    traces: graphTraces,
    execution,
    capture: {
      ...options.facts,
      python: runtime.version.text,
      build: runtime.build,
      method: [
        ...options.facts.method,
        ...runtime.method,
        ...pymalloc.method,
        ...(tracerMethod ? [tracerMethod] : []),
      ],
      tracer,
      collector,
      problems: problems.list(),
      coverage:
        found.referencesFollowed === 0 ? 1 : 1 - found.referencesLost / found.referencesFollowed,
    },
  });
  return { draft, writing };
}

/** All that is an object by where it lies: in a block of pymalloc, in a list of the collector. */
async function admitObjects(
  { image, listsAreStable, thread }: DecodeImageOptions,
  runtime: PythonRuntime,
  finder: ObjectFinder,
  facts: FinderFacts,
  problems: Problems,
): Promise<void> {
  const { admission } = finder;
  const tracked = listsAreStable ? readTrackedObjects(image, runtime, problems) : undefined;
  if (tracked === undefined) problems.add('collection-was-running', 0);
  else admission.markTracked(tracked.words, tracked.damagedLists === 0);
  // Blocks first: in order of address, which is the order in which memory is fast to read.
  if (thread !== undefined) await thread.admitBlocks(finder, image, facts);
  else forEachLiveBlock(image, facts.pymalloc, (word, bytes) => admission.addBlock(word, bytes));
  for (const word of tracked?.words ?? []) {
    if (!admission.addTracked(word)) {
      problems.add('tracked-object-implausible', image.addressOfWord(word));
    }
  }
}

/** What each interpreter keeps for static types (3.12 and newer). */
function findTypesStates(runtime: PythonRuntime): number[] {
  const field = 'PyInterpreterState.types';
  if (!runtime.layout.has(field)) return [];
  const offset = interpreterOffset(runtime.layout, runtime.shifts, field);
  return runtime.interpreters.map((interpreter) => interpreter.address + offset);
}
