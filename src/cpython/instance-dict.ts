// What instances of Python classes have in common: decodes where an object keeps its attributes, as an edge to its
// `__dict__` or, while it has none of its own, as attribute edges with the names that its class's instances share.
// Source: Objects/object.c (_PyObject_ComputedDictPointer), Objects/dictobject.c (PyObject_VisitManagedDict), 3.8 to 3.15.
//
// Slots are decoded by the caller, who knows them from the type. A `__dict__` whose values are embedded in the instance
// (3.13) is emitted as well, and the values as attributes of the instance.

import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import { decodeNamedValues, makeOwnValues } from './decode-dict.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectReader, TypeInfo } from './object-reader.ts';
import { makeSharedKeyNames } from './shared-key-names.ts';

/** Bits of tp_flags. */
const INLINE_VALUES = 1 << 2;
const MANAGED_DICT = 1 << 4;
const LONG_SUBCLASS = 1 << 24;
/** Words before the object: dict pointer (3.12: or tagged values), and in 3.11 the values before it. */
const DICT_POINTER = -3;
const VALUES_POINTER = -4;

/** Whether instances of a type have a `__dict__` or values that stand for it. */
export const hasInstanceDict = (tp_flags: number, tp_dictoffset: number): boolean =>
  (tp_flags & MANAGED_DICT) !== 0 || tp_dictoffset !== 0;

/** Emits the attributes of the instance at `word`. */
export function makeDecodeInstanceDict(layout: Layout): DecodeObject {
  const decodeManaged = makeDecodeManagedDict(layout);
  const decodeAtOffset = makeDecodeDictAtOffset(layout);
  return (reader, word, type) => {
    if ((type.tp_flags & MANAGED_DICT) !== 0) decodeManaged(reader, word, type);
    else if (type.tp_dictoffset !== 0) decodeAtOffset(reader, word, type);
  };
}

function makeDecodeManagedDict(layout: Layout): DecodeObject {
  if (layout.has('PyDictValues.embedded')) return makeDecodeManagedDictSince313(layout);
  if (!layout.has('PyDictValues.values')) return () => {};
  // Watchers of types came in the version in which the two pointers before an object became one tagged word.
  return layout.has('PyTypeObject.tp_watched')
    ? makeDecodeManagedDictSince312(layout)
    : makeDecodeManagedDictOf311(layout);
}

function makeDecodeManagedDictOf311(layout: Layout): DecodeObject {
  const decodeValues = makeDecodeSeparateValues(layout);
  return (reader, word, type) => {
    const halves = reader.halves;
    const values = (word + VALUES_POINTER) * 2;
    decodeValues(reader, word, type, halves[values], halves[values + 1]);
    reader.referenceAt(word + DICT_POINTER, EdgeKind.instanceDict, NONE);
  };
}

/** One word: a dict, or with the lowest bit set the address of the values minus one. */
function makeDecodeManagedDictSince312(layout: Layout): DecodeObject {
  const decodeValues = makeDecodeSeparateValues(layout);
  return (reader, word, type) => {
    const at = (word + DICT_POINTER) * 2;
    const lo = reader.halves[at];
    const hi = reader.halves[at + 1];
    if ((lo & 1) === 0) {
      reader.reference(lo, hi, EdgeKind.instanceDict, NONE);
      return;
    }
    // Values are aligned, so adding one to the tagged address carries into the high half only from 0xffffffff.
    const valuesLo = (lo + 1) >>> 0;
    decodeValues(reader, word, type, valuesLo, valuesLo === 0 ? hi + 1 : hi);
  };
}

type DecodeSeparateValues = (
  reader: ObjectReader,
  word: number,
  type: TypeInfo,
  lo: number,
  hi: number,
) => void;

/** Values in a block of their own that the instance owns, named by the type's cached keys. */
function makeDecodeSeparateValues(layout: Layout): DecodeSeparateValues {
  const namesOf = makeSharedKeyNames(layout);
  const ownValues = makeOwnValues(layout);
  const ht_cached_keys = layout.word('PyHeapTypeObject.ht_cached_keys');
  const firstValue = layout.word('PyDictValues.values');
  return (reader, word, type, lo, hi) => {
    if (lo === 0 && hi === 0) return;
    const values = reader.image.wordAt(lo, hi);
    if (values === 0) {
      reader.problem('instance-values-not-copied', word);
      return;
    }
    const names = namesOf(reader, reader.follow(type.word + ht_cached_keys));
    ownValues(reader, lo, hi, names.length);
    decodeNamedValues(reader, values + firstValue, names, EdgeKind.attribute);
  };
}

/** Values inside the instance, behind tp_basicsize, until `valid` is cleared; a dict pointer besides. */
function makeDecodeManagedDictSince313(layout: Layout): DecodeObject {
  const namesOf = makeSharedKeyNames(layout);
  const ht_cached_keys = layout.word('PyHeapTypeObject.ht_cached_keys');
  const firstValue = layout.word('PyDictValues.values');
  const validShift = layout.offset('PyDictValues.valid') * 8;
  return (reader, word, type) => {
    if ((type.tp_flags & INLINE_VALUES) !== 0) {
      const values = word + ((type.tp_basicsize + 7) >>> 3);
      const isInside = values + firstValue <= reader.image.runEnd(word);
      if (isInside && ((reader.halves[values * 2] >>> validShift) & 0xff) === 1) {
        const names = namesOf(reader, reader.follow(type.word + ht_cached_keys));
        decodeNamedValues(reader, values + firstValue, names, EdgeKind.attribute);
      }
    }
    reader.referenceAt(word + DICT_POINTER, EdgeKind.instanceDict, NONE);
  };
}

/** tp_dictoffset: from the start, or if negative from the end of a variable-size object. */
function makeDecodeDictAtOffset(layout: Layout): DecodeObject {
  const lv_tag = layout.has('PyLongObject.long_value.lv_tag')
    ? layout.word('PyLongObject.long_value.lv_tag')
    : -1;
  return (reader, word, type) => {
    let offset = type.tp_dictoffset;
    if (offset < 0) {
      const at = (word + 2) * 2;
      const isTagged = lv_tag >= 0 && (type.tp_flags & LONG_SUBCLASS) !== 0;
      const itemCount = isTagged ? reader.halves[at] >>> 3 : Math.abs(reader.halves[at] | 0);
      const size = type.tp_basicsize + itemCount * type.tp_itemsize;
      offset += Math.ceil(size / 8) * 8;
    }
    const at = word + (offset >>> 3);
    if (offset < 16 || at >= reader.image.runEnd(word)) {
      reader.problem('instance-dict-outside-object', word);
      return;
    }
    reader.referenceAt(at, EdgeKind.instanceDict, NONE);
  };
}
