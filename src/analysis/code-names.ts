// Which functions of the target name a variable or attribute, from their code objects: where a reader must look for the
// line that adds, and for the one that should remove.

import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
} from '../graph/heap-graph.ts';
import { isStandardName } from './module-origin.ts';

const MAX_FUNCTIONS = 50;

/** Tuples of a code object that hold the names of attributes and globals, and of variables. */
const NAME_FIELDS = new Set([
  'co_names',
  'co_varnames',
  'co_freevars',
  'co_cellvars',
  'co_localsplusnames',
]);
/** Where the name is a key: `app['sessions']`. */
const KEY_FIELDS = new Set(['co_consts']);

/**
 * Previews of the functions whose code names `name` (`app.sessions.SessionRegistry.open at sessions.py:48`), as a variable
 * or attribute, or as a key of a dict; those of the standard library left out; at most 50. O(nodes).
 */
export function findFunctionsNaming(graph: HeapGraph, name: string, isKey = false): string[] {
  const codeType = graph.types.findIndex((type) => type.name === 'code');
  const functionType = graph.types.findIndex((type) => type.name === 'function');
  if (codeType < 0 || functionType < 0) return [];
  const wanted = new TextEncoder().encode(`'${name}'`);
  const fields = isKey ? KEY_FIELDS : NAME_FIELDS;
  const naming = new Set<NodeIndex>();
  for (let node = 0; node < graph.nodeCount; node++) {
    if (graph.typeId[node] === codeType && namesIt(graph, node, wanted, fields)) naming.add(node);
  }
  const found: string[] = [];
  if (naming.size === 0) return found;
  for (let node = 0; node < graph.nodeCount && found.length < MAX_FUNCTIONS; node++) {
    if (graph.typeId[node] !== functionType) continue;
    const code = findTarget(graph, node, '__code__');
    if (code === undefined || !naming.has(code)) continue;
    const text = findPreview(graph, node)?.replace(/^<function (.*)>$/, '$1');
    if (text !== undefined && !isStandardName(text)) found.push(text);
  }
  return found.sort();
}

function namesIt(
  graph: HeapGraph,
  code: NodeIndex,
  wanted: Uint8Array,
  fields: ReadonlySet<string>,
): boolean {
  for (let edge = graph.firstEdge[code]; edge < graph.firstEdge[code + 1]; edge++) {
    const label = graph.edgeLabel[edge];
    if (label === NONE || !fields.has(graph.strings[label])) continue;
    const tuple = graph.edgeTarget[edge];
    for (let item = graph.firstEdge[tuple]; item < graph.firstEdge[tuple + 1]; item++) {
      if (hasPreview(graph, graph.edgeTarget[item], wanted)) return true;
    }
  }
  return false;
}

function hasPreview(graph: HeapGraph, node: NodeIndex, wanted: Uint8Array): boolean {
  const start = graph.previewStart[node];
  if (graph.previewStart[node + 1] - start !== wanted.length) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (graph.previewBytes[start + i] !== wanted[i]) return false;
  }
  return true;
}

/** The target of the attribute called `name`, or of the inner field of the struct. */
export function findTarget(graph: HeapGraph, node: NodeIndex, name: string): NodeIndex | undefined {
  for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
    const kind = graph.edgeKind[edge];
    if (kind !== EdgeKind.attribute && kind !== EdgeKind.internal) continue;
    const label = graph.edgeLabel[edge];
    if (label !== NONE && graph.strings[label] === name) return graph.edgeTarget[edge];
  }
  return undefined;
}
