// Tables of C types of the standard library's everyday modules: re, operator, abc, ast, os, threads, queue, csv, datetime,
// decimal. What has no table anywhere is scanned conservatively.
// Source: Modules/_sre/, _operator.c, _abc.c, posixmodule.c, _threadmodule.c, _queuemodule.c, _csv.c, _datetimemodule.c,
// _decimal/ (3.8 to 3.15).

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

/** mpdecimal.h: data that is inside the object, someone else's or constant. */
const MPD_DATAFLAGS = 32 | 64 | 128;

export const moduleTables: readonly StructTable[] = [
  // re
  {
    types: ['re.Pattern'],
    struct: 'PatternObject',
    fields: { groupindex: 'groupindex', indexgroup: '', pattern: 'pattern' },
  },
  {
    types: ['re.Match'],
    struct: 'MatchObject',
    fields: { string: 'string', regs: 'regs', pattern: 're' },
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
    fields: { name: '', args: '', xargs: '', kwds: '' },
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
  { types: ['datetime.tzinfo'], struct: 'PyObject', fields: {} },
  {
    types: ['zoneinfo.ZoneInfo'],
    struct: 'PyZoneInfo_ZoneInfo',
    fields: {
      key: 'key',
      file_repr: '',
      'tzrule_after.std.utcoff': '',
      'tzrule_after.std.dstoff': '',
      'tzrule_after.std.tzname': '',
    },
    also: makeDecodeTimeZoneFile,
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
];

/**
 * vectorcall_args: in 3.13 an array of what `xargs` holds, made by the first call, since 3.14 a tuple. Until that call
 * vectorcall_kwnames of 3.13 is whatever the memory held before.
 */
function makeDecodeCallerArguments(layout: Layout): DecodeObject {
  const vectorcall_args = findWord(layout, 'methodcallerobject.vectorcall_args');
  if (vectorcall_args < 0) return () => {};
  const vectorcall_kwnames = layout.word('methodcallerobject.vectorcall_kwnames');
  const isArray = layout.has('methodcallerobject.xargs');
  const labelsOf = makeLabels(['vectorcall_args', 'vectorcall_kwnames']);
  return (reader, word) => {
    const [argsLabel, namesLabel] = labelsOf(reader);
    if (reader.follow(word + vectorcall_args) === 0) return;
    if (isArray) ownBufferAt(reader, word + vectorcall_args, 1);
    else reader.referenceAt(word + vectorcall_args, EdgeKind.internal, argsLabel);
    reader.referenceAt(word + vectorcall_kwnames, EdgeKind.internal, namesLabel);
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

/** The rules and transitions of a zone; the offsets and names of each rule are objects. */
function makeDecodeTimeZoneFile(layout: Layout): DecodeObject {
  const field = (name: string) => layout.word(`PyZoneInfo_ZoneInfo.${name}`);
  const numTransitions = field('num_transitions');
  const numTtinfos = field('num_ttinfos');
  const transitions = field('trans_list_utc');
  const wall = field('trans_list_wall');
  const transitionRules = field('trans_ttinfos');
  const ttinfos = field('_ttinfos');
  const dst = ['utcoff', 'dstoff', 'tzname'].map((name) => field(`tzrule_after.dst.${name}`));
  const starts = [field('tzrule_after.start'), field('tzrule_after.end')];
  const std_only = layout.offset('PyZoneInfo_ZoneInfo.tzrule_after.std_only') / 4;
  const ruleBytes = layout.size('_ttinfo');
  const parts = ['utcoff', 'dstoff', 'tzname'].map((name) => layout.word(`_ttinfo.${name}`));
  const labelsOf = makeLabels(['_ttinfos', 'tzrule_after']);
  return (reader, word) => {
    const { halves, image } = reader;
    const labels = labelsOf(reader);
    const transitionBytes = halves[(word + numTransitions) * 2] * 8;
    for (const list of [transitions, wall, wall + 1, transitionRules]) {
      ownBufferAt(reader, word + list, transitionBytes);
    }
    for (const start of starts) ownBufferAt(reader, word + start, 1);
    if ((halves[word * 2 + std_only] & 0xff) === 0) {
      for (const part of dst) reader.referenceAt(word + part, EdgeKind.internal, labels[1]);
    }
    const first = reader.follow(word + ttinfos);
    const count = halves[(word + numTtinfos) * 2];
    if (first === 0 || first + (count * ruleBytes) / 8 > image.runEnd(first)) return;
    ownBufferAt(reader, word + ttinfos, count * ruleBytes);
    for (let i = 0; i < count; i++) {
      for (const part of parts) {
        reader.referenceAt(first + (i * ruleBytes) / 8 + part, EdgeKind.internal, labels[0]);
      }
    }
  };
}
