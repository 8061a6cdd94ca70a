// Random HeapGraphs for property tests (fast-check) and benchmarks: small ones with every kind of edge and root, and
// large ones in the form of a Python heap.

import fc from 'fast-check';
import { EdgeKind, type HeapGraph, NONE, RootKind } from '../../src/graph/heap-graph.ts';
import {
  ACCOUNTS,
  type Account,
  BlockState,
  type NativeHeap,
} from '../../src/graph/native-heap.ts';
import { drawGraph } from './drawn-graph.ts';

export interface RandomEdge {
  source: number;
  target: number;
}

/** A graph of plain `.a` edges from lists of pairs; node i is at address 0x1000 + 64 * i and has i + 1 bytes. */
export function graphOfEdges(
  nodeCount: number,
  edges: readonly RandomEdge[],
  roots: readonly number[],
): HeapGraph {
  const lines = roots.map((root) => `root native -> n${root}`);
  for (let i = 0; i < nodeCount; i++) {
    const own = edges.filter((edge) => edge.source === i).map((edge) => `.a -> n${edge.target}`);
    lines.push(`n${i}: T ${i + 1} ${own.join(', ')}`);
  }
  return drawGraph(lines.join('\n')).graph;
}

export const smallGraphs = (maxNodes = 12): fc.Arbitrary<HeapGraph> =>
  fc.integer({ min: 1, max: maxNodes }).chain((nodeCount) => {
    const node = fc.nat(nodeCount - 1);
    return fc
      .tuple(
        fc.array(fc.record({ source: node, target: node }), { maxLength: nodeCount * 3 }),
        fc.uniqueArray(node, { maxLength: 3 }),
      )
      .map(([edges, roots]) => graphOfEdges(nodeCount, edges, roots));
  });

/** Graphs that have each kind of edge and root, labels, previews, flags and weak references. */
const nativeHeaps: fc.Arbitrary<NativeHeap> = fc
  .record({
    blocks: fc.uniqueArray(fc.nat(1000), { maxLength: 20 }),
    rssBytes: fc.nat(1e9),
    signature: fc.string({ maxLength: 12 }),
  })
  .map(({ blocks, rssBytes, signature }) => ({
    blockAddress: Float64Array.from(
      blocks.sort((a, b) => a - b),
      (each) => 2 ** 40 + each * 16,
    ),
    blockSize: Float64Array.from(blocks, (each) => 32 + each * 16),
    blockGroup: new Uint32Array(blocks.length),
    excessNode: Uint32Array.of(1, 3),
    excessCount: Uint32Array.of(20, 5000),
    heldNode: Uint32Array.of(2),
    heldGroup: Uint32Array.of(0),
    facts: {
      ledger: {
        rssBytes,
        accounts: Object.fromEntries(ACCOUNTS.map((name, i) => [name, i * 4096])) as Record<
          Account,
          number
        >,
        residueBytes: -4096,
        remainders: ['otherAnonymous'],
        checks: [{ name: 'mp_.n_mmaps', expected: 3, found: 3 }],
      },
      allocator: 'glibc',
      evidence: ['libc.so.6 is mapped'],
      blocksAreKnown: true,
      groups: [
        {
          state: BlockState.lost,
          allocator: 'malloc',
          leastBytes: 32,
          mostBytes: 32,
          smallestBytes: 32,
          largestBytes: 32,
          signature,
          heldBy: '',
          library: '',
          exampleAddress: 2 ** 40,
          exampleBytes: [1, 2, 255],
        },
      ],
      threads: [{ tid: 1, name: 'main', stackBytes: 8192 }],
      mappings: [{ name: '[anonymous]', account: 'otherAnonymous', count: 2, bytes: 4096 }],
      arenas: [],
      pins: [],
      corruption: [],
    },
  }));

export const richGraphs: fc.Arbitrary<HeapGraph> = fc
  .record({
    names: fc.array(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 4 }),
    edges: fc.array(fc.tuple(fc.nat(7), fc.nat(7), fc.nat(11), fc.nat(3)), { maxLength: 24 }),
    roots: fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { minLength: 1, maxLength: 4 }),
    sizes: fc.array(fc.nat(100_000), { minLength: 8, maxLength: 8 }),
    native: fc.option(nativeHeaps, { nil: undefined }),
  })
  .map(({ names, edges, roots, sizes, native }) => {
    const lines = roots.map(
      ([node, kind]) => `root ${Object.keys(RootKind)[kind]} r${node} -> n${node}`,
    );
    const written = (kind: number, name: string, target: number): string => {
      switch (kind) {
        case EdgeKind.item:
          return `[${target}]`;
        case EdgeKind.dictKey:
          return 'key';
        case EdgeKind.dictValue:
          return `[n${target}]`;
        case EdgeKind.namedValue:
          return `'${name}'`;
        case EdgeKind.local:
          return `local ${name}`;
        case EdgeKind.instanceDict:
          return '__dict__';
        case EdgeKind.setItem:
          return '{}';
        case EdgeKind.type:
          return 'type';
        case EdgeKind.conservative:
          return '<+16>';
        case EdgeKind.stackValue:
          return '<stack 1>';
        case EdgeKind.internal:
          return `<${name}>`;
        default:
          return `.${name}`;
      }
    };
    sizes.forEach((size, i) => {
      const own = edges.filter((edge) => edge[0] === i);
      const texts = own.map(
        (edge) => `${written(edge[2], names[edge[3] % names.length], edge[1])} -> n${edge[1]}`,
      );
      lines.push(
        `n${i}: T${i % 3} ${size}/${size + 16} rc=${i} "preview ${i}" ${texts.join(', ')}`,
      );
    });
    lines.push('weak n1 -> n2', 'weak n0 -> n3');
    const { graph } = drawGraph(lines.join('\n'));
    return native === undefined ? graph : { ...graph, native };
  });

const COMMON_COUNT = 1000;

/**
 * A heap in the form of Python's: a tree of objects that hold others, most of the further references to a few common
 * objects, the rest to others near by. `scatter`: share of the nodes that stand, and of the references that lead,
 * anywhere instead. Deterministic; at least 2000 nodes.
 */
export function buildLargeGraph(nodeCount: number, edgesPerNode = 3, scatter = 0.5): HeapGraph {
  let state = 12345;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const edgeCount = nodeCount * edgesPerNode;
  const source = new Uint32Array(edgeCount);
  const target = new Uint32Array(edgeCount);
  const kind = new Uint8Array(edgeCount);
  // The others stand near the node that holds them, as in the order of allocation.
  const place = new Uint32Array(nodeCount).map((_, i) => i);
  for (let i = 0; i < nodeCount; i++) {
    if (random(1000) >= scatter * 1000) continue;
    const j = random(nodeCount);
    [place[i], place[j]] = [place[j], place[i]];
  }
  for (let i = 1; i < nodeCount; i++) {
    const parent = i < 64 ? 0 : Math.max(0, i - 1 - random(Math.min(i, random(8) === 0 ? i : 40)));
    source[i] = place[parent];
    target[i] = place[i];
    kind[i] = i % 2 === 0 ? EdgeKind.item : EdgeKind.attribute;
  }
  for (let edge = nodeCount; edge < edgeCount; edge++) {
    const from = random(nodeCount);
    const far =
      random(1000) < scatter * 1000 ? random(nodeCount) : Math.max(0, from - random(1000));
    source[edge] = place[from];
    target[edge] = random(3) === 0 ? place[far] : random(COMMON_COUNT);
    kind[edge] = random(2) === 0 ? EdgeKind.attribute : EdgeKind.item;
  }
  return columnsOf(nodeCount, source, target, kind);
}

function columnsOf(
  nodeCount: number,
  source: Uint32Array,
  target: Uint32Array,
  kind: Uint8Array,
): HeapGraph {
  const edgeCount = source.length;
  const firstEdge = new Uint32Array(nodeCount + 1);
  for (let edge = 0; edge < edgeCount; edge++) firstEdge[source[edge] + 1]++;
  for (let i = 0; i < nodeCount; i++) firstEdge[i + 1] += firstEdge[i];
  const next = firstEdge.slice();
  const edgeTarget = new Uint32Array(edgeCount);
  const edgeKind = new Uint8Array(edgeCount);
  const edgeLabel = new Uint32Array(edgeCount).fill(NONE);
  for (let edge = 0; edge < edgeCount; edge++) {
    const at = next[source[edge]]++;
    edgeTarget[at] = target[edge];
    edgeKind[at] = kind[edge];
    edgeLabel[at] = kind[edge] === EdgeKind.attribute ? edge % 4 : edge & 1023;
  }
  const { graph } = drawGraph(
    'root module app -> app\napp: module .a -> b, .c -> b, .d -> b, .e -> b',
  );
  return {
    ...graph,
    nodeCount,
    edgeCount,
    address: Float64Array.from({ length: nodeCount }, (_, i) => 0x7f0000000000 + i * 64),
    typeId: new Uint32Array(nodeCount).map((_, i) => i % 5),
    shallowSize: new Float64Array(nodeCount).fill(56),
    allocatedSize: new Float64Array(nodeCount).fill(64),
    referenceCount: new Uint32Array(nodeCount).fill(1),
    nodeFlags: new Uint8Array(nodeCount),
    firstEdge,
    edgeTarget,
    edgeKind,
    edgeLabel,
    // As in a Python heap, what half of all references lead to (None, small ints, types) never dies.
    rootNode: Uint32Array.from({ length: COMMON_COUNT + 1 }, (_, i) => i),
    rootKind: new Uint8Array(COMMON_COUNT + 1).map((_, i) =>
      i === 0 ? RootKind.module : RootKind.interned,
    ),
    rootLabel: new Uint32Array(COMMON_COUNT + 1).map((_, i) =>
      i === 0 ? graph.rootLabel[0] : NONE,
    ),
    types: Array.from({ length: 5 }, (_, i) => ({ name: `app.T${i}`, node: NONE })),
    previewStart: new Uint32Array(nodeCount + 1),
    previewBytes: new Uint8Array(0),
  };
}
