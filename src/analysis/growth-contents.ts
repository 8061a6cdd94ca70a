// What the rows of growth are made of: bytes per capture from the shapes' totals, and by type what is new in the last one.
// Every object counts in exactly one row: that of the nearest growing shape before it on its best path, or its own.

import { type HeapGraph, NONE, typeNameOf } from '../graph/heap-graph.ts';
import type { AliveObjects, CaptureTrack } from './capture-track.ts';
import type { ShapeIndex } from './shapes.ts';

export interface GrowthContent {
  typeName: string;
  count: number;
  bytes: number;
}

const MAX_CONTENTS = 8;

export interface RowSums {
  /** Per row and capture. */
  bytes: number[][];
  /** Per shape of the last capture: its row, or NONE. */
  rowOfShape: Uint32Array;
}

/**
 * Gives every shape of every capture to the row of the nearest shape before it (or itself) that has one, and adds up.
 * `rowsOf`: per capture, the row of each shape of the last one; `beside`: shapes of the last capture that count for a row
 * by themselves, without what hangs on them, unless they belong to one already.
 */
export function sumByRow(
  tracks: readonly CaptureTrack[],
  rowsOf: readonly Uint32Array[],
  rowShapes: readonly ShapeIndex[],
  beside: ReadonlyMap<ShapeIndex, number>,
): RowSums {
  const bytes = rowShapes.map(() => tracks.map(() => 0));
  let rowOfShape = new Uint32Array(0);
  tracks.forEach(({ shapes }, capture) => {
    const rowByOwn = new Map(rowShapes.map((shape, row) => [rowsOf[capture][shape], row]));
    const rowBeside = new Map([...beside].map(([shape, row]) => [rowsOf[capture][shape], row]));
    rowOfShape = new Uint32Array(shapes.shapeCount);
    for (let shape = 0; shape < shapes.shapeCount; shape++) {
      const parent = shapes.parent[shape];
      const row = rowByOwn.get(shape) ?? (parent === NONE ? NONE : rowOfShape[parent]);
      rowOfShape[shape] = row;
      const counted = row !== NONE ? row : (rowBeside.get(shape) ?? NONE);
      if (counted !== NONE) bytes[counted][capture] += shapes.allocatedBytes[shape];
    }
  });
  return { bytes, rowOfShape };
}

/** Objects that came after the first capture and are alive in the last, per row and by type. O(nodes). */
export function sumNewByType(
  graph: HeapGraph,
  { shapeOfNode, birthRound }: AliveObjects,
  rowOfShape: Uint32Array,
  rowCount: number,
): GrowthContent[][] {
  const byType = Array.from({ length: rowCount }, () => new Map<string, GrowthContent>());
  for (let node = 0; node < shapeOfNode.length; node++) {
    const row = shapeOfNode[node] === NONE ? NONE : rowOfShape[shapeOfNode[node]];
    if (row === NONE || birthRound[node] === 0) continue;
    const typeName = typeNameOf(graph, node);
    let content = byType[row].get(typeName);
    if (content === undefined) {
      content = { typeName, count: 0, bytes: 0 };
      byType[row].set(typeName, content);
    }
    content.count++;
    content.bytes += graph.allocatedSize[node];
  }
  return byType.map((types) =>
    [...types.values()]
      .sort((a, b) => b.bytes - a.bytes || (a.typeName < b.typeName ? -1 : 1))
      .slice(0, MAX_CONTENTS),
  );
}
