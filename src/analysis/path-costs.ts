// What makes one path worse than another: the penalties that `computePathTree` adds up. A step costs 1 besides (at most
// MAX_HOP_COST in all), so that a penalty above that decides alone and a smaller one weighs against the length.
//
// A path should start at what the programmer knows (a module of the program) and go through attributes and entries. What
// CPython holds for its own purposes (types, modules' globals behind functions, caches, registries) comes last.

import { EdgeKind, type HeapGraph, NONE, RootKind } from '../graph/heap-graph.ts';
import { findModuleOrigin, isStandardName, type ModuleOrigin } from './module-origin.ts';

/** Steps beyond this many cost nothing more: a long list is not a reason to prefer a worse root. */
export const MAX_HOP_COST = 32;
/** No root and no step costs more than this. */
export const MAX_STEP_COST = 250;

const ROOT_PENALTY: Record<RootKind, number> = {
  [RootKind.module]: 0,
  [RootKind.local]: 6,
  [RootKind.thread]: 12,
  [RootKind.interpreter]: 56,
  [RootKind.type]: 64,
  [RootKind.interned]: 72,
  [RootKind.native]: 80,
  [RootKind.lostReference]: 88,
};

const MODULE_PENALTY: Record<ModuleOrigin, number> = { application: 0, library: 10, standard: 40 };

/** Of a module that is no one's to import: `concurrent.futures._base`. */
const PRIVATE_MODULE_PENALTY = 2;

/** Of a local in a frame of the standard library: `run_forever (base_events.py:603)`. */
const STANDARD_FRAME_PENALTY = 4;
/**
 * Per frame from the outermost on, of roots in frames: what runs for a moment only (a request's handler) lies deep, and a
 * path through it is there in one capture and not in the next. Outer frames stay.
 */
const FRAME_DEPTH_PENALTY = 2;
const MAX_DEPTH_PENALTY = 48;
/** Of threads that are not the main one: they may end. */
const OTHER_THREAD_PENALTY = 6;

/** Roots that come and go with what the program looks up: nobody's reason to keep an object. */
const CACHE_ROOTS: ReadonlySet<string> = new Set(['type_cache', 'method_cache']);

const EDGE_PENALTY: Record<EdgeKind, number> = {
  [EdgeKind.internal]: 4,
  [EdgeKind.attribute]: 0,
  [EdgeKind.item]: 0,
  [EdgeKind.dictKey]: 1,
  [EdgeKind.dictValue]: 0,
  [EdgeKind.namedValue]: 0,
  [EdgeKind.local]: 0,
  [EdgeKind.instanceDict]: 0,
  [EdgeKind.setItem]: 0,
  [EdgeKind.type]: 60,
  [EdgeKind.conservative]: 30,
  [EdgeKind.stackValue]: 1,
};

/** By name of attribute or C field. */
const LABEL_PENALTY: Readonly<Record<string, number>> = {
  __globals__: 60,
  __builtins__: 60,
  f_globals: 60,
  f_builtins: 60,
  __subclasses__: 60,
  tp_subclasses: 60,
  tp_cache: 60,
  tp_mro: 60,
  __mro__: 60,
  __base__: 60,
  __bases__: 60,
  tp_base: 60,
  tp_bases: 60,
  __class__: 60,
  __module__: 40,
  __spec__: 60,
  __loader__: 60,
  __orig_bases__: 40,
  __objclass__: 40,
  _abc_impl: 40,
  _abc_registry: 40,
  _abc_cache: 40,
  ht_cached_keys: 40,
  ht_module: 60,
  f_back: 16,
  __annotations__: 10,
  __annotate__: 10,
};

/** By type of the object that the step leads to. */
const TYPE_PENALTY: Readonly<Record<string, number>> = {
  module: 60,
  mappingproxy: 5,
  builtin_function_or_method: 3,
  method_descriptor: 8,
  wrapper_descriptor: 8,
  getset_descriptor: 8,
  member_descriptor: 8,
  classmethod_descriptor: 8,
  // What is in a cache is at home elsewhere, if it has a home.
  'functools._lru_cache_wrapper': 15,
};

/** A class is a step like any other if it is the program's, and a detour if it is Python's, but from its own module. */
const CLASS_PENALTY = 2;
const STANDARD_CLASS_PENALTY = 30;

/**
 * Objects of the standard library of which there is one, and where everybody knows it from: `logging.Logger.manager`. From
 * elsewhere (any logger of any module) the step to it is a detour.
 */
const SINGLETON_HOMES: Readonly<Record<string, string>> = {
  'logging.Manager': 'logging.Logger',
  'logging.RootLogger': 'logging',
};
const SINGLETON_PENALTY = 60;

export interface AwayCost {
  penalty: number;
  /** The module or class whose attribute the object is; NONE if it is not known. */
  home: number;
}

export interface PathCosts {
  /** Per root. */
  root: Uint8Array;
  /** Per EdgeKind. */
  edgeKind: Uint8Array;
  /** Per string, for the kinds whose label is one. */
  label: Uint8Array;
  /** Per row of `types`: for a step to one of its objects. */
  type: Uint8Array;
  /** Nodes to which a step costs more unless it comes from their home; their types have a penalty, so few ask. */
  away: ReadonlyMap<number, AwayCost>;
}

export function computePathCosts(graph: HeapGraph): PathCosts {
  const { types } = graph;
  const metatypes = new Set<number>();
  for (const { node } of types) if (node !== NONE) metatypes.add(graph.typeId[node]);
  return {
    root: computeRootPenalties(graph),
    edgeKind: Uint8Array.from(
      { length: 256 },
      (_, kind) => EDGE_PENALTY[kind as EdgeKind] ?? MAX_HOP_COST,
    ),
    label: Uint8Array.from(graph.strings, (text) =>
      Object.hasOwn(LABEL_PENALTY, text) ? LABEL_PENALTY[text] : 0,
    ),
    type: Uint8Array.from(types, ({ name }, row) => {
      if (metatypes.has(row) || Object.hasOwn(SINGLETON_HOMES, name)) return CLASS_PENALTY;
      return Object.hasOwn(TYPE_PENALTY, name) ? TYPE_PENALTY[name] : 0;
    }),
    away: findAwayCosts(graph),
  };
}

function findAwayCosts(graph: HeapGraph): Map<number, AwayCost> {
  const { types, typeId, rootKind, rootLabel, rootNode, strings } = graph;
  const nodeByName = new Map<string, number>();
  for (let root = rootNode.length - 1; root >= 0; root--) {
    const isModule = rootKind[root] === RootKind.module && rootLabel[root] !== NONE;
    if (isModule) nodeByName.set(strings[rootLabel[root]], rootNode[root]);
  }
  const away = new Map<number, AwayCost>();
  for (const { name, node } of types) {
    if (node === NONE || !isStandardName(name)) continue;
    const home = nodeByName.get(name.slice(0, name.lastIndexOf('.'))) ?? NONE;
    away.set(node, { penalty: STANDARD_CLASS_PENALTY, home });
    nodeByName.set(name, node);
  }
  const singletons = types.map(({ name }) =>
    Object.hasOwn(SINGLETON_HOMES, name) ? SINGLETON_HOMES[name] : undefined,
  );
  if (singletons.every((home) => home === undefined)) return away;
  for (let node = 0; node < graph.nodeCount; node++) {
    const home = singletons[typeId[node]];
    if (home === undefined) continue;
    away.set(node, { penalty: SINGLETON_PENALTY, home: nodeByName.get(home) ?? NONE });
  }
  return away;
}

function computeRootPenalties(graph: HeapGraph): Uint8Array {
  const penalties = Uint8Array.from(graph.rootNode, (_, root) => rootPenalty(graph, root));
  for (const { roots, depth } of findFrameRoots(graph)) {
    const inMain = !graph.strings[graph.rootLabel[roots[0]]].includes(' in thread ');
    const penalty =
      Math.min(MAX_DEPTH_PENALTY, depth * FRAME_DEPTH_PENALTY) +
      (inMain ? 0 : OTHER_THREAD_PENALTY);
    for (const root of roots) penalties[root] += penalty;
  }
  return penalties;
}

/** The roots in each frame, and how many frames lie outside of it. Roots come thread by thread, the innermost frame first. */
function findFrameRoots(graph: HeapGraph): { roots: number[]; depth: number }[] {
  const frames: { roots: number[]; text: string; thread: string; depth: number }[] = [];
  for (let root = 0; root < graph.rootNode.length; root++) {
    const kind = graph.rootKind[root];
    if (kind !== RootKind.local && kind !== RootKind.thread) continue;
    const label = graph.rootLabel[root] === NONE ? '' : graph.strings[graph.rootLabel[root]];
    const text = /^(?:local '[^']*' of|value in use by|frame) (.*)$/.exec(label)?.[1];
    if (text === undefined) continue;
    const before = frames.at(-1);
    if (before?.text === text) before.roots.push(root);
    else {
      const thread = / in thread .*$/.exec(text)?.[0] ?? '';
      frames.push({ roots: [root], text, thread, depth: 0 });
    }
  }
  for (let i = frames.length - 2; i >= 0; i--) {
    const outer = frames[i + 1];
    if (outer.thread === frames[i].thread) frames[i].depth = outer.depth + 1;
  }
  return frames;
}

function rootPenalty(graph: HeapGraph, root: number): number {
  const kind = graph.rootKind[root] as RootKind;
  const labelId = graph.rootLabel[root];
  const label = labelId === NONE ? '' : graph.strings[labelId];
  if (kind === RootKind.module) {
    const origin = findModuleOrigin(graph, graph.rootNode[root], label);
    // `logging` is nearer to everyone than `concurrent.futures._base`.
    const inner = origin === 'standard' ? 3 * Math.min(3, label.split('.').length - 1) : 0;
    const isPrivate = /(^|\.)_(?!_)/.test(label);
    return MODULE_PENALTY[origin] + inner + (isPrivate ? PRIVATE_MODULE_PENALTY : 0);
  }
  if (kind === RootKind.interned && CACHE_ROOTS.has(label)) return MAX_STEP_COST;
  const penalty = ROOT_PENALTY[kind] ?? MAX_STEP_COST;
  const inStandardFrame = kind === RootKind.local && /\/lib\/python3\.\d+\/(?!site-)/.test(label);
  return inStandardFrame ? penalty + STANDARD_FRAME_PENALTY : penalty;
}
