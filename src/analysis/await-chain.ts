// What a suspended coroutine waits for: follows coroutine -> what it awaits -> ... to the future at the end, through the
// wrappers that CPython puts between. Where frames are objects (3.8 to 3.10), the awaited object is the top of the frame's
// stack; later it is an attribute of the coroutine, and of a generator of 3.11 and 3.12 the top of its own stack.
// Source: Objects/genobject.c (_PyGen_yf), Modules/_asynciomodule.c (FutureIter).
//
// Not handled: awaitables of C extensions that show nothing of what they wait for.

import { type Execution, findRow, GeneratorState } from '../graph/execution.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';

/** Deeper chains are cut off. */
const MAX_DEPTH = 10_000;
/** From here on it is looked for circles, which only damaged memory has. */
const SUSPICIOUS_DEPTH = 200;

/** One coroutine or generator of a chain, or a frame of one that runs. */
export interface ChainStep {
  /** Of the coroutine; NONE for the frame of a function. */
  node: NodeIndex;
  /** Qualified, as far as the version knows it. */
  function: string;
  /** Empty if unknown. */
  file: string;
  /** 0 if unknown. */
  line: number;
  state: GeneratorState;
}

export interface AwaitChain {
  /** The outermost first. */
  steps: ChainStep[];
  /** What the innermost one awaits; undefined if nothing is known of it. */
  end: NodeIndex | undefined;
}

const AWAITED = new Set(['cr_await', 'gi_yieldfrom', 'ag_await']);
/** Attributes that lead from a generator to its frame object. */
export const FRAME_FIELDS: readonly string[] = ['cr_frame', 'gi_frame', 'ag_frame'];
/** Types that only pass on what they wrap, and the field that leads to it. */
const WRAPPERS: Readonly<Record<string, string>> = {
  '_asyncio.FutureIter': 'future',
  async_generator_asend: 'ags_gen',
  async_generator_athrow: 'agt_gen',
  coroutine_wrapper: 'cw_coroutine',
  anext_awaitable: 'wrapped',
};

/** The chain that begins with the coroutine `node`. */
export function findAwaitChain(
  graph: HeapGraph,
  execution: Execution,
  node: NodeIndex,
): AwaitChain {
  const steps: ChainStep[] = [];
  let at: NodeIndex | undefined = node;
  let end: NodeIndex | undefined;
  const seen = new Set<NodeIndex>();
  for (let depth = 0; at !== undefined && depth < MAX_DEPTH; depth++) {
    if (depth > SUSPICIOUS_DEPTH && seen.has(at)) break;
    if (depth >= SUSPICIOUS_DEPTH) seen.add(at);
    end = at;
    const row = findRow(execution.generatorNode, at);
    if (row >= 0) steps.push(buildStep(graph, execution, row));
    const next: NodeIndex | undefined =
      row >= 0 ? findAwaited(graph, execution, at) : findWrapped(graph, at);
    if (next === undefined && row >= 0) end = undefined;
    at = next;
  }
  return { steps, end };
}

function buildStep(graph: HeapGraph, execution: Execution, row: number): ChainStep {
  const { generatorNode, generatorState, generatorCode, generatorLine, facts } = execution;
  const code = generatorCode[row] === NONE ? undefined : facts.codes[generatorCode[row]];
  const node = generatorNode[row];
  return {
    node,
    function: findOwnName(graph, node) ?? code?.qualname ?? typeNameOf(graph, node),
    file: code?.file ?? '',
    line: generatorLine[row],
    state: generatorState[row] as GeneratorState,
  };
}

/** `__qualname__` of a coroutine: code objects have it since 3.11 only. */
export function findOwnName(graph: HeapGraph, node: NodeIndex): string | undefined {
  const name = findField(graph, node, (label) => label === '__qualname__');
  return name === undefined ? undefined : findStr(graph, name);
}

const utf8 = new TextDecoder();

/** Of a str node, its text without quotes; as escaped and cut off as its preview is. */
export function findStr(graph: HeapGraph, node: NodeIndex): string | undefined {
  const start = graph.previewStart[node];
  const text = utf8.decode(graph.previewBytes.subarray(start, graph.previewStart[node + 1]));
  const match = /^(['"])(.*?)\1?$/s.exec(text);
  return match === null ? undefined : match[2];
}

function findAwaited(
  graph: HeapGraph,
  execution: Execution,
  node: NodeIndex,
): NodeIndex | undefined {
  const awaited = findField(graph, node, (label) => AWAITED.has(label));
  if (awaited !== undefined) return awaited;
  const frame = findField(graph, node, (label) => FRAME_FIELDS.includes(label));
  const top = findTopOfStack(graph, node) ?? (frame && findTopOfStack(graph, frame));
  if (top === undefined) return undefined;
  // A coroutine stops at nothing but an await; a generator may have other things on its stack.
  const isSure = typeNameOf(graph, node) === 'coroutine' && isSuspended(execution, node);
  return isSure || isAwaitable(graph, execution, top) ? top : undefined;
}

const isSuspended = (execution: Execution, node: NodeIndex): boolean =>
  execution.generatorState[findRow(execution.generatorNode, node)] === GeneratorState.suspended;

const isAwaitable = (graph: HeapGraph, execution: Execution, node: NodeIndex): boolean =>
  findRow(execution.generatorNode, node) >= 0 ||
  findRow(execution.futureNode, node) >= 0 ||
  Object.hasOwn(WRAPPERS, typeNameOf(graph, node));

function findWrapped(graph: HeapGraph, node: NodeIndex): NodeIndex | undefined {
  const type = typeNameOf(graph, node);
  if (!Object.hasOwn(WRAPPERS, type)) return undefined;
  return findField(graph, node, (label) => label === WRAPPERS[type]);
}

function findField(
  graph: HeapGraph,
  node: NodeIndex,
  matches: (label: string) => boolean,
): NodeIndex | undefined {
  for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
    const kind = graph.edgeKind[edge];
    if (kind !== EdgeKind.attribute && kind !== EdgeKind.internal) continue;
    const label = graph.edgeLabel[edge];
    if (label !== NONE && matches(graph.strings[label])) return graph.edgeTarget[edge];
  }
  return undefined;
}

/** Values on the stack come last, from its bottom. */
function findTopOfStack(graph: HeapGraph, node: NodeIndex): NodeIndex | undefined {
  for (let edge = graph.firstEdge[node + 1] - 1; edge >= graph.firstEdge[node]; edge--) {
    if (graph.edgeKind[edge] === EdgeKind.stackValue) return graph.edgeTarget[edge];
  }
  return undefined;
}

/** The value of a local variable of a generator, wherever its version keeps it. */
export function findLocal(graph: HeapGraph, node: NodeIndex, name: string): NodeIndex | undefined {
  const frame = findField(graph, node, (label) => FRAME_FIELDS.includes(label));
  for (const holder of frame === undefined ? [node] : [node, frame]) {
    for (let edge = graph.firstEdge[holder]; edge < graph.firstEdge[holder + 1]; edge++) {
      if (graph.edgeKind[edge] !== EdgeKind.local) continue;
      const label = graph.edgeLabel[edge];
      if (label !== NONE && graph.strings[label] === name) return graph.edgeTarget[edge];
    }
  }
  return undefined;
}
