// ADDRESS or TYPE of the command line, and the objects of a graph that it means.

import { UsageError } from '../base/errors.ts';
import { formatAddress } from '../base/format.ts';
import { findNodeAt, type HeapGraph, type NodeIndex } from '../graph/heap-graph.ts';
import { findAddress } from './options.ts';

/** The node at `address`. Throws UsageError with the object around it, if the address lies inside one. */
export function requireNodeAt(graph: HeapGraph, address: number): NodeIndex {
  const node = findNodeAt(graph, address);
  if (node !== undefined) return node;
  const around = findNodeAround(graph, address);
  throw new UsageError({
    fact: `There is no object at ${formatAddress(address)}`,
    reason:
      around === undefined
        ? 'it was freed, or the address is of another process'
        : `the address lies inside the object at ${formatAddress(graph.address[around])}`,
    next: 'leakscope top, new and hunt print addresses of objects; a live process may have freed it: capture a file.',
  });
}

function findNodeAround(graph: HeapGraph, address: number): NodeIndex | undefined {
  let low = 0;
  let high = graph.nodeCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (graph.address[middle] <= address) low = middle + 1;
    else high = middle;
  }
  const node = low - 1;
  const isInside = node >= 0 && address < graph.address[node] + graph.shallowSize[node];
  return isInside ? node : undefined;
}

/** All objects that a query means: the one at an address, or those of a type by its full or, if unique, last name. */
export function requireNodes(graph: HeapGraph, query: string): NodeIndex[] {
  const address = findAddress(query);
  if (address !== undefined) return [requireNodeAt(graph, address)];
  const type = requireTypeName(graph, query);
  const nodes: NodeIndex[] = [];
  for (let node = 0; node < graph.nodeCount; node++) {
    if (graph.types[graph.typeId[node]].name === type) nodes.push(node);
  }
  return nodes;
}

/** The full name of the type that is meant: itself, or the only one that ends in `.query`. Throws UsageError. */
export function requireTypeName(graph: HeapGraph, query: string): string {
  const used = new Set<number>(graph.typeId);
  const names = new Set([...used].map((row) => graph.types[row].name));
  if (names.has(query)) return query;
  const fitting = [...names].filter((name) => name.endsWith(`.${query}`)).sort();
  if (fitting.length === 1) return fitting[0];
  throw new UsageError({
    fact: `No object is of a type "${query}"`,
    reason:
      fitting.length === 0
        ? 'no type in this capture has that name'
        : `several types end in it: ${fitting.slice(0, 8).join(', ')}`,
    next: 'Write the full name as leakscope top prints it, or an address such as 0x7f3a2c1d9e50.',
  });
}
