// What else holds an object, independently of its best path: takes one object of that path out (the container in which
// things pile up) and searches backward from the object for another way to a root. If there is none, removing the object
// from the container frees it; if there is one, that is the next thing to look at.
//
// Searches backward only around the object and asks the path tree for the rest of the way, so thousands of objects can
// be asked about. A search ends after a number of objects; what it then has not found is unknown and not absent.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { type EdgeIndex, type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';
import { findEdgeSource, type ReverseEdges } from '../graph/reverse-edges.ts';
import { buildPath, type HeapPath } from './path-steps.ts';
import type { PathTree } from './paths.ts';

export interface OtherHolders {
  /** Independent paths, the best first, at most MAX_PATHS, each by another holder of the object. */
  paths: HeapPath[];
  /** Whether all ways were looked at. If not and there is no path, it is unknown whether there is one. */
  isComplete: boolean;
  /** Weak references to the object: they do not keep it alive. */
  weakCount: number;
}

export interface HolderSearch {
  graph: HeapGraph;
  tree: PathTree;
  reverse: ReverseEdges;
  isRoot: BitSet;
}

const MAX_PATHS = 3;
/** Ways found before the best are chosen. */
const MAX_CANDIDATES = 12;
const MAX_VISITED = 20_000;
/** Steps toward a root before a way counts as too long to tell. */
const MAX_WALK = 20_000;

/** What the searches in one graph share; 1 bit per node. */
export function prepareHolderSearch(
  graph: HeapGraph,
  tree: PathTree,
  reverse: ReverseEdges,
): HolderSearch {
  const isRoot = makeBitSet(graph.nodeCount);
  for (let root = 0; root < graph.rootNode.length; root++) setBit(isRoot, graph.rootNode[root]);
  return { graph, tree, reverse, isRoot };
}

/**
 * Ways to `node` that do not lead through `blocked`; by default that is the object before it on its best path, or the
 * root itself if it is one. O(objects around it), at most 20 000 of them, and O(weak references).
 */
export function findOtherHolders(
  search: HolderSearch,
  node: NodeIndex,
  blocked: NodeIndex = search.tree.parentNode[node],
): OtherHolders {
  const { graph, reverse } = search;
  const walker = new RootWalker(search, node, blocked);
  /** Per node visited: the edge by which it leads toward the object asked about. */
  const edgeToward = new Map<NodeIndex, EdgeIndex>([[node, NONE]]);
  const queue: NodeIndex[] = [node];
  const candidates: { root: number; edges: EdgeIndex[] }[] = [];
  let isComplete = true;
  around: for (let i = 0; i < queue.length; i++) {
    const at = queue[i];
    const way = walker.findWay(at);
    if (way !== undefined) {
      candidates.push({
        root: way.root,
        edges: [...way.edges, ...edgesToward(graph, edgeToward, at)],
      });
      if (candidates.length === MAX_CANDIDATES) break;
      // What is behind it holds the object through it, so it is no other holder. The object itself may have some.
      if (at !== node) continue;
    }
    const end = reverse.firstRetainer[at + 1];
    for (let row = reverse.firstRetainer[at]; row < end; row++) {
      const edge = reverse.retainerEdge[row];
      const source = findEdgeSource(graph, edge);
      if (source === blocked || edgeToward.has(source)) continue;
      if (queue.length === MAX_VISITED) {
        isComplete = false;
        break around;
      }
      edgeToward.set(source, edge);
      queue.push(source);
    }
  }
  return {
    paths: chooseBest(graph, candidates),
    isComplete: isComplete && !walker.gaveUp,
    weakCount: countWeak(graph, node),
  };
}

function edgesToward(
  graph: HeapGraph,
  edgeToward: ReadonlyMap<NodeIndex, EdgeIndex>,
  start: NodeIndex,
): EdgeIndex[] {
  const edges: EdgeIndex[] = [];
  let edge = edgeToward.get(start) ?? NONE;
  while (edge !== NONE) {
    edges.push(edge);
    edge = edgeToward.get(graph.edgeTarget[edge]) ?? NONE;
  }
  return edges;
}

/** Best roots first (they are in order of preference), then the shorter; one path per last holder. */
function chooseBest(
  graph: HeapGraph,
  candidates: readonly { root: number; edges: EdgeIndex[] }[],
): HeapPath[] {
  const sorted = [...candidates].sort(
    (a, b) => graph.rootKind[a.root] - graph.rootKind[b.root] || a.edges.length - b.edges.length,
  );
  const byHolder = new Map<NodeIndex, (typeof sorted)[number]>();
  for (const candidate of sorted) {
    const last = candidate.edges.at(-1);
    const holder = last === undefined ? NONE : findEdgeSource(graph, last);
    if (!byHolder.has(holder)) byHolder.set(holder, candidate);
  }
  return [...byHolder.values()]
    .slice(0, MAX_PATHS)
    .map(({ root, edges }) => buildPath(graph, root, edges));
}

function countWeak(graph: HeapGraph, node: NodeIndex): number {
  let count = 0;
  for (let i = 0; i < graph.weakTarget.length; i++) if (graph.weakTarget[i] === node) count++;
  return count;
}

/** Finds out whether an object's best path avoids what is blocked, and remembers what it learned on the way. */
class RootWalker {
  gaveUp = false;
  private readonly search: HolderSearch;
  private readonly node: NodeIndex;
  private readonly blocked: NodeIndex;
  /** Nodes whose best path leads through what is blocked. */
  private readonly dependent = new Set<NodeIndex>();

  constructor(search: HolderSearch, node: NodeIndex, blocked: NodeIndex) {
    this.search = search;
    this.node = node;
    this.blocked = blocked;
    if (blocked !== NONE) this.dependent.add(blocked);
    this.dependent.add(node);
  }

  /** A way from a root to `start`; undefined if there is none that is known to be independent. */
  findWay(start: NodeIndex): { root: number; edges: EdgeIndex[] } | undefined {
    const { graph, tree, isRoot } = this.search;
    const ownRoot = hasBit(isRoot, start) ? this.findRoot(start) : NONE;
    if (ownRoot !== NONE) return { root: ownRoot, edges: [] };
    if (tree.rootRow[start] === NONE) return undefined;
    const edges: EdgeIndex[] = [];
    let at = start;
    while (!this.dependent.has(at)) {
      if (tree.parentNode[at] === NONE)
        return { root: tree.rootRow[start], edges: edges.reverse() };
      if (edges.length === MAX_WALK) {
        this.gaveUp = true;
        break;
      }
      edges.push(tree.parentEdge[at]);
      at = tree.parentNode[at];
    }
    this.dependent.add(start);
    for (const edge of edges)
      if (edges.length < MAX_WALK) this.dependent.add(graph.edgeTarget[edge]);
    return undefined;
  }

  /** The first root of a node, but of the object asked about only one that its best path does not begin with. */
  private findRoot(node: NodeIndex): number {
    const { rootNode } = this.search.graph;
    const { rootRow, parentNode } = this.search.tree;
    const isBlockedRoot = node === this.node && this.blocked === NONE && parentNode[node] === NONE;
    for (let root = rootNode.indexOf(node); root >= 0; root = rootNode.indexOf(node, root + 1)) {
      if (!isBlockedRoot || root !== rootRow[node]) return root;
    }
    return NONE;
  }
}
