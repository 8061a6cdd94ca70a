// Names of what a path goes through: the key of a dict entry, an attribute, and the same without what differs from one
// object to the next (`job_17` -> `job_#`), so that paths of one shape have one text.

import {
  type EdgeIndex,
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
} from '../graph/heap-graph.ts';

const SINGLE_QUOTE = 0x27;

/** The key of a dict entry if it is a str short enough to be known whole, and a valid name; `edge` is the entry's value. */
export function findKeyText(graph: HeapGraph, edge: EdgeIndex): string | undefined {
  const label = graph.edgeLabel[edge];
  switch (graph.edgeKind[edge]) {
    case EdgeKind.namedValue:
    case EdgeKind.attribute:
      return label === NONE ? undefined : graph.strings[label];
    case EdgeKind.dictValue:
      return findIdentifier(graph, graph.edgeTarget[edge - 1]);
    default:
      return undefined;
  }
}

/** The text of a str node that is a valid name, from its preview. */
export function findIdentifier(graph: HeapGraph, node: NodeIndex): string | undefined {
  const start = graph.previewStart[node];
  const end = graph.previewStart[node + 1];
  const bytes = graph.previewBytes;
  if (end - start < 3 || bytes[start] !== SINGLE_QUOTE || bytes[end - 1] !== SINGLE_QUOTE) {
    return undefined;
  }
  const text = (findPreview(graph, node) as string).slice(1, -1);
  return /^[\p{L}_][\p{L}\p{N}_]*$/u.test(text) ? text : undefined;
}

/** Replaces what counts or identifies by `#`: uuids, long hexadecimal numbers, digits. */
export function normaliseName(name: string): string {
  if (!/\d/.test(name)) return name;
  return name
    .replace(/[0-9a-fA-F]{8}([-_]?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}/g, '#')
    .replace(/0x[0-9a-fA-F]+/g, '#')
    .replace(/(?<![\p{L}\p{N}])(?=[a-f]*\d)[0-9a-f]{8,}(?![\p{L}\p{N}])/gu, '#')
    .replace(/\d+(?:[._]\d+)*/g, '#');
}

/** The label of a root without line, thread and numbers: the same in each capture and each run. */
export const normaliseRootLabel = (label: string): string =>
  normaliseName(
    label
      .replace(/ in thread .*$/, '')
      .replace(/ of thread .*$/, ' of thread')
      .replace(/:\d+\)/, ')'),
  );
