// The interpreter's own hash tables of C: turns a copied _Py_hashtable_t into the words of its entries.
// Source: Modules/hashtable.c (3.8), Python/hashtable.c, Include/internal/pycore_hashtable.h (3.9 to 3.15): an array of
// lists; keys and values lie behind an entry's head (3.8), or are two words in it (3.9).

import type { Problems } from '../base/problems.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { Layout } from './layout.ts';

const MIN_BUCKETS = 16;
const MAX_BUCKETS = 2 ** 31;
/** A table that is being changed may have a few entries more or fewer than it says. */
const SLACK = 64;

export interface HashTable {
  address: Address;
  entryCount: number;
  bucketCount: number;
  buckets: Address;
  /** Bytes of keys and values that lie in the entries themselves (3.8); both 0 where entries have two words for them. */
  keyBytes: number;
  valueBytes: number;
}

/** Told of the word at which each block begins that belongs to a table. */
export type OwnBlock = (word: number) => void;

/** The table at `address`, if what lies there may be one. Throws MemoryReadError. */
export function findHashTable(
  image: MemoryImage,
  layout: Layout,
  address: Address,
): HashTable | undefined {
  if (address === 0 || address % 8 !== 0) return undefined;
  if (!image.has(address, layout.size('_Py_hashtable_t'))) return undefined;
  const at = (field: string) => address + layout.offset(`_Py_hashtable_t.${field}`);
  const isInline = layout.has('_Py_hashtable_t.key_size');
  const entryCount = image.readI64(at(isInline ? 'entries' : 'nentries'));
  const bucketCount = image.readI64(at(isInline ? 'num_buckets' : 'nbuckets'));
  const buckets = image.readAddress(at('buckets'));
  const keyBytes = isInline ? image.readI64(at('key_size')) : 0;
  const valueBytes = isInline ? image.readI64(at('data_size')) : 0;
  const isPlausible =
    bucketCount >= MIN_BUCKETS &&
    bucketCount <= MAX_BUCKETS &&
    2 ** Math.round(Math.log2(bucketCount)) === bucketCount &&
    entryCount >= 0 &&
    entryCount <= bucketCount &&
    buckets % 8 === 0 &&
    keyBytes >= 0 &&
    keyBytes <= 64 &&
    valueBytes >= 0 &&
    valueBytes <= 64 &&
    ['hash_func', 'compare_func', 'alloc.malloc', 'alloc.free'].every(
      (field) => image.readAddress(at(field)) !== 0,
    ) &&
    image.has(buckets, bucketCount * 8);
  if (!isPlausible) return undefined;
  return { address, entryCount, bucketCount, buckets, keyBytes, valueBytes };
}

/**
 * Words of all entries, bucket by bucket; at most a few more than the table says it has. What is missing, or leads out of
 * the copy, is counted. Some 100 ns an entry: they lie anywhere in memory.
 */
export function collectEntries(
  image: MemoryImage,
  table: HashTable,
  problems: Problems,
  own?: OwnBlock,
): Uint32Array {
  const { halves } = image;
  const { bucketCount, entryCount } = table;
  const limit = entryCount + SLACK;
  const entries = new Uint32Array(limit);
  let count = 0;
  const firstBucket = image.wordAtAddress(table.buckets);
  own?.(image.wordAtAddress(table.address));
  own?.(firstBucket);
  for (let bucket = 0; bucket < bucketCount && count < limit; bucket++) {
    let lo = halves[(firstBucket + bucket) * 2];
    let hi = halves[(firstBucket + bucket) * 2 + 1];
    while ((lo !== 0 || hi !== 0) && count < limit) {
      const word = image.wordAt(lo, hi);
      // An entry has four words.
      if (word === 0 || (lo & 7) !== 0 || word + 4 > image.runEnd(word)) break;
      entries[count++] = word;
      own?.(word);
      lo = halves[word * 2];
      hi = halves[word * 2 + 1];
    }
  }
  if (count !== entryCount) {
    problems.add('hash-table-incomplete', table.address, Math.abs(entryCount - count));
  }
  return entries.subarray(0, count);
}

/** What the table takes itself, without what its keys and values point at: as _Py_hashtable_size counts it. */
export function sizeOfTable(layout: Layout, table: HashTable): number {
  const { entryCount, bucketCount, keyBytes, valueBytes } = table;
  const entryBytes = layout.size('_Py_hashtable_entry_t') + keyBytes + valueBytes;
  return layout.size('_Py_hashtable_t') + bucketCount * 8 + entryCount * entryBytes;
}
