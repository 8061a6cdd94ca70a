// Objects of every type that leakscope decodes, compared with what the Python that made them says: sizes, references,
// types, short contents. Also the whole heap of that process: no object has more references than its count.
// See tests/programs/oracle.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCapture } from '../../src/capture/capture-heap.ts';
import {
  EdgeKind,
  findNodeAt,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  typeNameOf,
} from '../../src/graph/heap-graph.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

interface OracleObject {
  label: string;
  id: number;
  type: string;
  size: number;
  referents: number[];
  tracked: boolean;
  repr: string;
}

interface Oracle {
  python: string;
  objects: OracleObject[];
}

const SIZE_UNEXPECTED = 'type-size-unexpected';
const PROGRAM = fileURLToPath(new URL('../programs/oracle/run.py', import.meta.url));

describeEachPython(
  'objects of every type',
  (python) => {
    let running: RunningPython<Oracle>;
    let graph: HeapGraph;
    let objects: OracleObject[];

    beforeAll(async () => {
      running = await startPython<Oracle>(python, PROGRAM, {
        // Beside the programs.
        env: { PYTHONDONTWRITEBYTECODE: '1' },
      });
      objects = running.ready.objects;
      const capture = openCapture(running.pid);
      try {
        graph = await capture.capture();
      } finally {
        capture.close();
      }
    });
    afterAll(() => running?.stop());

    test('are all found, with the type that Python names', () => {
      expect(objects.length).toBeGreaterThan(500);
      const wrong = objects.flatMap(({ label, id, type }) => {
        const node = findNodeAt(graph, id);
        const found = node === undefined ? 'not found' : typeNameOf(graph, node);
        return found === type || found.endsWith(`.${type}`) ? [] : [`${label}: ${found}, ${type}`];
      });
      expect(wrong).toEqual([]);
    });

    test('have the size that sys.getsizeof returns', () => {
      const unknown = findUnknownTypes(graph);
      const wrong = objects.flatMap(({ label, id, size }) => {
        const node = nodeAt(graph, id);
        const found = graph.shallowSize[node];
        return found === size || unknown.has(typeNameOf(graph, node))
          ? []
          : [`${label}: ${found} instead of ${size}`];
      });
      expect(wrong).toEqual([]);
    });

    test('refer to everything that gc.get_referents returns', () => {
      const holders = findDictHolders(graph);
      const wrong = objects.flatMap((object) => {
        const missing = findMissingReferents(graph, object, holders);
        return missing.length === 0 ? [] : [`${object.label}: ${missing.join(', ')}`];
      });
      expect(wrong).toEqual([]);
    });

    test('are decoded without problems, and every reference leads to an object', () => {
      const problems = graph.capture.problems.filter(({ kind }) => kind !== SIZE_UNEXPECTED);
      expect(problems).toEqual([]);
      expect(findUnknownTypes(graph).size).toBeLessThan(5);
      expect(graph.capture.coverage).toBe(1);
    });

    test('have previews that are their repr', () => {
      const wrong = objects.flatMap(({ label, id, repr }) => {
        if (repr === '' || repr.length > 120) return [];
        const preview = findPreview(graph, nodeAt(graph, id)) ?? 'none';
        const isLongInt = /^-?\d{28,}$/.test(repr) && preview.startsWith('<int, ');
        return preview === repr || isLongInt ? [] : [`${label}: ${preview} instead of ${repr}`];
      });
      expect(wrong).toEqual([]);
    });

    test('and all others of the process have no more references than their count says', () => {
      const { over, exact } = compareWithCounts(graph);
      // A block of memory that begins like an object may be taken for one and count as a holder.
      expect(over.slice(3)).toEqual([]);
      expect(exact).toBeGreaterThan(0.9);
    });
  },
  { all: true },
);

function nodeAt(graph: HeapGraph, address: number): NodeIndex {
  const node = findNodeAt(graph, address);
  if (node === undefined) throw new Error(`no object at 0x${address.toString(16)}`);
  return node;
}

/** Types of this micro release whose struct is not the one that leakscope knows: they are scanned, not decoded. */
function findUnknownTypes(graph: HeapGraph): Set<string> {
  const problem = graph.capture.problems.find(({ kind }) => kind === SIZE_UNEXPECTED);
  const nodes = new Set((problem?.examples ?? []).map((address) => findNodeAt(graph, address)));
  return new Set(graph.types.filter(({ node }) => nodes.has(node)).map(({ name }) => name));
}

/** Per dict that is an instance's `__dict__`: the instance. */
function findDictHolders(graph: HeapGraph): Map<NodeIndex, NodeIndex> {
  const holders = new Map<NodeIndex, NodeIndex>();
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
      if (graph.edgeKind[edge] === EdgeKind.instanceDict) holders.set(graph.edgeTarget[edge], node);
    }
  }
  return holders;
}

function findMissingReferents(
  graph: HeapGraph,
  object: OracleObject,
  holders: ReadonlyMap<NodeIndex, NodeIndex>,
): string[] {
  const node = nodeAt(graph, object.id);
  const targets = targetsOf(graph, node);
  // A cache visits for the elements of its list, which are no business of the collector's.
  if (object.type === '_lru_cache_wrapper') {
    for (const element of targetsOf(graph, node)) {
      if (typeNameOf(graph, element) === 'functools._lru_list_elem') {
        targets.push(...targetsOf(graph, element));
      }
    }
  }
  // Values embedded in an instance belong to it, although its dict visits them too (3.14).
  const holder = holders.get(node);
  if (object.type === 'dict' && holder !== undefined) targets.push(...targetsOf(graph, holder));
  const missing: string[] = [];
  for (const id of object.referents) {
    const target = findNodeAt(graph, id);
    const at = target === undefined ? -1 : targets.indexOf(target);
    if (at < 0) missing.push(target === undefined ? 'unknown' : typeNameOf(graph, target));
    else targets.splice(at, 1);
  }
  return missing;
}

const targetsOf = (graph: HeapGraph, node: NodeIndex): number[] => [
  ...graph.edgeTarget.subarray(graph.firstEdge[node], graph.firstEdge[node + 1]),
];

/**
 * Compares exact references to each mortal object with its count. Static types refer to their bases without counting (until
 * 3.11), frozen code of 3.11 to True and False, and frames borrow tuples since 3.14.
 */
function compareWithCounts(graph: HeapGraph): { over: string[]; exact: number } {
  const references = new Uint32Array(graph.nodeCount);
  for (let edge = 0; edge < graph.edgeCount; edge++) {
    if (graph.edgeKind[edge] !== EdgeKind.conservative) references[graph.edgeTarget[edge]]++;
  }
  const over: string[] = [];
  let mortal = 0;
  let exact = 0;
  for (let node = 0; node < graph.nodeCount; node++) {
    const count = graph.referenceCount[node];
    if (count === NONE) continue;
    mortal++;
    if (references[node] === count) exact++;
    if (references[node] <= count) continue;
    const type = typeNameOf(graph, node);
    if (!['type', 'bool', 'tuple'].includes(type))
      over.push(`${type}: ${references[node]}, ${count}`);
  }
  return { over, exact: exact / mortal };
}
