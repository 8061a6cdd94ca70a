// What keeps mostly free memory from being returned: turns the blocks in use of sparse arenas into types of Python
// objects, which lie there by themselves or own a buffer there. Only looked for when allocators hold much free.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import type { PinFacts } from '../graph/native-heap.ts';
import { BINNED, FASTBIN, IN_USE, TCACHE, TOP } from '../malloc/chunk-rows.ts';
import type { MallocHeap } from '../malloc/malloc-heap.ts';
import type { BlockSpace } from './block-space.ts';
import { isSparse } from './build-ledger.ts';
import type { ResidentRanges } from './resident-ranges.ts';
import type { SortedObjects } from './sort-found.ts';

/** Of an object, words that may lead to a buffer: all such fields of built-in types and numpy's lie before. */
const FIELD_WORDS = 24;
const MAX_PINS = 12;
/** Stretches of a heap that are looked at by themselves: a survivor holds the free memory around it. */
const STRETCH_BYTES = 1 << 16;

type PinRows = Map<string, PinFacts>;

/** About 0.1 microseconds an object. */
export function findPins(
  space: BlockSpace,
  sorted: SortedObjects,
  resident: ResidentRanges,
): PinFacts[] {
  const pinned = makeBitSet(space.image.endWord);
  markSparsePools(space, resident, pinned);
  if (space.heap !== undefined) markSparseChunks(space.heap, pinned);
  const rows: PinRows = new Map();
  nameOwners(space, sorted, pinned, rows);
  space.forEachBlock((start, bytes, isInPool) => {
    if (!hasBit(pinned, start)) return;
    addPin(rows, isInPool, 'blocks of C code', bytes, space.image.addressOfWord(start));
  });
  return [...rows.values()].sort((a, b) => b.bytes - a.bytes).slice(0, MAX_PINS);
}

function addPin(rows: PinRows, isInPool: boolean, type: string, bytes: number, address: number) {
  const allocator = isInPool ? 'pymalloc' : 'malloc';
  const key = `${allocator} ${type}`;
  const row = rows.get(key);
  if (row === undefined)
    rows.set(key, { allocator, type, count: 1, bytes, exampleAddress: address });
  else {
    row.count++;
    row.bytes += bytes;
  }
}

function markSparsePools(space: BlockSpace, resident: ResidentRanges, pinned: BitSet): void {
  const live = space.countLiveByArena();
  const { arenaOfPool } = space;
  const sparse = space.pymalloc.arenas.map(({ start, end }, row) =>
    isSparse(live[row], resident.countBytes(start, end)),
  );
  space.forEachBlock((start, _bytes, isInPool) => {
    if (isInPool && sparse[arenaOfPool[space.poolOf(start)]]) setBit(pinned, start);
  });
}

/** Chunks in use in stretches of the heap that are mostly free. */
function markSparseChunks({ rows }: MallocHeap, pinned: BitSet): void {
  const { length, state, headerWord, sizeUnits } = rows;
  let first = 0;
  let used = 0;
  let free = 0;
  for (let row = 0; row < length; row++) {
    const bytes = sizeUnits[row] * 16;
    const kind = state[row];
    if (kind === IN_USE) used += bytes;
    else if (kind === BINNED || kind === FASTBIN || kind === TCACHE || kind === TOP) free += bytes;
    if (used + free < STRETCH_BYTES && row + 1 < length) continue;
    if (free > used) {
      for (let each = first; each <= row; each++) {
        if (state[each] === IN_USE) setBit(pinned, headerWord[each] + 1);
      }
    }
    first = row + 1;
    used = 0;
    free = 0;
  }
}

/** Takes every pinned block that an object lies in or owns out of `pinned`, and counts it for the object's type. */
function nameOwners(
  space: BlockSpace,
  { found }: SortedObjects,
  pinned: BitSet,
  rows: PinRows,
): void {
  const { image } = space;
  const { halves } = image;
  const words = found.word.array;
  const typeIds = found.typeId.array;
  const take = (start: number, node: number) => {
    if (start === 0 || !hasBit(pinned, start)) return;
    pinned[start >>> 5] &= ~(1 << (start & 31));
    const address = image.addressOfWord(words[node]);
    addPin(
      rows,
      space.isInPool(start),
      found.types[typeIds[node]].name,
      space.blockBytes(start),
      address,
    );
  };
  for (let node = 0; node < found.word.length; node++) take(space.findStart(words[node]), node);
  for (let node = 0; node < found.word.length; node++) {
    const word = words[node];
    const end = Math.min(word + FIELD_WORDS, image.runEnd(word), ownEnd(space, word));
    for (let field = word + 2; field < end; field++) {
      const target = image.wordAt(halves[2 * field], halves[2 * field + 1]);
      if (target !== 0) take(space.findStart(target), node);
    }
  }
}

/** Behind the block that an object lies in; a static object has all its fields. */
function ownEnd(space: BlockSpace, word: number): number {
  const start = space.findStart(word);
  return start === 0 ? word + FIELD_WORDS : start + space.blockBytes(start) / 8;
}
