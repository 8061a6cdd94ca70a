// One leak, one suspect: rows of growth that have the same holder are the same leak seen at several kinds of objects (the
// keys and the values of a dict; the two ends of a linked list), and are added up under the one with the most bytes. So are
// weak references under what they refer to.

import type { GrowthRow } from '../analysis/growth.ts';
import { type HeapGraph, NONE } from '../graph/heap-graph.ts';

/**
 * Rows in the order given (the most bytes first); what was merged is in `contents` of the row that is left. `shapeOfNode`
 * is that of the last capture.
 */
export function mergeRows(
  rows: readonly GrowthRow[],
  graph: HeapGraph,
  shapeOfNode: Uint32Array,
): GrowthRow[] {
  return mergeWeakReferences(mergeRowsOfHolder(rows), graph, shapeOfNode);
}

/** Weak references to leaked objects grow with them, in the registries that they are in: they are no leak of their own. */
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

/** What the first example weakly refers to; NONE if it is no weak reference or its referent is gone. */
function findReferent(graph: HeapGraph, { examples }: GrowthRow): number {
  const { weakSource, weakTarget } = graph;
  let low = 0;
  let high = examples.length === 0 ? 0 : weakSource.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (weakSource[middle] < examples[0]) low = middle + 1;
    else high = middle;
  }
  return low < weakSource.length && weakSource[low] === examples[0] ? weakTarget[low] : NONE;
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
