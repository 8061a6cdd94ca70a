// Dominators, retained sizes and best paths of one heap, for commands that need all of them: of a large heap, a second
// thread computes the former while this one computes the latter. The same numbers either way.
//
// The second thread sees the graph's columns where they lie in shared memory, as those of large captures do; of heaps from
// files one thread computes everything.

import { computeDominators, computeRetainedSizes } from '../analysis/dominators.ts';
import { computePathTree, type PathTree } from '../analysis/paths.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { HelperThread } from '../threads/helper-thread.ts';
import { workerFileOf } from '../threads/worker-file.ts';
import type { RetainedAnswer, RetainedRequest } from './retained-worker.ts';

/** Below, a thread would not be ready before the work is done. */
const SHARED_FROM_NODES = 500_000;

export interface HeapAnalysis {
  /** Per node and, behind them, of all: see `computeRetainedSizes`. */
  retainedSize: Float64Array;
  paths: PathTree;
}

/** `mayStartThread`: whether there is memory for one. `sharedFromNodes` is for tests. */
export async function analyseHeap(
  graph: HeapGraph,
  mayStartThread: boolean,
  sharedFromNodes = SHARED_FROM_NODES,
): Promise<HeapAnalysis> {
  if (!mayStartThread || graph.nodeCount < sharedFromNodes || !isShared(graph)) {
    const retainedSize = computeRetainedSizes(computeDominators(graph), graph.allocatedSize);
    return { retainedSize, paths: computePathTree(graph) };
  }
  const { nodeCount, firstEdge, edgeTarget, rootNode, allocatedSize } = graph;
  const thread = new HelperThread<RetainedRequest, RetainedAnswer>(
    workerFileOf('retained-worker', import.meta.url),
  );
  try {
    const asked = thread.ask({
      content: { nodeCount, firstEdge, edgeTarget, rootNode, allocatedSize },
    });
    const paths = computePathTree(graph);
    const { retainedSize } = await asked;
    return { retainedSize, paths };
  } finally {
    await thread.close();
  }
}

const isShared = ({ firstEdge, edgeTarget, allocatedSize }: HeapGraph): boolean =>
  [firstEdge, edgeTarget, allocatedSize].every(({ buffer }) => buffer instanceof SharedArrayBuffer);
