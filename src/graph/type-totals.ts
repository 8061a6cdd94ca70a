// What the objects of each type take in all. A snapshot file has these sums in its header, so that the types of a large file
// are listed without its columns.

import type { HeapGraph } from './heap-graph.ts';

/** Per row of `types`; sizes in bytes. */
export interface TypeTotals {
  count: number[];
  shallowSize: number[];
  allocatedSize: number[];
}

type Columns = 'typeId' | 'shallowSize' | 'allocatedSize' | 'nodeCount' | 'types';

/** O(nodes). */
export function computeTypeTotals(graph: Pick<HeapGraph, Columns>): TypeTotals {
  const { typeId, shallowSize, allocatedSize, nodeCount, types } = graph;
  const count = new Float64Array(types.length);
  const shallow = new Float64Array(types.length);
  const allocated = new Float64Array(types.length);
  for (let node = 0; node < nodeCount; node++) {
    const type = typeId[node];
    count[type]++;
    shallow[type] += shallowSize[node];
    allocated[type] += allocatedSize[node];
  }
  return { count: [...count], shallowSize: [...shallow], allocatedSize: [...allocated] };
}

/** Whether a part of a file is such sums, one for each type. */
export function areTypeTotals(
  totals: TypeTotals | undefined,
  types: readonly unknown[] = [],
): boolean {
  return [totals?.count, totals?.shallowSize, totals?.allocatedSize].every(
    (sums) => Array.isArray(sums) && sums.length === types.length && sums.every(Number.isFinite),
  );
}

export const areSameTotals = (a: TypeTotals, b: TypeTotals): boolean =>
  (['count', 'shallowSize', 'allocatedSize'] as const).every((name) =>
    a[name].every((sum, type) => sum === b[name][type]),
  );
