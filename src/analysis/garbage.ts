// Cyclic garbage: objects that no root reaches and that the collector has not freed yet. Turns a path tree into what such
// objects are, and finds one cycle to show.
//
// KNOWN IMPRECISION: an object whose holder was not understood counts as held from C code (RootKind.native) and never as
// garbage; garbage that such an object holds is missed, too.

import { type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';
import type { PathTree } from './paths.ts';

/** Nodes visited in search of one cycle. */
const MAX_VISITED = 20_000;

export interface Garbage {
  nodeCount: number;
  allocatedBytes: number;
  /** The unreachable nodes, ascending. */
  nodes: Uint32Array;
}

/** The unreachable objects. O(nodes). */
export function findGarbage(graph: HeapGraph, tree: PathTree): Garbage {
  let nodeCount = 0;
  for (let node = 0; node < graph.nodeCount; node++) if (tree.rootRow[node] === NONE) nodeCount++;
  const nodes = new Uint32Array(nodeCount);
  let allocatedBytes = 0;
  let next = 0;
  for (let node = 0; node < graph.nodeCount; node++) {
    if (tree.rootRow[node] !== NONE) continue;
    nodes[next++] = node;
    allocatedBytes += graph.allocatedSize[node];
  }
  return { nodeCount, allocatedBytes, nodes };
}

/** Number of `nodes` per type name. */
export function countTypes(graph: HeapGraph, nodes: Uint32Array): Map<string, number> {
  const countByType = new Uint32Array(graph.types.length);
  for (let i = 0; i < nodes.length; i++) countByType[graph.typeId[nodes[i]]]++;
  const counts = new Map<string, number>();
  countByType.forEach((count, type) => {
    const name = graph.types[type].name;
    if (count > 0) counts.set(name, (counts.get(name) ?? 0) + count);
  });
  return counts;
}

/**
 * Edges of a shortest cycle through `start`; undefined if there is none among the first 20 000 unreachable nodes around
 * it. Cost: those nodes' edges.
 */
export function findCycle(
  graph: HeapGraph,
  tree: PathTree,
  start: NodeIndex,
): number[] | undefined {
  const arrival = new Map<NodeIndex, { edge: number; from: NodeIndex }>();
  const queue: NodeIndex[] = [start];
  for (let i = 0; i < queue.length && queue.length < MAX_VISITED; i++) {
    const node = queue[i];
    for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
      const target = graph.edgeTarget[edge];
      if (target === start) return edgesBack(arrival, start, node, edge);
      if (tree.rootRow[target] !== NONE || arrival.has(target)) continue;
      arrival.set(target, { edge, from: node });
      queue.push(target);
    }
  }
  return undefined;
}

function edgesBack(
  arrival: ReadonlyMap<NodeIndex, { edge: number; from: NodeIndex }>,
  start: NodeIndex,
  last: NodeIndex,
  closingEdge: number,
): number[] {
  const edges = [closingEdge];
  for (let node = last; node !== start; ) {
    const step = arrival.get(node);
    if (step === undefined) break;
    edges.push(step.edge);
    node = step.from;
  }
  return edges.reverse();
}
