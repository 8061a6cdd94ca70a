// Tables of the C types that stand for something outside Python: sockets, TLS, hashes, compression, SQLite, mappings, polls.
// Source: Modules/socketmodule.c, _ssl.c, _hashopenssl.c, zlibmodule.c, _bz2module.c, _lzmamodule.c, _sqlite/ and others of
// 3.8 to 3.15. The memory of the libraries behind them is not followed.

import { EdgeKind } from '../graph/heap-graph.ts';
import {
  findWord,
  makeDecodeBuffer,
  makeLabels,
  ownBufferAt,
  type StructTable,
} from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

export const libraryTables: readonly StructTable[] = [
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
  // ctypes
  {
    types: [
      '_ctypes._CData',
      '_ctypes._SimpleCData',
      '_ctypes.Structure',
      '_ctypes.Union',
      '_ctypes.Array',
      '_ctypes._Pointer',
    ],
    struct: 'CDataObject',
    fields: { b_base: '_b_base_', b_objects: '_objects' },
    also: makeDecodeCData,
  },
  {
    types: ['_ctypes.CFuncPtr', '_ctypes.PyCFuncPtr'],
    struct: 'PyCFuncPtrObject',
    fields: {
      b_base: '_b_base_',
      b_objects: '_objects',
      thunk: '',
      callable: '',
      converters: '',
      argtypes: 'argtypes',
      restype: 'restype',
      checker: '',
      errcheck: 'errcheck',
      paramflags: '',
    },
    also: makeDecodeCData,
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

/** The C value, unless it lies in the object or belongs to another. */
function makeDecodeCData(layout: Layout): DecodeObject {
  const b_ptr = layout.word('CDataObject.b_ptr');
  const b_size = layout.word('CDataObject.b_size');
  const b_value = layout.word('CDataObject.b_value');
  const b_needsfree = layout.offset('CDataObject.b_needsfree') / 4;
  return (reader, word) => {
    if (reader.halves[word * 2 + b_needsfree] !== 1) return;
    if (reader.follow(word + b_ptr) === word + b_value) return;
    ownBufferAt(reader, word + b_ptr, reader.halves[(word + b_size) * 2]);
  };
}
