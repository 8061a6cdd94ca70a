// The memory that an analysis of a whole graph takes besides the graph, so that it is asked for before the work begins.

import { formatNumberOf } from '../base/format.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { CaptureOptions } from './capture-heap.ts';

/** The most of: dominators with retained sizes and reverse edges; a path tree with shapes and signatures of two captures. */
const BYTES_PER_NODE = 56;
const BYTES_PER_EDGE = 8;

/** What a second thread takes by itself. */
const THREAD_BYTES = 100e6;

/**
 * Throws UnsupportedError when there is no room for the analysis of this graph. Returns whether there is room for a second
 * thread, too.
 */
export function requireAnalysisRoom(
  { nodeCount, edgeCount }: Pick<HeapGraph, 'nodeCount' | 'edgeCount'>,
  budget: CaptureOptions['budget'],
): boolean {
  const neededBytes = nodeCount * BYTES_PER_NODE + edgeCount * BYTES_PER_EDGE;
  budget?.require(neededBytes, `analyse ${formatNumberOf(nodeCount, 'object')}`);
  return budget?.hasRoom(neededBytes + THREAD_BYTES) ?? true;
}
