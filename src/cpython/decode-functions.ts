// Tables of functions, methods, code, descriptors, modules, weak references and exceptions: what Python calls, and what it
// raises.
// Source: Objects/funcobject.c, methodobject.c, classobject.c, codeobject.c, cellobject.c, descrobject.c, moduleobject.c,
// weakrefobject.c, exceptions.c, Python/traceback.c, Modules/_functoolsmodule.c (3.8 to 3.15).
//
// A code object's inline caches and a frame's globals are borrowed and not emitted. The state of a C module is scanned
// conservatively: its struct is the module's own.

import { EdgeKind } from '../graph/heap-graph.ts';
import { findWord, makeLabels, ownBufferAt, type StructTable } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

const DESCRIPTOR_FIELDS = {
  'd_common.d_type': '__objclass__',
  'd_common.d_name': '__name__',
  'd_common.d_qualname': '__qualname__',
};
const BASE_EXCEPTION_FIELDS = {
  args: 'args',
  notes: '__notes__',
  traceback: '__traceback__',
  context: '__context__',
  cause: '__cause__',
};
/** Of a module's state, in bytes. */
const MAX_MODULE_STATE = 1 << 16;
/** _PyOpcache of 3.8 to 3.10 */
const OPCACHE_BYTES = 32;

export const functionTables: readonly StructTable[] = [
  {
    types: ['function'],
    struct: 'PyFunctionObject',
    fields: {
      func_code: '__code__',
      func_globals: '__globals__',
      func_builtins: '__builtins__',
      func_defaults: '__defaults__',
      func_kwdefaults: '__kwdefaults__',
      func_closure: '__closure__',
      func_doc: '__doc__',
      func_name: '__name__',
      func_qualname: '__qualname__',
      func_module: '__module__',
      func_annotations: '__annotations__',
      func_annotate: '__annotate__',
      func_typeparams: '__type_params__',
    },
  },
  {
    types: ['method'],
    struct: 'PyMethodObject',
    fields: { im_func: '__func__', im_self: '__self__' },
  },
  { types: ['instancemethod'], struct: 'PyInstanceMethodObject', fields: { func: '__func__' } },
  {
    types: ['builtin_function_or_method'],
    struct: 'PyCFunctionObject',
    fields: { m_self: '__self__', m_module: '__module__' },
  },
  {
    types: ['builtin_method'],
    struct: 'PyCMethodObject',
    fields: { 'func.m_self': '__self__', 'func.m_module': '__module__', mm_class: '' },
  },
  {
    types: ['code'],
    struct: 'PyCodeObject',
    fields: {
      co_code: 'co_code',
      _co_code: 'co_code',
      co_consts: 'co_consts',
      co_names: 'co_names',
      co_varnames: 'co_varnames',
      co_freevars: 'co_freevars',
      co_cellvars: 'co_cellvars',
      co_localsplusnames: '',
      co_localspluskinds: '',
      co_filename: 'co_filename',
      co_name: 'co_name',
      co_qualname: 'co_qualname',
      co_lnotab: 'co_lnotab',
      co_linetable: 'co_linetable',
      co_exceptiontable: 'co_exceptiontable',
    },
    structSize: (layout) =>
      layout.has('PyCodeObject.co_code_adaptive')
        ? layout.offset('PyCodeObject.co_code_adaptive')
        : layout.size('PyCodeObject'),
    also: makeDecodeCodeBuffers,
  },
  { types: ['cell'], struct: 'PyCellObject', fields: { ob_ref: 'cell_contents' } },
  {
    types: ['property'],
    struct: 'propertyobject',
    fields: {
      prop_get: 'fget',
      prop_set: 'fset',
      prop_del: 'fdel',
      prop_doc: '__doc__',
      prop_name: '__name__',
    },
  },
  { types: ['classmethod'], struct: 'classmethod', fields: { cm_callable: '__func__' } },
  { types: ['staticmethod'], struct: 'staticmethod', fields: { sm_callable: '__func__' } },
  {
    types: ['method_descriptor', 'classmethod_descriptor'],
    struct: 'PyMethodDescrObject',
    fields: DESCRIPTOR_FIELDS,
  },
  { types: ['member_descriptor'], struct: 'PyMemberDescrObject', fields: DESCRIPTOR_FIELDS },
  { types: ['getset_descriptor'], struct: 'PyGetSetDescrObject', fields: DESCRIPTOR_FIELDS },
  { types: ['wrapper_descriptor'], struct: 'PyWrapperDescrObject', fields: DESCRIPTOR_FIELDS },
  {
    types: ['method-wrapper'],
    struct: 'wrapperobject',
    fields: { descr: '', self: '__self__' },
  },
  { types: ['mappingproxy'], struct: 'mappingproxyobject', fields: { mapping: '' } },
  {
    types: ['module'],
    struct: 'PyModuleObject',
    fields: { md_name: '' },
    also: makeDecodeModuleState,
    scans: true,
  },
  {
    types: ['lazy_import'],
    struct: 'PyLazyImportObject',
    fields: { lz_builtins: '', lz_from: '', lz_attr: '', lz_code: '' },
  },
  {
    types: [
      'weakref',
      'weakproxy',
      'weakcallableproxy',
      'weakref.ReferenceType',
      'weakref.ProxyType',
      'weakref.CallableProxyType',
    ],
    struct: 'PyWeakReference',
    fields: { wr_callback: '__callback__' },
    also: makeDecodeReferent,
  },
  { types: ['types.SimpleNamespace'], struct: '_PyNamespaceObject', fields: {} },
  { types: ['PyCapsule'], struct: 'PyCapsule', fields: {} },
  {
    types: ['sentinel'],
    struct: 'sentinelobject',
    fields: { name: '__name__', module: '__module__', repr: '' },
  },
  {
    types: ['functools.partial'],
    struct: 'partialobject',
    fields: { fn: 'func', args: 'args', kw: 'keywords' },
  },
  {
    types: ['functools._lru_cache_wrapper'],
    struct: 'lru_cache_object',
    fields: {
      func: '__wrapped__',
      cache: '',
      cache_info_type: '',
      kwd_mark: '',
      lru_list_elem_type: '',
    },
    also: makeDecodeLruList,
  },
  {
    types: ['functools._lru_list_elem'],
    struct: 'lru_list_elem',
    fields: { key: '', result: '' },
  },
  { types: ['functools.KeyWrapper'], struct: 'keyobject', fields: { cmp: '', object: 'obj' } },
  {
    types: ['traceback'],
    struct: 'PyTracebackObject',
    fields: { tb_next: 'tb_next', tb_frame: 'tb_frame' },
  },
  { types: ['BaseException'], struct: 'PyBaseExceptionObject', fields: BASE_EXCEPTION_FIELDS },
  {
    types: ['BaseExceptionGroup'],
    struct: 'PyBaseExceptionGroupObject',
    fields: { ...BASE_EXCEPTION_FIELDS, msg: 'message', excs: 'exceptions', excs_str: '' },
  },
  {
    types: ['SyntaxError'],
    struct: 'PySyntaxErrorObject',
    fields: {
      ...BASE_EXCEPTION_FIELDS,
      msg: 'msg',
      filename: 'filename',
      lineno: 'lineno',
      offset: 'offset',
      end_lineno: 'end_lineno',
      end_offset: 'end_offset',
      text: 'text',
      print_file_and_line: 'print_file_and_line',
      metadata: '_metadata',
    },
  },
  {
    types: ['ImportError'],
    struct: 'PyImportErrorObject',
    fields: {
      ...BASE_EXCEPTION_FIELDS,
      msg: 'msg',
      name: 'name',
      path: 'path',
      name_from: 'name_from',
    },
  },
  {
    types: ['UnicodeEncodeError', 'UnicodeDecodeError', 'UnicodeTranslateError'],
    struct: 'PyUnicodeErrorObject',
    fields: {
      ...BASE_EXCEPTION_FIELDS,
      encoding: 'encoding',
      object: 'object',
      reason: 'reason',
    },
  },
  {
    types: ['SystemExit'],
    struct: 'PySystemExitObject',
    fields: { ...BASE_EXCEPTION_FIELDS, code: 'code' },
  },
  {
    types: ['OSError'],
    struct: 'PyOSErrorObject',
    fields: {
      ...BASE_EXCEPTION_FIELDS,
      myerrno: 'errno',
      strerror: 'strerror',
      filename: 'filename',
      filename2: 'filename2',
    },
  },
  {
    types: ['StopIteration'],
    struct: 'PyStopIterationObject',
    fields: { ...BASE_EXCEPTION_FIELDS, value: 'value' },
  },
  {
    types: ['NameError'],
    struct: 'PyNameErrorObject',
    fields: { ...BASE_EXCEPTION_FIELDS, name: 'name' },
  },
  {
    types: ['AttributeError'],
    struct: 'PyAttributeErrorObject',
    fields: { ...BASE_EXCEPTION_FIELDS, obj: 'obj', name: 'name' },
  },
];

/** Blocks that belong to a code object, and since 3.12 the objects that it makes of its tables on demand. */
function makeDecodeCodeBuffers(layout: Layout): DecodeObject {
  const co_extra = layout.word('PyCodeObject.co_extra');
  const extraBytes = layout.size('PyCodeObjectExtra');
  const _co_cached = findWord(layout, 'PyCodeObject._co_cached');
  const buffers = ['_co_linearray', '_co_monitoring', 'co_executors', 'co_opcache_map']
    .map((field) => findWord(layout, `PyCodeObject.${field}`))
    .filter((word) => word >= 0);
  const decodeOf38 = makeDecodeCodeBuffersOf38(layout);
  const labelsOf = makeLabels(['_co_cached']);
  return (reader, word, type) => {
    const halves = reader.halves;
    reader.shallowBytes = Math.ceil(reader.shallowBytes / 8) * 8;
    const extra = reader.follow(word + co_extra);
    if (extra !== 0) {
      const extraCount = Math.min(halves[extra * 2], 256);
      const size = extraBytes + (extraCount - 1) * 8;
      reader.shallowBytes += size;
      ownBufferAt(reader, word + co_extra, size);
    }
    for (const buffer of buffers) ownBufferAt(reader, word + buffer, 1);
    decodeOf38(reader, word, type);
    if (_co_cached < 0) return;
    const cached = reader.follow(word + _co_cached);
    if (cached === 0 || cached + 4 > reader.image.runEnd(cached)) return;
    ownBufferAt(reader, word + _co_cached, 32);
    const label = labelsOf(reader)[0];
    for (let i = 0; i < 4; i++) reader.referenceAt(cached + i, EdgeKind.internal, label);
  };
}

/** 3.8 to 3.10: cell numbers, the opcode cache, and a frame that is kept for the next call. */
function makeDecodeCodeBuffersOf38(layout: Layout): DecodeObject {
  if (!layout.has('PyCodeObject.co_opcache')) return () => {};
  const co_code = layout.word('PyCodeObject.co_code');
  const co_cell2arg = layout.word('PyCodeObject.co_cell2arg');
  const co_cellvars = layout.word('PyCodeObject.co_cellvars');
  const co_zombieframe = layout.word('PyCodeObject.co_zombieframe');
  const co_opcache = layout.word('PyCodeObject.co_opcache');
  const opcacheSize = layout.offset('PyCodeObject.co_opcache_size') / 4;
  const frameBytes = layout.size('PyFrameObject');
  return (reader, word) => {
    const { halves, image } = reader;
    const sizeAt = (pointer: number): number => {
      const object = reader.follow(pointer);
      return object === 0 || object + 3 > image.runEnd(object) ? 0 : halves[(object + 2) * 2];
    };
    if (reader.follow(word + co_cell2arg) !== 0) {
      const bytes = sizeAt(word + co_cellvars) * 8;
      reader.shallowBytes += bytes;
      ownBufferAt(reader, word + co_cell2arg, bytes);
    }
    if (reader.follow(word + co_opcache) !== 0) {
      const cacheBytes = halves[word * 2 + opcacheSize] * OPCACHE_BYTES;
      reader.shallowBytes += Math.floor(sizeAt(word + co_code) / 2) + cacheBytes;
      ownBufferAt(reader, word + co_opcache, cacheBytes);
    }
    const frameLo = halves[(word + co_zombieframe) * 2];
    const frameHi = halves[(word + co_zombieframe) * 2 + 1];
    // The block begins with the collector's header.
    if (frameLo >= 16) reader.ownBuffer(frameLo - 16, frameHi, frameBytes + 16);
  };
}

function makeDecodeModuleState(layout: Layout): DecodeObject {
  const md_state = layout.word('PyModuleObject.md_state');
  const stateSize = findWord(layout, 'PyModuleObject.md_state_size');
  const md_def = findWord(layout, 'PyModuleObject.md_def');
  const m_size = layout.word('PyModuleDef.m_size');
  return (reader, word) => {
    const { halves, image } = reader;
    const state = reader.follow(word + md_state);
    if (state === 0) return;
    const def = md_def < 0 ? 0 : reader.follow(word + md_def);
    const sizeWord = stateSize >= 0 ? word + stateSize : def === 0 ? 0 : def + m_size;
    if (sizeWord === 0 || sizeWord >= image.runEnd(sizeWord)) return;
    const bytes = halves[sizeWord * 2];
    if (bytes > MAX_MODULE_STATE || halves[sizeWord * 2 + 1] !== 0) return;
    ownBufferAt(reader, word + md_state, bytes);
    reader.scan(state, state + (bytes >>> 3));
  };
}

/** The list of a bounded lru_cache, from the oldest call on, holds its elements as the dict does. */
function makeDecodeLruList(layout: Layout): DecodeObject {
  const rootNext = layout.word('lru_cache_object.root') + layout.word('lru_list_elem.next');
  const next = layout.word('lru_list_elem.next');
  const elementWords = layout.size('lru_list_elem') / 8;
  const labelsOf = makeLabels(['root']);
  return (reader, word) => {
    const label = labelsOf(reader)[0];
    let pointer = word + rootNext;
    // Elements at steps of powers of two are compared with, so that a ring of damaged links ends.
    let checkpoint = 0;
    for (let step = 1; ; step++) {
      const element = reader.follow(pointer);
      if (element === word || (element === 0 && step === 1)) return;
      if (
        element === checkpoint ||
        element === 0 ||
        element + elementWords > reader.image.runEnd(element)
      ) {
        reader.problem('lru-list-damaged', word);
        return;
      }
      if ((step & (step - 1)) === 0) checkpoint = element;
      if (!reader.referenceAt(pointer, EdgeKind.internal, label)) return;
      pointer = element + next;
    }
  };
}

/** A weak reference whose referent is gone refers to None. */
function makeDecodeReferent(layout: Layout): DecodeObject {
  const wr_object = layout.word('PyWeakReference.wr_object');
  return (reader, word) => {
    const referent = reader.follow(word + wr_object);
    if (referent === 0 || reader.findType(referent)?.tp_name === 'NoneType') return;
    const at = (word + wr_object) * 2;
    reader.weakReference(reader.halves[at], reader.halves[at + 1]);
  };
}
