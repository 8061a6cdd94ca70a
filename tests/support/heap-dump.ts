// The whole heap as the target's own Python dumped it (tests/programs/coverage.py), and how much of it a graph has:
// objects, type names, sizes, references. What Python's `tp_traverse` and leakscope see differently on purpose is said here.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  EdgeKind,
  findNodeAt,
  type HeapGraph,
  NONE,
  typeNameOf,
} from '../../src/graph/heap-graph.ts';

const WORD = 8;
const NOT_MEASURED = 2n ** 64n - 1n;

export interface HeapDump {
  ids: Float64Array;
  /** Per object: row of `typeNames`. */
  types: Float64Array;
  typeNames: string[];
  /** sys.getsizeof; NaN where it raised. */
  sizes: Float64Array;
  /** ids.length + 1 cells; the referents of object i are `referents[firsts[i] .. firsts[i + 1])`. */
  firsts: Float64Array;
  referents: Float64Array;
}

export function readHeapDump(folder: string): HeapDump {
  const read = (name: string): Float64Array => {
    const bytes = readFileSync(join(folder, name));
    const words = new BigUint64Array(bytes.length / WORD);
    new Uint8Array(words.buffer).set(bytes);
    return Float64Array.from(words, (word) => (word === NOT_MEASURED ? Number.NaN : Number(word)));
  };
  return {
    ids: read('ids'),
    types: read('types'),
    typeNames: readFileSync(join(folder, 'types.txt'), 'utf8').split('\n'),
    sizes: read('sizes'),
    firsts: read('firsts'),
    referents: read('referents'),
  };
}

/** A number of cases and how often each kind of case occurred. */
export interface Tally {
  total: number;
  byKind: Map<string, number>;
}

export interface Coverage {
  objects: number;
  missing: Tally;
  otherType: Tally;
  otherSize: Tally;
  /** References that the dump names, without those of the dict of interned strings, which own nothing. */
  edges: number;
  missingEdges: Tally;
  /** Nodes that the dump does not know: what Python's collector never visits. */
  extra: Tally;
}

export function compareWithDump(graph: HeapGraph, dump: HeapDump): Coverage {
  const { ids, types, typeNames, sizes } = dump;
  const coverage: Coverage = {
    objects: ids.length,
    missing: tally(),
    otherType: tally(),
    otherSize: tally(),
    edges: 0,
    missingEdges: tally(),
    extra: tally(),
  };
  const isKnown = new Uint8Array(graph.nodeCount);
  const nodeOf = new Map<number, number>();
  for (let row = 0; row < ids.length; row++) {
    const node = findNodeAt(graph, ids[row]);
    const type = typeNames[types[row]];
    if (node === undefined) {
      count(coverage.missing, type);
      continue;
    }
    nodeOf.set(ids[row], node);
    isKnown[node] = 1;
    if (typeNameOf(graph, node) !== type) {
      count(coverage.otherType, `${typeNameOf(graph, node)} instead of ${type}`);
    }
    if (!Number.isNaN(sizes[row]) && graph.shallowSize[node] !== sizes[row]) {
      count(coverage.otherSize, `${type} ${graph.shallowSize[node]} instead of ${sizes[row]}`);
    }
  }
  coverage.edges = countEdges(graph, dump, nodeOf, coverage.missingEdges);
  for (let node = 0; node < graph.nodeCount; node++) {
    if (isKnown[node] === 0) count(coverage.extra, typeNameOf(graph, node));
  }
  return coverage;
}

/** Returns how many references were looked for. */
function countEdges(
  graph: HeapGraph,
  dump: HeapDump,
  nodeOf: ReadonlyMap<number, number>,
  missing: Tally,
): number {
  const holders = findDictHolders(graph);
  const interned = findInternedDict(graph);
  let edges = 0;
  const found = new Int32Array(graph.nodeCount);
  const add = (node: number, difference: number) => {
    for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
      found[graph.edgeTarget[edge]] += difference;
    }
  };
  const addAll = (node: number, difference: number) => {
    for (const each of sameForPython(graph, node, holders)) add(each, difference);
  };
  for (let row = 0; row < dump.ids.length; row++) {
    const node = nodeOf.get(dump.ids[row]);
    if (node === undefined || node === interned) continue;
    addAll(node, 1);
    const referents = dump.referents.subarray(dump.firsts[row], dump.firsts[row + 1]);
    edges += referents.length;
    const known: number[] = [];
    for (const id of referents) {
      const target = nodeOf.get(id);
      if (target !== undefined && found[target] > 0) {
        found[target]--;
        known.push(target);
        continue;
      }
      const type = target === undefined ? 'not found' : typeNameOf(graph, target);
      count(missing, `${dump.typeNames[dump.types[row]]} -> ${type}`);
    }
    for (const target of known) found[target]++;
    addAll(node, -1);
  }
  return edges;
}

/** 3.12 and newer: the collector visits its entries although they own no references; leakscope leaves them out. */
function findInternedDict(graph: HeapGraph): number | undefined {
  const row = graph.rootLabel.findIndex(
    (label) => label !== NONE && graph.strings[label].endsWith('interned_strings'),
  );
  return row < 0 ? undefined : graph.rootNode[row];
}

/**
 * The nodes whose references Python ascribes to the object of one node: a cache visits for the elements of its list, and
 * a dict for the values that are embedded in the instance that it belongs to (3.13 and newer).
 */
function sameForPython(
  graph: HeapGraph,
  node: number,
  holders: ReadonlyMap<number, number>,
): number[] {
  const type = typeNameOf(graph, node);
  const holder = type === 'dict' ? holders.get(node) : undefined;
  if (holder !== undefined) return [node, holder];
  if (type !== 'functools._lru_cache_wrapper') return [node];
  const targets = graph.edgeTarget.subarray(graph.firstEdge[node], graph.firstEdge[node + 1]);
  const elements = [...targets].filter(
    (target) => typeNameOf(graph, target) === 'functools._lru_list_elem',
  );
  return [node, ...elements];
}

/** Per dict that is an instance's `__dict__`: the instance. */
function findDictHolders(graph: HeapGraph): Map<number, number> {
  const holders = new Map<number, number>();
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
      if (graph.edgeKind[edge] === EdgeKind.instanceDict) holders.set(graph.edgeTarget[edge], node);
    }
  }
  return holders;
}

const tally = (): Tally => ({ total: 0, byKind: new Map() });

export function count(into: Tally, kind: string): void {
  into.total++;
  into.byKind.set(kind, (into.byKind.get(kind) ?? 0) + 1);
}

/** `dict 3, list 1`: the most frequent first. */
export function formatTally(from: Tally, limit = 12): string {
  const rows = [...from.byKind].sort((a, b) => b[1] - a[1]).slice(0, limit);
  return rows.map(([kind, times]) => `${kind} x${times}`).join(', ');
}
