// Makes a HeapGraph of found objects: renumbers them by address, turns words into nodes, writes previews, and puts the
// roots in order. The found objects' columns are consumed edge by edge; both exist side by side for a moment.

import { type BitSet, countBits32, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint8, growableUint32 } from '../base/columns.ts';
import type { FoundObjects } from '../cpython/find-objects.ts';
import type { ObjectReader, TypeInfo } from '../cpython/object-reader.ts';
import {
  type CaptureFacts,
  type HeapGraph,
  NONE,
  NodeFlag,
  RootKind,
  type TypeRow,
} from '../graph/heap-graph.ts';

/** One reference that is held from outside the heap. */
export interface FoundRoot {
  word: number;
  kind: RootKind;
  label: string;
  /** Whether the object's reference count includes it and no edge stands for it. */
  isCounted: boolean;
}

export type WritePreview = (
  reader: ObjectReader,
  word: number,
  type: TypeInfo,
  out: ReturnType<typeof growableUint8>,
) => void;

export interface BuildGraphOptions {
  found: FoundObjects;
  reader: ObjectReader;
  writePreview: WritePreview;
  /** In the order in which a path should prefer them; */
  roots: readonly FoundRoot[];
  capture: CaptureFacts;
}

/** Number of bits set before each 32-bit word of `bits`. */
function buildRanks(bits: BitSet): Uint32Array {
  const rank = new Uint32Array(bits.length + 1);
  for (let i = 0; i < bits.length; i++) rank[i + 1] = rank[i] + countBits32(bits[i]);
  return rank;
}

export function buildGraph(options: BuildGraphOptions): HeapGraph {
  const { found } = options;
  const bits = found.objectBits;
  const rank = buildRanks(bits);
  const nodeOf = (word: number): number =>
    rank[word >>> 5] + countBits32(bits[word >>> 5] & ((1 << (word & 31)) - 1));

  const nodeCount = found.word.length;
  const rowByNode = new Uint32Array(nodeCount);
  for (let row = 0; row < nodeCount; row++) rowByNode[nodeOf(found.word.array[row])] = row;

  const edges = buildEdges(found, rowByNode, nodeOf);
  const nodes = buildNodes(options, rowByNode);
  const types: TypeRow[] = found.types.map((type) => ({
    name: type.name,
    node: hasBit(bits, type.word) ? nodeOf(type.word) : NONE,
  }));
  const weak = buildWeakReferences(found, nodeOf);
  const roots = buildRoots(options, nodes, edges.edgeTarget, nodeOf, types);
  return {
    nodeCount,
    edgeCount: edges.edgeTarget.length,
    ...nodes,
    ...edges,
    ...weak,
    ...roots,
    types,
    strings: found.strings,
    capture: options.capture,
  };
}

function buildEdges(
  found: FoundObjects,
  rowByNode: Uint32Array,
  nodeOf: (word: number) => number,
): Pick<HeapGraph, 'firstEdge' | 'edgeTarget' | 'edgeKind' | 'edgeLabel'> {
  const nodeCount = rowByNode.length;
  const edgeCount = found.edgeTargetWord.length;
  const firstEdge = new Uint32Array(nodeCount + 1);
  const edgeTarget = new Uint32Array(edgeCount);
  const edgeKind = new Uint8Array(edgeCount);
  const edgeLabel = new Uint32Array(edgeCount);
  const firstOfRow = found.firstEdge.array;
  const targetWord = found.edgeTargetWord.array;
  const kind = found.edgeKind.array;
  const label = found.edgeLabel.array;
  let next = 0;
  for (let node = 0; node < nodeCount; node++) {
    const row = rowByNode[node];
    firstEdge[node] = next;
    for (let edge = firstOfRow[row]; edge < firstOfRow[row + 1]; edge++, next++) {
      edgeTarget[next] = nodeOf(targetWord[edge]);
      edgeKind[next] = kind[edge];
      edgeLabel[next] = label[edge];
    }
  }
  firstEdge[nodeCount] = next;
  return { firstEdge, edgeTarget, edgeKind, edgeLabel };
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

type NodeColumns = Pick<
  HeapGraph,
  | 'address'
  | 'typeId'
  | 'shallowSize'
  | 'allocatedSize'
  | 'referenceCount'
  | 'nodeFlags'
  | 'previewBytes'
  | 'previewStart'
>;

function buildNodes(options: BuildGraphOptions, rowByNode: Uint32Array): NodeColumns {
  const { found, reader, writePreview } = options;
  const nodeCount = rowByNode.length;
  // One column at a time: each source is released before the next copy is made.
  const typeId = takeColumn(found.typeId, rowByNode, new Uint32Array(nodeCount));
  const shallowSize = takeColumn(found.shallowSize, rowByNode, new Float64Array(nodeCount));
  const allocatedSize = takeColumn(found.allocatedSize, rowByNode, new Float64Array(nodeCount));
  const referenceCount = takeColumn(found.referenceCount, rowByNode, new Uint32Array(nodeCount));
  const nodeFlags = takeColumn(found.flags, rowByNode, new Uint8Array(nodeCount));
  const address = new Float64Array(nodeCount);
  const previewStart = new Uint32Array(nodeCount + 1);
  const previews = growableUint8(nodeCount * 12 + 1024);
  const addressOfWord = ascendingAddresses(found);
  const words = found.word.array;
  for (let node = 0; node < nodeCount; node++) {
    const word = words[rowByNode[node]];
    address[node] = addressOfWord(word);
    writePreview(reader, word, found.types[typeId[node]], previews);
    previewStart[node + 1] = previews.length;
  }
  return {
    address,
    typeId,
    shallowSize,
    allocatedSize,
    referenceCount,
    nodeFlags,
    previewStart,
    previewBytes: previews.finish(),
  };
}

/** Copies a column of rows to `byNode` in the order of nodes, and empties it. */
function takeColumn<A extends Uint8Array | Uint32Array | Float64Array>(
  column: { array: A; length: number; clear(): void },
  rowByNode: Uint32Array,
  byNode: A,
): A {
  const rows = column.array;
  for (let node = 0; node < byNode.length; node++) byNode[node] = rows[rowByNode[node]];
  column.clear();
  return byNode;
}

/** `addressOfWord` for words that come in ascending order: no search per object. */
function ascendingAddresses(found: FoundObjects): (word: number) => number {
  const image = found.image;
  let runEnd = 0;
  let difference = 0;
  return (word) => {
    if (word >= runEnd) {
      runEnd = image.runEnd(word);
      difference = image.addressOfWord(word) - word * 8;
    }
    return word * 8 + difference;
  };
}

/** The given roots, then static types, other static and immortal objects, then what has more references than were found. */
function buildRoots(
  options: BuildGraphOptions,
  nodes: NodeColumns,
  edgeTarget: Uint32Array,
  nodeOf: (word: number) => number,
  types: readonly TypeRow[],
): Pick<HeapGraph, 'rootNode' | 'rootKind' | 'rootLabel'> {
  const { found, reader } = options;
  const nodeCount = nodes.address.length;
  const rootNode = growableUint32();
  const rootKind = growableUint8();
  const rootLabel = growableUint32();
  const push = (node: number, kind: RootKind, label: number) => {
    rootNode.push(node);
    rootKind.push(kind);
    rootLabel.push(label);
  };

  const explained = new Uint32Array(nodeCount);
  for (let edge = 0; edge < edgeTarget.length; edge++) explained[edgeTarget[edge]]++;
  const isRoot = makeBitSet(nodeCount);
  for (const root of options.roots) {
    if (!hasBit(found.objectBits, root.word)) continue;
    const node = nodeOf(root.word);
    if (root.isCounted) explained[node]++;
    setBit(isRoot, node);
    push(node, root.kind, root.label === '' ? NONE : reader.intern(root.label));
  }
  for (const { name, node } of types) {
    if (node === NONE || hasBit(isRoot, node)) continue;
    if ((nodes.nodeFlags[node] & NodeFlag.static) === 0) continue;
    setBit(isRoot, node);
    push(node, RootKind.type, reader.intern(name));
  }
  const lasting = NodeFlag.immortal | NodeFlag.static;
  for (let node = 0; node < nodeCount; node++) {
    if (hasBit(isRoot, node)) continue;
    if ((nodes.nodeFlags[node] & lasting) !== 0) push(node, RootKind.interned, NONE);
    else if (nodes.referenceCount[node] > explained[node]) push(node, RootKind.native, NONE);
  }
  return {
    rootNode: rootNode.finish(),
    rootKind: rootKind.finish(),
    rootLabel: rootLabel.finish(),
  };
}
