// Lists what an interpreter and its threads hold by themselves, outside of any object: the roots of the heap besides
// frames. Every entry was seen to be an object. Source: Include/internal/pycore_interp.h (pycore_interp_structs.h since
// 3.14), Include/cpython/pystate.h, Python/pylifecycle.c, Modules/atexitmodule.c (3.8 to 3.15).
//
// Not listed: free lists and caches of dead or borrowed objects, the static objects of _PyRuntime.global_objects (immortal
// or never freed, not in the heap), what extension modules keep in static variables.

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict } from './dict-entries.ts';
import { findStaticTypeStruct, interpreterOffset } from './field-shifts.ts';
import type { PythonRuntime } from './find-runtime.ts';
import type { PythonInterpreter } from './interpreters.ts';
import { DICT_SUBCLASS, isObject } from './known-objects.ts';
import type { PythonThread } from './threads.ts';

const MAX_ATEXIT_CALLBACKS = 1 << 16;
const MAX_IDENTIFIERS = 1 << 16;
const MAX_STATIC_TYPES = 1 << 10;

export interface HeldReference {
  /**
   * `interned`: kept until the interpreter ends (small integers, identifiers, interned strings). The dicts of interned
   * strings (`isWeakDict`) themselves are held, but keep no mortal string alive.
   */
  kind: 'interpreter' | 'collector' | 'atexit' | 'thread' | 'interned';
  /** The C field, or `atexit callback`: `codec_search_cache`, `before_forkers`, `async_gen_finalizer`. */
  name: string;
  address: Address;
  /** Of the PyInterpreterState's id. */
  interpreterId: number;
  /** PyThreadState, for `thread`; else 0. */
  thread: Address;
  /** A dict whose keys and values own no references. */
  isWeakDict: boolean;
}

/** What an interpreter keeps for a static type since 3.12; the fields of the type object itself are NULL then. */
export interface StaticTypeState {
  type: Address;
  /** 0 where it is NULL. */
  tp_dict: Address;
  tp_subclasses: Address;
  tp_weaklist: Address;
  interpreterId: number;
}

/** Fields of PyInterpreterState, some of them structs or arrays, that hold references. */
const INTERPRETER_FIELDS = [
  'modules',
  'modules_by_index',
  'importlib',
  'import_func',
  'imports',
  'sysdict',
  'builtins',
  'codec_search_path',
  'codec_search_cache',
  'codec_error_registry',
  'codecs',
  'dict',
  'sysdict_copy',
  'builtins_copy',
  'before_forkers',
  'after_forkers_parent',
  'after_forkers_child',
  'warnings',
  'audit_hooks',
  'exc_state.errnomap',
  'exc_state.PyExc_ExceptionGroup',
  'ast',
  'interpreter_trampoline',
  'monitoring_callables',
  'monitoring_tool_names',
  'cached_objects',
] as const;

const INTERNED_FIELDS = ['small_ints', 'bytes', 'unicode', 'common_consts'] as const;

/** Static variables of 3.8 to 3.10 and how many pointers each has; found only where there is a symbol table. */
const STATIC_OBJECTS: readonly { symbol: string; count: number }[] = [
  { symbol: 'unicode_latin1', count: 256 },
  { symbol: 'characters', count: 256 },
  { symbol: 'unicode_empty', count: 1 },
  { symbol: 'nullstring', count: 1 },
];

/** `method_cache` of 3.8 and 3.9: 4096 of {version, name, value}. */
const METHOD_CACHE_BYTES = 24 * 4096;
const METHOD_CACHE_ENTRY = { bytes: 24, name: 8 };
/** _Py_Identifier of 3.8 and 3.9: {next, string, object}. */
const IDENTIFIER_OBJECT = 16;

const THREAD_FIELDS = [
  'PyThreadState.c_profileobj',
  'PyThreadState.c_traceobj',
  'PyThreadState.curexc_type',
  'PyThreadState.curexc_value',
  'PyThreadState.curexc_traceback',
  'PyThreadState.current_exception',
  'PyThreadState.exc_state',
  'PyThreadState.dict',
  'PyThreadState.async_exc',
  'PyThreadState.async_gen_firstiter',
  'PyThreadState.async_gen_finalizer',
  'PyThreadState.context',
  'PyThreadState.on_delete_data',
  'PyThreadState.threading_local_key',
  'PyThreadState.threading_local_sentinel',
  '_PyThreadStateImpl.asyncio_running_loop',
  '_PyThreadStateImpl.asyncio_running_task',
] as const;

/** Everything that the interpreters and the given threads hold. A few thousand entries, most of them `interned`. */
export function readHeldReferences(
  memory: MemoryReader,
  runtime: PythonRuntime,
  threads: readonly PythonThread[],
): HeldReference[] {
  const list: HeldReference[] = [];
  for (const interpreter of runtime.interpreters) {
    const out = new Collector(memory, runtime, interpreter.id, list);
    collectInterpreter(out, runtime, interpreter);
    collectCollector(out, runtime, interpreter);
    collectAtexit(out, runtime, interpreter);
  }
  for (const thread of threads) {
    const out = new Collector(memory, runtime, thread.interpreterId, list);
    collectThread(out, runtime, thread.address);
  }
  collectStatics(new Collector(memory, runtime, 0, list), runtime);
  return list;
}

/** Appends what it is shown if it is an object, and does not fail where nothing can be read. */
class Collector {
  readonly memory: MemoryReader;
  private readonly runtime: PythonRuntime;
  private readonly interpreterId: number;
  private readonly list: HeldReference[];

  constructor(
    memory: MemoryReader,
    runtime: PythonRuntime,
    interpreterId: number,
    list: HeldReference[],
  ) {
    this.memory = memory;
    this.runtime = runtime;
    this.interpreterId = interpreterId;
    this.list = list;
  }

  /** The pointer stored at `place`; undefined if it cannot be read. */
  pointerAt(place: Address): Address | undefined {
    try {
      return this.memory.readAddress(place);
    } catch (error) {
      if (error instanceof MemoryReadError) return undefined;
      throw error;
    }
  }

  add(kind: HeldReference['kind'], name: string, address: Address | undefined, thread = 0): void {
    const { memory, runtime, interpreterId } = this;
    if (address === undefined || !isObject(memory, runtime.layout, address)) return;
    const isInterned = name.endsWith('interned_strings') || name === 'interned';
    const isWeakDict = isInterned && isObject(memory, runtime.layout, address, DICT_SUBCLASS);
    this.list.push({ kind, name, address, interpreterId, thread, isWeakDict });
  }

  /** Each pointer in [start, end). */
  addRange(kind: HeldReference['kind'], name: string, start: Address, end: Address, thread = 0) {
    // By number: damaged memory may say an address so high that adding 8 does not change it.
    const count = Math.floor((end - start) / 8);
    for (let i = 0; i < count; i++) {
      this.add(kind, name, this.pointerAt(start + i * 8), thread);
    }
  }
}

function collectInterpreter(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  for (const name of INTERPRETER_FIELDS) addField(out, runtime, interpreter, 'interpreter', name);
  for (const name of INTERNED_FIELDS) addField(out, runtime, interpreter, 'interned', name);
  addIdentifiers(out, runtime, interpreter);
  addCachedNames(out, runtime, interpreter);
}

function addField(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
  kind: HeldReference['kind'],
  name: string,
): void {
  const { layout, shifts } = runtime;
  const field = `PyInterpreterState.${name}`;
  if (!layout.has(field)) return;
  const { start, end } = layout.range(field);
  const from = interpreter.address + interpreterOffset(layout, shifts, field);
  for (let place = from; place + 8 <= from + (end - start); place += 8) {
    const part = layout.nameAt(field, start + (place - from)) ?? field;
    out.add(kind, part.slice(part.indexOf('.') + 1), out.pointerAt(place));
  }
}

/** 3.10 and later: the strings of _Py_Identifier, in an array of their own. */
function addIdentifiers(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  const { layout, shifts } = runtime;
  if (!layout.has('PyInterpreterState.unicode.ids.array')) return;
  const at = (field: string) =>
    interpreter.address +
    interpreterOffset(layout, shifts, `PyInterpreterState.unicode.ids.${field}`);
  const count = out.pointerAt(at('size')) ?? 0;
  const array = out.pointerAt(at('array')) ?? 0;
  if (array === 0 || count > MAX_IDENTIFIERS) return;
  out.addRange('interned', 'unicode.ids', array, array + count * 8);
}

/** 3.10 and later: the cache of attributes by type holds the names that were looked up, at most 4096. */
function addCachedNames(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  const { layout, shifts } = runtime;
  const field = ['types.type_cache', 'type_cache']
    .map((name) => `PyInterpreterState.${name}.hashtable`)
    .find((name) => layout.has(name));
  if (field === undefined) return;
  const first = interpreter.address + interpreterOffset(layout, shifts, field);
  const entryBytes = layout.size('type_cache_entry');
  const end = first + layout.size('type_cache');
  const name = layout.offset('type_cache_entry.name');
  for (let entry = first; entry < end; entry += entryBytes) {
    out.add('interned', 'type_cache', out.pointerAt(entry + name));
  }
}

/** 3.8 and 3.9: the same cache in a static variable, and the list of identifiers in use. */
function addStaticNames(out: Collector, runtime: PythonRuntime): void {
  const cache = runtime.findSymbol('method_cache');
  if (cache !== undefined) {
    const { bytes, name } = METHOD_CACHE_ENTRY;
    for (let entry = cache; entry < cache + METHOD_CACHE_BYTES; entry += bytes) {
      out.add('interned', 'method_cache', out.pointerAt(entry + name));
    }
  }
  const identifiers = runtime.findSymbol('static_strings');
  let identifier = identifiers === undefined ? 0 : (out.pointerAt(identifiers) ?? 0);
  for (let i = 0; identifier !== 0 && i < MAX_IDENTIFIERS; i++) {
    out.add('interned', 'static_strings', out.pointerAt(identifier + IDENTIFIER_OBJECT));
    identifier = out.pointerAt(identifier) ?? 0;
  }
}

function collectCollector(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  for (const name of ['garbage', 'callbacks']) {
    const field = `_gc_runtime_state.${name}`;
    if (!runtime.layout.has(field)) continue;
    const place = interpreter.gcState + runtime.layout.offset(field);
    out.add('collector', `gc.${name}`, out.pointerAt(place));
  }
}

function collectThread(out: Collector, runtime: PythonRuntime, thread: Address): void {
  for (const field of THREAD_FIELDS) {
    if (!runtime.layout.has(field)) continue;
    const { start, end } = runtime.layout.range(field);
    const name = field.slice(field.indexOf('.') + 1);
    // _PyErr_StackItem ends with a pointer to another one, which is no object.
    out.addRange('thread', name, thread + start, thread + end, thread);
  }
}

/** Static variables, where the interpreter has a symbol table. */
function collectStatics(out: Collector, runtime: PythonRuntime): void {
  if (runtime.features.obmalloc !== 'static') return;
  const interned = runtime.findSymbol('interned');
  if (interned !== undefined) out.add('interned', 'interned', out.pointerAt(interned));
  for (const { symbol, count } of STATIC_OBJECTS) {
    const start = runtime.findSymbol(symbol);
    if (start !== undefined) out.addRange('interned', symbol, start, start + count * 8);
  }
  addStaticNames(out, runtime);
}

// ---- atexit

function collectAtexit(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  const { layout, shifts } = runtime;
  const callbacks = 'PyInterpreterState.atexit.callbacks';
  if (!layout.has(callbacks)) {
    collectAtexitOfModule(out, runtime, interpreter);
    return;
  }
  const place = interpreter.address + interpreterOffset(layout, shifts, callbacks);
  const pointer = out.pointerAt(place) ?? 0;
  // 3.14: a list of tuples.
  if (!layout.has('PyInterpreterState.atexit.ncallbacks')) {
    out.add('atexit', 'atexit callbacks', pointer);
    return;
  }
  const gap = layout.offset('PyInterpreterState.atexit.ncallbacks') - layout.offset(callbacks);
  addCallbacks(out, pointer, (out.pointerAt(place + gap) ?? 0) % 2 ** 32);
}

/** 3.8 and 3.9: the module's state begins with the same fields. */
function collectAtexitOfModule(
  out: Collector,
  runtime: PythonRuntime,
  interpreter: PythonInterpreter,
): void {
  const { layout } = runtime;
  const atexit = findInDict(out.memory, layout, interpreter.modules, 'atexit');
  if (atexit === undefined) return;
  const state = out.pointerAt(atexit + layout.offset('PyModuleObject.md_state')) ?? 0;
  if (state === 0) return;
  addCallbacks(out, out.pointerAt(state) ?? 0, (out.pointerAt(state + 8) ?? 0) % 2 ** 32);
}

/** An array of pointers to {func, args, kwargs}; removed ones are NULL. */
function addCallbacks(out: Collector, array: Address, count: number): void {
  if (array === 0 || count > MAX_ATEXIT_CALLBACKS) return;
  for (let i = 0; i < count; i++) {
    const callback = out.pointerAt(array + i * 8) ?? 0;
    if (callback !== 0) out.addRange('atexit', 'atexit callback', callback, callback + 24);
  }
}

// ---- static types

/** Since 3.12: what the interpreters keep of the static types, of the core and of its extension modules. */
export function readStaticTypeStates(
  memory: MemoryReader,
  runtime: PythonRuntime,
): StaticTypeState[] {
  const { layout, shifts } = runtime;
  const states: StaticTypeState[] = [];
  const struct = findStaticTypeStruct(layout);
  if (struct === undefined) return states;
  const fields = [
    'PyInterpreterState.types.builtins.initialized',
    'PyInterpreterState.types.for_extensions.initialized',
  ].filter((field) => layout.has(field));
  if (fields.length === 0) fields.push('PyInterpreterState.types.builtins');
  for (const interpreter of runtime.interpreters) {
    for (const field of fields) {
      const { start, end } = layout.range(field);
      const from = interpreter.address + interpreterOffset(layout, shifts, field);
      const count = Math.min(MAX_STATIC_TYPES, Math.floor((end - start) / layout.size(struct)));
      for (let i = 0; i < count; i++) {
        const state = findStaticTypeState(memory, runtime, struct, from + i * layout.size(struct));
        if (state !== undefined) states.push({ ...state, interpreterId: interpreter.id });
      }
    }
  }
  return states;
}

function findStaticTypeState(
  memory: MemoryReader,
  runtime: PythonRuntime,
  struct: string,
  address: Address,
): Omit<StaticTypeState, 'interpreterId'> | undefined {
  const { layout } = runtime;
  const at = (field: string) => memory.readAddress(address + layout.offset(`${struct}.${field}`));
  try {
    const type = at('type');
    if (!isObject(memory, layout, type)) return undefined;
    const objectOrNull = (candidate: Address) =>
      isObject(memory, layout, candidate) ? candidate : 0;
    return {
      type,
      tp_dict: objectOrNull(at('tp_dict')),
      tp_subclasses: objectOrNull(at('tp_subclasses')),
      tp_weaklist: objectOrNull(at('tp_weaklist')),
    };
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}
