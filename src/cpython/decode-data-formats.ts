// Tables of the C types that read and write data formats: ElementTree, expat, pickle, json, struct.
// Source: Modules/_elementtree.c, pyexpat.c, _pickle.c, _json.c, _struct.c (3.8 to 3.15). expat's own memory is not followed.

import { EdgeKind } from '../graph/heap-graph.ts';
import { makeLabels, ownBufferAt, type StructTable } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

/** Kinds of handlers of pyexpat.c (enum HandlerTypes). */
const EXPAT_HANDLERS = 22;
const MAX_ELEMENT_CHILDREN = 1 << 26;

export const dataFormatTables: readonly StructTable[] = [
  // xml
  {
    types: ['xml.etree.ElementTree.Element'],
    struct: 'ElementObject',
    fields: { tag: 'tag' },
    also: makeDecodeElement,
  },
  {
    types: ['xml.etree.ElementTree.TreeBuilder'],
    struct: 'TreeBuilderObject',
    fields: {
      root: '',
      this: '',
      last: '',
      last_for_tail: '',
      data: '',
      stack: '',
      element_factory: '',
      comment_factory: '',
      pi_factory: '',
      events_append: '',
      start_event_obj: '',
      end_event_obj: '',
      start_ns_event_obj: '',
      end_ns_event_obj: '',
      comment_event_obj: '',
      pi_event_obj: '',
    },
  },
  {
    types: ['xml.etree.ElementTree.XMLParser'],
    struct: 'XMLParserObject',
    fields: {
      target: 'target',
      entity: 'entity',
      names: '',
      handle_start_ns: '',
      handle_end_ns: '',
      handle_start: '',
      handle_data: '',
      handle_end: '',
      handle_comment: '',
      handle_pi: '',
      handle_doctype: '',
      handle_close: '',
      elementtree_module: '',
    },
  },
  {
    types: ['_elementtree._element_iterator'],
    struct: 'ElementIterObject',
    fields: { root_element: '', sought_tag: '' },
    also: makeDecodeParentStack,
  },
  {
    types: ['pyexpat.xmlparser'],
    struct: 'xmlparseobject',
    fields: { intern: 'intern', parent: '' },
    also: makeDecodeExpatHandlers,
  },
  // pickle
  {
    types: ['_pickle.Pickler'],
    struct: 'PicklerObject',
    fields: {
      pers_func: '',
      persistent_id: '',
      persistent_id_attr: '',
      dispatch_table: 'dispatch_table',
      reducer_override: '',
      write: '',
      output_buffer: '',
      fast_memo: '',
      buffer_callback: '',
    },
    also: makeDecodePicklerMemo,
  },
  {
    types: ['_pickle.Unpickler'],
    struct: 'UnpicklerObject',
    fields: {
      stack: '',
      memo_dict: '',
      pers_func: '',
      persistent_load: '',
      persistent_load_attr: '',
      'buffer.obj': '',
      read: '',
      readinto: '',
      readline: '',
      peek: '',
      buffers: '',
    },
    also: makeDecodeUnpicklerMemo,
  },
  {
    types: ['_pickle.PicklerMemoProxy'],
    struct: 'PicklerMemoProxyObject',
    fields: { pickler: '' },
  },
  {
    types: ['_pickle.UnpicklerMemoProxy'],
    struct: 'UnpicklerMemoProxyObject',
    fields: { unpickler: '' },
  },
  { types: ['_pickle.Pdata'], struct: 'Pdata', fields: {}, also: makeDecodePdata },
  // json, struct
  {
    types: ['_json.Scanner'],
    struct: 'PyScannerObject',
    fields: {
      object_hook: 'object_hook',
      object_pairs_hook: 'object_pairs_hook',
      array_hook: 'array_hook',
      parse_float: 'parse_float',
      parse_int: 'parse_int',
      parse_constant: 'parse_constant',
      memo: '',
    },
  },
  {
    types: ['_json.Encoder'],
    struct: 'PyEncoderObject',
    fields: {
      markers: 'markers',
      defaultfn: 'default',
      encoder: 'encoder',
      indent: 'indent',
      key_separator: 'key_separator',
      item_separator: 'item_separator',
    },
  },
  {
    types: ['Struct', '_struct.Struct'],
    struct: 'PyStructObject',
    fields: { s_format: '' },
    also: makeMeasureStruct,
  },
  {
    types: ['unpack_iterator', '_struct.unpack_iterator'],
    struct: 'unpackiterobject',
    fields: { so: '', 'buf.obj': '' },
  },
];

/** text and tail are tagged: the lowest bit says that the list of pieces is still to be joined. */
function makeDecodeElement(layout: Layout): DecodeObject {
  const text = layout.word('ElementObject.text');
  const tail = layout.word('ElementObject.tail');
  const extraWord = layout.word('ElementObject.extra');
  const extraBytes = layout.size('ElementObjectExtra');
  const attrib = layout.word('ElementObjectExtra.attrib');
  const length = layout.word('ElementObjectExtra.length');
  const allocatedWord = layout.word('ElementObjectExtra.allocated');
  const children = layout.word('ElementObjectExtra.children');
  const ownChildren = layout.word('ElementObjectExtra._children');
  const labelsOf = makeLabels(['text', 'tail', 'attrib']);
  return (reader, word) => {
    const { halves, image } = reader;
    const labels = labelsOf(reader);
    for (const [field, label] of [
      [text, labels[0]],
      [tail, labels[1]],
    ]) {
      const at = (word + field) * 2;
      reader.reference((halves[at] & ~1) >>> 0, halves[at + 1], EdgeKind.attribute, label);
    }
    const extra = reader.follow(word + extraWord);
    if (extra === 0 || extra + extraBytes / 8 > image.runEnd(extra)) return;
    ownBufferAt(reader, word + extraWord, extraBytes);
    reader.shallowBytes += extraBytes;
    reader.referenceAt(extra + attrib, EdgeKind.attribute, labels[2]);
    const first = reader.follow(extra + children);
    if (first !== extra + ownChildren) {
      const bytes = halves[(extra + allocatedWord) * 2] * 8;
      reader.shallowBytes += bytes;
      ownBufferAt(reader, extra + children, bytes);
    }
    let count = Math.min(halves[(extra + length) * 2], MAX_ELEMENT_CHILDREN);
    if (first === 0 || first + count > image.runEnd(first)) {
      if (count > 0) reader.problem('element-children-not-copied', word);
      count = 0;
    }
    for (let i = 0; i < count; i++) reader.referenceAt(first + i, EdgeKind.item, i);
  };
}

/** Elements whose children are being visited, each with a position. */
function makeDecodeParentStack(layout: Layout): DecodeObject {
  const parent_stack = layout.word('ElementIterObject.parent_stack');
  const usedWord = layout.word('ElementIterObject.parent_stack_used');
  const sizeWord = layout.word('ElementIterObject.parent_stack_size');
  const stepWords = layout.size('ParentLocator') / 8;
  const labelsOf = makeLabels(['parent_stack']);
  return (reader, word) => {
    const stack = reader.follow(word + parent_stack);
    if (stack === 0) return;
    const used = reader.halves[(word + usedWord) * 2];
    ownBufferAt(reader, word + parent_stack, reader.halves[(word + sizeWord) * 2] * stepWords * 8);
    if (stack + used * stepWords > reader.image.runEnd(stack)) {
      reader.problem('element-stack-not-copied', word);
      return;
    }
    const label = labelsOf(reader)[0];
    for (let i = 0; i < used; i++) {
      reader.referenceAt(stack + i * stepWords, EdgeKind.internal, label);
    }
  };
}

/** s_codes: one cell per format code, and one with a null pointer at the end. */
function makeMeasureStruct(layout: Layout): DecodeObject {
  const s_codes = layout.word('PyStructObject.s_codes');
  const codeWords = layout.size('formatcode') / 8;
  return (reader, word) => {
    const { halves, image } = reader;
    const codes = reader.follow(word + s_codes);
    if (codes === 0) return;
    const end = image.runEnd(codes);
    let cells = 1;
    for (let at = codes; at + codeWords <= end; at += codeWords) {
      if (halves[at * 2] === 0 && halves[at * 2 + 1] === 0) break;
      cells++;
    }
    reader.shallowBytes += cells * codeWords * 8;
    ownBufferAt(reader, word + s_codes, cells * codeWords * 8);
  };
}

/** One pointer for each kind of event, in a block of their own. */
function makeDecodeExpatHandlers(layout: Layout): DecodeObject {
  const handlersWord = layout.word('xmlparseobject.handlers');
  const labelsOf = makeLabels(['handlers']);
  return (reader, word) => {
    const handlers = reader.follow(word + handlersWord);
    if (handlers === 0) return;
    if (handlers + EXPAT_HANDLERS > reader.image.runEnd(handlers)) {
      reader.problem('expat-handlers-not-copied', word);
      return;
    }
    ownBufferAt(reader, word + handlersWord, EXPAT_HANDLERS * 8);
    const label = labelsOf(reader)[0];
    for (let i = 0; i < EXPAT_HANDLERS; i++) {
      reader.referenceAt(handlers + i, EdgeKind.internal, label);
    }
  };
}

/** Objects that were pickled, with their number: an open hash table. */
function makeDecodePicklerMemo(layout: Layout): DecodeObject {
  const memo = layout.word('PicklerObject.memo');
  const output_buffer = layout.word('PicklerObject.output_buffer');
  const bytesHeader = layout.offset('PyBytesObject.ob_sval') + 1;
  const tableBytes = layout.size('PyMemoTable');
  const mt_allocated = layout.word('PyMemoTable.mt_allocated');
  const mt_table = layout.word('PyMemoTable.mt_table');
  const entryBytes = layout.size('PyMemoEntry');
  const labelsOf = makeLabels(['memo']);
  return (reader, word) => {
    const { halves, image } = reader;
    const buffer = reader.follow(word + output_buffer);
    if (buffer !== 0 && buffer + 3 <= image.runEnd(buffer)) {
      reader.shallowBytes += bytesHeader + halves[(buffer + 2) * 2];
    }
    const table = reader.follow(word + memo);
    if (table === 0 || table + tableBytes / 8 > image.runEnd(table)) return;
    const allocated = halves[(table + mt_allocated) * 2];
    const first = reader.follow(table + mt_table);
    reader.shallowBytes += tableBytes + allocated * entryBytes;
    ownBufferAt(reader, word + memo, tableBytes);
    ownBufferAt(reader, table + mt_table, allocated * entryBytes);
    const entryWords = entryBytes / 8;
    if (first === 0 || first + allocated * entryWords > image.runEnd(first)) {
      reader.problem('pickle-memo-not-copied', word);
      return;
    }
    const label = labelsOf(reader)[0];
    for (let i = 0; i < allocated; i++) {
      reader.referenceAt(first + i * entryWords, EdgeKind.internal, label);
    }
  };
}

/** Objects by their number; and texts of C that are measured. */
function makeDecodeUnpicklerMemo(layout: Layout): DecodeObject {
  const memo = layout.word('UnpicklerObject.memo');
  const memo_size = layout.word('UnpicklerObject.memo_size');
  const marks = layout.word('UnpicklerObject.marks');
  const marks_size = layout.word('UnpicklerObject.marks_size');
  const texts = ['input_line', 'encoding', 'errors'].map((field) =>
    layout.word(`UnpicklerObject.${field}`),
  );
  const labelsOf = makeLabels(['memo']);
  return (reader, word) => {
    const { halves, image } = reader;
    for (const field of texts) {
      const at = (word + field) * 2;
      const text = image.findCString(halves[at] + 2 ** 32 * halves[at + 1]);
      if (text !== undefined) reader.shallowBytes += text.length + 1;
    }
    const marksBytes = halves[(word + marks_size) * 2] * 8;
    if (reader.follow(word + marks) !== 0) {
      reader.shallowBytes += marksBytes;
      ownBufferAt(reader, word + marks, marksBytes);
    }
    const first = reader.follow(word + memo);
    if (first === 0) return;
    const count = halves[(word + memo_size) * 2];
    reader.shallowBytes += count * 8;
    ownBufferAt(reader, word + memo, count * 8);
    if (first + count > image.runEnd(first)) {
      reader.problem('pickle-memo-not-copied', word);
      return;
    }
    const label = labelsOf(reader)[0];
    for (let i = 0; i < count; i++) reader.referenceAt(first + i, EdgeKind.internal, label);
  };
}

/** The stack of an Unpickler. */
function makeDecodePdata(layout: Layout): DecodeObject {
  const data = layout.word('Pdata.data');
  const allocatedWord = layout.word('Pdata.allocated');
  return (reader, word) => {
    const { halves, image } = reader;
    const count = halves[(word + 2) * 2];
    const first = reader.follow(word + data);
    if (first === 0) return;
    ownBufferAt(reader, word + data, halves[(word + allocatedWord) * 2] * 8);
    if (first + count > image.runEnd(first)) {
      reader.problem('pickle-stack-not-copied', word);
      return;
    }
    for (let i = 0; i < count; i++) reader.referenceAt(first + i, EdgeKind.item, i);
  };
}
