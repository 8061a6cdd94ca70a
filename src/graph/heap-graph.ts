// HeapGraph: the objects of one target at one moment and the references between them, as columns. It is the waist of
// leakscope: what is left of it reads memory and knows CPython; what is right of it analyses and knows neither.
// Immutable once built (`capture/build-graph.ts`, in tests `drawn-graph.ts`); `encoding.ts` writes and reads it as a file.
//
// Index spaces: node 0..nodeCount-1 in ascending order of address; edge 0..edgeCount-1 grouped by source; stringId into
// `strings`; typeId into `types`. A node is one object of the target (later also a raw block of memory).

import type { Problem } from '../base/problems.ts';
import type { GraphTraces, TracerState } from './allocation-traces.ts';
import type { Execution } from './execution.ts';
import type { NativeHeap } from './native-heap.ts';
import { findNumberText } from './number-preview.ts';

export type NodeIndex = number;
export type EdgeIndex = number;

/** No node, no type, no string. */
export const NONE = 0xffffffff;

/** What a reference is to the program; decides how a path writes it. The meaning of `edgeLabel` follows each. */
export const EdgeKind = {
  /** A field of a C struct without a name in Python; label: stringId of the C field. Written as nothing or `<field>`. */
  internal: 0,
  /** `.name`; label: stringId. Instance values, slots, `__code__`, `__globals__` and the like. */
  attribute: 1,
  /** `[3]` of a list, tuple or deque; label: the index. */
  item: 2,
  /** A key of a dict entry. The next edge of the same node is its `dictValue`; label: NONE. */
  dictKey: 3,
  /** The value of a dict entry. The edge before it is its key; label: NONE. */
  dictValue: 4,
  /** The value of a dict entry whose key is a name shared between instances; label: stringId. Written `['name']`. */
  namedValue: 5,
  /** A local variable of a frame, generator or coroutine; label: stringId of its name. */
  local: 6,
  /** From an instance or module to its `__dict__`; hidden in paths. */
  instanceDict: 7,
  /** A member of a set. */
  setItem: 8,
  /** From an instance of a heap type to its type. */
  type: 9,
  /** Found by scanning the body of an object of an unknown C type; label: byte offset. May be wrong. */
  conservative: 10,
  /** A value on the evaluation stack of a frame, not bound to a name; label: stack position. */
  stackValue: 11,
} as const;
export type EdgeKind = (typeof EdgeKind)[keyof typeof EdgeKind];

/** Why a root is alive by itself. `label` names it: see each. */
export const RootKind = {
  /** An entry of `sys.modules`; label: the module's name. */
  module: 0,
  /** A frame that is running; label: `function (file:line) in thread "name"`. Node: the value of one local; see roots. */
  local: 1,
  /** `builtins`, `sys` and other dicts and objects that an interpreter holds; label: which. */
  interpreter: 2,
  /** A static type of the interpreter or of an extension; label: its name. */
  type: 3,
  /** An immortal or interned object, kept by the interpreter until it ends. */
  interned: 4,
  /** What a thread holds besides its frames (exception, context, dict); label: field and thread. */
  thread: 5,
  /** More references than were found: held from C code or by something that was not understood. */
  native: 6,
  /** More references than were found, and no pointer to it anywhere: a Py_DECREF was forgotten. */
  lostReference: 7,
} as const;
export type RootKind = (typeof RootKind)[keyof typeof RootKind];

/** Bits of `nodeFlags`. */
export const NodeFlag = {
  /** In one of the collector's lists. */
  tracked: 1,
  /** Never freed: an immortal object. Its reference count means nothing. */
  immortal: 2,
  /** Not in the heap but in a library's data segment. */
  static: 4,
  /** Its body was not (fully) understood: edges may be missing. */
  partial: 8,
  /** The object is a frame, generator, coroutine or thread state's frame that is executing now. */
  running: 16,
} as const;

export interface TypeRow {
  /** `module.qualname`; built-ins without a module. Not unique: two type objects may have the same name. */
  name: string;
  /** The node of the type object, NONE if it is not in the graph. */
  node: NodeIndex;
}

export interface HeapGraph {
  readonly nodeCount: number;
  readonly edgeCount: number;

  /** Per node: address of the object in the target (what `id()` returns), ascending. */
  readonly address: Float64Array;
  /** Per node: row of `types`. */
  readonly typeId: Uint32Array;
  /** Per node: bytes that `sys.getsizeof` would return. */
  readonly shallowSize: Float64Array;
  /** Per node: bytes of memory that the object and the buffers it owns occupy, rounded to the allocator's blocks. */
  readonly allocatedSize: Float64Array;
  /** Per node: reference count, NONE if immortal or above 2^32 - 2. */
  readonly referenceCount: Uint32Array;
  /** Per node: bits of NodeFlag. */
  readonly nodeFlags: Uint8Array;

  /** nodeCount + 1 cells; the strong edges of node i are [firstEdge[i], firstEdge[i + 1]). */
  readonly firstEdge: Uint32Array;
  /** Per edge: the node that is held. */
  readonly edgeTarget: Uint32Array;
  /** Per edge: EdgeKind. */
  readonly edgeKind: Uint8Array;
  /** Per edge: see EdgeKind; NONE if there is none. */
  readonly edgeLabel: Uint32Array;

  /** Weak references, which keep nothing alive: sources and targets, side by side, ordered by source. */
  readonly weakSource: Uint32Array;
  readonly weakTarget: Uint32Array;

  /** Roots, in the order in which a path should prefer them. One node may have several. */
  readonly rootNode: Uint32Array;
  readonly rootKind: Uint8Array;
  /** Per root: stringId of its name, NONE if it has none. */
  readonly rootLabel: Uint32Array;

  readonly types: readonly TypeRow[];
  readonly strings: readonly string[];

  /** The previews, end to end: UTF-8 text, or a number (`number-preview.ts`). */
  readonly previewBytes: Uint8Array;
  /** nodeCount + 1 cells; the preview of node i is [previewStart[i], previewStart[i + 1]); empty = none. */
  readonly previewStart: Uint32Array;

  /** What is known of the memory outside of Python objects; undefined where the capture did not look. */
  readonly native?: NativeHeap | undefined;

  /** Where blocks were allocated; undefined unless tracemalloc was on and could be read. */
  readonly traces?: GraphTraces | undefined;

  /** Threads with their frames, where coroutines stand, states of futures; undefined in files of older releases. */
  readonly execution?: Execution | undefined;

  readonly capture: CaptureFacts;
}

/** About the capture itself. */
export interface CaptureFacts {
  /** ISO 8601, UTC: when the target was stopped. */
  at: string;
  pid: number;
  /** Seconds since the Unix epoch at which the process began, from its kernel start time; 0 if unknown. */
  processStartedAt: number;
  command: string[];
  /** `3.11.7` */
  python: string;
  /** Build facts in words: `x86-64, shared libpython3.11.so.1.0, pymalloc`. */
  build: string;
  /** Milliseconds for which the target stood still. */
  pauseMs: number;
  /** Bytes copied while it did. */
  copiedBytes: number;
  /** Resident set of the target at that moment. */
  rssBytes: number;
  /** Whether contents were dropped (`redact-graph.ts`). */
  isRedacted?: boolean | undefined;
  /** How objects and runtime were found, in words, for `--verbose` and bug reports. */
  method: string[];
  problems: Problem[];
  /** tracemalloc; undefined in captures by older versions, which did not look. */
  tracer?: TracerState | undefined;
  /** The cyclic collector of the main interpreter; undefined if it could not be read. */
  collector?: CollectorFacts | undefined;
  /** Share of the references met that led to a decoded object, 0..1. */
  coverage: number;
  /** Of a core file; undefined for a process. Then `rssBytes` is what the core has, and `at` when it was written. */
  core?: CoreFacts | undefined;
}

export interface CoreFacts {
  /** `SIGABRT`; null where no signal made the kernel dump. */
  signal: string | null;
  /** Files of the process that were not found, the most that this costs first. */
  missingFiles: MissingFileFacts[];
  /** Paths of files that were used although the core does not have what would prove that they are the ones. */
  unverifiedFiles: string[];
  /** Bytes of memory that are missing because the core was cut off. */
  cutOffBytes: number;
}

export interface MissingFileFacts {
  path: string;
  /** `not found`. */
  reason: string;
  /** Of the memory that was wanted and was in it. */
  bytes: number;
}

export interface CollectorFacts {
  /** `gc.isenabled()` */
  enabled: boolean;
  /** `gc.get_threshold()` */
  thresholds: number[];
  /** Collections so far per generation; undefined where this version keeps them elsewhere. */
  collections: number[] | undefined;
  /** Objects that all collections so far have freed; undefined likewise. */
  freedCount?: number | undefined;
}

/** The node whose object lies at `address`; undefined if there is none. O(log n). */
export function findNodeAt(graph: HeapGraph, address: number): NodeIndex | undefined {
  let low = 0;
  let high = graph.nodeCount;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (graph.address[middle] < address) low = middle + 1;
    else high = middle;
  }
  return low < graph.nodeCount && graph.address[low] === address ? low : undefined;
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** The node's content in short, as its `repr` begins: `'abc'`, `42`, `b'\x00'`; undefined if none was kept. */
export function findPreview(graph: HeapGraph, node: NodeIndex): string | undefined {
  const start = graph.previewStart[node];
  const end = graph.previewStart[node + 1];
  if (start === end) return undefined;
  const bytes = graph.previewBytes.subarray(start, end);
  return findNumberText(bytes) ?? utf8.decode(bytes);
}

export const typeNameOf = (graph: HeapGraph, node: NodeIndex): string =>
  graph.types[graph.typeId[node]].name;
