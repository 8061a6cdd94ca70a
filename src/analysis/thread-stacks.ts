// The threads of a graph with what `threading` knows of them: name and whether they are daemons, from the Thread objects in
// `threading._active`. Source: Lib/threading.py (3.8 to 3.15).
//
// Not handled: threads that C code made are known to `threading` only once they have asked for it.

import type { Execution, ThreadRow } from '../graph/execution.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  RootKind,
} from '../graph/heap-graph.ts';
import { findAttribute } from './attributes.ts';
import { findStr } from './await-chain.ts';

/** Of threads that `threading` lists. */
const MAX_THREADS = 1 << 16;

export interface ThreadFacts {
  row: ThreadRow;
  /** Of the Thread object; undefined where there is none. */
  name: string | undefined;
  isDaemon: boolean | undefined;
}

/** The main thread first, then the others in the order of their numbers, threads without Python last. */
export function computeThreads(graph: HeapGraph, execution: Execution): ThreadFacts[] {
  const objects = findThreadObjects(graph);
  const threads = execution.facts.threads.map((row): ThreadFacts => {
    const node = row.ident === 0 ? undefined : objects.get(`${row.ident}`);
    if (node === undefined) return { row, name: undefined, isDaemon: undefined };
    const name = findAttribute(graph, node, (each) => each === '_name')?.value;
    const daemonic = findAttribute(graph, node, (each) => each === '_daemonic')?.value;
    const text = daemonic === undefined ? undefined : findPreview(graph, daemonic);
    return {
      row,
      name: name === undefined ? undefined : findStr(graph, name),
      isDaemon: text === undefined ? undefined : text === 'True',
    };
  });
  const orderOf = ({ row }: ThreadFacts) => (row.isMain ? 0 : row.ident !== 0 ? 1 : 2);
  return threads.sort((a, b) => orderOf(a) - orderOf(b) || a.row.nativeId - b.row.nativeId);
}

/** Thread objects by their `ident` as text; those of all interpreters. */
function findThreadObjects(graph: HeapGraph): Map<string, NodeIndex> {
  const objects = new Map<string, NodeIndex>();
  const { rootKind, rootLabel, rootNode, strings } = graph;
  for (let root = 0; root < rootNode.length; root++) {
    if (rootKind[root] !== RootKind.module || rootLabel[root] === NONE) continue;
    if (strings[rootLabel[root]] !== 'threading') continue;
    const active = findModuleValue(graph, rootNode[root], '_active');
    if (active === undefined) continue;
    const end = Math.min(graph.firstEdge[active + 1], graph.firstEdge[active] + 2 * MAX_THREADS);
    for (let edge = graph.firstEdge[active]; edge < end; edge++) {
      if (graph.edgeKind[edge] !== EdgeKind.dictValue) continue;
      const ident = findPreview(graph, graph.edgeTarget[edge - 1]);
      if (ident !== undefined) objects.set(ident, graph.edgeTarget[edge]);
    }
  }
  return objects;
}

function findModuleValue(graph: HeapGraph, module: NodeIndex, name: string): NodeIndex | undefined {
  for (let edge = graph.firstEdge[module]; edge < graph.firstEdge[module + 1]; edge++) {
    if (graph.edgeKind[edge] !== EdgeKind.instanceDict) continue;
    return findEntry(graph, graph.edgeTarget[edge], name);
  }
  return undefined;
}

function findEntry(graph: HeapGraph, dict: NodeIndex, name: string): NodeIndex | undefined {
  for (let edge = graph.firstEdge[dict]; edge < graph.firstEdge[dict + 1]; edge++) {
    if (graph.edgeKind[edge] !== EdgeKind.dictValue) continue;
    if (findStr(graph, graph.edgeTarget[edge - 1]) === name) return graph.edgeTarget[edge];
  }
  return undefined;
}
