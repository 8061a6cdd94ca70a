// Tables of the types of io: files, buffers, text, and the streams in memory.
// Source: Modules/_io/ (3.8 to 3.15).

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

export const ioTables: readonly StructTable[] = [
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
];

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
