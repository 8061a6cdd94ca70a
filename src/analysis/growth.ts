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
import { findHolders, type GrowthHolder } from './growth-holder.ts';
import type { PathTree } from './paths.ts';
import { formatShape, type ShapeIndex, type ShapeTable } from './shapes.ts';

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
  /** Per capture: allocated bytes of the objects and of what only counts in this row. */
  bytes: number[];
  /** Per round: what `count` and `bytes` grew by. */
  perRound: { count: number; bytes: number }[];
  /** Per round: of the objects that came in it, those that are alive in the last capture. */
  survivors: number[];
  /** Per round: objects of the shape that went, by address. */
  gone: number[];
  /** Whether it is enough to be told: see GrowthOptions. */
  isSignificant: boolean;
  /** Where the objects are added; undefined only if none of them hangs on anything. */
  holder: GrowthHolder | undefined;
  /** What is new within the row, the most bytes first; the row's own type included. */
  contents: GrowthContent[];
  /** Objects of the row, the longest alive of the new ones first; at most 16. */
  examples: NodeIndex[];
}

export interface TypeGrowth {
  typeName: string;
  count: number[];
  bytes: number[];
  /** Whether the count grew in every round. */
  everyRound: boolean;
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

  const series = alignShapes(tracks);
  const survivors = countSurvivors(alive, last.shapes.shapeCount, tracks.length);
  mendCounts(series.count, survivors);
  const candidates = findGrowing(series, survivors, last.shapes.parent);
  const attached = attachNewObjects(graph, tree, alive, candidates.objects, tracks.length);
  const own = candidates.objects.filter(
    (shape) =>
      attached.own[shape] > 0 && attached.own[shape] >= attached.all[shape] * MIN_OWN_SHARE,
  );
  const holders = findHolders(graph, tree, alive, new Set(own), attached.headShape);
  const others = leaveOutExplained(last.shapes, own, holders, [
    ...candidates.entries.map((shape) => ({ shape, measure: 'entries' as const })),
    ...candidates.bytes.map((shape) => ({ shape, measure: 'bytes' as const })),
  ]);
  const found = [...own.map((shape) => ({ shape, measure: 'objects' as const })), ...others];

  const sums = sumByRow(
    tracks,
    last.shapes,
    found.map((each) => each.shape),
  );
  const contents = sumNewByType(graph, alive, sums.rowOfShape, found.length);
  const examples = collectExamples(
    alive,
    found.map((each) => each.shape),
  );
  const rows = found.map(({ shape, measure }, i): GrowthRow => {
    const holder = holders.get(shape);
    const count = series.count.map((column) => column[shape]);
    if (holder?.isChain === false) leaveOutNested(count, attached.nested, shape);
    const bytes = sums.bytes[i];
    const grown = count[count.length - 1] - count[0];
    const grownBytes = bytes[bytes.length - 1] - bytes[0];
    return {
      measure,
      shape,
      text: formatShape(last.shapes, shape),
      typeName: last.shapes.names[last.shapes.typeName[shape]],
      fingerprint: computeFingerprint(last.shapes, shape),
      count,
      entries: series.entries.map((column) => column[shape]),
      bytes,
      perRound: differences(count).map((each, round) => ({
        count: each,
        bytes: bytes[round + 1] - bytes[round],
      })),
      survivors: tracks.slice(1).map((_, round) => survivors[shape * tracks.length + round + 1]),
      gone: series.gone.map((column) => column[shape]),
      isSignificant:
        grownBytes >= (options.minBytes ?? 65_536) || grown >= (options.minObjects ?? 10),
      holder,
      contents: contents[i],
      examples: examples[i],
    };
  });
  const grownBytes = (row: { bytes: number[] }) => row.bytes[row.bytes.length - 1] - row.bytes[0];
  rows.sort((a, b) => grownBytes(b) - grownBytes(a) || (a.text < b.text ? -1 : 1));
  return { rows, types, totalBytes };
}

const differences = (values: ArrayLike<number>): number[] =>
  Array.from({ length: values.length - 1 }, (_, i) => values[i + 1] - values[i]);

/** The columns of each capture's shapes, in rows of the last capture's; 0 where a capture lacks the shape. */
interface ShapeSeries {
  count: Float64Array[];
  entries: Float64Array[];
  shallow: Float64Array[];
  /** Per round. */
  gone: Float64Array[];
}

function alignShapes(tracks: readonly CaptureTrack[]): ShapeSeries {
  const lastKeys = tracks[tracks.length - 1].shapes.key;
  const rowsOf = tracks.map(({ shapes }) => {
    const rowByKey = new Map<number, ShapeIndex>();
    for (let shape = 0; shape < shapes.shapeCount; shape++) rowByKey.set(shapes.key[shape], shape);
    return Uint32Array.from(lastKeys, (key) => rowByKey.get(key) ?? NONE);
  });
  const align = (column: (track: CaptureTrack) => Float64Array) =>
    tracks.map((track, i) => takeRows(column(track), rowsOf[i]));
  return {
    count: align((track) => track.shapes.nodeCount),
    entries: align((track) => track.shapes.entryCount),
    shallow: align((track) => track.shapes.shallowBytes),
    gone: tracks.slice(1).map((track, i) => takeRows(track.goneCount, rowsOf[i])),
  };
}

const takeRows = (column: Float64Array, rows: Uint32Array): Float64Array =>
  Float64Array.from(rows, (row) => (row === NONE ? 0 : column[row]));

/** Per shape and capture (`shape * captureCount + round`): objects alive in the last capture by the round they came in. */
function countSurvivors(
  alive: AliveObjects,
  shapeCount: number,
  captureCount: number,
): Float64Array {
  const { shapeOfNode, birthRound } = alive;
  const survivors = new Float64Array(shapeCount * captureCount);
  for (let node = 0; node < shapeOfNode.length; node++) {
    const shape = shapeOfNode[node];
    if (shape === NONE) continue;
    survivors[shape * captureCount + Math.min(birthRound[node], captureCount - 1)]++;
  }
  return survivors;
}

/**
 * In a capture between others, objects that are alive in the end may have been reached by another path for a moment (a
 * handler was running): a shape then had fewer objects than there were. Not mended where that is more than an exception,
 * and not at the ends, where a container that is always as full would seem to grow.
 */
function mendCounts(count: readonly Float64Array[], survivors: Float64Array): void {
  const captureCount = count.length;
  const aliveAt = new Float64Array(captureCount);
  for (let shape = 0; shape < count[0].length; shape++) {
    let movedCount = 0;
    for (let i = 0; i < captureCount; i++) {
      aliveAt[i] = (i === 0 ? 0 : aliveAt[i - 1]) + survivors[shape * captureCount + i];
      if (i > 0 && i < captureCount - 1 && count[i][shape] < aliveAt[i]) movedCount++;
    }
    if (movedCount === 0 || movedCount > (captureCount - 2) / 2) continue;
    for (let i = 1; i < captureCount - 1; i++) {
      count[i][shape] = Math.max(count[i][shape], aliveAt[i]);
    }
  }
}

function findGrowing(
  series: ShapeSeries,
  survivors: Float64Array,
  parent: Uint32Array,
): Record<'objects' | 'entries' | 'bytes', ShapeIndex[]> {
  const shapeCount = series.count[0].length;
  const found: ReturnType<typeof findGrowing> = { objects: [], entries: [], bytes: [] };
  const held = sumOfChildren(series.count, parent);
  for (let shape = 0; shape < shapeCount; shape++) {
    if (leastGrowth(series.count, shape) > 0) {
      if (isMadeOfSurvivors(series, survivors, shape)) found.objects.push(shape);
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

function isMadeOfSurvivors(series: ShapeSeries, survivors: Float64Array, shape: number): boolean {
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

interface AttachedObjects {
  /** Per node: the growing shape whose new objects it belongs to, itself or through new ones; NONE for others. */
  headShape: Uint32Array;
  /** Per shape: new objects, and those of them whose headShape is their own shape. */
  all: Float64Array;
  own: Float64Array;
  /** Per shape and capture: those that came then and hang on other new ones of the same shape. */
  nested: Float64Array;
}

function attachNewObjects(
  graph: HeapGraph,
  tree: PathTree,
  alive: AliveObjects,
  growing: readonly ShapeIndex[],
  captureCount: number,
): AttachedObjects {
  const { shapeOfNode, birthRound } = alive;
  const { order, parentNode } = tree;
  const headShape = new Uint32Array(graph.nodeCount).fill(NONE);
  const shapeCount = shapeOfNode.reduce((most, s) => (s === NONE || s < most ? most : s + 1), 0);
  const all = new Float64Array(shapeCount);
  const own = new Float64Array(shapeCount);
  const nested = new Float64Array(shapeCount * captureCount);
  const isGrowing = new Uint8Array(shapeCount);
  for (const shape of growing) isGrowing[shape] = 1;
  for (let i = 0; i < order.length; i++) {
    const node = order[i];
    if (birthRound[node] === 0) continue;
    const shape = shapeOfNode[node];
    const parent = parentNode[node];
    const inherited = parent === NONE ? NONE : headShape[parent];
    if (inherited !== NONE) headShape[node] = inherited;
    else if (isGrowing[shape] === 1) headShape[node] = shape;
    if (isGrowing[shape] === 1) {
      all[shape]++;
      if (headShape[node] === shape) own[shape]++;
      if (inherited === shape) nested[shape * captureCount + birthRound[node]]++;
    }
  }
  return { headShape, all, own, nested };
}

/** So that the number is that of the entries of the holder, whatever each entry is made of. */
function leaveOutNested(count: number[], nested: Float64Array, shape: ShapeIndex): void {
  let sum = 0;
  for (let round = 1; round < count.length; round++) {
    sum += nested[shape * count.length + round];
    count[round] -= sum;
  }
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

function computeTypeGrowth(tracks: readonly CaptureTrack[]): TypeGrowth[] {
  const byName = new Map<string, TypeGrowth>();
  tracks.forEach(({ types }, capture) => {
    types.names.forEach((typeName, row) => {
      let growth = byName.get(typeName);
      if (growth === undefined) {
        const zeros = (): number[] => tracks.map(() => 0);
        growth = { typeName, count: zeros(), bytes: zeros(), everyRound: false };
        byName.set(typeName, growth);
      }
      growth.count[capture] = types.nodeCount[row];
      growth.bytes[capture] = types.allocatedBytes[row];
    });
  });
  const rows = [...byName.values()].filter(
    ({ count, bytes }) => differences(count).some(Boolean) || differences(bytes).some(Boolean),
  );
  for (const row of rows) row.everyRound = differences(row.count).every((each) => each > 0);
  const grown = ({ bytes }: TypeGrowth) => bytes[bytes.length - 1] - bytes[0];
  return rows.sort((a, b) => grown(b) - grown(a) || (a.typeName < b.typeName ? -1 : 1));
}
