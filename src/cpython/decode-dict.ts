// Decodes dict and its C subclasses: entries as dictKey/dictValue pairs, split tables as named values, sizes and buffers.
// Source: Objects/dictobject.c, Objects/odictobject.c, Include/internal/pycore_dict.h (3.8 to 3.15).
//
// The keys of a split table belong to the keys object, which the heap type holds (decode-types.ts emits them), and values
// that are embedded in an instance (3.13) belong to the instance: its dict emits nothing. A dictKey that is not followed
// by a dictValue has a value that could not be read.

import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import { makeDecodeFields, makeLabels, ownBufferAt } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder, ObjectReader } from './object-reader.ts';
import { indexBytes, makeSharedKeyNames } from './shared-key-names.ts';

/** dk_kind of 3.11 */
const DICT_KEYS_GENERAL = 0;
const GENERAL_ENTRY_BYTES = 24;
const UNICODE_ENTRY_BYTES = 16;
/** No table of a dict that fits into an image has more slots. */
const MAX_LOG2_SIZE = 40;

/** USABLE_FRACTION of dictobject.c. */
export const usableFraction = (size: number): number => Math.floor((size * 2) / 3);

export function dictDecoders(layout: Layout): [string, ObjectDecoder][] {
  const decode = makeDecodeDict(layout);
  const dict: ObjectDecoder = { structSize: layout.size('PyDictObject'), decode };
  const frozen: [string, ObjectDecoder][] = layout.hasSize('PyFrozenDictObject')
    ? [['frozendict', { ...dict, structSize: layout.size('PyFrozenDictObject') }]]
    : [];
  return [
    ['dict', dict],
    ...frozen,
    ['collections.defaultdict', defaultdictDecoder(layout, decode)],
    ['collections.OrderedDict', orderedDictDecoder(layout, decode)],
  ];
}

function makeDecodeDict(layout: Layout): DecodeObject {
  return layout.has('PyDictKeysObject.dk_log2_index_bytes')
    ? makeDecodeDictSince311(layout)
    : makeDecodeDictOf38(layout);
}

/** 3.11 and newer: dk_kind, entries without hashes for tables of str only. */
function makeDecodeDictSince311(layout: Layout): DecodeObject {
  const ma_used = layout.word('PyDictObject.ma_used');
  const ma_keys = layout.word('PyDictObject.ma_keys');
  const ma_values = layout.word('PyDictObject.ma_values');
  const dk_nentries = layout.word('PyDictKeysObject.dk_nentries');
  const dk_usable = layout.word('PyDictKeysObject.dk_usable');
  const headerBytes = layout.size('PyDictKeysObject');
  const headerWords = headerBytes / 8;
  const decodeSplit = makeDecodeSplitValues(layout);

  return (reader, word) => {
    const { halves, image } = reader;
    const keysPointer = (word + ma_keys) * 2;
    const keysLo = halves[keysPointer];
    const keysHi = halves[keysPointer + 1];
    const keys = image.wordAt(keysLo, keysHi);
    const used = halves[(word + ma_used) * 2];
    const end = keys === 0 ? 0 : image.runEnd(keys);
    if (keys === 0 || keys + headerWords > end) {
      if (used !== 0) reader.problem('dict-keys-not-copied', word);
      return;
    }
    const packed = halves[(keys + 1) * 2];
    const log2Size = packed & 0xff;
    const log2IndexBytes = (packed >>> 8) & 0xff;
    const kind = (packed >>> 16) & 0xff;
    let count = halves[(keys + dk_nentries) * 2];
    // The keys that all empty dicts share have no index in some versions.
    if (count === 0 && used === 0 && log2Size === 0) return;
    if (log2Size > MAX_LOG2_SIZE || log2IndexBytes > MAX_LOG2_SIZE + 3 || log2IndexBytes < 3) {
      reader.problem('dict-keys-damaged', word);
      return;
    }
    const entryBytes = kind === DICT_KEYS_GENERAL ? GENERAL_ENTRY_BYTES : UNICODE_ENTRY_BYTES;
    const ownsKeys = halves[keys * 2] === 1 && halves[keys * 2 + 1] === 0;
    if (ownsKeys) {
      const keysBytes =
        headerBytes + 2 ** log2IndexBytes + usableFraction(2 ** log2Size) * entryBytes;
      reader.shallowBytes += keysBytes;
      reader.ownBuffer(keysLo, keysHi, keysBytes);
    }
    const values = (word + ma_values) * 2;
    if (halves[values] !== 0 || halves[values + 1] !== 0) {
      const capacity = halves[(keys + dk_usable) * 2] + count;
      decodeSplit(reader, word, keys, capacity, used);
      return;
    }
    const first = keys + headerWords + 2 ** (log2IndexBytes - 3);
    const entryWords = entryBytes / 8;
    if (first + count * entryWords > end) {
      reader.problem('dict-entries-not-copied', word);
      count = Math.max(0, Math.floor((end - first) / entryWords));
    }
    const keyIndex = kind === DICT_KEYS_GENERAL ? 2 : 0;
    decodeEntries(reader, word, first * 2 + keyIndex, count, entryWords * 2, used);
  };
}

/** `first` and `step` in 32-bit halves: of the first key, and from one key to the next. The value follows the key. */
function decodeEntries(
  reader: ObjectReader,
  word: number,
  first: number,
  count: number,
  step: number,
  used: number,
): void {
  const halves = reader.halves;
  let found = 0;
  let at = first;
  for (let i = 0; i < count; i++, at += step) {
    const valueLo = halves[at + 2];
    const valueHi = halves[at + 3];
    if (valueLo === 0 && valueHi === 0) continue;
    found++;
    const hasKey = reader.reference(halves[at], halves[at + 1], EdgeKind.dictKey, NONE);
    reader.reference(valueLo, valueHi, hasKey ? EdgeKind.dictValue : EdgeKind.namedValue, NONE);
  }
  if (found !== used) reader.problem('dict-count-differs', word);
}

/** 3.8 to 3.10: dk_size, and the index cells' width follows from it; all entries have hashes. */
function makeDecodeDictOf38(layout: Layout): DecodeObject {
  const ma_used = layout.word('PyDictObject.ma_used');
  const ma_keys = layout.word('PyDictObject.ma_keys');
  const ma_values = layout.word('PyDictObject.ma_values');
  const dk_size = layout.word('PyDictKeysObject.dk_size');
  const dk_nentries = layout.word('PyDictKeysObject.dk_nentries');
  const headerBytes = layout.size('PyDictKeysObject');
  const headerWords = headerBytes / 8;
  const decodeSplit = makeDecodeSplitValues(layout);

  return (reader, word) => {
    const { halves, image } = reader;
    const keysPointer = (word + ma_keys) * 2;
    const keysLo = halves[keysPointer];
    const keysHi = halves[keysPointer + 1];
    const keys = image.wordAt(keysLo, keysHi);
    const used = halves[(word + ma_used) * 2];
    const end = keys === 0 ? 0 : image.runEnd(keys);
    if (keys === 0 || keys + headerWords > end) {
      if (used !== 0) reader.problem('dict-keys-not-copied', word);
      return;
    }
    const size = halves[(keys + dk_size) * 2];
    if (size === 0 || (size & (size - 1)) !== 0 || halves[(keys + dk_size) * 2 + 1] !== 0) {
      reader.problem('dict-keys-damaged', word);
      return;
    }
    const usable = usableFraction(size);
    const indicesBytes = indexBytes(size) * size;
    if (halves[keys * 2] === 1 && halves[keys * 2 + 1] === 0) {
      const keysBytes = headerBytes + indicesBytes + usable * GENERAL_ENTRY_BYTES;
      reader.shallowBytes += keysBytes;
      reader.ownBuffer(keysLo, keysHi, keysBytes);
    }
    const values = (word + ma_values) * 2;
    if (halves[values] !== 0 || halves[values + 1] !== 0) {
      decodeSplit(reader, word, keys, usable, used);
      return;
    }
    let count = halves[(keys + dk_nentries) * 2];
    const first = keys + headerWords + Math.ceil(indicesBytes / 8);
    if (first + count * 3 > end) {
      reader.problem('dict-entries-not-copied', word);
      count = Math.max(0, Math.floor((end - first) / 3));
    }
    decodeEntries(reader, word, first * 2 + 2, count, 6, used);
  };
}

type DecodeSplitValues = (
  reader: ObjectReader,
  word: number,
  keysWord: number,
  capacity: number,
  used: number,
) => void;

/** The values array of a dict whose keys are shared; `capacity` is what sys.getsizeof counts. */
function makeDecodeSplitValues(layout: Layout): DecodeSplitValues {
  const ma_values = layout.word('PyDictObject.ma_values');
  const namesOf = makeSharedKeyNames(layout);
  const hasEmbedded = layout.has('PyDictValues.embedded');
  const firstValue = layout.has('PyDictValues.values') ? layout.word('PyDictValues.values') : 0;
  const ownValues = makeOwnValues(layout);

  return (reader, word, keysWord, capacity, used) => {
    const { halves, image } = reader;
    const pointer = (word + ma_values) * 2;
    const values = image.wordAt(halves[pointer], halves[pointer + 1]);
    reader.shallowBytes += capacity * 8;
    if (values === 0) {
      reader.problem('dict-values-not-copied', word);
      return;
    }
    if (hasEmbedded && ((halves[values * 2] >>> 16) & 0xff) === 1) return;
    ownValues(reader, halves[pointer], halves[pointer + 1], capacity);
    const found = decodeNamedValues(
      reader,
      values + firstValue,
      namesOf(reader, keysWord),
      EdgeKind.namedValue,
    );
    if (found !== used) reader.problem('dict-count-differs', word);
  };
}

/** Emits the values that are there under their shared names; returns how many. */
export function decodeNamedValues(
  reader: ObjectReader,
  firstValue: number,
  names: Uint32Array,
  kind: EdgeKind,
): number {
  const halves = reader.halves;
  const room = reader.image.runEnd(firstValue) - firstValue;
  const count = Math.min(names.length, room);
  let found = 0;
  for (let i = 0, at = firstValue * 2; i < count; i++, at += 2) {
    const lo = halves[at];
    const hi = halves[at + 1];
    if (lo === 0 && hi === 0) continue;
    found++;
    reader.reference(lo, hi, kind, names[i]);
  }
  return found;
}

type OwnValues = (reader: ObjectReader, lo: number, hi: number, capacity: number) => void;

/** Declares the block of a PyDictValues: in 3.11 and 3.12 a prefix of bytes in insertion order lies before the pointer. */
export function makeOwnValues(layout: Layout): OwnValues {
  if (layout.has('PyDictValues.embedded')) {
    const headerBytes = layout.offset('PyDictValues.values');
    return (reader, lo, hi, capacity) => {
      reader.ownBuffer(lo, hi, headerBytes + capacity * 9);
    };
  }
  if (!layout.has('PyDictValues.values')) {
    return (reader, lo, hi, capacity) => reader.ownBuffer(lo, hi, capacity * 8);
  }
  return (reader, lo, hi, capacity) => {
    // Blocks are aligned to 16, and the prefix of at most 255 bytes may begin below a multiple of 2^32.
    const before = reader.image.wordAt(lo, hi) - 1;
    if (before < 0) return;
    const prefixBytes = reader.halves[before * 2 + 1] >>> 24;
    const start = lo - prefixBytes;
    reader.ownBuffer(start >>> 0, start < 0 ? hi - 1 : hi, prefixBytes + capacity * 8);
  };
}

function defaultdictDecoder(layout: Layout, decodeDict: DecodeObject): ObjectDecoder {
  const decodeFields = makeDecodeFields(layout, 'defdictobject', {
    default_factory: 'default_factory',
  });
  return {
    structSize: layout.size('defdictobject'),
    decode: (reader, word, type) => {
      decodeDict(reader, word, type);
      decodeFields(reader, word, type);
    },
  };
}

/** The linked list of an OrderedDict holds each key once more. */
function orderedDictDecoder(layout: Layout, decodeDict: DecodeObject): ObjectDecoder {
  const ma_used = layout.word('PyDictObject.ma_used');
  const od_first = layout.word('PyODictObject.od_first');
  const od_fast_nodes = layout.word('PyODictObject.od_fast_nodes');
  const od_fast_nodes_size = layout.word('PyODictObject.od_fast_nodes_size');
  const nodeKey = layout.word('_odictnode.key');
  const nodeNext = layout.word('_odictnode.next');
  const nodeBytes = layout.size('_odictnode');
  const labelsOf = makeLabels(['od_nodes']);
  return {
    structSize: layout.size('PyODictObject'),
    decode: (reader, word, type) => {
      decodeDict(reader, word, type);
      const { halves, image } = reader;
      const label = labelsOf(reader)[0];
      const used = halves[(word + ma_used) * 2];
      const fastBytes = halves[(word + od_fast_nodes_size) * 2] * 8;
      ownBufferAt(reader, word + od_fast_nodes, fastBytes);
      reader.shallowBytes += fastBytes;
      let pointer = word + od_first;
      if (halves[pointer * 2] !== 0 || halves[pointer * 2 + 1] !== 0) {
        reader.shallowBytes += nodeBytes * used;
      }
      // ma_used was checked against the entries that there are, so it also ends a damaged list.
      for (let left = used; left > 0; left--) {
        const node = reader.follow(pointer);
        if (node === 0 || node + nodeBytes / 8 > image.runEnd(node)) {
          reader.problem('odict-node-not-copied', word);
          return;
        }
        ownBufferAt(reader, pointer, nodeBytes);
        reader.referenceAt(node + nodeKey, EdgeKind.internal, label);
        pointer = node + nodeNext;
      }
    },
  };
}

/** Emits the keys of the shared keys object that a heap type holds, and returns its size as sys.getsizeof counts it. */
export function makeDecodeCachedKeys(
  layout: Layout,
): (reader: ObjectReader, pointerWord: number, label: number) => number {
  const isSince311 = layout.has('PyDictKeysObject.dk_log2_index_bytes');
  const headerBytes = layout.size('PyDictKeysObject');
  const dk_nentries = layout.word('PyDictKeysObject.dk_nentries');
  return (reader, pointerWord, label) => {
    const { halves, image } = reader;
    const keys = reader.follow(pointerWord);
    if (keys === 0 || keys + headerBytes / 8 > image.runEnd(keys)) return 0;
    const packed = halves[(keys + 1) * 2];
    const size = isSince311 ? 2 ** (packed & 0xff) : packed;
    const indicesBytes = isSince311 ? 2 ** ((packed >>> 8) & 0xff) : indexBytes(size) * size;
    const isGeneral = !isSince311 || ((packed >>> 16) & 0xff) === DICT_KEYS_GENERAL;
    const entryBytes = isGeneral ? GENERAL_ENTRY_BYTES : UNICODE_ENTRY_BYTES;
    const keysBytes = headerBytes + indicesBytes + usableFraction(size) * entryBytes;
    const first = keys + (headerBytes + Math.ceil(indicesBytes / 8) * 8) / 8 + (isGeneral ? 1 : 0);
    const count = halves[(keys + dk_nentries) * 2];
    if (size > 1 << 16 || first + (count * entryBytes) / 8 > image.runEnd(keys)) {
      reader.problem('cached-keys-damaged', pointerWord);
      return 0;
    }
    ownBufferAt(reader, pointerWord, keysBytes);
    for (let i = 0; i < count; i++) {
      reader.referenceAt(first + (i * entryBytes) / 8, EdgeKind.internal, label);
    }
    return keysBytes;
  };
}
