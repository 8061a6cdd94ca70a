// Where objects of a graph were allocated: of one, and of many the traceback that most of them share.

import { framesOf, type TraceFrame } from '../graph/allocation-traces.ts';
import { type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';

/** Frames of the node's traceback, the innermost first; undefined if the tracer does not know it. */
export function findAllocationSite(graph: HeapGraph, node: NodeIndex): TraceFrame[] | undefined {
  const { traces } = graph;
  const trace = traces?.nodeTrace[node] ?? NONE;
  return traces === undefined || trace === NONE
    ? undefined
    : framesOf(traces, traces.traceTraceback[trace]);
}

/** The traceback of most of the `nodes` that have one; undefined if none has. */
export function findCommonSite(
  { traces }: HeapGraph,
  nodes: Iterable<NodeIndex>,
): TraceFrame[] | undefined {
  if (traces === undefined) return undefined;
  const { nodeTrace, traceTraceback } = traces;
  const counts = new Map<number, number>();
  let best = NONE;
  for (const node of nodes) {
    const trace = nodeTrace[node];
    if (trace === NONE) continue;
    const traceback = traceTraceback[trace];
    counts.set(traceback, (counts.get(traceback) ?? 0) + 1);
    if (best === NONE || (counts.get(traceback) ?? 0) > (counts.get(best) ?? 0)) best = traceback;
  }
  return best === NONE ? undefined : framesOf(traces, best);
}
