// One object of a graph as a short text, the way its `repr` would begin: `<Session user_id=118 state='open'>`,
// `[1, 2, 3, … 41 204 items]`. Made from the previews of what it refers to: no code of the target runs, so a class's own
// `__repr__` is not used. Not handled: the order of a dict that was split while entries were deleted.

import { cutEnd, formatNumberOf } from '../base/format.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  typeNameOf,
} from '../graph/heap-graph.ts';

const MAX_MEMBERS = 5;
const MAX_VALUE_LENGTH = 40;
const OPENING: Record<string, [string, string]> = {
  tuple: ['(', ')'],
  set: ['{', '}'],
  frozenset: ['{', '}'],
};

/** `Session` of `app.sessions.Session`; the function in `<locals>` names stays away. */
export const shortTypeName = (typeName: string): string =>
  typeName.slice(typeName.lastIndexOf('.') + 1);

interface Contents {
  /** Entries of the container itself: items, members or key-value pairs. */
  length: number;
  unit: 'item' | 'entry';
  /** The first few, as text. */
  shown: string[];
}

/** How many entries the object has, null if it is no container. Cost: its edges. */
export function computeLength(graph: HeapGraph, node: NodeIndex): number | null {
  const type = typeNameOf(graph, node);
  const length = collectContents(graph, node, 0).length;
  const isContainer =
    length > 0 ||
    /^(list|tuple|dict|set|frozenset|collections\.(deque|OrderedDict|defaultdict))$/.test(type);
  return isContainer ? length : null;
}

/** A text of at most `limit` characters. */
export function formatRepr(graph: HeapGraph, node: NodeIndex, limit = 100): string {
  const preview = findPreview(graph, node);
  if (preview !== undefined) return cutEnd(preview, limit);
  const type = typeNameOf(graph, node);
  const contents = collectContents(graph, node, MAX_MEMBERS);
  if (contents.length > 0 || OPENING[type] !== undefined || type === 'list' || type === 'dict') {
    return cutEnd(formatContainer(type, contents), limit);
  }
  const attributes = collectAttributes(graph, node, MAX_MEMBERS);
  return cutEnd(`<${[shortTypeName(type), ...attributes].join(' ')}>`, limit);
}

function formatContainer(type: string, contents: Contents): string {
  const isMapping = contents.unit === 'entry' || type === 'dict';
  const [open, close] = OPENING[type] ?? (isMapping ? ['{', '}'] : ['[', ']']);
  const shown = [...contents.shown];
  const rest = contents.length - shown.length;
  if (rest > 0) {
    shown.push(
      `… ${formatNumberOf(contents.length, contents.unit, isMapping ? 'entries' : 'items')}`,
    );
  }
  const tail = type === 'tuple' && contents.length === 1 ? ',' : '';
  const plain = ['list', 'tuple', 'dict', 'set', 'frozenset'].includes(type);
  const body = `${open}${shown.join(', ')}${tail}${close}`;
  if (type === 'frozenset' || (type === 'set' && contents.length === 0))
    return `${type}(${contents.length === 0 ? '' : body})`;
  return plain ? body : `${shortTypeName(type)}(${body})`;
}

function collectContents(graph: HeapGraph, node: NodeIndex, limit: number): Contents {
  const shown: string[] = [];
  let length = 0;
  let unit: Contents['unit'] = 'item';
  const end = graph.firstEdge[node + 1];
  for (let edge = graph.firstEdge[node]; edge < end; edge++) {
    const kind = graph.edgeKind[edge];
    if (kind === EdgeKind.item || kind === EdgeKind.setItem) {
      if (length++ < limit) shown.push(formatValue(graph, graph.edgeTarget[edge]));
    } else if (kind === EdgeKind.dictValue || kind === EdgeKind.namedValue) {
      unit = 'entry';
      if (length++ < limit)
        shown.push(
          `${formatKey(graph, node, edge)}: ${formatValue(graph, graph.edgeTarget[edge])}`,
        );
    }
  }
  return { length, unit, shown };
}

/** The key of a `dictValue` or `namedValue` edge as Python writes it: `'name'`, `42`, `<Session>`. */
export function formatKey(graph: HeapGraph, source: NodeIndex, edge: number): string {
  if (graph.edgeKind[edge] === EdgeKind.namedValue)
    return quote(graph.strings[graph.edgeLabel[edge]]);
  const keyEdge = edge - 1;
  // The key may be missing: a target that is no object makes no edge.
  if (keyEdge < graph.firstEdge[source] || graph.edgeKind[keyEdge] !== EdgeKind.dictKey) return '?';
  return formatValue(graph, graph.edgeTarget[keyEdge]);
}

const quote = (text: string | undefined): string =>
  text === undefined ? '?' : `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;

/** A member of something else: its preview, or only what it is. */
export function formatValue(graph: HeapGraph, node: NodeIndex): string {
  const preview = findPreview(graph, node);
  if (preview !== undefined) return cutEnd(preview, MAX_VALUE_LENGTH);
  const type = typeNameOf(graph, node);
  const { length, unit } = collectContents(graph, node, 0);
  if (length === 0)
    return type === 'dict' ? '{}' : type === 'list' ? '[]' : `<${shortTypeName(type)}>`;
  return `<${shortTypeName(type)}, ${formatNumberOf(length, unit, unit === 'entry' ? 'entries' : 'items')}>`;
}

function collectAttributes(graph: HeapGraph, node: NodeIndex, limit: number): string[] {
  const shown: string[] = [];
  const end = graph.firstEdge[node + 1];
  for (let edge = graph.firstEdge[node]; edge < end && shown.length < limit; edge++) {
    const kind = graph.edgeKind[edge];
    const target = graph.edgeTarget[edge];
    if (kind === EdgeKind.attribute) addAttribute(graph, graph.edgeLabel[edge], target, shown);
    else if (kind === EdgeKind.instanceDict) collectDictAttributes(graph, target, limit, shown);
  }
  return shown;
}

function collectDictAttributes(
  graph: HeapGraph,
  dict: NodeIndex,
  limit: number,
  shown: string[],
): void {
  const end = graph.firstEdge[dict + 1];
  for (let edge = graph.firstEdge[dict]; edge < end && shown.length < limit; edge++) {
    const kind = graph.edgeKind[edge];
    if (kind === EdgeKind.namedValue)
      addAttribute(graph, graph.edgeLabel[edge], graph.edgeTarget[edge], shown);
    else if (kind === EdgeKind.dictValue) {
      const name = /^'(\w+)'$/.exec(formatKey(graph, dict, edge))?.[1];
      if (name !== undefined) shown.push(`${name}=${formatValue(graph, graph.edgeTarget[edge])}`);
    }
  }
}

function addAttribute(graph: HeapGraph, label: number, target: NodeIndex, shown: string[]): void {
  const name = label === NONE ? undefined : graph.strings[label];
  if (name === undefined || name.startsWith('__')) return;
  shown.push(`${name}=${formatValue(graph, target)}`);
}
