// The interpreter's own lists that lead to objects without holding them: takes them out of an image, so that nothing seems
// to be held by them.

import type { AddressRange } from '../memory/address-ranges.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { SortedObjects } from './sort-found.ts';

/** Types whose free lists are arrays. */
const FREE_LISTED: ReadonlySet<string> = new Set([
  'list',
  'dict',
  'async_generator_wrapped_value',
  'async_generator_asend',
]);
/** So many pointers to objects of one such type in a row are no variables of the interpreter's. */
const FREE_LIST_RUN = 8;

/** The head of a list leads to its first and last object. */
export function hideListHeads(image: MemoryImage, listHeads: readonly Address[]): void {
  for (const head of listHeads) {
    const word = image.wordAtAddress(head);
    if (word !== 0) image.halves.fill(0, word * 2, word * 2 + 4);
  }
}

/**
 * Free lists of lists, dicts and what asynchronous generators need are arrays with a count until 3.13; behind the count
 * there are pointers to objects that were taken out long ago. The arrays are told by what they lead to.
 */
export function hideFreeLists(
  image: MemoryImage,
  sorted: SortedObjects,
  interpreterRanges: readonly AddressRange[],
): void {
  const { halves } = image;
  const typeWords = new Set<number>();
  for (const type of sorted.found.types)
    if (FREE_LISTED.has(type.tp_name)) typeWords.add(type.word);
  const typeWordAt = (word: number): number => {
    const object = image.wordAt(halves[2 * word], halves[2 * word + 1]);
    return object === 0 ? 0 : image.wordAt(halves[2 * object + 2], halves[2 * object + 3]);
  };
  for (const { start, end } of interpreterRanges) {
    image.forEachCopiedPart(start, end, (from, to) => {
      for (let first = from; first < to; ) {
        const type = typeWordAt(first);
        let next = first + 1;
        if (typeWords.has(type)) {
          while (next < to && typeWordAt(next) === type) next++;
          if (next - first >= FREE_LIST_RUN) hideLiving(image, first, next);
        }
        first = next;
      }
    });
  }
}

/** Zeros the pointers of [from, to) to objects that are alive; what is free is kept by its list. */
function hideLiving(image: MemoryImage, from: number, to: number): void {
  const { halves } = image;
  for (let word = from; word < to; word++) {
    const object = image.wordAt(halves[2 * word], halves[2 * word + 1]);
    if (object !== 0 && halves[2 * object] !== 0) halves.fill(0, 2 * word, 2 * word + 2);
  }
}
