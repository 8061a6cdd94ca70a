// The edges of a HeapGraph from the other end: who holds a node. Built by counting sort over the targets, so the
// retainers of a node are in ascending order of edge, and with it of source. Weak references are not included.

import { assert } from '../base/assert.ts';
import type { EdgeIndex, HeapGraph, NodeIndex } from './heap-graph.ts';

export interface ReverseEdges {
  /** nodeCount + 1 cells; the retainers of node i are [firstRetainer[i], firstRetainer[i + 1]). */
  readonly firstRetainer: Uint32Array;
  /** Per retainer: the edge that holds the node; `findEdgeSource` gives the node that it comes from. */
  readonly retainerEdge: Uint32Array;
}

/** O(nodes + edges) time, 4 bytes per node and per edge. */
export function buildReverseEdges(graph: HeapGraph): ReverseEdges {
  const { nodeCount, edgeCount, edgeTarget } = graph;
  const firstRetainer = new Uint32Array(nodeCount + 1);
  const retainerEdge = new Uint32Array(edgeCount);
  for (let edge = 0; edge < edgeCount; edge++) firstRetainer[edgeTarget[edge]]++;
  let end = 0;
  for (let node = 0; node < nodeCount; node++) {
    end += firstRetainer[node];
    firstRetainer[node] = end;
  }
  firstRetainer[nodeCount] = end;
  // Filled from behind, so that each cell counts down from its end to its start.
  for (let edge = edgeCount - 1; edge >= 0; edge--) {
    retainerEdge[--firstRetainer[edgeTarget[edge]]] = edge;
  }
  return { firstRetainer, retainerEdge };
}

/** The node that `edge` comes from. O(log nodes). */
export function findEdgeSource(graph: HeapGraph, edge: EdgeIndex): NodeIndex {
  assert(edge < graph.edgeCount, `edge ${edge} of ${graph.edgeCount}`);
  const { firstEdge } = graph;
  // The last node whose first edge is not behind `edge`: nodes without edges share the start of the next one.
  let low = 0;
  let high = graph.nodeCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (firstEdge[middle + 1] <= edge) low = middle + 1;
    else high = middle;
  }
  return low;
}
