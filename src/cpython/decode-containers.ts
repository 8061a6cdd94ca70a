// Decodes list, tuple (and structseq), set, frozenset, deque, array, bytearray: items, buffers, sizes as sys.getsizeof has them.
// Source: Objects/listobject.c, tupleobject.c, structseq.c, setobject.c, bytearrayobject.c, Modules/_collectionsmodule.c,
// Modules/arraymodule.c (3.8 to 3.15). dict is in decode-dict.ts; containers of fixed fields are in the tables.
//
// A list that is being sorted at this moment looks empty; it is counted as a problem.

import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import { decodersOfTables, ownBufferAt, type StructTable } from './decode-struct.ts';
import { findInDict } from './dict-entries.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder, ObjectReader, TypeInfo } from './object-reader.ts';

/** PyObject_VAR_HEAD: ob_size is the third word. */
const OB_SIZE = 2;
const TUPLE_SUBCLASS = 1 << 26;
const MAX_HIDDEN_FIELDS = 256;
/** BLOCKLEN of _collectionsmodule.c. */
const DEQUE_BLOCK_ITEMS = 64;

const TABLES: readonly StructTable[] = [
  { types: ['array.array'], struct: 'arrayobject', fields: {}, also: makeDecodeArray },
  { types: ['collections.deque'], struct: 'dequeobject', fields: {}, also: makeDecodeDeque },
  { types: ['list'], struct: 'PyListObject', fields: {}, also: makeDecodeList },
  { types: ['set', 'frozenset'], struct: 'PySetObject', fields: {}, also: makeDecodeSet },
  {
    types: ['bytearray'],
    struct: 'PyByteArrayObject',
    fields: { ob_bytes_object: '' },
    also: makeDecodeByteArray,
  },
];

export function containerDecoders(layout: Layout): [string, ObjectDecoder][] {
  const tuple: ObjectDecoder = {
    structSize: layout.offset('PyTupleObject.ob_item'),
    decode: makeDecodeTuple(layout),
    explainsBody: true,
  };
  return [...decodersOfTables(layout, TABLES), ['tuple', tuple]];
}

function makeDecodeList(layout: Layout): DecodeObject {
  const ob_item = layout.word('PyListObject.ob_item');
  const allocatedWord = layout.word('PyListObject.allocated');
  return (reader, word) => {
    const halves = reader.halves;
    const allocated = halves[(word + allocatedWord) * 2];
    if (halves[(word + allocatedWord) * 2 + 1] !== 0) {
      // list.sort() moves the items away and sets `allocated` to -1 until it ends.
      reader.problem('list-being-sorted', word);
      return;
    }
    if (allocated === 0) return;
    let count = halves[(word + OB_SIZE) * 2];
    const itemsLo = halves[(word + ob_item) * 2];
    const itemsHi = halves[(word + ob_item) * 2 + 1];
    const items = reader.image.wordAt(itemsLo, itemsHi);
    const room = items === 0 ? 0 : reader.image.runEnd(items) - items;
    if (count > allocated || count > room) {
      reader.problem('list-items-not-copied', word);
      count = Math.min(count, room, allocated);
    }
    reader.shallowBytes += allocated * 8;
    reader.ownBuffer(itemsLo, itemsHi, allocated * 8);
    for (let i = 0, at = items * 2; i < count; i++, at += 2) {
      reader.reference(halves[at], halves[at + 1], EdgeKind.item, i);
    }
  };
}

function makeDecodeTuple(layout: Layout): DecodeObject {
  const ob_item = layout.word('PyTupleObject.ob_item');
  const hiddenFieldsOf = makeCountHiddenFields(layout);
  return (reader, word, type) => {
    const halves = reader.halves;
    const items = word + ob_item;
    let count = halves[(word + OB_SIZE) * 2];
    if (type.base !== undefined && (type.base.tp_flags & TUPLE_SUBCLASS) !== 0) {
      count += hiddenFieldsOf(reader, type);
    }
    const room = reader.image.runEnd(word) - items;
    if (count > room) {
      reader.problem('tuple-items-not-copied', word);
      count = room;
    }
    for (let i = 0, at = items * 2; i < count; i++, at += 2) {
      reader.reference(halves[at], halves[at + 1], EdgeKind.item, i);
    }
  };
}

/**
 * Fields of a structseq behind its visible items (`os.stat_result.st_atime`): in 3.13 tp_basicsize contains them, before
 * that the type's dict says how many there are. 0 for all other subclasses of tuple.
 */
function makeCountHiddenFields(layout: Layout): (reader: ObjectReader, type: TypeInfo) => number {
  const itemsOffset = layout.offset('PyTupleObject.ob_item');
  const ob_digit = layout.has('PyLongObject.ob_digit')
    ? layout.offset('PyLongObject.ob_digit')
    : layout.offset('PyLongObject.long_value.ob_digit');
  let owner: ObjectReader | undefined;
  let byType: number[] = [];

  const count = (reader: ObjectReader, type: TypeInfo): number => {
    if (type.tp_dictoffset !== 0) return 0;
    if (type.tp_basicsize > itemsOffset) return (type.tp_basicsize - itemsOffset) / 8;
    const image = reader.image;
    const dict = image.readAddress(type.address + layout.offset('PyTypeObject.tp_dict'));
    if (dict === 0) return 0;
    const read = (name: string): number => {
      const value = findInDict(image, layout, dict, name);
      return value === undefined || !image.has(value, ob_digit + 4)
        ? 0
        : image.readU32(value + ob_digit);
    };
    return Math.max(0, read('n_fields') - read('n_sequence_fields'));
  };

  return (reader, type) => {
    if (reader !== owner) {
      owner = reader;
      byType = [];
    }
    byType[type.typeId] ??= Math.min(count(reader, type), MAX_HIDDEN_FIELDS);
    return byType[type.typeId];
  };
}

function makeDecodeSet(layout: Layout): DecodeObject {
  const maskWord = layout.word('PySetObject.mask');
  const usedWord = layout.word('PySetObject.used');
  const tableWord = layout.word('PySetObject.table');
  const smalltable = layout.word('PySetObject.smalltable');
  const entryBytes = layout.size('setentry');
  return (reader, word) => {
    const halves = reader.halves;
    let slots = halves[(word + maskWord) * 2] + 1;
    const tableLo = halves[(word + tableWord) * 2];
    const tableHi = halves[(word + tableWord) * 2 + 1];
    const table = reader.image.wordAt(tableLo, tableHi);
    const room = table === 0 ? 0 : (reader.image.runEnd(table) - table) / 2;
    if (halves[(word + maskWord) * 2 + 1] !== 0 || slots > room) {
      reader.problem('set-table-not-copied', word);
      slots = Math.min(slots, Math.floor(room));
    }
    if (table !== word + smalltable) {
      reader.shallowBytes += slots * entryBytes;
      reader.ownBuffer(tableLo, tableHi, slots * entryBytes);
    }
    if (halves[(word + usedWord) * 2] === 0) return;
    for (let i = 0, at = table * 2; i < slots; i++, at += 4) {
      const lo = halves[at];
      const hi = halves[at + 1];
      // The hash -1 marks the dummy of a removed entry.
      if ((lo === 0 && hi === 0) || (halves[at + 2] & halves[at + 3]) === -1) continue;
      reader.reference(lo, hi, EdgeKind.setItem, NONE);
    }
  };
}

function makeDecodeDeque(layout: Layout): DecodeObject {
  const leftblock = layout.word('dequeobject.leftblock');
  const leftindex = layout.word('dequeobject.leftindex');
  const blockBytes = layout.size('BLOCK');
  const data = layout.word('BLOCK.data');
  const rightlink = layout.word('BLOCK.rightlink');
  const decodeFreeBlocks = makeDecodeFreeBlocks(layout);
  return (reader, word) => {
    const { halves, image } = reader;
    const count = halves[(word + OB_SIZE) * 2];
    let index = halves[(word + leftindex) * 2];
    reader.shallowBytes += Math.ceil((index + count) / DEQUE_BLOCK_ITEMS) * blockBytes;
    decodeFreeBlocks(reader, word);
    let pointer = word + leftblock;
    // Blocks at steps of powers of two are compared with, so that a ring of damaged blocks ends.
    let checkpoint = 0;
    for (let i = 0, step = 1; i === 0 || i < count; step++) {
      const block = reader.follow(pointer);
      if (block === 0 || block + blockBytes / 8 > image.runEnd(block) || block === checkpoint) {
        reader.problem('deque-block-not-copied', word);
        return;
      }
      if ((step & (step - 1)) === 0) checkpoint = block;
      ownBufferAt(reader, pointer, blockBytes);
      if (count === 0) return;
      for (let at = (block + data + index) * 2; index < DEQUE_BLOCK_ITEMS && i < count; i++) {
        reader.reference(halves[at], halves[at + 1], EdgeKind.item, i);
        index++;
        at += 2;
      }
      index = 0;
      pointer = block + rightlink;
    }
  };
}

/** Since 3.11 each deque keeps up to 16 unused blocks. */
function makeDecodeFreeBlocks(layout: Layout): (reader: ObjectReader, word: number) => void {
  if (!layout.has('dequeobject.freeblocks')) return () => {};
  const numfreeblocks = layout.word('dequeobject.numfreeblocks');
  const freeblocks = layout.word('dequeobject.freeblocks');
  const blockBytes = layout.size('BLOCK');
  const most = (layout.size('dequeobject') - layout.offset('dequeobject.freeblocks')) / 8 - 1;
  return (reader, word) => {
    const count = Math.min(reader.halves[(word + numfreeblocks) * 2], most);
    for (let i = 0; i < count; i++) ownBufferAt(reader, word + freeblocks + i, blockBytes);
  };
}

function makeDecodeArray(layout: Layout): DecodeObject {
  const ob_item = layout.word('arrayobject.ob_item');
  const allocatedWord = layout.word('arrayobject.allocated');
  const ob_descr = layout.word('arrayobject.ob_descr');
  const itemsizeOffset = layout.offset('arraydescr.itemsize');
  return (reader, word) => {
    const halves = reader.halves;
    const allocated = halves[(word + allocatedWord) * 2];
    if (allocated === 0) return;
    const descr = reader.follow(word + ob_descr);
    if (descr === 0) {
      reader.problem('array-descr-not-copied', word);
      return;
    }
    const itemBytes = halves[descr * 2 + itemsizeOffset / 4];
    reader.shallowBytes += allocated * itemBytes;
    ownBufferAt(reader, word + ob_item, allocated * itemBytes);
  };
}

/** Since 3.15 the bytes lie in a bytes object (`ob_bytes_object`), which is no other's and counted with its header. */
function makeDecodeByteArray(layout: Layout): DecodeObject {
  const ob_alloc = layout.word('PyByteArrayObject.ob_alloc');
  const ob_bytes = layout.word('PyByteArrayObject.ob_bytes');
  const isBytesObject = layout.has('PyByteArrayObject.ob_bytes_object');
  const headerBytes = isBytesObject ? layout.offset('PyBytesObject.ob_sval') + 1 : 0;
  return (reader, word) => {
    const allocated = reader.halves[(word + ob_alloc) * 2];
    if (allocated === 0) return;
    reader.shallowBytes += headerBytes + allocated;
    if (!isBytesObject) ownBufferAt(reader, word + ob_bytes, allocated);
  };
}
