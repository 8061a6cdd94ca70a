// Lists the blocks that no Python object owns, in groups of those that are alike: turns the marks of blocks into the
// columns of a NativeHeap. A leak is many blocks of one size and content, so that groups are what grows.

import { growableUint32 } from '../base/columns.ts';
import { type BlockGroup, BlockState, type NativeHeap } from '../graph/native-heap.ts';
import type { Signature } from './block-signatures.ts';
import type { BlockSpace } from './block-space.ts';
import { type HeldByLost, joinLostBlocks } from './join-lost.ts';
import { type BlockMarks, Mark } from './mark-blocks.ts';
import type { SortedObjects } from './sort-found.ts';

/** Above this, sizes of a group differ by up to a factor of two. */
const EXACT_BYTES = 1024;
const EXAMPLE_BYTES = 64;

export interface BlockInputs {
  space: BlockSpace;
  marks: BlockMarks;
  sorted: SortedObjects;
  holders: readonly string[];
  findSignature: (word: number, byteCount: number) => Signature;
}

type BlockColumns = Pick<NativeHeap, 'blockAddress' | 'blockSize' | 'blockGroup'>;

/** About 0.5 microseconds a block that nothing of Python's leads to. */
export function listNativeBlocks(
  inputs: BlockInputs,
): BlockColumns & HeldByLost & { groups: BlockGroup[] } {
  const { space, marks } = inputs;
  const starts = growableUint32();
  const units = growableUint32();
  const groupRows = growableUint32();
  const groups: BlockGroup[] = [];
  const rowByKey = new Map<string, number>();
  space.forEachBlock((start, bytes, isInPool) => {
    const mark = marks.markOf(start);
    if ((mark !== Mark.none && mark < Mark.retained) || marks.holdsObject(start)) return;
    const copied = (space.endOf(start) - start) * 8;
    const signature = inputs.findSignature(start, copied);
    const heldBy = mark === Mark.none ? '' : (inputs.holders[mark - Mark.retained] ?? '');
    const [leastBytes, mostBytes] = sizeClassOf(bytes);
    const allocator = isInPool ? 'pymalloc' : 'malloc';
    const key = `${mark} ${allocator} ${leastBytes} ${signature.text}`;
    let row = rowByKey.get(key);
    if (row === undefined) {
      row =
        groups.push({
          state: mark === Mark.none ? BlockState.lost : BlockState.retained,
          allocator,
          leastBytes,
          mostBytes,
          smallestBytes: bytes,
          largestBytes: bytes,
          signature: signature.text,
          heldBy,
          library: signature.library,
          exampleAddress: space.image.addressOfWord(start),
          exampleBytes: readExample(space, start, copied),
        }) - 1;
      rowByKey.set(key, row);
    }
    const group = groups[row];
    if (bytes < group.smallestBytes) group.smallestBytes = bytes;
    else if (bytes > group.largestBytes) group.largestBytes = bytes;
    starts.push(start);
    units.push(bytes / 16);
    groupRows.push(row);
  });
  const sorted = sortByAddress(starts.finish(), units.finish(), groupRows.finish());
  const held = joinLostBlocks({ ...inputs, ...sorted, groups });
  return {
    blockAddress: Float64Array.from(sorted.starts, (start) => space.image.addressOfWord(start)),
    blockSize: Float64Array.from(sorted.units, (count) => count * 16),
    blockGroup: sorted.groupRows,
    ...held,
    groups,
  };
}

/** Smallest and largest size of the class that `bytes` is in. */
function sizeClassOf(bytes: number): [number, number] {
  if (bytes <= EXACT_BYTES) return [bytes, bytes];
  const least = 2 ** Math.floor(Math.log2(bytes));
  return [least, least * 2 - 16];
}

function readExample(space: BlockSpace, start: number, copied: number): number[] {
  const { halves } = space.image;
  const count = Math.min(EXAMPLE_BYTES, copied);
  return [...new Uint8Array(halves.buffer, halves.byteOffset + start * 8, count)];
}

function sortByAddress(starts: Uint32Array, units: Uint32Array, groupRows: Uint32Array) {
  const order = Uint32Array.from(starts.keys()).sort((a, b) => starts[a] - starts[b]);
  return {
    starts: order.map((row) => starts[row]),
    units: order.map((row) => units[row]),
    groupRows: order.map((row) => groupRows[row]),
  };
}
