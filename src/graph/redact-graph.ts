// A HeapGraph without what the program's data is: for files and reports that go to others. Contents of text, bytes and
// numbers, keys of dicts and names of attributes that no code has, arguments of the command line, names of threads and the
// first bytes of native blocks are dropped.
//
// What stays: types and modules; names that code objects have (of attributes, variables, functions, files); shapes of arrays,
// limits of deques and caches; sizes, counts, addresses and references. So the length of a text can be told, and that two
// references lead to one object: `True` and small ints are one object each.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint8 } from '../base/columns.ts';
import type { Execution } from './execution.ts';
import { EdgeKind, findPreview, type HeapGraph, NONE, NodeFlag } from './heap-graph.ts';
import type { NativeHeap } from './native-heap.ts';

/** In place of the name of an attribute that no code has. */
const NO_NAME = '?';

/** Fields of a code object with names, and with tuples of names. */
const NAMES = ['co_name', 'co_qualname', 'co_filename'];
const NAME_TUPLES = ['co_names', 'co_varnames', 'co_freevars', 'co_cellvars', 'co_localsplusnames'];

/** How previews begin that are made of names in code; text, bytes and numbers begin otherwise. */
const KEPT_BEGINNINGS = [
  '<function ',
  '<method ',
  '<built-in function ',
  '<code ',
  '<module ',
  "<class '",
  '<generator ',
  '<coroutine ',
  '<async_generator ',
  '<ndarray shape=',
  '<functools.lru_cache(',
  'deque(maxlen=',
  'None',
  'Ellipsis',
  'NotImplemented',
].map((text) => new TextEncoder().encode(text));

/** O(nodes + edges). */
export function redactGraph(graph: HeapGraph): HeapGraph {
  const namesInCode = findNamesInCode(graph);
  return {
    ...graph,
    ...redactPreviews(graph, namesInCode),
    strings: redactStrings(graph, namesInCode),
    native: graph.native === undefined ? undefined : redactNative(graph.native),
    execution: graph.execution === undefined ? undefined : redactExecution(graph.execution),
    capture: { ...graph.capture, command: [], isRedacted: true },
  };
}

/** Nodes of the str objects that code objects have as names: those of data with the same text are others. */
function findNamesInCode(graph: HeapGraph): BitSet {
  const names = makeBitSet(graph.nodeCount);
  const codeType = graph.types.findIndex(
    ({ name, node }) => name === 'code' && isStatic(graph, node),
  );
  if (codeType < 0) return names;
  const idsOf = (texts: readonly string[]): ReadonlySet<number> =>
    new Set(texts.map((text) => graph.strings.indexOf(text)));
  const [single, tuples] = [idsOf(NAMES), idsOf(NAME_TUPLES)];
  const { typeId, firstEdge, edgeTarget, edgeKind, edgeLabel, nodeCount } = graph;
  for (let node = 0; node < nodeCount; node++) {
    if (typeId[node] !== codeType) continue;
    for (let edge = firstEdge[node]; edge < firstEdge[node + 1]; edge++) {
      if (edgeKind[edge] !== EdgeKind.attribute && edgeKind[edge] !== EdgeKind.internal) continue;
      const target = edgeTarget[edge];
      if (single.has(edgeLabel[edge])) setBit(names, target);
      else if (tuples.has(edgeLabel[edge])) {
        for (let item = firstEdge[target]; item < firstEdge[target + 1]; item++) {
          setBit(names, edgeTarget[item]);
        }
      }
    }
  }
  return names;
}

const isStatic = ({ nodeFlags }: HeapGraph, node: number): boolean =>
  node !== NONE && (nodeFlags[node] & NodeFlag.static) !== 0;

function redactPreviews(
  { nodeCount, previewBytes, previewStart }: HeapGraph,
  namesInCode: BitSet,
): Pick<HeapGraph, 'previewBytes' | 'previewStart'> {
  const kept = growableUint8();
  const keptStart = new Uint32Array(nodeCount + 1);
  for (let node = 0; node < nodeCount; node++) {
    const start = previewStart[node];
    const end = previewStart[node + 1];
    if (start < end && (hasBit(namesInCode, node) || isMadeOfNames(previewBytes, start, end))) {
      kept.reserve(end - start);
      kept.array.set(previewBytes.subarray(start, end), kept.length);
      kept.length += end - start;
    }
    keptStart[node + 1] = kept.length;
  }
  return { previewBytes: kept.finish(), previewStart: keptStart };
}

const isMadeOfNames = (bytes: Uint8Array, start: number, end: number): boolean =>
  KEPT_BEGINNINGS.some((beginning) => {
    if (bytes[start] !== beginning[0] || end - start < beginning.length) return false;
    for (let i = 1; i < beginning.length; i++) {
      if (bytes[start + i] !== beginning[i]) return false;
    }
    return true;
  });

/**
 * Attributes of instances may be named by data (`setattr`), and so may the entries of dicts that share their keys: their
 * names stay if code has them. All other labels are leakscope's own words for C fields, names of variables, and of roots.
 */
function redactStrings(graph: HeapGraph, namesInCode: BitSet): string[] {
  const names = new Set<string>();
  for (let node = 0; node < graph.nodeCount; node++) {
    if (hasBit(namesInCode, node)) names.add(findPreview(graph, node)?.slice(1, -1) ?? '');
  }
  const isOther = makeBitSet(graph.strings.length);
  markOtherLabels(graph, isOther);
  return graph.strings.map((text, id) => {
    if (hasBit(isOther, id)) return withoutThreadName(text);
    return names.has(text) ? text : NO_NAME;
  });
}

function markOtherLabels(graph: HeapGraph, isOther: BitSet): void {
  const { typeId, firstEdge, edgeKind, edgeLabel, nodeCount, types, rootKind, rootLabel } = graph;
  const hasNamesOfData = types.map(({ node }) => !isStatic(graph, node));
  const mark = (label: number): void => {
    if (label !== NONE) setBit(isOther, label);
  };
  for (let node = 0; node < nodeCount; node++) {
    for (let edge = firstEdge[node]; edge < firstEdge[node + 1]; edge++) {
      const kind = edgeKind[edge];
      const isWord =
        kind === EdgeKind.internal ||
        kind === EdgeKind.local ||
        (kind === EdgeKind.attribute && !hasNamesOfData[typeId[node]]);
      if (isWord) mark(edgeLabel[edge]);
    }
  }
  for (let root = 0; root < rootKind.length; root++) mark(rootLabel[root]);
  const { localName = [] } = graph.execution ?? {};
  for (const label of localName) mark(label);
}

/** Threads are named by the program. */
const withoutThreadName = (label: string): string =>
  label.replace(/ (in|of) thread .*$/s, ' $1 thread ?');

function redactNative(native: NativeHeap): NativeHeap {
  const { groups, threads } = native.facts;
  return {
    ...native,
    facts: {
      ...native.facts,
      groups: groups.map((group) => ({
        ...group,
        heldBy: withoutThreadName(group.heldBy),
        exampleBytes: [],
      })),
      threads: threads.map((thread) => ({ ...thread, name: `thread ${thread.tid}` })),
    },
  };
}

const redactExecution = (execution: Execution): Execution => ({
  ...execution,
  facts: {
    ...execution.facts,
    threads: execution.facts.threads.map((thread) => ({ ...thread, kernelName: '' })),
  },
});
