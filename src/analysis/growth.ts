// What grew in every round of a series of captures, one row per leak. The objects of a row have one shape of path
// (shapes.ts); what fills once, comes and goes, or is replaced all the time is no row:
//
// - the number of objects (or of entries, or the bytes) of the shape grew in every round;
// - it grew by what stays: of the objects that came in a round, those still alive at the end make up a good part of that
//   round's growth. A queue that is longer at each capture by chance fails here, since its objects are other ones;
// - the new objects hang on old ones. What hangs on new objects of another growing shape belongs to that shape's row.
//
// Bytes are those that the row's objects and what is reached through them occupy: every object counts in exactly one
// row, that of the nearest growing shape before it on its best path. (Dominators would leave out what two leaked objects
// share, although it leaks with them; an object's exact retained size is dominators.ts's.)

import { type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';
import type { AliveObjects, CaptureTrack } from './capture-track.ts';
import { computeFingerprint } from './fingerprint.ts';
import { type GrowthContent, sumByRow, sumNewByType } from './growth-contents.ts';
import { findGrowthHeads, leaveOutNested } from './growth-heads.ts';
import { findHolders, type GrowthHolder } from './growth-holder.ts';
import type { PathTree } from './paths.ts';
import { buildShapeSeries, type ShapeSeries } from './shape-series.ts';
import { formatShape, type ShapeIndex, type ShapeTable } from './shapes.ts';
import { computeTypeGrowth, differences, type TypeGrowth } from './type-growth.ts';

export interface GrowthRow {
  /** What grew: the number of objects; or, where that did not, the entries or the bytes of few objects. */
  measure: 'objects' | 'entries' | 'bytes';
  /** Row of the last capture's shapes. */
  shape: ShapeIndex;
  /** `app.registry._open[*] -> app.Ticket` */
  text: string;
  typeName: string;
  fingerprint: string;
  /** Per capture: objects of the shape; without new ones in each other (dicts in dicts), unless they form a chain. */
  count: number[];
  /** Per capture: edges of these objects. */
  entries: number[];
  /** Per capture: allocated bytes of the objects, of what only counts in this row, and of the holder itself. */
  bytes: number[];
  /** Per round: what `count` (by entries: `entries`) and `bytes` grew by. */
  perRound: { count: number; bytes: number }[];
  /** Per round: of the objects that came in it, those that are alive in the last capture. */
  survivors: number[];
  /** Per round: objects of the shape that went, by address. */
  gone: number[];
  /** Whether it is enough to be told: see GrowthOptions. */
  isSignificant: boolean;
  /** Where the objects are added; undefined only if none of them hangs on anything. */
  holder: GrowthHolder | undefined;
  /** Per capture: entries of all objects of the holder's shape; empty without a holder. */
  holderEntries: number[];
  /** What is new within the row, the most bytes first; the row's own type included. */
  contents: GrowthContent[];
  /** Objects of the row, the longest alive of the new ones first; at most 16. */
  examples: NodeIndex[];
}

export interface Growth {
  /** The most bytes first. */
  rows: GrowthRow[];
  /** All types whose count or bytes changed, the most bytes first. */
  types: TypeGrowth[];
  /** Per capture: allocated bytes of all reachable objects. */
  totalBytes: number[];
}

export interface GrowthOptions {
  /** A row is significant if it grew by this many objects ... */
  minObjects?: number;
  /** ... or by this many bytes. */
  minBytes?: number;
}

/** Share of a round's growth that must be made up of objects that stay. */
const MIN_SURVIVING_SHARE = 0.3;
/** Share of a shape's new objects that must hang on old ones for a row of its own. */
const MIN_OWN_SHARE = 0.1;
/** With fewer objects, all of them being at the same addresses again may be chance. */
const MIN_UNCHANGED = 32;
/** Of entries and bytes, which have no identity, each round must have this share of the mean growth. */
const MIN_STEADY_SHARE = 0.3;
/** Share of new entries that may be objects known by this path. */
const MAX_HELD_SHARE = 0.5;
/** Share of new entries (key and value are one each) that may be new objects known by another path. */
const MAX_NEW_SHARE = 0.25;
const MAX_EXAMPLES = 16;

/**
 * `tracks`: two or more captures of one series; `graph` and `tree` are the last one's. O(nodes of the last + shapes of
 * all); 4 bytes per node while it runs.
 */
export function computeGrowth(
  tracks: readonly CaptureTrack[],
  graph: HeapGraph,
  tree: PathTree,
  options: GrowthOptions = {},
): Growth {
  const last = tracks[tracks.length - 1];
  const alive = last.alive;
  const totalBytes = tracks.map((track) => track.shapes.allocatedBytes.reduce((a, b) => a + b, 0));
  const types = computeTypeGrowth(tracks);
  if (tracks.length < 2 || alive === undefined) return { rows: [], types, totalBytes };

  const series = buildShapeSeries(tracks, alive);
  const candidates = findGrowing(series, last.shapes.parent);
  const heads = findGrowthHeads(graph, tree, alive, candidates.objects, tracks.length);
  const own = candidates.objects.filter(
    (shape) => heads.own[shape] > 0 && heads.own[shape] >= heads.all[shape] * MIN_OWN_SHARE,
  );
  const holders = findHolders(graph, tree, alive, new Set(own), heads.headShape);
  const ofShared = leaveOutHeldElsewhere(graph, alive, series, candidates.entries);
  const others = leaveOutExplained(last.shapes, own, holders, [
    ...ofShared.map((shape) => ({ shape, measure: 'entries' as const })),
    ...candidates.bytes.map((shape) => ({ shape, measure: 'bytes' as const })),
  ]);
  const found: FoundShape[] = [
    ...leaveOutInstanceDicts(last.shapes, own).map((shape) => ({
      shape,
      measure: 'objects' as const,
      holder: holders.get(shape),
    })),
    ...others,
  ];

  const shapes = found.map((each) => each.shape);
  const sums = sumByRow(tracks, series.rowsOf, shapes, findShapesBeside(last.shapes, own, found));
  const contents = sumNewByType(graph, alive, sums.rowOfShape, found.length);
  const examples = collectExamples(alive, shapes);
  const rows = found.map((each, i): GrowthRow => {
    const { shape, measure, holder } = each;
    const count = series.count.map((column) => column[shape]);
    if (holder?.isChain === false) leaveOutNested(count, heads.nested, shape);
    const entries = series.entries.map((column) => column[shape]);
    const bytes = sums.bytes[i];
    const measured = measure === 'entries' ? entries : count;
    const grown = measured[measured.length - 1] - measured[0];
    const perRound = differences(measured);
    return {
      measure,
      shape,
      text: formatShape(last.shapes, shape),
      typeName: last.shapes.names[last.shapes.typeName[shape]],
      fingerprint: computeFingerprint(last.shapes, shape),
      count,
      entries,
      bytes,
      perRound: perRound.map((each, round) => ({
        count: each,
        bytes: bytes[round + 1] - bytes[round],
      })),
      survivors: tracks
        .slice(1)
        .map((_, round) => series.survivors[shape * tracks.length + round + 1]),
      gone: series.gone.map((column) => column[shape]),
      isSignificant:
        grownBytesOf(bytes) >= (options.minBytes ?? 65_536) || grown >= (options.minObjects ?? 10),
      holder,
      holderEntries:
        holder === undefined ? [] : series.entries.map((column) => column[holder.shape]),
      contents: contents[i],
      examples: examples[i],
    };
  });
  rows.sort((a, b) => grownBytesOf(b.bytes) - grownBytesOf(a.bytes) || (a.text < b.text ? -1 : 1));
  return { rows, types, totalBytes };
}

const grownBytesOf = (bytes: readonly number[]): number => bytes[bytes.length - 1] - bytes[0];

interface FoundShape {
  shape: ShapeIndex;
  measure: GrowthRow['measure'];
  holder?: GrowthHolder | undefined;
}

const isInstanceDict = (table: ShapeTable, shape: ShapeIndex): boolean =>
  table.names[table.edgeName[shape]] === '.__dict__';

/** An instance's dict is made when something is put in; where that is a row, the dict is none. */
function leaveOutInstanceDicts(table: ShapeTable, rows: readonly ShapeIndex[]): ShapeIndex[] {
  const isAttributeOf = new Set<ShapeIndex>();
  for (const shape of rows) {
    if (!isInstanceDict(table, shape)) isAttributeOf.add(table.parent[shape]);
  }
  return rows.filter(
    (shape) => !isInstanceDict(table, shape) || !isAttributeOf.has(table.parent[shape]),
  );
}

/**
 * Shapes whose own bytes count in a row, but not what hangs on them: the table of a holder, which grows with its entries,
 * and the dicts of instances that got an attribute. By shape: the row of `found`.
 */
function findShapesBeside(
  table: ShapeTable,
  own: readonly ShapeIndex[],
  found: readonly FoundShape[],
): Map<ShapeIndex, number> {
  const rowByShape = new Map<ShapeIndex, number>();
  const rowByParent = new Map<ShapeIndex, number>();
  found.forEach(({ shape, holder }, row) => {
    if (holder !== undefined && !rowByShape.has(holder.shape)) rowByShape.set(holder.shape, row);
    if (!rowByParent.has(table.parent[shape])) rowByParent.set(table.parent[shape], row);
  });
  for (const shape of own) {
    const row = isInstanceDict(table, shape) ? rowByParent.get(table.parent[shape]) : undefined;
    if (row !== undefined) rowByShape.set(shape, row);
  }
  return rowByShape;
}

function findGrowing(
  series: ShapeSeries,
  parent: Uint32Array,
): Record<'objects' | 'entries' | 'bytes', ShapeIndex[]> {
  const shapeCount = series.count[0].length;
  const found: ReturnType<typeof findGrowing> = { objects: [], entries: [], bytes: [] };
  const held = sumOfChildren(series.count, parent);
  for (let shape = 0; shape < shapeCount; shape++) {
    if (leastGrowth(series.count, shape) > 0) {
      if (isMadeOfSurvivors(series, shape)) found.objects.push(shape);
      continue;
    }
    // Of what came in between, there is nothing to compare entries and bytes with.
    if (series.count[0][shape] === 0) continue;
    const entries = totalGrowth(series.entries, shape);
    if (isSteady(series.entries, shape)) {
      // Entries that are objects of their own were judged above, as objects.
      if (totalGrowth(held, shape) < entries * MAX_HELD_SHARE) found.entries.push(shape);
    } else if (entries === 0 && isSteady(series.shallow, shape)) found.bytes.push(shape);
  }
  return found;
}

const totalGrowth = (columns: readonly Float64Array[], row: number): number =>
  columns[columns.length - 1][row] - columns[0][row];

/** Of all rounds. */
function leastGrowth(columns: readonly Float64Array[], row: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 1; i < columns.length; i++) {
    least = Math.min(least, columns[i][row] - columns[i - 1][row]);
  }
  return least;
}

/** Whether each round has a fair share of the growth. */
function isSteady(columns: readonly Float64Array[], row: number): boolean {
  const mean = totalGrowth(columns, row) / (columns.length - 1);
  return mean > 0 && leastGrowth(columns, row) >= mean * MIN_STEADY_SHARE;
}

/** Per capture and shape: the number of objects of the shapes right behind it. */
function sumOfChildren(count: readonly Float64Array[], parent: Uint32Array): Float64Array[] {
  return count.map((column) => {
    const sum = new Float64Array(column.length);
    for (let shape = 0; shape < column.length; shape++) {
      if (parent[shape] !== NONE) sum[parent[shape]] += column[shape];
    }
    return sum;
  });
}

function isMadeOfSurvivors(series: ShapeSeries, shape: number): boolean {
  const { survivors } = series;
  const captureCount = series.count.length;
  let unchanged = true;
  let surviving = true;
  let newCount = 0;
  for (let round = 1; round < captureCount; round++) {
    const before = series.count[round - 1][shape];
    const grown = series.count[round][shape] - before;
    if (survivors[shape * captureCount + round] < grown * MIN_SURVIVING_SHARE) surviving = false;
    newCount += survivors[shape * captureCount + round];
    if (series.gone[round - 1][shape] > before * 0.01) unchanged = false;
  }
  // Old objects whose best path changed make a shape grow, too: without new ones it is no growth.
  const grown = series.count[captureCount - 1][shape] - series.count[0][shape];
  const hasNew = newCount >= grown * MIN_SURVIVING_SHARE;
  return surviving || (unchanged && hasNew && series.count[0][shape] >= MIN_UNCHANGED);
}

/** Of containers whose entries grew, those whose new entries are not new objects, which are rows on another path. */
function leaveOutHeldElsewhere(
  { firstEdge, edgeTarget }: HeapGraph,
  { shapeOfNode, birthRound }: AliveObjects,
  series: ShapeSeries,
  shapes: readonly ShapeIndex[],
): ShapeIndex[] {
  const newTargets = new Map(shapes.map((shape) => [shape, 0]));
  for (let node = 0; node < shapeOfNode.length; node++) {
    let count = newTargets.get(shapeOfNode[node]);
    if (count === undefined) continue;
    for (let edge = firstEdge[node]; edge < firstEdge[node + 1]; edge++) {
      if (birthRound[edgeTarget[edge]] !== 0) count++;
    }
    newTargets.set(shapeOfNode[node], count);
  }
  return shapes.filter(
    (shape) =>
      (newTargets.get(shape) as number) <= totalGrowth(series.entries, shape) * MAX_NEW_SHARE,
  );
}

/** Of containers and buffers that grew, those whose growth is not that of a row of objects seen from another side. */
function leaveOutExplained<T extends { shape: ShapeIndex }>(
  table: ShapeTable,
  rows: readonly ShapeIndex[],
  holders: ReadonlyMap<ShapeIndex, GrowthHolder>,
  candidates: readonly T[],
): T[] {
  const inRow = new Set(rows);
  const holds = new Set<ShapeIndex>();
  for (const shape of rows) {
    holds.add(table.parent[shape]);
    const holder = holders.get(shape);
    if (holder !== undefined) holds.add(holder.shape);
  }
  const kept: T[] = [];
  for (const candidate of candidates) {
    let explained = holds.has(candidate.shape);
    for (let at = candidate.shape; at !== NONE && !explained; at = table.parent[at]) {
      explained = inRow.has(at);
    }
    if (explained) continue;
    kept.push(candidate);
    inRow.add(candidate.shape);
  }
  return kept;
}

/** Objects of each shape: those that came first after the first capture, else any. */
function collectExamples(alive: AliveObjects, shapes: readonly ShapeIndex[]): NodeIndex[][] {
  const rowByShape = new Map(shapes.map((shape, row) => [shape, row]));
  const isWanted = new Uint8Array(shapes.reduce((most, shape) => Math.max(most, shape + 1), 0));
  for (const shape of shapes) isWanted[shape] = 1;
  const found = shapes.map(() => ({ young: [] as NodeIndex[], old: [] as NodeIndex[] }));
  const { shapeOfNode, birthRound } = alive;
  for (let node = 0; node < shapeOfNode.length; node++) {
    const shape = shapeOfNode[node];
    if (shape === NONE || isWanted[shape] !== 1) continue;
    const { young, old } = found[rowByShape.get(shape) as number];
    const list = birthRound[node] === 1 ? young : old;
    if (list.length < MAX_EXAMPLES) list.push(node);
  }
  return found.map(({ young, old }) => [...young, ...old].slice(0, MAX_EXAMPLES));
}
