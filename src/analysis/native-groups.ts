// The blocks of C code by what they are alike in: turns the columns of a NativeHeap into totals per group, with a key that
// is the same in all captures of a program, so that captures can be compared.

import type { HeapGraph } from '../graph/heap-graph.ts';
import { RootKind, typeNameOf } from '../graph/heap-graph.ts';
import { type BlockGroup, BlockState, type NativeHeap } from '../graph/native-heap.ts';

export interface GroupTotals {
  group: BlockGroup;
  blocks: number;
  bytes: number;
  /** Key of the group whose blocks these were lost with; undefined for what was lost by itself. */
  partOf: string | undefined;
}

/** State, allocator, size class and content: what blocks of one leak have in common. */
export const keyOfGroup = (group: BlockGroup): string =>
  [group.state, group.allocator, group.leastBytes, group.signature, group.heldBy].join(' ');

/** O(blocks). */
export function sumGroups({ blockSize, blockGroup, facts }: NativeHeap): Map<string, GroupTotals> {
  const blocks = new Float64Array(facts.groups.length);
  const bytes = new Float64Array(facts.groups.length);
  for (let block = 0; block < blockGroup.length; block++) {
    blocks[blockGroup[block]]++;
    bytes[blockGroup[block]] += blockSize[block];
  }
  return new Map(
    facts.groups.map((group, row) => [
      keyOfGroup(group),
      {
        group,
        blocks: blocks[row],
        bytes: bytes[row],
        partOf: group.partOf === undefined ? undefined : keyOfGroup(facts.groups[group.partOf]),
      },
    ]),
  );
}

/** All blocks of one state. */
export function sumState(
  totals: ReadonlyMap<string, GroupTotals>,
  state: BlockGroup['state'],
): { blocks: number; bytes: number } {
  let blocks = 0;
  let bytes = 0;
  for (const row of totals.values()) {
    if (row.group.state !== state) continue;
    blocks += row.blocks;
    bytes += row.bytes;
  }
  return { blocks, bytes };
}

export const isLost = ({ group }: GroupTotals): boolean => group.state === BlockState.lost;

/** Objects whose last reference was lost, by type: how many, and what they and their buffers take. */
export function sumLostReferences(
  graph: HeapGraph,
): Map<string, { count: number; bytes: number; example: number }> {
  const totals = new Map<string, { count: number; bytes: number; example: number }>();
  for (let root = 0; root < graph.rootNode.length; root++) {
    if (graph.rootKind[root] !== RootKind.lostReference) continue;
    const node = graph.rootNode[root];
    const type = typeNameOf(graph, node);
    const row = totals.get(type) ?? { count: 0, bytes: 0, example: node };
    row.count++;
    row.bytes += graph.allocatedSize[node];
    totals.set(type, row);
  }
  return totals;
}
