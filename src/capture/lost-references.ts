// Objects whose last reference was lost, by a forgotten Py_DECREF: takes those that are not alive and have more references
// than were found, and leaves out all that any memory leads to.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { NONE } from '../graph/heap-graph.ts';
import type { BlockSpace } from './block-space.ts';
import { type BlockMarks, Mark } from './mark-blocks.ts';
import type { SortedObjects } from './sort-found.ts';

/** Text: C code may keep a pointer to it, and let the object live for ever because of that. */
const TEXT_TYPES: ReadonlySet<string> = new Set(['bytes', 'str']);

/**
 * Objects with more references than were found, to which nothing leads: neither what was marked, nor any block that is
 * lost itself, nor another object that is not alive. Of objects that C code knows by their address alone (`plainTypes`:
 * nothing in their structs can be linked to) a pointer into their middle, or to their collector's header, is left of
 * something else.
 */
export function findLostNodes(
  space: BlockSpace,
  sorted: SortedObjects,
  marks: BlockMarks,
  live: BitSet,
  plainTypes: readonly (string | undefined)[],
): BitSet {
  const { found, explained } = sorted;
  const words = found.word.array;
  const counts = found.referenceCount.array;
  const typeIds = found.typeId.array;
  const isText = found.types.map(({ tp_name }) => TEXT_TYPES.has(tp_name));
  const isPlain = plainTypes.map((name, type) => name !== undefined || isText[type]);
  const lost = makeBitSet(found.word.length);
  const unheld: Unheld = {
    objects: makeBitSet(space.image.endWord),
    blocks: makeBitSet(space.image.endWord),
  };
  const candidates = growableUint32();
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node) || counts[node] === NONE || counts[node] <= explained[node]) continue;
    const word = words[node];
    const start = space.findStart(word);
    if (start === 0) continue;
    const type = typeIds[node];
    if (isPlain[type]) {
      if (marks.isMetAtStart(word) || (isText[type] && marks.isMetAtText(word))) continue;
      setBit(unheld.objects, word);
    } else {
      if (marks.markOf(start) !== Mark.none) continue;
      setBit(unheld.blocks, start);
    }
    candidates.push(node);
  }
  if (candidates.length > 0) clearHeld(space, marks, unheld);
  for (const node of candidates.finish()) {
    const isLost = isPlain[typeIds[node]]
      ? hasBit(unheld.objects, words[node])
      : hasBit(unheld.blocks, space.findStart(words[node]));
    if (isLost) setBit(lost, node);
  }
  return lost;
}

/** Nothing was found that leads to the start of the object that begins at a word, or into the block that begins there. */
interface Unheld {
  objects: BitSet;
  blocks: BitSet;
}

/** Takes out what a block without a mark and without an object leads to. */
function clearHeld(space: BlockSpace, marks: BlockMarks, { objects, blocks }: Unheld): void {
  const { image } = space;
  const { halves } = image;
  const clear = (bits: BitSet, word: number) => {
    bits[word >>> 5] &= ~(1 << (word & 31));
  };
  space.forEachBlock((start) => {
    if (marks.markOf(start) !== Mark.none || marks.holdsObject(start)) return;
    const end = space.endOf(start);
    for (let word = start; word < end; word++) {
      const target = image.wordAt(halves[2 * word], halves[2 * word + 1]);
      if (target === 0) continue;
      clear(objects, target);
      clear(blocks, space.findStart(target));
    }
  });
}
