// Puts found objects into the order of nodes (by address), in their own columns: beside them there is only room for the
// few objects that were not found in that order. Edges lead to nodes afterwards and no longer to words.

import { type BitSet, countBits32, hasBit } from '../base/bit-set.ts';
import { moveCellsUp } from '../base/columns.ts';
import type { FoundObjects } from '../cpython/found-objects.ts';
import { NodeFlag, type RootKind } from '../graph/heap-graph.ts';

/** One reference that is held from outside the heap. */
export interface FoundRoot {
  word: number;
  kind: RootKind;
  label: string;
  /** Whether the object's reference count includes it and no edge stands for it. */
  isCounted: boolean;
}

/** Found objects whose rows are nodes. */
export interface SortedObjects {
  found: FoundObjects;
  /** Node of the object that begins at a word. */
  nodeOf: (word: number) => number;
  /** Per edge: the node that is held. In the storage of `found.edgeTargetWord`. */
  edgeTarget: Uint32Array;
  /** Per node: references that were found, roots' own included. */
  explained: Uint32Array;
}

/** Another thread that works on the same columns. */
export interface SortHelper {
  /** Calls `sortCells` for each of the columns; nobody looks at them before it is done. */
  sortColumns(columns: readonly Cells[], moves: RowMoves): void;
  /** Words and types are in the order of nodes, which they keep. */
  useNodes(nodes: { word: Uint32Array; typeId: Uint32Array }): void;
}

/** Uses up the order of `found`. About 0.1 microseconds an object. */
export function sortFound(
  found: FoundObjects,
  roots: readonly FoundRoot[],
  helper?: SortHelper,
): SortedObjects {
  const nodeOf = makeRankOf(found.objectBits);
  const moves = findRowMoves(found, nodeOf);
  const others = [found.shallowSize, found.allocatedSize, found.referenceCount, found.flags].map(
    (column) => column.finish(),
  );
  const word = found.word.finish();
  const typeId = found.typeId.finish();
  helper?.sortColumns(others, moves);
  sortCells(word, moves);
  sortCells(typeId, moves);
  helper?.useNodes({ word, typeId });
  sortEdges(found, moves);
  if (helper === undefined) for (const cells of others) sortCells(cells, moves);
  const edgeTarget = found.edgeTargetWord.finish();
  const explained = new Uint32Array(found.word.length);
  for (let edge = 0; edge < edgeTarget.length; edge++) {
    const node = nodeOf(edgeTarget[edge]);
    edgeTarget[edge] = node;
    explained[node]++;
  }
  for (const root of roots) {
    if (root.isCounted && hasBit(found.objectBits, root.word)) explained[nodeOf(root.word)]++;
  }
  return { found, nodeOf, edgeTarget, explained };
}

/** Objects that are there as long as the interpreter is, whoever refers to them. */
export const LASTING = NodeFlag.immortal | NodeFlag.static;

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
export interface RowMoves {
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

type Cells = Uint8Array | Uint32Array;

/**
 * Puts the cells of all rows into the order of nodes, in their own storage: beside them there is the tail alone. From the end
 * on, so that nothing is overwritten before it has moved.
 */
export function sortCells(cells: Cells, moves: RowMoves): void {
  const { headCount, node, tailRow } = moves;
  const tail = cells.slice(headCount);
  let end = headCount;
  for (let i = node.length - 1; i >= 0; i--) {
    // Of the rows before this one `i` are of the tail.
    const next = node[i] - i;
    moveCellsUp(cells, node[i] + 1, next, end);
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
      moveCellsUp(cells, to[i] + count[i], next, end);
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
