// One leak, one suspect: rows of growth that are the same leak seen at several kinds of objects are added up under one.
//
// - rows that have the same holder (the keys and the values of a dict; the two ends of a linked list);
// - weak references, and the entries of weakref.finalize's registry, under what they refer to;
// - the containers in the links of a tree (a list of children in each node) under what is in them;
// - what each thread has (its locals, the lock it waits for) under the threads, where their number grows.

import type { GrowthRow } from '../analysis/growth.ts';
import type { PathTree } from '../analysis/paths.ts';
import { type HeapGraph, NONE, type NodeIndex, RootKind, typeNameOf } from '../graph/heap-graph.ts';

export interface MergedRow extends GrowthRow {
  /** The objects are threads that run. */
  areThreads: boolean;
}

/**
 * Rows in the order given (the most bytes first); what was merged is in `contents` of the row that is left. `shapeOfNode`
 * is that of the last capture.
 */
export function mergeRows(
  rows: readonly GrowthRow[],
  graph: HeapGraph,
  tree: PathTree,
  shapeOfNode: Uint32Array,
): MergedRow[] {
  const ofHolders = mergeContainersOfTree(mergeRowsOfHolder(rows));
  const merged = mergeWeakReferences(ofHolders, graph, shapeOfNode);
  return mergeThreads(merged, graph, tree);
}

/** Objects of one kind that each thread brings, at most: its frames. */
export const MAX_PER_THREAD = 32;
const THREAD_ROOTS: ReadonlySet<number> = new Set([
  RootKind.local,
  RootKind.thread,
  RootKind.native,
]);

/** Each thread brings its frames with their locals, and what it waits for. */
function mergeThreads(rows: readonly GrowthRow[], graph: HeapGraph, tree: PathTree): MergedRow[] {
  const isThread = (row: GrowthRow) =>
    row.typeName === 'threading.Thread' || row.text.startsWith('threading._active[');
  const threads = rows.find(isThread);
  const all = rows.map((row) => ({ ...row, areThreads: false }));
  if (threads === undefined) return all;
  const isOfThreads = (row: GrowthRow): boolean => {
    if (row === threads || !hasSameRounds(row, threads, MAX_PER_THREAD)) return false;
    if (row.typeName === '_thread.lock') return true;
    const root = row.examples.length === 0 ? NONE : tree.rootRow[row.examples[0]];
    return row.holder === undefined && root !== NONE && THREAD_ROOTS.has(graph.rootKind[root]);
  };
  const parts = rows.filter(isOfThreads);
  if (parts.length === 0) return all;
  return all.flatMap((row, i) => {
    if (parts.includes(rows[i])) return [];
    if (rows[i] !== threads) return [row];
    return [{ ...parts.reduce((sum, part) => join(sum, part), threads), areThreads: true }];
  });
}

interface Rounds {
  perRound: readonly { count: number }[];
}

/**
 * Whether `a` has the numbers of `b`, or the same small multiple of them (some frames of each thread), but for what was on
 * its way when the capture was made.
 */
export function hasSameRounds(a: Rounds, b: Rounds, mostTimes = 1): boolean {
  const grown = (row: Rounds) => row.perRound.reduce((sum, { count }) => sum + count, 0);
  const times = Math.round(grown(a) / Math.max(1, grown(b)));
  if (times < 1 || times > mostTimes) return false;
  return a.perRound.every(({ count }, round) => {
    const other = b.perRound[round].count * times;
    return Math.abs(count - other) <= Math.max(times, other * 0.05);
  });
}

/** What weakly refers to leaked objects grows with them, in the registries that it is in: it is no leak of its own. */
function mergeWeakReferences(
  rows: readonly GrowthRow[],
  graph: HeapGraph,
  shapeOfNode: Uint32Array,
): GrowthRow[] {
  const kept = new Map<number, GrowthRow>(rows.map((row) => [row.shape, row]));
  for (const row of rows) {
    const referent = findReferent(graph, row);
    if (referent === NONE) continue;
    const target = kept.get(shapeOfNode[referent]);
    if (target === undefined || target.shape === row.shape) continue;
    kept.delete(row.shape);
    kept.set(target.shape, join(target, row));
  }
  return [...kept.values()];
}

/** What the first example weakly refers to, itself or as an entry of weakref.finalize; NONE if nothing that is alive. */
function findReferent(graph: HeapGraph, { examples, contents }: GrowthRow): NodeIndex {
  if (examples.length === 0) return NONE;
  const isFinalizer = contents.some((content) => content.typeName === 'weakref.finalize._Info');
  if (!isFinalizer) return findWeakTarget(graph, examples[0]);
  for (const example of examples) {
    if (typeNameOf(graph, example) !== 'weakref.finalize._Info') continue;
    for (let edge = graph.firstEdge[example]; edge < graph.firstEdge[example + 1]; edge++) {
      const referent = findWeakTarget(graph, graph.edgeTarget[edge]);
      if (referent !== NONE) return referent;
    }
  }
  return NONE;
}

function findWeakTarget({ weakSource, weakTarget }: HeapGraph, source: NodeIndex): NodeIndex {
  let low = 0;
  let high = weakSource.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (weakSource[middle] < source) low = middle + 1;
    else high = middle;
  }
  return low < weakSource.length && weakSource[low] === source ? weakTarget[low] : NONE;
}

/** The nodes of a tree are in containers of one shape, of which each node brings one. */
function mergeContainersOfTree(rows: readonly GrowthRow[]): GrowthRow[] {
  const isContainerOf = (container: GrowthRow, row: GrowthRow): boolean =>
    container !== row &&
    container.holder?.isChain === true &&
    row.holder?.shape === container.shape;
  return rows
    .filter((row) => !rows.some((each) => isContainerOf(row, each)))
    .map((row) => rows.filter((each) => isContainerOf(each, row)).reduce(join, row));
}

function mergeRowsOfHolder(rows: readonly GrowthRow[]): GrowthRow[] {
  const merged = new Map<string, GrowthRow>();
  for (const row of rows) {
    const key = holderKey(row);
    const first = merged.get(key);
    merged.set(key, first === undefined ? row : join(first, row));
  }
  return [...merged.values()];
}

function holderKey(row: GrowthRow): string {
  if (row.holder === undefined) return `shape ${row.shape}`;
  // The holder of a chain is whatever refers to its head, which may well hold other things besides.
  const own = row.holder.isChain ? row.typeName : '';
  return `${row.holder.node} ${own}`;
}

function join(first: GrowthRow, row: GrowthRow): GrowthRow {
  const add = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value + b[i]);
  const bytes = add(first.bytes, row.bytes);
  // Of a dict's entry the key is no object more than its value; the ends of a chain are different objects.
  const isChain = first.holder?.isChain === true;
  const count = isChain ? add(first.count, row.count) : first.count;
  return {
    ...first,
    bytes,
    count,
    perRound: first.perRound.map((round, i) => ({
      count: isChain ? round.count + row.perRound[i].count : round.count,
      bytes: round.bytes + row.perRound[i].bytes,
    })),
    survivors: isChain ? add(first.survivors, row.survivors) : first.survivors,
    gone: isChain ? add(first.gone, row.gone) : first.gone,
    isSignificant: first.isSignificant || row.isSignificant,
    contents: joinContents(first.contents, row.contents),
  };
}

function joinContents(
  first: GrowthRow['contents'],
  second: GrowthRow['contents'],
): GrowthRow['contents'] {
  const byType = new Map(first.map((content) => [content.typeName, { ...content }]));
  for (const content of second) {
    const known = byType.get(content.typeName);
    if (known === undefined) byType.set(content.typeName, { ...content });
    else {
      known.count += content.count;
      known.bytes += content.bytes;
    }
  }
  return [...byType.values()].sort((a, b) => b.bytes - a.bytes);
}
