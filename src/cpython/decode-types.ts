// Decodes type objects: bases, mro, dict, subclasses, names, the keys that instances share, and for the static types of
// 3.12 and newer what each interpreter keeps for them.
// Source: Objects/typeobject.c (type_traverse, type_dealloc, type___sizeof___impl), Python/sysmodule.c (_PySys_GetSizeOf),
// Include/internal/pycore_typeobject.h and pycore_interp.h (3.8 to 3.15).
//
// `tp_dict` is emitted by instance-dict.ts: `type` has a tp_dictoffset. The cached methods of _spec_cache are borrowed.

import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import type { Address } from '../memory/memory-reader.ts';
import { makeDecodeCachedKeys } from './decode-dict.ts';
import { findWord, makeDecodeFields, makeLabels, ownBufferAt } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder, ObjectReader } from './object-reader.ts';

/** tp_flags of the type that is decoded. */
const STATIC_BUILTIN = 1 << 1;
const HEAPTYPE = 1 << 9;
const MAX_STATIC_TYPES = 4096;

/** `typesStates`: address of `PyInterpreterState.types` of each interpreter, for 3.12 and newer. */
export function typeDecoders(
  layout: Layout,
  typesStates: readonly Address[],
): [string, ObjectDecoder][] {
  return [
    [
      'type',
      {
        structSize: layout.size('PyHeapTypeObject'),
        minimumSize: layout.size('PyTypeObject'),
        decode: makeDecodeType(layout, typesStates),
        ignoresObSize: true,
      },
    ],
  ];
}

function makeDecodeType(layout: Layout, typesStates: readonly Address[]): DecodeObject {
  const tp_flags = layout.word('PyTypeObject.tp_flags');
  const tp_subclasses = layout.word('PyTypeObject.tp_subclasses');
  const typeBytes = layout.size('PyTypeObject');
  const heapTypeBytes = layout.size('PyHeapTypeObject');
  const decodeFields = makeDecodeFields(layout, 'PyTypeObject', {
    tp_base: '__base__',
    tp_bases: '__bases__',
    tp_mro: '__mro__',
    tp_cache: '',
  });
  const decodeHeapType = makeDecodeHeapType(layout);
  const decodeStaticBuiltin = makeDecodeStaticBuiltin(layout, typesStates);
  const headerOfStatic = makeHeaderOfStaticType(layout);
  const labelsOf = makeLabels(['tp_subclasses']);
  return (reader, word, type) => {
    const flags = reader.halves[(word + tp_flags) * 2];
    decodeFields(reader, word, type);
    if ((flags & STATIC_BUILTIN) !== 0) decodeStaticBuiltin(reader, word, type);
    else reader.referenceAt(word + tp_subclasses, EdgeKind.internal, labelsOf(reader)[0]);
    if ((flags & HEAPTYPE) === 0) {
      reader.shallowBytes = typeBytes + headerOfStatic(type.tp_name, type.preheaderBytes);
    } else if (word + heapTypeBytes / 8 > reader.image.runEnd(word)) {
      reader.problem('type-cut-off', word);
    } else {
      reader.shallowBytes = heapTypeBytes + type.preheaderBytes;
      decodeHeapType(reader, word, type);
    }
  };
}

/** What sys.getsizeof adds for a collector's header that static types do not have: it began in 3.11 and ended in 3.13. */
function makeHeaderOfStaticType(
  layout: Layout,
): (metatype: string, preheaderBytes: number) => number {
  if (!layout.hasSize('_PyInterpreterFrame')) return () => 0;
  if (!layout.hasSize('managed_static_type_state')) return (_, preheaderBytes) => preheaderBytes;
  return (metatype, preheaderBytes) => (metatype === 'type' ? 0 : preheaderBytes);
}

function makeDecodeHeapType(layout: Layout): DecodeObject {
  const ht_cached_keys = layout.word('PyHeapTypeObject.ht_cached_keys');
  const tp_doc = layout.word('PyTypeObject.tp_doc');
  const _ht_tpname = findWord(layout, 'PyHeapTypeObject._ht_tpname');
  const decodeFields = makeDecodeFields(layout, 'PyHeapTypeObject', {
    ht_name: '__name__',
    ht_qualname: '__qualname__',
    ht_slots: '__slots__',
    ht_module: '',
  });
  const decodeCachedKeys = makeDecodeCachedKeys(layout);
  const labelsOf = makeLabels(['ht_cached_keys']);
  return (reader, word, type) => {
    decodeFields(reader, word, type);
    const label = labelsOf(reader)[0];
    reader.shallowBytes += decodeCachedKeys(reader, word + ht_cached_keys, label);
    ownBufferAt(reader, word + tp_doc, 1);
    if (_ht_tpname >= 0) ownBufferAt(reader, word + _ht_tpname, 1);
  };
}

/** 3.12 and newer: tp_subclasses holds an index (from 1) into a table of each interpreter. */
function makeDecodeStaticBuiltin(layout: Layout, typesStates: readonly Address[]): DecodeObject {
  const struct = layout.hasSize('managed_static_type_state')
    ? 'managed_static_type_state'
    : 'static_builtin_state';
  if (!layout.hasSize(struct)) return () => {};
  const tables = ['builtins.initialized', 'for_extensions.initialized', 'builtins'].filter(
    (table) => layout.has(`PyInterpreterState.types.${table}`),
  );
  // `builtins` is the table itself in 3.12, and in later versions a struct that contains it.
  const fields = tables.length > 1 ? tables.slice(0, 2) : tables;
  const types = layout.offset('PyInterpreterState.types');
  const firsts = fields.map((field) => layout.offset(`PyInterpreterState.types.${field}`) - types);
  const stateBytes = layout.size(struct);
  const typeWord = layout.word(`${struct}.type`);
  const tp_dict = layout.word(`${struct}.tp_dict`);
  const stateSubclasses = layout.word(`${struct}.tp_subclasses`);
  const tp_subclasses = layout.word('PyTypeObject.tp_subclasses');
  const labelsOf = makeLabels(['tp_subclasses']);

  const decodeState = (reader: ObjectReader, word: number, state: number): boolean => {
    if (state === 0 || state + stateBytes / 8 > reader.image.runEnd(state)) return false;
    if (reader.follow(state + typeWord) !== word) return false;
    reader.referenceAt(state + tp_dict, EdgeKind.instanceDict, NONE);
    reader.referenceAt(state + stateSubclasses, EdgeKind.internal, labelsOf(reader)[0]);
    return true;
  };

  return (reader, word) => {
    const index = reader.halves[(word + tp_subclasses) * 2] - 1;
    if (index < 0 || index > MAX_STATIC_TYPES) return;
    for (const typesState of typesStates) {
      for (const first of firsts) {
        const state = reader.image.wordAtAddress(typesState + first + index * stateBytes);
        if (decodeState(reader, word, state)) break;
      }
    }
  };
}
