// Makes a HeapGraph of sorted objects: writes previews and puts the roots in order. The objects' columns become the
// graph's without a copy: they are used up. So is the image, the largest of all: its memory is free again before the graph
// needs more.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import {
  growableUint8,
  growableUint32,
  type Uint8Column,
  type Uint32Column,
} from '../base/columns.ts';
import { type FoundObjects, LARGE } from '../cpython/found-objects.ts';
import type { ObjectReader, TypeInfo } from '../cpython/object-reader.ts';
import type { GraphTraces } from '../graph/allocation-traces.ts';
import type { Execution } from '../graph/execution.ts';
import {
  type CaptureFacts,
  type HeapGraph,
  NONE,
  NodeFlag,
  RootKind,
  type TypeRow,
} from '../graph/heap-graph.ts';
import type { NativeHeap } from '../graph/native-heap.ts';
import { type FoundRoot, LASTING, type SortedObjects } from './sort-found.ts';

export type WritePreview = (
  reader: ObjectReader,
  word: number,
  type: TypeInfo,
  out: Uint8Column,
) => void;

export interface BuildGraphOptions {
  sorted: SortedObjects;
  reader: ObjectReader;
  writePreview: WritePreview;
  /** In the order in which a path should prefer them; those that `sortFound` was given. */
  roots: readonly FoundRoot[];
  /** Nodes whose reference count is too high although no pointer leads to them. */
  lostNodes?: BitSet | undefined;
  native?: NativeHeap | undefined;
  traces?: GraphTraces | undefined;
  execution?: Execution | undefined;
  capture: CaptureFacts;
}

export function buildGraph(options: BuildGraphOptions): HeapGraph {
  const { found, nodeOf, edgeTarget } = options.sorted;
  const previews = buildPreviews(options);
  releaseBytes(found.image.halves);

  const types: TypeRow[] = found.types.map((type) => ({
    name: type.name,
    node: hasBit(found.objectBits, type.word) ? nodeOf(type.word) : NONE,
  }));
  return {
    nodeCount: found.word.length,
    edgeCount: edgeTarget.length,
    address: buildAddresses(found),
    typeId: found.typeId.finish(),
    shallowSize: widenSizes(found, found.shallowSize, 'shallow'),
    allocatedSize: widenSizes(found, found.allocatedSize, 'allocated'),
    referenceCount: found.referenceCount.finish(),
    nodeFlags: found.flags.finish(),
    ...previews,
    firstEdge: found.firstEdge.finish(),
    edgeTarget,
    edgeKind: found.edgeKind.finish(),
    edgeLabel: found.edgeLabel.finish(),
    ...buildWeakReferences(found, nodeOf),
    ...buildRoots(options, types),
    types,
    strings: found.strings,
    native: options.native,
    traces: options.traces,
    execution: options.execution,
    capture: options.capture,
  };
}

function buildWeakReferences(
  found: FoundObjects,
  nodeOf: (word: number) => number,
): Pick<HeapGraph, 'weakSource' | 'weakTarget'> {
  const sourceWord = found.weakSourceWord.finish();
  const targetWord = found.weakTargetWord.finish();
  // Words ascend like nodes.
  const rows = Uint32Array.from(sourceWord.keys()).sort((a, b) => sourceWord[a] - sourceWord[b]);
  return {
    weakSource: rows.map((row) => nodeOf(sourceWord[row])),
    weakTarget: rows.map((row) => nodeOf(targetWord[row])),
  };
}

/** Of all nodes, whose rows are sorted: the previews' bytes, and where each begins. */
function buildPreviews({
  sorted: { found },
  reader,
  writePreview,
}: BuildGraphOptions): Pick<HeapGraph, 'previewBytes' | 'previewStart'> {
  const nodeCount = found.word.length;
  const previewStart = new Uint32Array(nodeCount + 1);
  // Untouched capacity costs no memory; growing copies.
  const previews = growableUint8(nodeCount * 32 + 1024);
  const words = found.word.array;
  const typeIds = found.typeId.array;
  for (let node = 0; node < nodeCount; node++) {
    writePreview(reader, words[node], found.types[typeIds[node]], previews);
    previewStart[node + 1] = previews.length;
  }
  return { previewBytes: previews.finish(), previewStart };
}

/** Detaches the storage, whoever refers to it; its memory is free at the next collection, which large columns bring. */
function releaseBytes(cells: Uint32Array): void {
  structuredClone(cells.buffer, { transfer: [cells.buffer as ArrayBuffer] });
}

function widenSizes(
  found: FoundObjects,
  narrow: Uint32Column,
  name: 'shallow' | 'allocated',
): Float64Array {
  const size = new Float64Array(narrow.finish());
  const words = found.word.array;
  for (let node = size.indexOf(LARGE); node >= 0; node = size.indexOf(LARGE, node + 1)) {
    size[node] = found.largeSizes.get(words[node])?.[name] ?? LARGE;
  }
  narrow.clear();
  return size;
}

function buildAddresses({ image, word }: FoundObjects): Float64Array {
  const words = word.finish();
  const address = new Float64Array(words.length);
  // Words ascend: within a run the difference is the same.
  let runEnd = 0;
  let difference = 0;
  for (let node = 0; node < words.length; node++) {
    if (words[node] >= runEnd) {
      runEnd = image.runEnd(words[node]);
      difference = image.addressOfWord(words[node]) - words[node] * 8;
    }
    address[node] = words[node] * 8 + difference;
  }
  return address;
}

/** The given roots, then static types, other static and immortal objects, then what has more references than were found. */
function buildRoots(
  { sorted, reader, roots, lostNodes }: BuildGraphOptions,
  types: readonly TypeRow[],
): Pick<HeapGraph, 'rootNode' | 'rootKind' | 'rootLabel'> {
  const { found, nodeOf, explained } = sorted;
  const nodeFlags = found.flags.array;
  const referenceCount = found.referenceCount.array;
  const nodeCount = found.word.length;
  const rootNode = growableUint32();
  const rootKind = growableUint8();
  const rootLabel = growableUint32();
  const push = (node: number, kind: RootKind, label: number) => {
    rootNode.push(node);
    rootKind.push(kind);
    rootLabel.push(label);
  };

  const isRoot = makeBitSet(nodeCount);
  for (const root of roots) {
    if (!hasBit(found.objectBits, root.word)) continue;
    const node = nodeOf(root.word);
    // Caches are among these: an immortal object must not change its root when it is looked up.
    if (root.kind !== RootKind.interned) setBit(isRoot, node);
    push(node, root.kind, root.label === '' ? NONE : reader.intern(root.label));
  }
  for (const { name, node } of types) {
    if (node === NONE || hasBit(isRoot, node)) continue;
    if ((nodeFlags[node] & NodeFlag.static) === 0) continue;
    setBit(isRoot, node);
    push(node, RootKind.type, reader.intern(name));
  }
  for (let node = 0; node < nodeCount; node++) {
    if (hasBit(isRoot, node)) continue;
    if ((nodeFlags[node] & LASTING) !== 0) push(node, RootKind.interned, NONE);
    else if (referenceCount[node] > explained[node]) {
      const isLost = lostNodes !== undefined && hasBit(lostNodes, node);
      push(node, isLost ? RootKind.lostReference : RootKind.native, NONE);
    }
  }
  return {
    rootNode: rootNode.finish(),
    rootKind: rootKind.finish(),
    rootLabel: rootLabel.finish(),
  };
}
