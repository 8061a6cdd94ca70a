// Reads the list of interpreters from _PyRuntime and checks that it is one: turns a candidate address and a layout into
// interpreters whose collector lists, `sys.__dict__`, `sys.modules` and `builtins.__dict__` were seen to be what they are.
// Source: Include/internal/pycore_interp.h, pycore_runtime.h, pycore_gc.h, pycore_debug_offsets.h (3.8 to 3.15).
//
// Micro releases have moved fields inside PyInterpreterState. A field that is not where the layout says is looked for near
// it by the same checks, and what was found moves the fields behind it (`FieldShift`). _Py_DebugOffsets goes first.

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict } from './dict-entries.ts';
import {
  describeShifts,
  type FieldShift,
  findOffset,
  locateLate,
  SEARCH_BYTES,
  searchOffset,
  unlessUnreadable,
} from './field-shifts.ts';
import { DICT_SUBCLASS, isObject } from './known-objects.ts';
import type { Layout } from './layout.ts';
import type { VersionFeatures } from './version.ts';

const MAX_INTERPRETERS = 4096;
const GENERATION_BYTES = 24;

export interface PythonInterpreter {
  /** Of the PyInterpreterState. */
  address: Address;
  /** 0 is the main one. */
  id: number;
  /** Of its struct _gc_runtime_state. */
  gcState: Address;
  /** Heads of its lists: generations 0 to 2 and the permanent one. Multiples of 4, not always of 8. */
  generationHeads: readonly Address[];
  /** `sys.__dict__` */
  sysdict: Address;
  /** `sys.modules` */
  modules: Address;
  /** `builtins.__dict__` */
  builtins: Address;
  /** Its newest PyThreadState; 0 if none. */
  threadsHead: Address;
}

export interface Interpreters {
  interpreters: PythonInterpreter[];
  /** Ascending by `from`; empty when the layout fits. */
  shifts: readonly FieldShift[];
  /** How it was found, in words. */
  method: string[];
}

/** Why a candidate is not the runtime of a Python that can be read. */
export interface NotReadable {
  kind: 'mismatch' | 'not-initialized' | 'finalizing';
  /** The check that failed. */
  failed: string;
}

interface Context {
  memory: MemoryReader;
  layout: Layout;
  features: VersionFeatures;
  runtime: Address;
  searchBytes: number;
  method: string[];
}

type Anchor = 'next' | 'id' | 'threadsHead' | 'gc' | 'sysdict' | 'builtins' | 'modules';
type AnchorOffsets = Record<Anchor, number>;

/** Layout field of each anchor, by the names it had in the versions. */
const ANCHOR_FIELDS: Record<Anchor, readonly string[]> = {
  next: ['PyInterpreterState.next'],
  id: ['PyInterpreterState.id'],
  threadsHead: ['PyInterpreterState.threads.head', 'PyInterpreterState.tstate_head'],
  gc: ['PyInterpreterState.gc'],
  sysdict: ['PyInterpreterState.sysdict'],
  builtins: ['PyInterpreterState.builtins'],
  modules: ['PyInterpreterState.imports.modules', 'PyInterpreterState.modules'],
};

const DEBUG_OFFSETS: Record<Anchor, string> = {
  next: 'next',
  id: 'id',
  threadsHead: 'threads_head',
  gc: 'gc',
  sysdict: 'sysdict',
  builtins: 'builtins',
  modules: 'imports_modules',
};

/**
 * The interpreters of the _PyRuntime at `runtime`, if that is what lies there. A few hundred reads; on a live process the
 * caller repeats it when it fails, since dicts change under it, and only then lets it look for moved fields (`maySearch`).
 * Never throws MemoryReadError.
 */
export function readInterpreters(
  memory: MemoryReader,
  layout: Layout,
  features: VersionFeatures,
  runtime: Address,
  maySearch: boolean,
): Interpreters | NotReadable {
  const searchBytes = maySearch ? SEARCH_BYTES : 0;
  try {
    return readOrExplain({ memory, layout, features, runtime, searchBytes, method: [] });
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
    return mismatch(`memory at 0x${error.address.toString(16)} cannot be read`);
  }
}

const mismatch = (failed: string): NotReadable => ({ kind: 'mismatch', failed });

function readOrExplain(context: Context): Interpreters | NotReadable {
  const { memory, layout, runtime, method } = context;
  const state = runtimeState(context);
  if (state !== undefined) return state;
  const head = memory.readAddress(runtime + layout.offset('_PyRuntimeState.interpreters.head'));
  const main = memory.readAddress(runtime + layout.offset('_PyRuntimeState.interpreters.main'));
  if (head === 0 || main === 0) {
    return { kind: 'not-initialized', failed: '_PyRuntime.interpreters is empty' };
  }
  if (head % 8 !== 0 || main % 8 !== 0) return mismatch('_PyRuntime.interpreters is no list');
  const expected = expectedAnchors(context);
  const anchors = locateAnchors(context, main, expected);
  if ('failed' in anchors) return anchors;
  const shifts = locateLate(
    memory,
    layout,
    main,
    shiftsOf(layout, anchors),
    memory.readAddress(main + anchors.builtins),
  );
  if (shifts.length > 0) method.push(describeShifts(shifts));
  const interpreters: PythonInterpreter[] = [];
  for (let at = head; at !== 0; at = memory.readAddress(at + anchors.next)) {
    if (interpreters.length === MAX_INTERPRETERS)
      return mismatch('the interpreter list has no end');
    const interpreter = readInterpreter(context, at, anchors);
    if ('failed' in interpreter) {
      // A subinterpreter that is being created or destroyed at this moment.
      if (at === main) return interpreter;
      method.push(`an interpreter at 0x${at.toString(16)} was left out: ${interpreter.failed}`);
    } else interpreters.push(interpreter);
  }
  if (!interpreters.some((interpreter) => interpreter.address === main)) {
    return mismatch('the interpreter list does not contain the main interpreter');
  }
  return { interpreters, shifts, method };
}

function runtimeState(context: Context): NotReadable | undefined {
  const { memory, layout, runtime } = context;
  const at = (field: string) => runtime + layout.offset(`_PyRuntimeState.${field}`);
  const flags = ['preinitialized', 'core_initialized', 'initialized'].map((field) =>
    memory.readU32(at(field)),
  );
  if (flags.some((flag) => flag > 1)) return mismatch('_PyRuntime.initialized is neither 0 nor 1');
  if (flags[2] === 0) {
    return { kind: 'not-initialized', failed: '_PyRuntime.initialized is 0' };
  }
  const finalizing = memory.readAddress(
    at(layout.has('_PyRuntimeState._finalizing') ? '_finalizing' : 'finalizing'),
  );
  if (finalizing === 0) return undefined;
  if (finalizing % 8 !== 0) return mismatch('_PyRuntime._finalizing is no thread state');
  return { kind: 'finalizing', failed: '_PyRuntime._finalizing is set' };
}

function expectedAnchors(context: Context): AnchorOffsets {
  const { memory, layout, features, runtime, method } = context;
  const offsets: Partial<AnchorOffsets> = {};
  for (const [anchor, names] of Object.entries(ANCHOR_FIELDS) as [Anchor, string[]][]) {
    offsets[anchor] = findOffset(layout, names) ?? -1;
    const field = `_Py_DebugOffsets.interpreter_state.${DEBUG_OFFSETS[anchor]}`;
    if (features.hasDebugOffsets && layout.has(field)) {
      const told = memory.readI64(runtime + layout.offset(field));
      if (told >= 0 && told < 1 << 20) offsets[anchor] = told;
    }
  }
  const gcSize = '_Py_DebugOffsets.gc.size';
  if (features.hasDebugOffsets && layout.has(gcSize)) {
    const told = memory.readI64(runtime + layout.offset(gcSize));
    const known = layout.size('_gc_runtime_state');
    if (told !== known) method.push(`the collector's state has ${told} bytes instead of ${known}`);
  }
  return offsets as AnchorOffsets;
}

/** Offsets that were seen to hold the right things in the main interpreter. */
function locateAnchors(
  context: Context,
  main: Address,
  expected: AnchorOffsets,
): AnchorOffsets | NotReadable {
  const { memory, features, searchBytes } = context;
  const dictAt = (offset: number, key: string) =>
    isDictWith(context, memory.readAddress(main + offset), key);
  const gc = features.gcInRuntime
    ? expected.gc
    : searchOffset(searchBytes, expected.gc, (offset) => isGcState(context, main + offset));
  if (gc === undefined) return mismatch('no collector lists in the main interpreter');
  const sysdict = searchOffset(searchBytes, expected.sysdict, (offset) =>
    dictAt(offset, 'hexversion'),
  );
  if (sysdict === undefined) return mismatch('PyInterpreterState.sysdict is not the dict of sys');
  const builtins = searchOffset(searchBytes, expected.builtins, (offset) =>
    dictAt(offset, 'BaseException'),
  );
  if (builtins === undefined) return mismatch('PyInterpreterState.builtins is not that dict');
  const modules = searchOffset(
    searchBytes,
    expected.modules,
    (offset) => dictAt(offset, 'builtins'),
    (offset) => dictAt(offset, 'sys'),
  );
  if (modules === undefined) return mismatch('PyInterpreterState.modules is not sys.modules');
  const threadsHead = searchOffset(searchBytes, expected.threadsHead, (offset) =>
    isThreadOf(context, memory.readAddress(main + offset), main),
  );
  if (threadsHead === undefined) return mismatch('the main interpreter has no thread state');
  if (memory.readI64(main + expected.id) !== 0)
    return mismatch('the main interpreter is not number 0');
  return { ...expected, gc, sysdict, builtins, modules, threadsHead };
}

function shiftsOf(layout: Layout, anchors: AnchorOffsets): FieldShift[] {
  const known: FieldShift[] = [];
  for (const [anchor, names] of Object.entries(ANCHOR_FIELDS) as [Anchor, string[]][]) {
    const offset = findOffset(layout, names);
    if (offset !== undefined) known.push({ from: offset, bytes: anchors[anchor] - offset });
  }
  known.sort((a, b) => a.from - b.from);
  const shifts: FieldShift[] = [];
  let bytes = 0;
  for (const shift of known) {
    if (shift.bytes !== bytes) shifts.push(shift);
    bytes = shift.bytes;
  }
  return shifts;
}

function readInterpreter(
  context: Context,
  address: Address,
  anchors: AnchorOffsets,
): PythonInterpreter | NotReadable {
  const { memory, layout, features, runtime } = context;
  const id = memory.readI64(address + anchors.id);
  if (id < 0 || id > 1e9) return mismatch('an interpreter has no plausible id');
  const gcState = features.gcInRuntime
    ? runtime + layout.offset('_PyRuntimeState.gc')
    : address + anchors.gc;
  if (!isGcState(context, gcState)) return mismatch('the collector lists are not closed');
  const sysdict = memory.readAddress(address + anchors.sysdict);
  const modules = memory.readAddress(address + anchors.modules);
  const builtins = memory.readAddress(address + anchors.builtins);
  const threadsHead = memory.readAddress(address + anchors.threadsHead);
  if (!isDict(context, sysdict)) return mismatch('PyInterpreterState.sysdict is no dict');
  if (!isDict(context, modules)) return mismatch('PyInterpreterState.modules is no dict');
  if (!isDict(context, builtins)) return mismatch('PyInterpreterState.builtins is no dict');
  if (threadsHead !== 0 && !isThreadOf(context, threadsHead, address)) {
    return mismatch('a thread state does not belong to its interpreter');
  }
  const heads = generationHeads(memory, layout, gcState);
  return { address, id, gcState, generationHeads: heads, sysdict, modules, builtins, threadsHead };
}

/**
 * Whether a collector's state lies there: `generation0` points at its own first generation, whatever the lists do at this
 * moment. The incremental collector has no such pointer: there the lists must be closed, unless a collection runs.
 */
function isGcState(context: Context, gcState: Address): boolean {
  const { memory, layout, features } = context;
  const collecting = memory.readU32(gcState + layout.offset('_gc_runtime_state.collecting'));
  if (collecting > 1) return false;
  if (!features.incrementalGc) {
    const told = memory.readAddress(gcState + layout.offset('_gc_runtime_state.generation0'));
    return isNearGenerations(layout, gcState, told);
  }
  let closed = 0;
  const heads = generationHeads(memory, layout, gcState);
  for (const head of heads) if (unlessUnreadable(() => isClosedList(memory, head))) closed++;
  return collecting === 1 ? closed > 0 : closed === heads.length;
}

const isNearGenerations = (layout: Layout, gcState: Address, told: Address): boolean =>
  Math.abs(told - gcState - layout.offset('_gc_runtime_state.generations')) <= 8;

/**
 * Addresses of the list heads: the three generations and the permanent one. `generation0` points at the first: 3.13.2 and
 * later 3.13 give PyGC_Head an alignment of 4, which puts the generations 4 bytes earlier, at no multiple of 8.
 */
function generationHeads(memory: MemoryReader, layout: Layout, gcState: Address): Address[] {
  let generations = gcState + layout.offset('_gc_runtime_state.generations');
  const told = memory.readAddress(gcState + layout.offset('_gc_runtime_state.generation0'));
  if (isNearGenerations(layout, gcState, told)) generations = told;
  const heads: Address[] = [];
  for (let i = 0; i < 3; i++) heads.push(generations + i * GENERATION_BYTES);
  heads.push(gcState + layout.offset('_gc_runtime_state.permanent_generation'));
  return heads;
}

function isClosedList(memory: MemoryReader, head: Address): boolean {
  const next = withoutFlags(memory.readAddress(head));
  const previous = withoutFlags(memory.readAddress(head + 8));
  if (next === 0 || previous === 0) return false;
  return (
    withoutFlags(memory.readAddress(next + 8)) === head &&
    withoutFlags(memory.readAddress(previous)) === head
  );
}

const withoutFlags = (address: Address): Address => address - (address % 4);

function isThreadOf(context: Context, thread: Address, interpreter: Address): boolean {
  const { memory, layout } = context;
  if (thread === 0 || thread % 8 !== 0) return false;
  return memory.readAddress(thread + layout.offset('PyThreadState.interp')) === interpreter;
}

function isDictWith(context: Context, dict: Address, key: string): boolean {
  return (
    isDict(context, dict) && findInDict(context.memory, context.layout, dict, key) !== undefined
  );
}

const isDict = (context: Context, address: Address): boolean =>
  isObject(context.memory, context.layout, address, DICT_SUBCLASS);
