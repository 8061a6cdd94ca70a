// Makes a HeapGraph of found objects: renumbers them by address, turns words into nodes, writes previews, and puts the
// roots in order. The found objects' columns become the graph's without a copy: `found` is used up. So is the image, the
// largest of all, unless the caller keeps it: its memory is free again before the graph needs more.

import { type BitSet, countBits32, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import {
  growableUint8,
  growableUint32,
  type Uint8Column,
  type Uint32Column,
} from '../base/columns.ts';
import { type FoundObjects, LARGE } from '../cpython/find-objects.ts';
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
  out: Uint8Column,
) => void;

export interface BuildGraphOptions {
  found: FoundObjects;
  reader: ObjectReader;
  writePreview: WritePreview;
  /** In the order in which a path should prefer them; */
  roots: readonly FoundRoot[];
  capture: CaptureFacts;
  /** Whether the image will be read after this; otherwise its bytes are given back, and `found.image` reads nothing. */
  keepImage?: boolean;
}

export function buildGraph(options: BuildGraphOptions): HeapGraph {
  const { found } = options;
  const nodeOf = makeRankOf(found.objectBits);
  sortRows(found, findRowMoves(found, nodeOf));
  const previews = buildPreviews(options);
  if (options.keepImage !== true) releaseBytes(found.image.halves);

  const nodeCount = found.word.length;
  const edgeTarget = found.edgeTargetWord.finish();
  for (let edge = 0; edge < edgeTarget.length; edge++) edgeTarget[edge] = nodeOf(edgeTarget[edge]);
  const nodeFlags = found.flags.finish();
  const referenceCount = found.referenceCount.finish();
  const types: TypeRow[] = found.types.map((type) => ({
    name: type.name,
    node: hasBit(found.objectBits, type.word) ? nodeOf(type.word) : NONE,
  }));
  return {
    nodeCount,
    edgeCount: edgeTarget.length,
    address: buildAddresses(found),
    typeId: found.typeId.finish(),
    shallowSize: widenSizes(found, found.shallowSize, 'shallow'),
    allocatedSize: widenSizes(found, found.allocatedSize, 'allocated'),
    referenceCount,
    nodeFlags,
    ...previews,
    firstEdge: found.firstEdge.finish(),
    edgeTarget,
    edgeKind: found.edgeKind.finish(),
    edgeLabel: found.edgeLabel.finish(),
    ...buildWeakReferences(found, nodeOf),
    ...buildRoots(options, { referenceCount, nodeFlags, edgeTarget }, nodeOf, types),
    types,
    strings: found.strings,
    capture: options.capture,
  };
}

/** Turns a bit's number into how many bits are set before it: of objects' bits, words into nodes. */
function makeRankOf(bits: BitSet): (bit: number) => number {
  // The count and the bits that it counts up to side by side: they are asked for together, and in no order.
  const cells = new Uint32Array(bits.length * 2);
  let rank = 0;
  for (let i = 0; i < bits.length; i++) {
    cells[2 * i] = rank;
    cells[2 * i + 1] = bits[i];
    rank += countBits32(bits[i]);
  }
  return (bit) => {
    const at = (bit >>> 5) << 1;
    return cells[at] + countBits32(cells[at + 1] & ((1 << (bit & 31)) - 1));
  };
}

/**
 * How rows come into the order of nodes. The first `headCount` rows are in it already (pymalloc's blocks, nearly all of
 * them) and only make room for the others, the tail: of these `tailRow[i]`, counted from `headCount`, goes to `node[i]`.
 * Nodes ascend.
 */
interface RowMoves {
  headCount: number;
  node: Uint32Array;
  tailRow: Uint32Array;
}

function findRowMoves(found: FoundObjects, nodeOf: (word: number) => number): RowMoves {
  const words = found.word.finish();
  let headCount = Math.min(1, words.length);
  while (headCount < words.length && words[headCount] > words[headCount - 1]) headCount++;
  const head = words.subarray(0, headCount);
  const node = new Uint32Array(words.length - headCount);
  const tailRow = new Uint32Array(words.length - headCount);
  for (let row = headCount; row < words.length; row++) {
    // The objects before it are those of the head and those of the tail, in whose order it is found.
    const place = nodeOf(words[row]) - countBelow(head, words[row]);
    node[place] = nodeOf(words[row]);
    tailRow[place] = row - headCount;
  }
  return { headCount, node, tailRow };
}

/** How many of the `ascending` are less than `value`. */
function countBelow(ascending: Uint32Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts all columns of `found` into the order of nodes, in their own storage: beside them there is the tail alone. */
function sortRows(found: FoundObjects, moves: RowMoves): void {
  sortEdges(found, moves);
  sortColumn(found.word, moves);
  sortColumn(found.typeId, moves);
  sortColumn(found.shallowSize, moves);
  sortColumn(found.allocatedSize, moves);
  sortColumn(found.referenceCount, moves);
  sortColumn(found.flags, moves);
}

/** From the end on, so that nothing is overwritten before it has moved. */
function sortColumn(column: Uint8Column | Uint32Column, moves: RowMoves): void {
  const { headCount, node, tailRow } = moves;
  const cells = column.array;
  const tail = cells.slice(headCount, column.length);
  let end = headCount;
  for (let i = node.length - 1; i >= 0; i--) {
    // Of the rows before this one `i` are of the tail.
    const next = node[i] - i;
    cells.copyWithin(node[i] + 1, next, end);
    cells[node[i]] = tail[tailRow[i]];
    end = next;
  }
}

/** Moves the edges with the rows that have them, and makes `firstEdge` that of the nodes. */
function sortEdges(found: FoundObjects, { headCount, node, tailRow }: RowMoves): void {
  const first = found.firstEdge.array;
  const tailStart = first[headCount];
  /** Per object of the tail: where its edges begin behind `tailStart`, and where they go to. */
  const from = new Uint32Array(node.length);
  const to = new Uint32Array(node.length + 1);
  const count = new Uint32Array(node.length);
  let tailCount = 0;
  for (let i = 0; i < node.length; i++) {
    const row = headCount + tailRow[i];
    from[i] = first[row] - tailStart;
    count[i] = first[row + 1] - first[row];
    to[i] = first[node[i] - i] + tailCount;
    tailCount += count[i];
  }
  for (const column of [found.edgeTargetWord, found.edgeKind, found.edgeLabel]) {
    const cells = column.array;
    const tail = cells.slice(tailStart, column.length);
    let end = tailStart;
    for (let i = node.length - 1; i >= 0; i--) {
      const next = first[node[i] - i];
      cells.copyWithin(to[i] + count[i], next, end);
      for (let edge = 0; edge < count[i]; edge++) cells[to[i] + edge] = tail[from[i] + edge];
      end = next;
    }
  }
  let end = headCount;
  for (let i = node.length - 1; i >= 0; i--) {
    const next = node[i] - i;
    const moved = to[i] + count[i] - first[next];
    for (let row = end - 1; row >= next; row--) first[row + i + 1] = first[row] + moved;
    first[node[i]] = to[i];
    end = next;
  }
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
  found,
  reader,
  writePreview,
}: BuildGraphOptions): Pick<HeapGraph, 'previewBytes' | 'previewStart'> {
  const nodeCount = found.word.length;
  const previewStart = new Uint32Array(nodeCount + 1);
  const previews = growableUint8(nodeCount * 16 + 1024);
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
  options: BuildGraphOptions,
  columns: Pick<HeapGraph, 'referenceCount' | 'nodeFlags' | 'edgeTarget'>,
  nodeOf: (word: number) => number,
  types: readonly TypeRow[],
): Pick<HeapGraph, 'rootNode' | 'rootKind' | 'rootLabel'> {
  const { found, reader } = options;
  const { referenceCount, nodeFlags, edgeTarget } = columns;
  const nodeCount = nodeFlags.length;
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
  const lasting = NodeFlag.immortal | NodeFlag.static;
  for (let node = 0; node < nodeCount; node++) {
    if (hasBit(isRoot, node)) continue;
    if ((nodeFlags[node] & lasting) !== 0) push(node, RootKind.interned, NONE);
    else if (referenceCount[node] > explained[node]) push(node, RootKind.native, NONE);
  }
  return {
    rootNode: rootNode.finish(),
    rootKind: rootKind.finish(),
    rootLabel: rootLabel.finish(),
  };
}
