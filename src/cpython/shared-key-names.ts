// The attribute names of instances that share one keys object: turns a PyDictKeysObject of a split table into stringIds, once.
// Source: Objects/dictobject.c, Include/internal/pycore_dict.h (3.8 to 3.15).

import { NONE } from '../graph/heap-graph.ts';
import type { Layout } from './layout.ts';
import type { ObjectReader } from './object-reader.ts';

const NO_NAMES: Uint32Array = new Uint32Array(0);
/** More shared keys than any version makes (30 since 3.11; before, classes with very many attributes). */
const MAX_SHARED_KEYS = 1 << 16;

/** StringIds of the keys at `keysWord`, in order of insertion; empty if they cannot be read. NONE for what is no str. */
export type SharedKeyNames = (reader: ObjectReader, keysWord: number) => Uint32Array;

/** Cached by keys object for the reader that asked last. */
export function makeSharedKeyNames(layout: Layout): SharedKeyNames {
  const firstKey = makeFindFirstKey(layout);
  const nentries = layout.word('PyDictKeysObject.dk_nentries');
  const headerWords = layout.size('PyDictKeysObject') / 8;
  // General entries begin with the hash; those of split tables since 3.11 do not have one.
  const entryWords = layout.hasSize('PyDictUnicodeEntry') ? 2 : 3;
  let owner: ObjectReader | undefined;
  let namesByKeys = new Map<number, Uint32Array>();
  let lastKeys = 0;
  let lastNames = NO_NAMES;

  const readNames = (reader: ObjectReader, keysWord: number): Uint32Array => {
    const { halves, image } = reader;
    const end = image.runEnd(keysWord);
    if (keysWord + headerWords > end) return NO_NAMES;
    const count = halves[(keysWord + nentries) * 2];
    const first = firstKey(halves, keysWord);
    if (count > MAX_SHARED_KEYS || first + count * entryWords > end) return NO_NAMES;
    const names = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const key = (first + i * entryWords) * 2;
      const isUnused = halves[key] === 0 && halves[key + 1] === 0;
      names[i] = isUnused ? NONE : reader.internStr(halves[key], halves[key + 1]);
    }
    return names;
  };

  return (reader, keysWord) => {
    if (reader !== owner) {
      owner = reader;
      namesByKeys = new Map();
      lastKeys = 0;
    }
    if (keysWord === lastKeys) return lastNames;
    let names = namesByKeys.get(keysWord);
    if (names === undefined) {
      names = keysWord === 0 ? NO_NAMES : readNames(reader, keysWord);
      namesByKeys.set(keysWord, names);
    }
    lastKeys = keysWord;
    lastNames = names;
    return names;
  };
}

/** Word of the first key of a split table's keys. May lie outside the image for damaged ones. */
function makeFindFirstKey(layout: Layout): (halves: Uint32Array, keysWord: number) => number {
  const indices = layout.word('PyDictKeysObject.dk_indices');
  if (layout.has('PyDictKeysObject.dk_log2_index_bytes')) {
    return (halves, keysWord) =>
      keysWord + indices + Math.ceil(2 ** (((halves[(keysWord + 1) * 2] >>> 8) & 0xff) - 3));
  }
  return (halves, keysWord) => {
    const size = halves[(keysWord + 1) * 2];
    return keysWord + indices + Math.ceil((size * indexBytes(size)) / 8) + 1;
  };
}

/** Bytes of one cell of dk_indices for a table of `size` slots (3.8 to 3.10). */
export const indexBytes = (size: number): number => (size <= 0xff ? 1 : size <= 0xffff ? 2 : 4);
