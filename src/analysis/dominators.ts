// Immediate dominators of all reachable nodes, under a virtual root over all roots, and retained sizes from them.
// A dominates B when every path from a root to B goes through A; the retained size of A is what would be freed with it.
//
// Algorithm: Semi-NCA of L. Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems" (PhD thesis,
// Princeton, 2005), section 2.3, with the path compression of T. Lengauer and R. E. Tarjan, "A Fast Algorithm for
// Finding Dominators in a Flowgraph" (TOPLAS 1979, doi:10.1145/357062.357071). Names are the papers': parent, semi,
// label, ancestor, idom, eval. Vertices are preorder numbers: 0 is the virtual root, node `vertex[v]` has number v.
// `ancestor` starts as `parent`, and a vertex counts as linked when its number is above the one in work.
//
// Memory while it runs: 28 bytes per node and 4 per edge; the result keeps 8 bytes per node.

import { hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import type { HeapGraph, NodeIndex } from '../graph/heap-graph.ts';
import { NONE } from '../graph/heap-graph.ts';

export interface DominatorTree {
  /** Per node: the nearest node through which every path from a root goes; `nodeCount` for the virtual root; NONE if unreachable. */
  readonly immediateDominator: Uint32Array;
  /** The reachable nodes in depth-first preorder of the graph: each stands behind its immediate dominator. */
  readonly order: Uint32Array;
}

/** What of a graph dominators depend on. */
export type DominatorInputs = Pick<
  HeapGraph,
  'nodeCount' | 'firstEdge' | 'edgeTarget' | 'rootNode'
>;

/** Unreachable nodes get NONE. Close to O(nodes + edges) in practice, at worst O(edges * log nodes). */
export function computeDominators(graph: DominatorInputs): DominatorTree {
  const numbers = numberDepthFirst(graph);
  const semi = computeSemidominators(graph, numbers);
  const { number, vertex, parent, count } = numbers;

  // From here on `parent` becomes idom: the nearest common ancestor of parent and semidominator in the tree so far.
  const idom = parent;
  for (let w = 1; w <= count; w++) {
    const limit = semi[w];
    let v = idom[w];
    while (v > limit) v = idom[v];
    idom[w] = v;
  }

  const immediateDominator = number;
  immediateDominator.fill(NONE);
  for (let w = 1; w <= count; w++) {
    immediateDominator[vertex[w]] = idom[w] === 0 ? graph.nodeCount : vertex[idom[w]];
  }
  return { immediateDominator, order: vertex.slice(1, count + 1) };
}

interface DepthFirstNumbers {
  /** Per node: its preorder number from 1; 0 = not reached. */
  number: Uint32Array;
  /** Per number: its node. */
  vertex: Uint32Array;
  /** Per number: the number from which it was reached first; 0 for roots. */
  parent: Uint32Array;
  /** The highest number given. */
  count: number;
  /** 2 * nodeCount + 2 cells that are free for the next phase. */
  scratch: Uint32Array;
}

function numberDepthFirst(graph: DominatorInputs): DepthFirstNumbers {
  const { nodeCount, firstEdge, edgeTarget, rootNode } = graph;
  const number = new Uint32Array(nodeCount);
  const vertex = new Uint32Array(nodeCount + 1);
  const parent = new Uint32Array(nodeCount + 1);
  /** Per number: the next edge to look at and the end of its edges. The way back is `parent`: no other stack is needed. */
  const pending = new Uint32Array(2 * nodeCount + 2);
  /** Says the same as `number`, in a 32nd of the memory: the one column that is asked about each edge. */
  const reached = makeBitSet(nodeCount);
  let count = 0;
  for (let i = 0; i < rootNode.length; i++) {
    const root = rootNode[i];
    if (hasBit(reached, root)) continue;
    setBit(reached, root);
    number[root] = ++count;
    vertex[count] = root;
    let v = count;
    let edge = firstEdge[root];
    let end = firstEdge[root + 1];
    while (v !== 0) {
      if (edge === end) {
        v = parent[v];
        edge = pending[2 * v];
        end = pending[2 * v + 1];
        continue;
      }
      const child = edgeTarget[edge++];
      if (((reached[child >>> 5] >>> (child & 31)) & 1) !== 0) continue;
      reached[child >>> 5] |= 1 << (child & 31);
      number[child] = ++count;
      vertex[count] = child;
      parent[count] = v;
      const first = firstEdge[child];
      const last = firstEdge[child + 1];
      if (first === last) continue;
      pending[2 * v] = edge;
      pending[2 * v + 1] = end;
      v = count;
      edge = first;
      end = last;
    }
  }
  return { number, vertex, parent, count, scratch: pending };
}

/**
 * Per node (not per number: this way only two cells per edge are far apart) the numbers of the vertices that hold it:
 * [firstPredecessor[node], firstPredecessor[node + 1]). Edges from unreachable nodes are left out.
 */
function buildPredecessors(
  graph: DominatorInputs,
  number: Uint32Array,
): { firstPredecessor: Uint32Array; predecessor: Uint32Array } {
  const { nodeCount, firstEdge, edgeTarget } = graph;
  const firstPredecessor = new Uint32Array(nodeCount + 1);
  for (let node = 0; node < nodeCount; node++) {
    if (number[node] === 0) continue;
    const end = firstEdge[node + 1];
    for (let edge = firstEdge[node]; edge < end; edge++) firstPredecessor[edgeTarget[edge]]++;
  }
  let total = 0;
  for (let node = 0; node < nodeCount; node++) {
    total += firstPredecessor[node];
    firstPredecessor[node] = total;
  }
  firstPredecessor[nodeCount] = total;
  const predecessor = new Uint32Array(total);
  for (let node = nodeCount - 1; node >= 0; node--) {
    const v = number[node];
    if (v === 0) continue;
    const end = firstEdge[node + 1];
    for (let edge = firstEdge[node]; edge < end; edge++) {
      predecessor[--firstPredecessor[edgeTarget[edge]]] = v;
    }
  }
  return { firstPredecessor, predecessor };
}

function computeSemidominators(graph: DominatorInputs, numbers: DepthFirstNumbers): Uint32Array {
  const { number, vertex, parent, count } = numbers;
  const { firstPredecessor, predecessor } = buildPredecessors(graph, number);
  const isRoot = makeBitSet(graph.nodeCount);
  for (let i = 0; i < graph.rootNode.length; i++) setBit(isRoot, graph.rootNode[i]);
  const semi = new Uint32Array(count + 1);
  const forest = new Forest(parent, count, numbers.scratch);

  for (let w = count; w >= 1; w--) {
    const node = vertex[w];
    let least = parent[w];
    // The virtual root, number 0, precedes each root without an edge that says so.
    if (hasBit(isRoot, node)) least = 0;
    const end = firstPredecessor[node + 1];
    for (let i = firstPredecessor[node]; i < end && least !== 0; i++) {
      const v = predecessor[i];
      const low = v <= w ? v : forest.evaluate(v, w);
      if (low < least) least = low;
    }
    semi[w] = least;
    forest.link(w, least);
  }
  return semi;
}

/** The papers' forest of linked vertices with path compression; a vertex is linked when its number is above `w`. */
class Forest {
  /** Per vertex, side by side because they are used together: ancestor, and label. */
  private readonly cells: Uint32Array;
  private stack = new Uint32Array(1024);

  constructor(parent: Uint32Array, count: number, cells: Uint32Array) {
    this.cells = cells;
    for (let v = 0; v <= count; v++) cells[2 * v] = parent[v];
  }

  /** The label starts as semi itself: the papers keep the vertex that has it, but only its semi is needed. */
  link(v: number, semi: number): void {
    this.cells[2 * v + 1] = semi;
  }

  /** eval(v): the least semi of the linked vertices from v up to the root of its tree in the forest. */
  evaluate(v: number, w: number): number {
    const cells = this.cells;
    let ancestor = cells[2 * v];
    if (ancestor <= w) return cells[2 * v + 1];
    let stack = this.stack;
    let depth = 0;
    let x = v;
    while (ancestor > w) {
      if (depth === stack.length) {
        stack = new Uint32Array(depth * 2);
        stack.set(this.stack);
        this.stack = stack;
      }
      stack[depth++] = x;
      x = ancestor;
      ancestor = cells[2 * x];
    }
    let low = cells[2 * x + 1];
    while (depth > 0) {
      x = stack[--depth];
      if (cells[2 * x + 1] < low) low = cells[2 * x + 1];
      else cells[2 * x + 1] = low;
      cells[2 * x] = ancestor;
    }
    return low;
  }
}

/**
 * Per node: the bytes that would be freed with it, by a column of sizes (`allocatedSize` or `shallowSize`); 0 if
 * unreachable. The cell `nodeCount`, the virtual root, has the sum over all reachable nodes.
 */
export function computeRetainedSizes(tree: DominatorTree, size: Float64Array): Float64Array {
  const { immediateDominator, order } = tree;
  const retained = new Float64Array(immediateDominator.length + 1);
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i];
    retained[node] += size[node];
    retained[immediateDominator[node]] += retained[node];
  }
  return retained;
}

/** Whether every path from a root to `node` goes through `dominator`. O(depth of the tree). */
export function isDominatedBy(tree: DominatorTree, node: NodeIndex, dominator: NodeIndex): boolean {
  const { immediateDominator } = tree;
  const virtualRoot = immediateDominator.length;
  let at = node;
  while (at !== dominator && at !== virtualRoot && at !== NONE) at = immediateDominator[at];
  return at === dominator;
}
