// Tables of the C types of the standard library's modules: io, re, operator, datetime, threading, queue, csv, ElementTree,
// json, sqlite3, ssl, zlib, pickle, ctypes and others. What is not here is scanned conservatively.
// Source: Modules/ of CPython 3.8 to 3.15, the files named like the structs.
//
// Memory of foreign libraries (OpenSSL, SQLite, expat, zlib) is not followed.

import { EdgeKind } from '../graph/heap-graph.ts';
import { findWord, makeLabels, ownBufferAt, type StructTable } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

/** mpdecimal.h: data that is inside the object, someone else's or constant. */
const MPD_DATAFLAGS = 32 | 64 | 128;
/** Kinds of handlers of pyexpat.c (enum HandlerTypes). */
const EXPAT_HANDLERS = 22;
const MAX_ELEMENT_CHILDREN = 1 << 26;

export const moduleTables: readonly StructTable[] = [
  // io
  {
    types: ['_io.BufferedReader', '_io.BufferedWriter', '_io.BufferedRandom'],
    struct: 'buffered',
    fields: { raw: 'raw' },
    also: makeDecodeIoBuffer,
  },
  {
    types: ['_io.BufferedRWPair'],
    struct: 'rwpair',
    fields: { reader: '', writer: '' },
  },
  { types: ['_io.BytesIO'], struct: 'bytesio', fields: { buf: '' }, also: makeMeasureBytesIo },
  { types: ['_io._BytesIOBuffer'], struct: 'bytesiobuf', fields: { source: '' } },
  {
    types: ['_io.StringIO'],
    struct: 'stringio',
    fields: {
      'accu.large': '',
      'accu.small': '',
      'writer.buffer': '',
      decoder: '',
      readnl: '',
      writenl: '',
    },
    also: makeDecodeStringIo,
  },
  {
    types: ['_io.TextIOWrapper'],
    struct: 'textio',
    fields: {
      buffer: 'buffer',
      encoding: 'encoding',
      encoder: '',
      decoder: '',
      readnl: '',
      errors: 'errors',
      decoded_chars: '',
      pending_bytes: '',
      snapshot: '',
      raw: '',
    },
  },
  { types: ['_io.FileIO'], struct: 'fileio', fields: {}, also: makeDecodeFileStatus },
  { types: ['_io._IOBase'], struct: 'iobase', fields: {} },
  {
    types: ['_io.IncrementalNewlineDecoder'],
    struct: 'nldecoder_object',
    fields: { decoder: '', errors: 'errors' },
  },
  // re
  {
    types: ['re.Pattern'],
    struct: 'PatternObject',
    fields: { groupindex: 'groupindex', indexgroup: '', pattern: 'pattern' },
    structSize: (layout) => layout.offset('PatternObject.code'),
  },
  {
    types: ['re.Match'],
    struct: 'MatchObject',
    fields: { string: 'string', regs: 'regs', pattern: 're' },
    structSize: (layout) => layout.offset('MatchObject.mark'),
  },
  {
    types: ['_sre.SRE_Scanner'],
    struct: 'ScannerObject',
    fields: { pattern: 'pattern', 'state.string': '' },
  },
  // operator, abc, ast, os
  {
    types: ['operator.itemgetter'],
    struct: 'itemgetterobject',
    fields: { item: '' },
  },
  { types: ['operator.attrgetter'], struct: 'attrgetterobject', fields: { attr: '' } },
  {
    types: ['operator.methodcaller'],
    struct: 'methodcallerobject',
    fields: { name: '', args: '', xargs: '', kwds: '', vectorcall_kwnames: '' },
    also: makeDecodeCallerArguments,
  },
  {
    types: ['_abc_data', '_abc._abc_data'],
    struct: '_abc_data',
    fields: { _abc_registry: '', _abc_cache: '', _abc_negative_cache: '' },
  },
  { types: ['_ast.AST', 'ast.AST'], struct: 'AST_object', fields: {} },
  {
    types: ['posix.DirEntry'],
    struct: 'DirEntry',
    fields: { name: 'name', path: 'path', stat: '', lstat: '' },
  },
  { types: ['posix.ScandirIterator'], struct: 'ScandirIterator', fields: { 'path.object': '' } },
  {
    types: ['symtable entry'],
    struct: 'PySTEntryObject',
    fields: {
      ste_id: '',
      ste_symbols: '',
      ste_name: '',
      ste_varnames: '',
      ste_children: '',
      ste_directives: '',
      ste_mangled_names: '',
      ste_function_name: '',
      ste_annotation_block: '',
    },
  },
  // threads
  { types: ['_thread.lock'], struct: 'lockobject', fields: {} },
  { types: ['_thread.RLock'], struct: 'rlockobject', fields: {} },
  {
    types: ['_thread._local'],
    struct: 'localobject',
    fields: {
      key: '',
      args: '',
      kw: '',
      dummies: '',
      wr_callback: '',
      localdicts: '',
      thread_watchdogs: '',
    },
  },
  // The dict is the thread's: it is kept by its thread state and borrowed here.
  { types: ['_thread._localdummy'], struct: 'localdummyobject', fields: {} },
  { types: ['_thread._ThreadHandle'], struct: 'PyThreadHandleObject', fields: {} },
  {
    types: ['_queue.SimpleQueue'],
    struct: 'simplequeueobject',
    fields: { lst: '' },
    also: makeDecodeRingBuffer,
  },
  // csv
  { types: ['_csv.Dialect'], struct: 'DialectObj', fields: { lineterminator: 'lineterminator' } },
  {
    types: ['_csv.reader'],
    struct: 'ReaderObj',
    fields: { input_iter: '', dialect: 'dialect', fields: '' },
    also: (layout) => makeDecodeBuffer(layout, 'ReaderObj.field', 'ReaderObj.field_size', 4, false),
  },
  {
    types: ['_csv.writer'],
    struct: 'WriterObj',
    fields: { write: '', dialect: 'dialect', error_obj: '' },
    also: (layout) => makeDecodeBuffer(layout, 'WriterObj.rec', 'WriterObj.rec_size', 4, false),
  },
  // datetime: objects without a time zone end before `tzinfo`
  { types: ['datetime.timedelta'], struct: 'PyDateTime_Delta', fields: {} },
  { types: ['datetime.date'], struct: 'PyDateTime_Date', fields: {} },
  {
    types: ['datetime.timezone'],
    struct: 'PyDateTime_TimeZone',
    fields: { offset: '', name: '' },
  },
  {
    types: ['datetime.datetime'],
    struct: 'PyDateTime_DateTime',
    fields: {},
    minimumSize: (layout) => layout.offset('PyDateTime_DateTime.tzinfo'),
    also: (layout) => makeDecodeTimeZone(layout, 'PyDateTime_DateTime'),
  },
  {
    types: ['datetime.time'],
    struct: 'PyDateTime_Time',
    fields: {},
    minimumSize: (layout) => layout.offset('PyDateTime_Time.tzinfo'),
    also: (layout) => makeDecodeTimeZone(layout, 'PyDateTime_Time'),
  },
  // decimal
  { types: ['decimal.Decimal'], struct: 'PyDecObject', fields: {}, also: makeDecodeDecimal },
  {
    types: ['decimal.Context'],
    struct: 'PyDecContextObject',
    fields: { traps: 'traps', flags: 'flags' },
  },
  {
    types: ['decimal.ContextManager'],
    struct: 'PyDecContextManagerObject',
    fields: { local: '', global: '' },
  },
  { types: ['decimal.SignalDictMixin'], struct: 'PyDecSignalDictObject', fields: {} },
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
  // sockets, ssl, hashes, compression
  { types: ['_socket.socket'], struct: 'PySocketSockObject', fields: {} },
  {
    types: ['_ssl._SSLContext'],
    struct: 'PySSLContext',
    fields: {
      set_sni_cb: 'sni_callback',
      msg_cb: '_msg_callback',
      keylog_filename: 'keylog_filename',
      psk_client_callback: '',
      psk_server_callback: '',
    },
  },
  {
    types: ['_ssl._SSLSocket'],
    struct: 'PySSLSocket',
    fields: {
      ctx: 'context',
      server_hostname: 'server_hostname',
      exc: '',
      exc_type: '',
      exc_value: '',
      exc_tb: '',
    },
    also: makeDecodeSslSocket,
  },
  { types: ['_ssl.MemoryBIO'], struct: 'PySSLMemoryBIO', fields: {} },
  { types: ['_ssl.Session', '_ssl.SSLSession'], struct: 'PySSLSession', fields: { ctx: '' } },
  { types: ['_ssl.Certificate'], struct: 'PySSLCertificate', fields: {} },
  { types: ['_hashlib.HASH'], struct: 'EVPobject', fields: {} },
  { types: ['_hashlib.HMAC'], struct: 'HMACobject', fields: {} },
  {
    types: ['zlib.Compress', 'zlib.Decompress'],
    struct: 'compobject',
    fields: { unused_data: 'unused_data', unconsumed_tail: 'unconsumed_tail', zdict: '' },
  },
  {
    types: ['zlib._ZlibDecompressor'],
    struct: 'ZlibDecompressor',
    fields: { unused_data: 'unused_data', zdict: '' },
    also: (layout) =>
      makeDecodeBuffer(
        layout,
        'ZlibDecompressor.input_buffer',
        'ZlibDecompressor.input_buffer_size',
        1,
        false,
      ),
  },
  { types: ['_bz2.BZ2Compressor'], struct: 'BZ2Compressor', fields: {} },
  {
    types: ['_bz2.BZ2Decompressor'],
    struct: 'BZ2Decompressor',
    fields: { unused_data: 'unused_data' },
  },
  { types: ['_lzma.LZMACompressor'], struct: 'Compressor', fields: {} },
  {
    types: ['_lzma.LZMADecompressor'],
    struct: 'Decompressor',
    fields: { unused_data: 'unused_data' },
  },
  // sqlite3
  {
    types: ['sqlite3.Connection'],
    struct: 'pysqlite_Connection',
    fields: {
      statement_cache: '',
      statements: '',
      cursors: '',
      blobs: '',
      row_factory: 'row_factory',
      text_factory: 'text_factory',
      function_pinboard_trace_callback: '',
      function_pinboard_progress_handler: '',
      function_pinboard_authorizer_cb: '',
      collations: '',
    },
    also: makeDecodeSqliteConnection,
  },
  {
    types: ['sqlite3.Cursor'],
    struct: 'pysqlite_Cursor',
    fields: {
      connection: 'connection',
      description: 'description',
      row_cast_map: '',
      lastrowid: 'lastrowid',
      row_factory: 'row_factory',
      statement: '',
      next_row: '',
    },
  },
  {
    types: ['sqlite3.Row'],
    struct: 'pysqlite_Row',
    fields: { data: '', description: '' },
  },
  {
    types: ['sqlite3.Statement'],
    struct: 'pysqlite_Statement',
    fields: { sql: '' },
  },
  { types: ['sqlite3.Blob'], struct: 'pysqlite_Blob', fields: { connection: '' } },
  { types: ['sqlite3.PrepareProtocol'], struct: 'pysqlite_PrepareProtocol', fields: {} },
  {
    types: ['sqlite3.Cache'],
    struct: 'pysqlite_Cache',
    fields: { mapping: '', first: '' },
  },
  // The list of the cache's nodes holds each once: the first by the cache, the others by the one before.
  { types: ['sqlite3Node'], struct: 'pysqlite_Node', fields: { key: '', data: '', next: '' } },
  // the rest
  { types: ['_random.Random'], struct: 'RandomObject', fields: {} },
  { types: ['select.poll'], struct: 'pollObject', fields: { dict: '' } },
  { types: ['select.epoll'], struct: 'pyEpoll_Object', fields: {} },
  {
    types: ['mmap.mmap'],
    struct: 'mmap_object',
    fields: {},
  },
  { types: ['_multiprocessing.SemLock'], struct: 'SemLockObject', fields: {} },
];

/** A buffer of `unit`-byte cells whose number is in `sizeField`; `isMeasured`: counted by sys.getsizeof. */
function makeDecodeBuffer(
  layout: Layout,
  pointerField: string,
  sizeField: string,
  unit: number,
  isMeasured: boolean,
): DecodeObject {
  const pointer = layout.word(pointerField);
  const size = layout.word(sizeField);
  return (reader, word) => {
    const halves = reader.halves;
    const at = (word + pointer) * 2;
    if (halves[at] === 0 && halves[at + 1] === 0) return;
    const bytes = halves[(word + size) * 2] * unit;
    if (isMeasured) reader.shallowBytes += bytes;
    reader.ownBuffer(halves[at], halves[at + 1], bytes);
  };
}

function makeDecodeIoBuffer(layout: Layout): DecodeObject {
  return makeDecodeBuffer(layout, 'buffered.buffer', 'buffered.buffer_size', 1, true);
}

/** BytesIO counts its bytes object unless somebody else holds it too. */
function makeMeasureBytesIo(layout: Layout): DecodeObject {
  const buf = layout.word('bytesio.buf');
  const bytesHeader = layout.offset('PyBytesObject.ob_sval') + 1;
  return (reader, word) => {
    const bytes = reader.follow(word + buf);
    if (bytes === 0 || bytes + 3 > reader.image.runEnd(bytes)) return;
    if (reader.halves[bytes * 2] > 1) return;
    reader.shallowBytes += bytesHeader + reader.halves[(bytes + 2) * 2];
  };
}

/** Characters of 4 bytes; since 3.14 the text being written is behind a pointer to a _PyUnicodeWriter. */
function makeDecodeStringIo(layout: Layout): DecodeObject {
  const decodeBuffer = makeDecodeBuffer(layout, 'stringio.buf', 'stringio.buf_size', 4, false);
  const isWriterApart = layout.has('stringio.writer') && !layout.has('stringio.writer.buffer');
  const writerWord = isWriterApart ? layout.word('stringio.writer') : -1;
  const labelsOf = makeLabels(['writer.buffer']);
  return (reader, word, type) => {
    decodeBuffer(reader, word, type);
    if (writerWord < 0) return;
    const writer = reader.follow(word + writerWord);
    if (writer === 0) return;
    ownBufferAt(reader, word + writerWord, 56);
    reader.referenceAt(writer, EdgeKind.internal, labelsOf(reader)[0]);
  };
}

/** Since 3.14 a file keeps the result of fstat() from when it was opened. */
function makeDecodeFileStatus(layout: Layout): DecodeObject {
  const stat_atopen = findWord(layout, 'fileio.stat_atopen');
  if (stat_atopen < 0) return () => {};
  return (reader, word) => ownBufferAt(reader, word + stat_atopen, 1);
}

/** vectorcall_args: in 3.13 an array of what `xargs` holds, since 3.14 a tuple. */
function makeDecodeCallerArguments(layout: Layout): DecodeObject {
  const vectorcall_args = findWord(layout, 'methodcallerobject.vectorcall_args');
  if (vectorcall_args < 0) return () => {};
  if (layout.has('methodcallerobject.xargs')) {
    return (reader, word) => ownBufferAt(reader, word + vectorcall_args, 1);
  }
  const labelsOf = makeLabels(['vectorcall_args']);
  return (reader, word) => {
    reader.referenceAt(word + vectorcall_args, EdgeKind.internal, labelsOf(reader)[0]);
  };
}

/** Since 3.13: a ring of items from get_idx on. */
function makeDecodeRingBuffer(layout: Layout): DecodeObject {
  if (!layout.has('simplequeueobject.buf.items')) return () => {};
  const items = layout.word('simplequeueobject.buf.items');
  const capacityWord = layout.word('simplequeueobject.buf.items_cap');
  const get_idx = layout.word('simplequeueobject.buf.get_idx');
  const num_items = layout.word('simplequeueobject.buf.num_items');
  // SimpleQueue.__sizeof__ came in 3.15, with the bytes object of bytearray.
  const isMeasured = layout.has('PyByteArrayObject.ob_bytes_object');
  return (reader, word) => {
    const { halves, image } = reader;
    const capacity = halves[(word + capacityWord) * 2];
    const count = halves[(word + num_items) * 2];
    const start = halves[(word + get_idx) * 2];
    const first = reader.follow(word + items);
    if (count > capacity || first === 0 || first + capacity > image.runEnd(first)) {
      reader.problem('queue-items-not-copied', word);
      return;
    }
    ownBufferAt(reader, word + items, capacity * 8);
    if (isMeasured) reader.shallowBytes += capacity * 8;
    for (let i = 0; i < count; i++) {
      reader.referenceAt(first + ((start + i) % capacity), EdgeKind.item, i);
    }
  };
}

/** `hastzinfo` says whether the field exists in this object. */
function makeDecodeTimeZone(layout: Layout, struct: string): DecodeObject {
  const hastzinfo = layout.offset(`${struct}.hastzinfo`);
  const tzinfo = layout.word(`${struct}.tzinfo`);
  const labelsOf = makeLabels(['tzinfo']);
  return (reader, word) => {
    const half = reader.halves[word * 2 + (hastzinfo >> 2)];
    if (((half >>> ((hastzinfo & 3) * 8)) & 0xff) !== 1) return;
    if (word + tzinfo >= reader.image.runEnd(word)) return;
    reader.referenceAt(word + tzinfo, EdgeKind.attribute, labelsOf(reader)[0]);
  };
}

function makeDecodeDecimal(layout: Layout): DecodeObject {
  const flags = layout.offset('PyDecObject.dec.flags');
  const alloc = layout.word('PyDecObject.dec.alloc');
  const data = layout.word('PyDecObject.dec.data');
  return (reader, word) => {
    const flagByte = reader.halves[word * 2 + (flags >> 2)] & 0xff;
    if ((flagByte & MPD_DATAFLAGS) !== 0) return;
    const bytes = reader.halves[(word + alloc) * 2] * 8;
    reader.shallowBytes += bytes;
    ownBufferAt(reader, word + data, bytes);
  };
}

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

/** The Python-level sockets and the owner are weak references that the struct owns. */
function makeDecodeSslSocket(layout: Layout): DecodeObject {
  const fields = ['Socket', 'owner'].map((field) => layout.word(`PySSLSocket.${field}`));
  const labelsOf = makeLabels(['Socket', 'owner']);
  return (reader, word) => {
    const labels = labelsOf(reader);
    fields.forEach((field, i) => {
      reader.referenceAt(word + field, EdgeKind.internal, labels[i]);
    });
  };
}

/** Callbacks of 3.11 and newer: {callable, module, state}. Until 3.10 isolation_level is an object. */
function makeDecodeSqliteConnection(layout: Layout): DecodeObject {
  const contexts = ['trace_ctx', 'progress_ctx', 'authorizer_ctx']
    .map((field) => findWord(layout, `pysqlite_Connection.${field}`))
    .filter((word) => word >= 0);
  const isolation_level =
    contexts.length > 0 ? -1 : findWord(layout, 'pysqlite_Connection.isolation_level');
  const labelsOf = makeLabels(['callback', 'isolation_level']);
  return (reader, word) => {
    const labels = labelsOf(reader);
    if (isolation_level >= 0) {
      reader.referenceAt(word + isolation_level, EdgeKind.attribute, labels[1]);
    }
    for (const field of contexts) {
      const context = reader.follow(word + field);
      if (context === 0 || context + 2 > reader.image.runEnd(context)) continue;
      ownBufferAt(reader, word + field, 24);
      reader.referenceAt(context, EdgeKind.internal, labels[0]);
      reader.referenceAt(context + 1, EdgeKind.internal, labels[0]);
    }
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
