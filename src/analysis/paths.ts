// The best path from a root to every reachable node, as a tree: one pass, after which any number of paths can be read
// off. Best means the least sum of penalties (path-costs.ts), not the fewest steps.
//
// Algorithm: Dial's, i.e. Dijkstra's with a ring of buckets instead of a heap, since costs are small integers (R. B. Dial,
// "Algorithm 360: Shortest-path forest with topological ordering", CACM 1969, doi:10.1145/363269.363610). Within a
// bucket, first in first out. Two departures: a step costs nothing where it follows a chain (`node.next.next`) or goes
// from an instance to its dict, and nothing beyond MAX_HOP_COST steps; so the cost of a step depends on the path before
// it, and the result is a very good path rather than a provably best one.
//
// Memory: 16 bytes per node for the result; besides, while it runs, 5 per node and the buckets.

import { assert } from '../base/assert.ts';
import { EdgeKind, type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { computePathCosts, MAX_HOP_COST, MAX_STEP_COST } from './path-costs.ts';

export interface PathTree {
  /** Per node: the node before it on its best path; NONE for a node that is a root there, and for unreachable ones. */
  readonly parentNode: Uint32Array;
  /** Per node: the edge from there to here; NONE like `parentNode`. */
  readonly parentEdge: Uint32Array;
  /** Per node: row of the graph's roots at which its best path begins; NONE if unreachable. */
  readonly rootRow: Uint32Array;
  /** The reachable nodes, each behind its parent. */
  readonly order: Uint32Array;
}

const RING = 256;

/** O(nodes + edges). */
export function computePathTree(graph: HeapGraph): PathTree {
  const { nodeCount, firstEdge, edgeTarget, edgeKind, edgeLabel, typeId, rootNode } = graph;
  const costs = computePathCosts(graph);
  const { away } = costs;
  const kindCost = costs.edgeKind;
  const labelCost = costs.label;
  const typeCost = costs.type;
  assert(MAX_STEP_COST < RING, 'a step leads to another bucket of the ring');

  const parentNode = new Uint32Array(nodeCount).fill(NONE);
  const parentEdge = new Uint32Array(nodeCount).fill(NONE);
  const rootRow = new Uint32Array(nodeCount).fill(NONE);
  const order = new Uint32Array(nodeCount);
  const cost = new Uint32Array(nodeCount).fill(NONE);
  const hops = new Uint8Array(nodeCount);
  const buckets = new BucketRing();
  for (let root = 0; root < rootNode.length; root++) {
    const node = rootNode[root];
    if (costs.root[root] >= cost[node]) continue;
    cost[node] = costs.root[root];
    rootRow[node] = root;
    buckets.push(costs.root[root], node);
  }

  let count = 0;
  for (let level = 0; buckets.pendingCount > 0; level++) {
    for (let node = buckets.take(level); node !== NONE; node = buckets.take(level)) {
      // A node is entered again when a better path turns up; what was entered before is then out of date.
      if (cost[node] !== level) continue;
      order[count++] = node;
      // A dict that is an instance's attributes stands for the instance.
      const arrival = parentEdge[node];
      const isAttributes = arrival !== NONE && edgeKind[arrival] === EdgeKind.instanceDict;
      const owner = isAttributes ? parentNode[node] : node;
      const sourceType = typeId[owner];
      const hop = hops[node] < MAX_HOP_COST ? 1 : 0;
      const row = rootRow[node];
      const end = firstEdge[node + 1];
      for (let edge = firstEdge[node]; edge < end; edge++) {
        const target = edgeTarget[edge];
        if (cost[target] <= level) continue;
        const kind = edgeKind[edge];
        const targetType = typeId[target];
        let step = kindCost[kind] + typeCost[targetType];
        if (kind === EdgeKind.attribute || kind === EdgeKind.internal) {
          const label = edgeLabel[edge];
          if (label !== NONE) step += labelCost[label];
        } else if (kind === EdgeKind.namedValue && edgeLabel[edge] !== NONE) {
          step += labelCost[edgeLabel[edge]];
        }
        if (typeCost[targetType] !== 0) {
          const detour = away.get(target);
          if (detour !== undefined && detour.home !== owner) step += detour.penalty;
        }
        const moves = kind !== EdgeKind.instanceDict && targetType !== sourceType ? hop : 0;
        step += moves;
        const total = level + Math.min(step, MAX_STEP_COST);
        if (total >= cost[target]) continue;
        cost[target] = total;
        hops[target] = hops[node] + moves;
        parentNode[target] = node;
        parentEdge[target] = edge;
        rootRow[target] = row;
        buckets.push(total, target);
      }
    }
  }
  return { parentNode, parentEdge, rootRow, order: order.slice(0, count) };
}

/** Queues of nodes by cost; at any time only costs from the level in work to RING - 1 above it are in use. */
class BucketRing {
  pendingCount = 0;
  private readonly nodes: Uint32Array[] = Array.from({ length: RING }, () => new Uint32Array(16));
  private readonly length = new Uint32Array(RING);
  private readonly taken = new Uint32Array(RING);

  push(cost: number, node: number): void {
    const bucket = cost & (RING - 1);
    const at = this.length[bucket];
    let nodes = this.nodes[bucket];
    if (at === nodes.length) {
      const larger = new Uint32Array(at * 2);
      larger.set(nodes);
      this.nodes[bucket] = nodes = larger;
    }
    nodes[at] = node;
    this.length[bucket] = at + 1;
    this.pendingCount++;
  }

  /** The node that has waited longest at this cost; NONE when there is none left, and the bucket is empty for reuse. */
  take(cost: number): number {
    const bucket = cost & (RING - 1);
    const at = this.taken[bucket];
    if (at < this.length[bucket]) {
      this.taken[bucket] = at + 1;
      this.pendingCount--;
      return this.nodes[bucket][at];
    }
    this.length[bucket] = 0;
    this.taken[bucket] = 0;
    if (this.nodes[bucket].length > 1 << 16) this.nodes[bucket] = new Uint32Array(16);
    return NONE;
  }
}
