// The shapes of several captures side by side, in rows of the last one's: how many objects, entries and bytes each had.
//
// The best path of a container may be another one in one capture (a handler was running that has it as a local): then all
// that is in it has another shape there. Such a flip is followed from capture to capture by the objects that are the same
// (CaptureTrack.cameFrom); where only some objects of a shape flip, the counts in between are mended.

import { NONE } from '../graph/heap-graph.ts';
import type { AliveObjects, CaptureTrack } from './capture-track.ts';
import { rowsByKey } from './shapes.ts';

/** Per shape of the last capture; 0 where a capture lacks it. */
export interface ShapeSeries {
  /** Per capture: the row of each shape among that capture's own, or NONE. */
  rowsOf: Uint32Array[];
  /** Per capture. */
  count: Float64Array[];
  entries: Float64Array[];
  shallow: Float64Array[];
  /** Per round. */
  gone: Float64Array[];
  /** `shape * captureCount + round`: objects alive in the last capture by the round that they came in. */
  survivors: Float64Array;
}

/** O(nodes of the last + shapes of all). */
export function buildShapeSeries(
  tracks: readonly CaptureTrack[],
  alive: AliveObjects,
): ShapeSeries {
  const rowsOf = alignRows(tracks);
  const align = (column: (track: CaptureTrack) => Float64Array) =>
    tracks.map((track, i) => takeRows(column(track), rowsOf[i]));
  const series = {
    rowsOf,
    count: align((track) => track.shapes.nodeCount),
    entries: align((track) => track.shapes.entryCount),
    shallow: align((track) => track.shapes.shallowBytes),
    gone: tracks.slice(1).map((track, i) => takeRows(track.goneCount, rowsOf[i])),
    survivors: countSurvivors(alive, rowsOf[0].length, tracks.length),
  };
  mendCounts(series.count, series.survivors);
  return series;
}

/** From the last capture to the first: the row from which the objects came, else that of the same key. */
function alignRows(tracks: readonly CaptureTrack[]): Uint32Array[] {
  const lastKeys = tracks[tracks.length - 1].shapes.key;
  const rowsOf = [Uint32Array.from(lastKeys, (_, row) => row)];
  for (let i = tracks.length - 2; i >= 0; i--) {
    const { shapes: later, cameFrom } = tracks[i + 1];
    const rowByKey = rowsByKey(tracks[i].shapes);
    const rows = rowsOf[0].map((row, shape) => {
      if (row === NONE) return rowByKey.get(lastKeys[shape]) ?? NONE;
      return cameFrom[row] !== NONE ? cameFrom[row] : (rowByKey.get(later.key[row]) ?? NONE);
    });
    rowsOf.unshift(rows);
  }
  return rowsOf;
}

const takeRows = (column: Float64Array, rows: Uint32Array): Float64Array =>
  Float64Array.from(rows, (row) => (row === NONE ? 0 : column[row]));

function countSurvivors(
  { shapeOfNode, birthRound }: AliveObjects,
  shapeCount: number,
  captureCount: number,
): Float64Array {
  const survivors = new Float64Array(shapeCount * captureCount);
  for (let node = 0; node < shapeOfNode.length; node++) {
    const shape = shapeOfNode[node];
    if (shape === NONE) continue;
    survivors[shape * captureCount + Math.min(birthRound[node], captureCount - 1)]++;
  }
  return survivors;
}

/**
 * In a capture between others, objects that are alive in the end may have been reached by another path for a moment: a
 * shape then had fewer objects than there were. Not mended where that is more than an exception, and not at the ends,
 * where a container that is always as full would seem to grow.
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
