// Walks the cyclic collector's lists of a frozen target: turns interpreters into the words of all objects that the
// collector tracks. Source: Modules/gcmodule.c (3.8-3.12), Python/gc.c (3.13+), Include/internal/pycore_gc.h.
//
// An object lies behind its PyGC_Head {_gc_next, _gc_prev}, whose low two bits are flags. Not handled: the moment in
// which a collection runs (`collecting`): _gc_prev then holds counts, and the list is given up at its first object.

import { growableUint32, type Uint32Column } from '../base/columns.ts';
import type { Problems } from '../base/problems.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { PythonRuntime } from './find-runtime.ts';

/** sizeof(PyGC_Head) */
const HEAD_BYTES = 16;
const HEAD_WORDS = HEAD_BYTES / 8;
const PAGE_WORD_MASK = PAGE_SIZE / 8 - 1;
const TWO_32 = 2 ** 32;

export interface TrackedObjects {
  /** Words of the objects (not of their PyGC_Head), list by list; each once. */
  words: Uint32Array;
  /** Objects per list over all interpreters: generations 0, 1, 2 and the permanent one. */
  countByGeneration: [number, number, number, number];
  /** Lists that were left at a damaged link; their rest is missing. */
  damagedLists: number;
}

/**
 * All objects in the collector's lists. A list is left at the first link that is not answered by its neighbour
 * (problem `gc-list-damaged`). About 50 ns per object; 4 bytes each.
 */
export function readTrackedObjects(
  image: MemoryImage,
  runtime: PythonRuntime,
  problems: Problems,
): TrackedObjects {
  const words = growableUint32(1 << 16);
  const countByGeneration: TrackedObjects['countByGeneration'] = [0, 0, 0, 0];
  // In 3.8 all interpreters share one collector.
  const states = new Map(runtime.interpreters.map((each) => [each.gcState, each.generationHeads]));
  let damagedLists = 0;
  for (const heads of states.values()) {
    for (let generation = 0; generation < heads.length; generation++) {
      const before = words.length;
      const damagedAt = walkList(image, heads[generation], words);
      countByGeneration[generation] += words.length - before;
      if (damagedAt === 0) continue;
      damagedLists++;
      problems.add('gc-list-damaged', damagedAt);
    }
  }
  return { words: words.finish(), countByGeneration, damagedLists };
}

/**
 * Pushes the objects of one circular list. Returns 0, or the address of the head or node whose `_gc_next` leads to a node
 * that does not point back. Every node has exactly one node that it points back to, so that the walk cannot run in circles.
 */
function walkList(image: MemoryImage, head: Address, objects: Uint32Column): number {
  if (!image.has(head, HEAD_BYTES)) return head;
  const halves = image.halves;
  const headLo = head % TWO_32;
  const headHi = Math.floor(head / TWO_32);
  let words = objects.array;
  let length = objects.length;
  let lo = headLo;
  let hi = headHi;
  let nextLo = (image.readU32(head) & ~3) >>> 0;
  let nextHi = image.readU32(head + 4);
  let damagedAt = 0;
  while (nextLo !== headLo || nextHi !== headHi) {
    const next = image.wordAt(nextLo, nextHi);
    const isLinked =
      next !== 0 &&
      (nextLo & 7) === 0 &&
      // The object's own first words lie behind the head and may be on a page that was not copied.
      ((next & PAGE_WORD_MASK) < PAGE_WORD_MASK - 2 || next + 4 <= image.runEnd(next)) &&
      (halves[next * 2 + 2] & ~3) >>> 0 === lo &&
      halves[next * 2 + 3] === hi;
    if (!isLinked) {
      damagedAt = hi * TWO_32 + lo;
      break;
    }
    if (length === words.length) {
      objects.length = length;
      objects.reserve(1);
      words = objects.array;
    }
    words[length++] = next + HEAD_WORDS;
    lo = nextLo;
    hi = nextHi;
    nextLo = (halves[next * 2] & ~3) >>> 0;
    nextHi = halves[next * 2 + 1];
  }
  objects.length = length;
  return damagedAt;
}
