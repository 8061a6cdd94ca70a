// The attributes of one object of a graph by name, whether it has them inline, in slots or in its dict.

import { EdgeKind, type HeapGraph, type NodeIndex } from '../graph/heap-graph.ts';
import { findKeyText } from './names.ts';

/** Entries of one object that are looked through. */
const MAX_ATTRIBUTES = 200;

/** The value of the first attribute whose name `matches`, with that name. */
export function findAttribute(
  graph: HeapGraph,
  node: NodeIndex,
  matches: (name: string, value: NodeIndex) => boolean,
): { name: string; value: NodeIndex } | undefined {
  let dict: NodeIndex | undefined;
  for (const source of [node, undefined]) {
    const from = source ?? dict;
    if (from === undefined) break;
    const end = Math.min(graph.firstEdge[from + 1], graph.firstEdge[from] + MAX_ATTRIBUTES);
    for (let edge = graph.firstEdge[from]; edge < end; edge++) {
      const value = graph.edgeTarget[edge];
      if (graph.edgeKind[edge] === EdgeKind.instanceDict) dict = value;
      const name = findKeyText(graph, edge);
      if (name !== undefined && matches(name, value)) return { name, value };
    }
  }
  return undefined;
}
