import { describe, expect, test } from 'vitest';
import { buildLargeGraph } from '../../tests/support/random-graph.ts';
import { computeDominators, computeRetainedSizes } from '../analysis/dominators.ts';
import { computePathTree } from '../analysis/paths.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { analyseHeap } from './analyse-heap.ts';

/** The graph with its columns where other threads see them. */
function shared(graph: HeapGraph): HeapGraph {
  const share = <A extends Uint32Array | Float64Array>(column: A): A => {
    const make = column.constructor as new (storage: SharedArrayBuffer) => A;
    const copy = new make(new SharedArrayBuffer(column.byteLength));
    copy.set(column);
    return copy;
  };
  return {
    ...graph,
    firstEdge: share(graph.firstEdge),
    edgeTarget: share(graph.edgeTarget),
    allocatedSize: share(graph.allocatedSize),
  };
}

describe('the analysis of a heap', () => {
  const graph = buildLargeGraph(20_000, 3);
  const expected = {
    retainedSize: computeRetainedSizes(computeDominators(graph), graph.allocatedSize),
    paths: computePathTree(graph),
  };

  test('has the same numbers with two threads', async () => {
    expect(await analyseHeap(shared(graph), true, 0)).toEqual(expected);
  });

  test('needs no second thread', async () => {
    expect(await analyseHeap(graph, true, 0)).toEqual(expected);
    expect(await analyseHeap(shared(graph), false, 0)).toEqual(expected);
    expect(await analyseHeap(shared(graph), true)).toEqual(expected);
  });
});
