// Which growing shape each new object belongs to: its own, or that of the new object that it hangs on. What hangs on new
// objects of another growing shape is part of that shape's growth and no growth of its own.

import { EdgeKind, type HeapGraph, NONE } from '../graph/heap-graph.ts';
import type { AliveObjects } from './capture-track.ts';
import type { PathTree } from './paths.ts';
import type { ShapeIndex } from './shapes.ts';

export interface GrowthHeads {
  /** Per node: the growing shape whose new objects it belongs to, itself or through new ones; NONE for others. */
  headShape: Uint32Array;
  /** Per shape: new objects, and those of them whose headShape is their own shape. */
  all: Float64Array;
  own: Float64Array;
  /** Per shape and capture: those that came then and hang on other new ones of the same shape. */
  nested: Float64Array;
}

/** O(nodes). */
export function findGrowthHeads(
  graph: HeapGraph,
  tree: PathTree,
  alive: AliveObjects,
  growing: readonly ShapeIndex[],
  captureCount: number,
): GrowthHeads {
  const { shapeOfNode, birthRound } = alive;
  const { order, parentNode, parentEdge } = tree;
  const { edgeKind } = graph;
  const headShape = new Uint32Array(graph.nodeCount).fill(NONE);
  const shapeCount = shapeOfNode.reduce((most, s) => (s === NONE || s < most ? most : s + 1), 0);
  const all = new Float64Array(shapeCount);
  const own = new Float64Array(shapeCount);
  const nested = new Float64Array(shapeCount * captureCount);
  const isGrowing = new Uint8Array(shapeCount);
  for (const shape of growing) isGrowing[shape] = 1;
  for (let i = 0; i < order.length; i++) {
    const node = order[i];
    const shape = shapeOfNode[node];
    let holder = parentNode[node];
    // The dict of an instance may be made long after it (3.11): what is put in belongs to the instance.
    const arrival = holder === NONE ? NONE : parentEdge[holder];
    if (arrival !== NONE && edgeKind[arrival] === EdgeKind.instanceDict)
      holder = parentNode[holder];
    const inherited = holder === NONE ? NONE : headShape[holder];
    // What hangs on new objects but looks old is mostly new as well, at the address of one like it.
    if (inherited !== NONE) headShape[node] = inherited;
    if (birthRound[node] === 0) continue;
    if (inherited === NONE && isGrowing[shape] === 1) headShape[node] = shape;
    if (isGrowing[shape] === 1) {
      all[shape]++;
      if (headShape[node] === shape) own[shape]++;
      if (inherited === shape) nested[shape * captureCount + birthRound[node]]++;
    }
  }
  return { headShape, all, own, nested };
}

/** So that the number is that of the entries of the holder, whatever each entry is made of. */
export function leaveOutNested(count: number[], nested: Float64Array, shape: ShapeIndex): void {
  let sum = 0;
  for (let round = 1; round < count.length; round++) {
    sum += nested[shape * count.length + round];
    count[round] -= sum;
  }
}
