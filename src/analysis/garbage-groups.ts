// Sorts unreachable objects by the cycles that keep them: each strongly connected component with a cycle, together with
// what only hangs on it, is one piece of garbage, and pieces with the same types in their cycles are one group.
//
// Algorithm: R. E. Tarjan, "Depth-First Search and Linear Graph Algorithms" (SIAM J. Comput. 1972, doi:10.1137/0201010),
// iterative; names are the paper's (number, lowlink). It yields components in reverse topological order, so going through
// them backward meets every holder before what it holds.

import { HASH_START, hashNumber, hashText } from '../base/hash.ts';
import { type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';

export interface GarbageGroup {
  /** Types of the objects in the cycles, sorted; empty: objects that nothing refers to and that no cycle keeps. */
  cycleTypes: string[];
  /** Pieces of garbage with such a cycle. */
  pieceCount: number;
  /** Objects of all pieces, what hangs on the cycles included; each is counted once. */
  nodeCount: number;
  allocatedBytes: number;
  /** The object at the lowest address in one of the cycles, for `findCycle`. */
  example: NodeIndex;
}

/** `nodes`: the unreachable nodes. The most bytes first. O(nodes of the graph + their edges), 4 bytes per node and 28 per unreachable one. */
export function computeGarbageGroups(graph: HeapGraph, nodes: Uint32Array): GarbageGroup[] {
  const rowOfNode = new Uint32Array(graph.nodeCount).fill(NONE);
  for (let row = 0; row < nodes.length; row++) rowOfNode[nodes[row]] = row;
  const { component, emitted, componentStart } = findComponents(graph, nodes, rowOfNode);
  const groups = new Map<number, GarbageGroup>();
  /** Per component: the group it belongs to because something of it was met before; undefined for heads. */
  const groupOf: (GarbageGroup | undefined)[] = new Array(componentStart.length - 1);
  for (let c = componentStart.length - 2; c >= 0; c--) {
    const members = emitted.subarray(componentStart[c], componentStart[c + 1]);
    let group = groupOf[c];
    if (group === undefined) {
      group = findOrAddGroup(graph, nodes, members, groups);
      group.pieceCount++;
    }
    for (const row of members) {
      const node = nodes[row];
      group.nodeCount++;
      group.allocatedBytes += graph.allocatedSize[node];
      for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
        const target = rowOfNode[graph.edgeTarget[edge]];
        if (target !== NONE) groupOf[component[target]] ??= group;
      }
    }
  }
  return [...groups.values()].sort((a, b) => b.allocatedBytes - a.allocatedBytes);
}

/** The group of a piece by the types in its cycle. */
function findOrAddGroup(
  graph: HeapGraph,
  nodes: Uint32Array,
  members: Uint32Array,
  groups: Map<number, GarbageGroup>,
): GarbageGroup {
  const first = nodes[members[0]];
  const types = new Set<string>();
  if (members.length > 1 || holdsItself(graph, first)) {
    for (const row of members) types.add(graph.types[graph.typeId[nodes[row]]].name);
  }
  const cycleTypes = [...types].sort();
  const low = cycleTypes.reduce((hash, name) => hashText(`${name}|`, hash), HASH_START);
  const key = (hashNumber(low, cycleTypes.length) & 0x1fffff) * 2 ** 32 + low;
  let group = groups.get(key);
  if (group === undefined) {
    group = { cycleTypes, pieceCount: 0, nodeCount: 0, allocatedBytes: 0, example: first };
    groups.set(key, group);
  }
  // The lowest address, so that the example does not depend on the order of the search.
  for (const row of members) group.example = Math.min(group.example, nodes[row]);
  return group;
}

const holdsItself = (graph: HeapGraph, node: NodeIndex): boolean =>
  graph.edgeTarget.subarray(graph.firstEdge[node], graph.firstEdge[node + 1]).includes(node);

interface Components {
  /** Per row of `nodes`: its component. */
  component: Uint32Array;
  /** Rows by component; those of c are [componentStart[c], componentStart[c + 1]). Holders come after what they hold. */
  emitted: Uint32Array;
  componentStart: Uint32Array;
}

function findComponents(graph: HeapGraph, nodes: Uint32Array, rowOfNode: Uint32Array): Components {
  const { firstEdge, edgeTarget } = graph;
  const count = nodes.length;
  /** From 1 in the order of discovery; 0 = not discovered. */
  const number = new Uint32Array(count);
  const lowlink = new Uint32Array(count);
  /** The row before it on the way down, and the next edge to look at: together the stack of calls. */
  const caller = new Uint32Array(count);
  const nextEdge = new Uint32Array(count);
  const component = new Uint32Array(count).fill(NONE);
  const points = new Uint32Array(count);
  const emitted = new Uint32Array(count);
  const componentStart = new Uint32Array(count + 1);
  let discovered = 0;
  let pointCount = 0;
  let emittedCount = 0;
  let componentCount = 0;
  for (let start = 0; start < count; start++) {
    if (number[start] !== 0) continue;
    let v = start;
    caller[v] = NONE;
    number[v] = lowlink[v] = ++discovered;
    points[pointCount++] = v;
    nextEdge[v] = firstEdge[nodes[v]];
    while (v !== NONE) {
      if (nextEdge[v] < firstEdge[nodes[v] + 1]) {
        const w = rowOfNode[edgeTarget[nextEdge[v]++]];
        if (w === NONE) continue;
        if (number[w] === 0) {
          caller[w] = v;
          number[w] = lowlink[w] = ++discovered;
          points[pointCount++] = w;
          nextEdge[w] = firstEdge[nodes[w]];
          v = w;
        } else if (component[w] === NONE && number[w] < lowlink[v]) lowlink[v] = number[w];
        continue;
      }
      if (lowlink[v] === number[v]) {
        let w: number;
        do {
          w = points[--pointCount];
          component[w] = componentCount;
          emitted[emittedCount++] = w;
        } while (w !== v);
        componentStart[++componentCount] = emittedCount;
      }
      const before = caller[v];
      if (before !== NONE && lowlink[v] < lowlink[before]) lowlink[before] = lowlink[v];
      v = before;
    }
  }
  return { component, emitted, componentStart: componentStart.slice(0, componentCount + 1) };
}
