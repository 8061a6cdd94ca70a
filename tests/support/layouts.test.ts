// The generated layouts against numbers that are known from elsewhere: CPython's headers compiled by hand, and
// what a running Python says of itself. Guards `npm run layouts`, not CPython.

import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { structGroups } from '../../scripts/layout-structs.ts';
import { findLayout, type Layout } from '../../src/cpython/layout.ts';
import { allPythons, startPython } from './pythons.ts';

const MINORS = ['3.8', '3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15'];

function layoutOf(minor: string): Layout {
  const layout = findLayout(minor);
  if (layout === undefined) throw new Error(`no layout of ${minor}`);
  return layout;
}

/** One column per version of MINORS; undefined: this version has no such field. */
const none = undefined;
const knownOffsets: Record<string, (number | undefined)[]> = {
  'PyDictObject.ma_values': [40, 40, 40, 40, 40, 40, 40, 40],
  'PyDictKeysObject.dk_indices': [40, 40, 40, 32, 32, 32, 32, 32],
  'PyDictKeysObject.dk_size': [8, 8, 8, none, none, none, none, none],
  'PyDictKeysObject.dk_log2_size': [none, none, none, 8, 8, 8, 8, 8],
  'PyTupleObject.ob_item': [24, 24, 24, 24, 24, 24, 32, 32],
  'PyHeapTypeObject.ht_cached_keys': [872, 864, 872, 872, 880, 880, 880, 888],
  'PyInterpreterState.gc': [none, 616, 616, 648, 112, 7400, 7408, 7400],
  'PyInterpreterState.sysdict': [72, 872, 872, 904, 352, 7640, 7672, 7576],
  '_PyRuntimeState.interpreters.head': [32, 32, 32, 40, 40, 632, 808, 936],
  '_gc_runtime_state.permanent_generation': [104, 104, 104, 104, 104, 104, 96, 80],
  'PyThreadState.thread_id': [176, 176, 176, 152, 136, 152, 152, 176],
  'PyGenObject.gi_iframe': [none, none, none, 80, 72, 72, 72, 72],
  '_PyInterpreterFrame.localsplus': [none, none, none, 72, 72, 72, 80, 80],
  'PyFrameObject.f_localsplus': [360, 360, 352, none, none, none, none, none],
  'TaskObj.task_coro': [112, 152, 160, 136, 136, 120, 128, 128],
  'PyLongObject.ob_digit': [24, 24, 24, 24, none, none, none, none],
  'PyLongObject.long_value.ob_digit': [none, none, none, none, 24, 24, 24, 24],
};

const knownSizes: Record<string, (number | undefined)[]> = {
  PyASCIIObject: [48, 48, 48, 48, 40, 40, 40, 40],
  PyTypeObject: [416, 408, 408, 408, 416, 416, 416, 424],
  PyInterpreterState: [2720, 5656, 113528, 107752, 383552, 194968, 225864, 226240],
  _PyInterpreterFrame: [none, none, none, 80, 80, 80, 88, 88],
  _Py_DebugOffsets: [none, none, none, none, none, 584, 760, 888],
  BLOCK: [528, 528, 528, 528, 528, 528, 528, 528],
  ARENA_SIZE: [256 << 10, 256 << 10, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20],
  POOL_SIZE: [4096, 4096, 16384, 16384, 16384, 16384, 16384, 16384],
};

/** Structs that not every version has, with the versions that do. All others must be in every layout. */
const onlyIn: Record<string, string> = {
  _PyThreadStateImpl: '3.13-3.15',
  gc_stats: '3.15',
  _PyCFrame: '3.10-3.12',
  _PyStackChunk: '3.11-3.15',
  _Py_DebugOffsets: '3.13-3.15',
  _PyRemoteDebuggerSupport: '3.14-3.15',
  _pending_call: '3.12-3.15',
  _import_state: '3.12-3.15',
  types_state: '3.12-3.15',
  type_cache: '3.10-3.15',
  type_cache_entry: '3.10-3.15',
  static_builtin_state: '3.12',
  managed_static_type_state: '3.13-3.15',
  llist_node: '3.13-3.15',
  atexit_state: '3.10-3.15',
  atexit_py_callback: '3.12-3.13',
  _PyExecutorObject: '3.13-3.15',
  _PyCoMonitoringData: '3.12-3.15',
  _PyCoLineInstrumentationData: '3.12-3.15',
  _obmalloc_state: '3.12-3.15',
  _obmalloc_mgmt: '3.12-3.15',
  _obmalloc_usage: '3.12-3.15',
  arena_map_top: '3.10-3.15',
  arena_map_mid: '3.10-3.15',
  arena_map_bot: '3.10-3.15',
  arena_coverage_t: '3.10-3.15',
  mi_page_s: '3.13-3.15',
  mi_heap_s: '3.13-3.15',
  mi_segment_s: '3.13-3.15',
  PyFrozenDictObject: '3.15',
  PyDictUnicodeEntry: '3.11-3.15',
  PyDictValues: '3.11-3.15',
  PyCMethodObject: '3.9-3.15',
  PyTryBlock: '3.8-3.10',
  _PyInterpreterFrame: '3.11-3.15',
  PyFrameLocalsProxyObject: '3.13-3.15',
  PyLazyImportObject: '3.15',
  PyBaseExceptionGroupObject: '3.11-3.15',
  PyNameErrorObject: '3.10-3.15',
  PyAttributeErrorObject: '3.10-3.15',
  anextawaitableobject: '3.10-3.15',
  memoryiterobject: '3.10-3.15',
  uniontype: '3.10-3.15',
  gaobject: '3.9-3.15',
  gaiterobject: '3.11-3.15',
  lineiterator: '3.10-3.15',
  positionsiterator: '3.11-3.15',
  typealiasobject: '3.12-3.15',
  typevarobject: '3.12-3.15',
  paramspecobject: '3.12-3.15',
  typevartupleobject: '3.12-3.15',
  paramspecattrobject: '3.12-3.15',
  interpolationobject: '3.14-3.15',
  templateobject: '3.14-3.15',
  templateiterobject: '3.14-3.15',
  sentinelobject: '3.15',
  batchedobject: '3.12-3.15',
  pairwiseobject: '3.10-3.15',
  PyThreadHandleObject: '3.13-3.15',
  ThreadHandle: '3.13-3.15',
  TaskWakeupMethWrapper: '3.8-3.9',
  PyRunningLoopHolder: '3.8-3.11',
  asyncio_state: '3.12-3.15',
  Py_AsyncioModuleDebugOffsets: '3.14-3.15',
  RingBuf: '3.13-3.15',
  ZlibDecompressor: '3.12-3.15',
  ZstdCompressor: '3.14-3.15',
  ZstdDecompressor: '3.14-3.15',
  ZstdDict: '3.14-3.15',
  PySSLCertificate: '3.10-3.15',
  pysqlite_Blob: '3.11-3.15',
  pysqlite_PrepareProtocol: '3.8-3.13',
  pysqlite_Cache: '3.8-3.10',
  pysqlite_Node: '3.8-3.10',
  EVPobject: '3.8-3.14',
  HMACobject: '3.9-3.15',
  PyZoneInfo_ZoneInfo: '3.9-3.15',
  _ttinfo: '3.9-3.15',
  TransitionRuleType: '3.9-3.15',
  StrongCacheNode: '3.9-3.15',
  _tzrule: '3.9-3.15',
  StgDictObject: '3.8-3.12',
  StgInfo: '3.13-3.15',
};

describe('the layouts', () => {
  it('exist for every supported version', () => {
    const files = readdirSync(new URL('../../layouts', import.meta.url)).sort();
    expect(files).toEqual(MINORS.map((minor) => `cpython-${minor}-x86_64.json`).sort());
  });

  it.each(MINORS)('have the known offsets and sizes of %s', (minor) => {
    const layout = layoutOf(minor);
    const column = MINORS.indexOf(minor);
    for (const [field, offsets] of Object.entries(knownOffsets)) {
      const offset = layout.has(field) ? layout.offset(field) : undefined;
      expect(offset, `${field} of ${minor}`).toBe(offsets[column]);
    }
    for (const [struct, sizes] of Object.entries(knownSizes)) {
      const size = layout.hasSize(struct) ? layout.size(struct) : undefined;
      expect(size, `size of ${struct} of ${minor}`).toBe(sizes[column]);
    }
  });

  it.each(MINORS)('have the structs of %s that are listed, and no others', (minor) => {
    const layout = layoutOf(minor);
    const column = MINORS.indexOf(minor);
    for (const entry of structGroups.flatMap((group) => group.names.split(/\s+/))) {
      const struct = entry.split('=')[0];
      const [first, last = first] = (onlyIn[struct] ?? '3.8-3.15').split('-');
      const expected = MINORS.indexOf(first) <= column && column <= MINORS.indexOf(last);
      expect(layout.hasSize(struct), `${struct} in ${minor}`).toBe(expected);
    }
  });
});

describe('a running Python', () => {
  // `__basicsize__` is the size of the C struct of an instance.
  const typeExpressions: Record<string, string> = {
    PyListObject: 'list',
    PyDictObject: 'dict',
    PySetObject: 'set',
    PyFunctionObject: 'type(lambda: 0)',
    PyMethodObject: 'type(json.JSONEncoder().encode)',
    PyModuleObject: 'type(json)',
    PyWeakReference: 'weakref.ref',
    PyHeapTypeObject: 'type',
    dequeobject: 'collections.deque',
    defdictobject: 'collections.defaultdict',
    PyODictObject: 'collections.OrderedDict',
    partialobject: 'functools.partial',
    lru_cache_object: 'type(functools.lru_cache(len))',
    TaskObj: '_asyncio.Task',
    FutureObj: '_asyncio.Future',
    arrayobject: 'array.array',
    simplequeueobject: 'queue.SimpleQueue',
    PyOSErrorObject: 'OSError',
    PyBaseExceptionObject: 'Exception',
    ElementObject: 'xml.etree.ElementTree.Element',
    pysqlite_Connection: 'sqlite3.Connection',
    PySocketSockObject: '_socket.socket',
    bytesio: 'io.BytesIO',
    textio: 'io.TextIOWrapper',
    PyContext: 'contextvars.Context',
    localobject: '_thread._local',
    PatternObject: 're.Pattern',
    teeobject: 'itertools._tee',
    propertyobject: 'property',
    _PyNamespaceObject: 'types.SimpleNamespace',
    PyStructObject: 'struct.Struct',
    // Not _pickle.Pickler: it lost a member between 3.13.0 and 3.13.5. Decoders compare tp_basicsize.
  };

  it.each(allPythons())('$name has instances of the sizes of its layout', async (python) => {
    const layout = layoutOf(python.minor);
    const target = await startPython<Record<string, number>>(
      python,
      `
import array, _asyncio, collections, contextvars, functools, io, itertools, json, _pickle, queue, re, _socket
import sqlite3, struct, sys, _thread, types, weakref, xml.etree.ElementTree
sizes = {name: eval(text).__basicsize__ for name, text in json.loads(sys.argv[1]).items()}
print(json.dumps(sizes))
`,
      { args: [JSON.stringify(typeExpressions)] },
    );
    await target.stop();
    for (const [struct, size] of Object.entries(target.ready)) {
      expect(layout.size(struct), `${struct} of ${python.minor}`).toBe(size);
    }
  });
});
