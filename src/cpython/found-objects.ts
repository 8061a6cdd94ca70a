// What discovery hands over: all objects that were found and the references between them, as columns in order of
// discovery and in words of the image. `capture/sort-found.ts` puts them into order, `capture/build-graph.ts` makes a graph.

import type { BitSet } from '../base/bit-set.ts';
import type { Uint8Column, Uint32Column } from '../base/columns.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import { growTogether } from './object-admission.ts';
import type { TypeInfo } from './object-reader.ts';

/** A size that does not fit into 32 bits. */
export const LARGE = 0xffffffff;
/** More objects of 4 GiB are damaged memory. */
const MAX_LARGE = 1 << 16;

/** What decoding finds out of each object. */
export interface DecodedColumns {
  /** Bytes, as `allocatedSize`; LARGE where `largeSizes` has both. */
  shallowSize: Uint32Column;
  allocatedSize: Uint32Column;
  referenceCount: Uint32Column;
  flags: Uint8Column;
  /** Objects + 1 cells: the edges of object i are [firstEdge[i], firstEdge[i + 1]). */
  firstEdge: Uint32Column;
}

/** All objects in order of discovery. */
export interface FoundObjects extends DecodedColumns {
  image: MemoryImage;
  /** One bit per word of the image: an object begins there. */
  objectBits: BitSet;
  /** Per object: word at which it begins. */
  word: Uint32Column;
  typeId: Uint32Column;
  /** By word: objects of 4 GiB and more. */
  largeSizes: Map<number, LargeSizes>;
  /** Per edge: word of the object that is held. */
  edgeTargetWord: Uint32Column;
  edgeKind: Uint8Column;
  edgeLabel: Uint32Column;
  weakSourceWord: Uint32Column;
  weakTargetWord: Uint32Column;
  types: TypeInfo[];
  strings: string[];
  /** References that were followed, and those of them that led to no object. */
  referencesFollowed: number;
  referencesLost: number;
}

export interface LargeSizes {
  shallow: number;
  allocated: number;
}

export function addLarge(
  { largeSizes }: Pick<FoundObjects, 'largeSizes'>,
  word: number,
  sizes: LargeSizes,
): void {
  if (largeSizes.size < MAX_LARGE) largeSizes.set(word, sizes);
}

/** Sets both sizes of the object in `row`, however large. */
export function setSizes(
  found: FoundObjects,
  row: number,
  shallow: number,
  allocated: number,
): void {
  const { shallowSize, allocatedSize, word } = found;
  shallowSize.array[row] = shallow;
  allocatedSize.array[row] = allocated;
  if (shallow < LARGE && allocated < LARGE) return;
  shallowSize.array[row] = LARGE;
  allocatedSize.array[row] = LARGE;
  addLarge(found, word.array[row], { shallow, allocated });
}

/** Adds to the allocated size of the object in `row`. */
export function addAllocated(found: FoundObjects, row: number, bytes: number): void {
  const { shallowSize, allocatedSize, largeSizes, word } = found;
  if (allocatedSize.array[row] !== LARGE) {
    setSizes(found, row, shallowSize.array[row], allocatedSize.array[row] + bytes);
    return;
  }
  const large = largeSizes.get(word.array[row]);
  if (large !== undefined) large.allocated += bytes;
}

/** What has a cell per decoded object, but for `firstEdge`, which has one more. */
export const decodedColumns = (found: FoundObjects): (Uint8Column | Uint32Column)[] => [
  found.shallowSize,
  found.allocatedSize,
  found.referenceCount,
  found.flags,
];

export function growDecoded(found: FoundObjects, length: number): void {
  growTogether(decodedColumns(found), length);
  found.firstEdge.length = length + 1;
  found.firstEdge.reserve(found.flags.array.length - length);
}
