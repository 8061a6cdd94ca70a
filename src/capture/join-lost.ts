// What is lost together: of the blocks that nothing leads to, some are lost by themselves (heads) and others with them, since
// only a lost block leads to them: the array in a lost struct, the nodes of a lost list. So is a Python object that only lost
// blocks lead to. Turns the lost blocks of an image into which group of blocks goes with which other group.
//
// A group goes with another as a whole or not at all: stale pointers in memory that was never written to lead from one lost
// block to any other, and must not take a few blocks out of the count of a leak. What several heads lead to counts as the
// first one's.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { NONE } from '../graph/heap-graph.ts';
import { type BlockGroup, BlockState } from '../graph/native-heap.ts';
import type { BlockSpace } from './block-space.ts';
import { type BlockMarks, Mark } from './mark-blocks.ts';
import type { SortedObjects } from './sort-found.ts';

/** Of a group's blocks: share that blocks of other groups must lead to, and share that those of one group must. */
const LED_TO_SHARE = 0.9;
const LED_TO_BY_ONE_SHARE = 0.5;

export interface LostBlocks {
  space: BlockSpace;
  marks: BlockMarks;
  sorted: SortedObjects;
  /** Words at which blocks begin, ascending, and the group of each; not only of those that are lost. */
  starts: Uint32Array;
  groupRows: Uint32Array;
  groups: readonly BlockGroup[];
}

/** Nodes, ascending, that have more references than were found, and the group of blocks that are lost with them inside. */
export interface HeldByLost {
  heldNode: Uint32Array;
  heldGroup: Uint32Array;
}

/** Sets `partOf` of groups. About 10 ns a word of the lost blocks. */
export function joinLostBlocks(inputs: LostBlocks): HeldByLost {
  const { groups, groupRows } = inputs;
  const isLost = groups.map(({ state }) => state === BlockState.lost);
  const search = new LostSearch(inputs, isLost);
  const isLedTo = search.findLedTo();
  // Heads first; then what is left: rings of blocks that lead to each other, entered at the lowest address.
  for (const headsOnly of [true, false]) {
    for (let row = 0; row < groupRows.length; row++) {
      if (!isLost[groupRows[row]] || (headsOnly && hasBit(isLedTo, row))) continue;
      search.takeFrom(row);
    }
  }
  joinGroups(inputs, isLost, search.headOf);
  return search.finish();
}

function joinGroups(
  { groups, groupRows }: LostBlocks,
  isLost: readonly boolean[],
  headOf: Uint32Array,
): void {
  const blocks = new Uint32Array(groups.length);
  const ledTo = new Uint32Array(groups.length);
  /** By group and the group of the heads: blocks. */
  const byHead = new Map<number, number>();
  for (let row = 0; row < groupRows.length; row++) {
    const group = groupRows[row];
    if (!isLost[group]) continue;
    blocks[group]++;
    const head = groupRows[headOf[row]];
    if (head === group) continue;
    ledTo[group]++;
    const key = group * groups.length + head;
    byHead.set(key, (byHead.get(key) ?? 0) + 1);
  }
  const most = new Map<number, number>();
  for (const [key, count] of byHead) {
    const group = Math.floor(key / groups.length);
    if (ledTo[group] < blocks[group] * LED_TO_SHARE) continue;
    if (count < blocks[group] * LED_TO_BY_ONE_SHARE || count <= (most.get(group) ?? 0)) continue;
    most.set(group, count);
    groups[group].partOf = key % groups.length;
  }
}

/** Follows pointers from lost blocks to others, and to objects that nothing else leads to. */
class LostSearch {
  /** Per row of a block: the row of the block that it is lost with, its own for heads. NONE for what is not lost. */
  readonly headOf: Uint32Array;
  private readonly inputs: LostBlocks;
  private readonly isLost: readonly boolean[];
  private readonly isTaken: BitSet;
  /** Rows of blocks; of objects, the number of blocks and their node. */
  private readonly pending = growableUint32();
  private readonly held: { node: number; group: number }[] = [];

  constructor(inputs: LostBlocks, isLost: readonly boolean[]) {
    this.inputs = inputs;
    this.isLost = isLost;
    this.headOf = new Uint32Array(inputs.starts.length).fill(NONE);
    this.isTaken = makeBitSet(inputs.sorted.found.word.length);
  }

  /** Rows of blocks that another lost block leads to, or an object that one leads to. */
  findLedTo(): BitSet {
    const { starts, groupRows, sorted } = this.inputs;
    const isLedTo = makeBitSet(starts.length);
    const isSeen = makeBitSet(sorted.found.word.length);
    const nodes = growableUint32();
    const meetNode = (node: number) => {
      if (hasBit(isSeen, node)) return;
      setBit(isSeen, node);
      nodes.push(node);
    };
    for (let row = 0; row < starts.length; row++) {
      if (!this.isLost[groupRows[row]]) continue;
      const meetBlock = (target: number) => {
        if (target !== row) setBit(isLedTo, target);
      };
      this.forEachTarget(starts[row], meetBlock, meetNode);
    }
    while (nodes.length > 0) {
      const node = nodes.array[--nodes.length];
      this.forEachTargetOfNode(node, (target) => setBit(isLedTo, target), meetNode);
    }
    return isLedTo;
  }

  /** What the block leads to and nobody has taken is lost with it. */
  takeFrom(head: number): void {
    const { headOf, pending } = this;
    const { starts, groupRows, sorted } = this.inputs;
    if (headOf[head] !== NONE) return;
    headOf[head] = head;
    pending.push(head);
    const takeBlock = (row: number) => {
      if (headOf[row] !== NONE) return;
      headOf[row] = head;
      pending.push(row);
    };
    const takeNode = (node: number) => {
      if (hasBit(this.isTaken, node)) return;
      setBit(this.isTaken, node);
      pending.push(starts.length + node);
      if (sorted.found.referenceCount.array[node] > sorted.explained[node]) {
        this.held.push({ node, group: groupRows[head] });
      }
    };
    while (pending.length > 0) {
      const next = pending.array[--pending.length];
      if (next < starts.length) this.forEachTarget(starts[next], takeBlock, takeNode);
      else this.forEachTargetOfNode(next - starts.length, takeBlock, takeNode);
    }
  }

  finish(): HeldByLost {
    const held = this.held.sort((a, b) => a.node - b.node);
    return {
      heldNode: Uint32Array.from(held, ({ node }) => node),
      heldGroup: Uint32Array.from(held, ({ group }) => group),
    };
  }

  private forEachTargetOfNode(
    node: number,
    meetBlock: (row: number) => void,
    meetNode: (node: number) => void,
  ): void {
    const { sorted, space, marks } = this.inputs;
    const { found, edgeTarget } = sorted;
    const firstEdge = found.firstEdge.array;
    const words = found.word.array;
    for (let edge = firstEdge[node]; edge < firstEdge[node + 1]; edge++) {
      const target = edgeTarget[edge];
      const start = space.findStart(words[target]);
      if (start !== 0 && marks.markOf(start) === Mark.none) meetNode(target);
    }
    const start = space.findStart(words[node]);
    if (start !== 0) this.forEachTarget(start, meetBlock, () => {});
  }

  /** Calls back for each lost block, and each object without a mark, that a word of the block leads to. */
  private forEachTarget(
    start: number,
    meetBlock: (row: number) => void,
    meetNode: (node: number) => void,
  ): void {
    const { space, marks, sorted } = this.inputs;
    const { image } = space;
    const { halves } = image;
    const end = space.endOf(start);
    for (let word = start; word < end; word++) {
      const target = image.wordAt(halves[2 * word], halves[2 * word + 1]);
      const other = target === 0 ? 0 : space.findStart(target);
      if (other === 0 || marks.markOf(other) !== Mark.none) continue;
      const object = marks.findObject(other);
      if (object !== 0) meetNode(sorted.nodeOf(object));
      else {
        const row = this.rowAt(other);
        if (row >= 0) meetBlock(row);
      }
    }
  }

  /** Row of the block that begins at a word; -1 if there is none. */
  private rowAt(start: number): number {
    const { starts } = this.inputs;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle] < start) low = middle + 1;
      else high = middle;
    }
    return starts[low] === start ? low : -1;
  }
}
