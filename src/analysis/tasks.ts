// The asyncio tasks of a graph: name, state, where their coroutine stands, what they wait for and which tasks that is,
// and groups of tasks that wait on the same line, so that thousands of stuck tasks are one row.
// Source: Lib/asyncio/tasks.py, taskgroups.py, futures.py (3.8 to 3.15). Loops of other makes (uvloop) have the same tasks.

import { type Execution, FutureState, findRow, GeneratorState } from '../graph/execution.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { findAttribute } from './attributes.ts';
import { type ChainStep, findAwaitChain, findLocal, findStr } from './await-chain.ts';
import { findFileOrigin, nameWithModule } from './code-origin.ts';

export type TaskState = 'pending' | 'running' | 'done' | 'failed' | 'cancelled';

export interface TaskFacts {
  node: NodeIndex;
  name: string;
  state: TaskState;
  /** Pending, and nothing holds it up: it goes on when its loop comes to it. */
  isReady: boolean;
  /** The event loop; undefined if unknown. */
  loop: NodeIndex | undefined;
  /** What the task runs: `app.Broker.pump`; the type of its coroutine if that has no name. */
  coroutine: string;
  /** Where its coroutine stands, the outermost first; empty for one that has ended, and for coroutines of C extensions. */
  stack: ChainStep[];
  /** The line of the program at which it waits: that of the innermost step which is no library. */
  place: ChainStep | undefined;
  /** `asyncio.Queue.get`; undefined if it waits for nothing that is known. */
  waitsFor: string | undefined;
  /** The future that it waits for. */
  waitsOn: NodeIndex | undefined;
  /** Tasks whose end it waits for. */
  awaits: NodeIndex[];
  /** The exception with which it failed. */
  exception: NodeIndex | undefined;
}

/** All tasks, in order of address. About 20 microseconds a task. Empty where the graph does not know (an older file). */
export function computeTasks(graph: HeapGraph): TaskFacts[] {
  const { execution } = graph;
  if (execution === undefined) return [];
  const { futureNode, futureIsTask } = execution;
  const running = findRunning(execution);
  const tasks: TaskFacts[] = [];
  for (let row = 0; row < futureNode.length; row++) {
    if (futureIsTask[row] === 1) tasks.push(buildTask(graph, execution, futureNode[row], running));
  }
  return tasks;
}

/** Row of the innermost frame of its thread, and of its own frame, of each coroutine that runs. */
type RunningCoroutines = ReadonlyMap<NodeIndex, { first: number; own: number }>;

function findRunning({ facts, frameGenerator }: Execution): RunningCoroutines {
  const running = new Map<NodeIndex, { first: number; own: number }>();
  for (const { firstFrame, frameCount } of facts.threads) {
    for (let row = firstFrame; row < firstFrame + frameCount; row++) {
      const node = frameGenerator[row];
      if (node !== NONE) running.set(node, { first: firstFrame, own: row });
    }
  }
  return running;
}

function buildTask(
  graph: HeapGraph,
  execution: Execution,
  node: NodeIndex,
  running: RunningCoroutines,
): TaskFacts {
  const coro = findValue(graph, node, '_coro');
  const exception = findValue(graph, node, '_exception');
  const frames = coro === undefined ? undefined : running.get(coro);
  const state = stateOf(graph, execution, node, frames !== undefined, exception !== undefined);
  const isPending = state === 'pending' || state === 'running';
  const chain =
    coro === undefined || !isPending
      ? { steps: [], end: undefined }
      : findAwaitChain(graph, execution, coro);
  const stack = frames === undefined ? chain.steps : stackOfRunning(execution, frames);
  const waitsOn = state === 'pending' ? findValue(graph, node, '_fut_waiter') : undefined;
  const at = findPlace(stack);
  const isReady =
    state === 'pending' &&
    (waitsOn === undefined || readFutureState(graph, execution, waitsOn) !== FutureState.pending);
  return {
    node,
    name: nameOfTask(graph, node),
    state,
    isReady,
    loop: findValue(graph, node, '_loop'),
    coroutine: coro === undefined ? '' : nameOfCoroutine(graph, coro, chain.steps[0]),
    stack,
    place: stack[at],
    waitsFor: state === 'pending' ? describeWait(graph, execution, stack, at, waitsOn) : undefined,
    waitsOn,
    awaits: isPending ? findAwaitedTasks(graph, execution, stack, waitsOn) : [],
    exception: state === 'failed' ? exception : undefined,
  };
}

// --- One task -----------------------------------------------------------------------------------------------------------

/** The value of an attribute that is not None. */
function findValue(graph: HeapGraph, node: NodeIndex, name: string): NodeIndex | undefined {
  const value = findAttribute(graph, node, (each) => each === name)?.value;
  return value === undefined || typeNameOf(graph, value) === 'NoneType' ? undefined : value;
}

/** Since 3.13 a name that was not given is a number until somebody asks for it. */
function nameOfTask(graph: HeapGraph, node: NodeIndex): string {
  const name = findValue(graph, node, '_name');
  if (name === undefined) return '';
  return findStr(graph, name) ?? `Task-${findPreview(graph, name) ?? '?'}`;
}

function nameOfCoroutine(graph: HeapGraph, coro: NodeIndex, step: ChainStep | undefined): string {
  if (step !== undefined) return nameWithModule(step.function, step.file);
  const preview = findPreview(graph, coro);
  return /^<\w+ (.+?)(?: at .*)?>$/.exec(preview ?? '')?.[1] ?? typeNameOf(graph, coro);
}

function stateOf(
  graph: HeapGraph,
  execution: Execution,
  node: NodeIndex,
  isRunning: boolean,
  hasFailed: boolean,
): TaskState {
  switch (readFutureState(graph, execution, node)) {
    case FutureState.cancelled:
      return 'cancelled';
    case FutureState.finished:
      return hasFailed ? 'failed' : 'done';
    default:
      return isRunning ? 'running' : 'pending';
  }
}

/** Of a Python class by its attribute; undefined for what is no future. */
function readFutureState(
  graph: HeapGraph,
  execution: Execution,
  node: NodeIndex,
): FutureState | undefined {
  const row = findRow(execution.futureNode, node);
  if (row < 0) return undefined;
  const state = execution.futureState[row] as FutureState;
  if (state !== FutureState.inAttribute) return state;
  const value = findValue(graph, node, '_state');
  const text = value === undefined ? undefined : findStr(graph, value);
  if (text === 'CANCELLED') return FutureState.cancelled;
  return text === 'FINISHED' ? FutureState.finished : FutureState.pending;
}

/** The frames of a thread from the task's own inward. */
function stackOfRunning(
  execution: Execution,
  { first, own }: { first: number; own: number },
): ChainStep[] {
  const { frameCode, frameLine, frameGenerator, facts } = execution;
  const stack: ChainStep[] = [];
  for (let row = own; row >= first; row--) {
    const { qualname, file } = facts.codes[frameCode[row]];
    const node = frameGenerator[row];
    const state = GeneratorState.running;
    stack.push({ node, function: qualname, file, line: frameLine[row], state });
  }
  return stack;
}

// --- What it waits for --------------------------------------------------------------------------------------------------

/** The innermost step that is the program's; without one, of a library; without one, the outermost. */
function findPlace(stack: readonly ChainStep[]): number {
  const at = stack.findLastIndex(({ file }) => findFileOrigin(file) === 'application');
  if (at >= 0) return at;
  return Math.max(
    0,
    stack.findLastIndex(({ file }) => findFileOrigin(file) === 'library'),
  );
}

/** What the step at `at` has called, in the words of the program: `asyncio.Queue.get`, `asyncio.gather`, `task Task-7`. */
function describeWait(
  graph: HeapGraph,
  execution: Execution,
  stack: readonly ChainStep[],
  at: number,
  waitsOn: NodeIndex | undefined,
): string | undefined {
  if (stack.length > 0 && stack[0].state === GeneratorState.created) return 'its first step';
  // A task that runs nothing of the program's: asyncio.sleep by itself.
  const own = stack[at];
  if (own !== undefined && findFileOrigin(own.file) === 'standard') {
    return nameWithModule(own.function, own.file);
  }
  let called = stack[at + 1];
  // `async with lock` awaits Lock.acquire.
  if (called?.function.endsWith('.__aenter__') && stack.length > at + 2) called = stack[at + 2];
  const isFuture = called === undefined || /(^|\.)Future\.__await__$/.test(called.function);
  if (!isFuture) {
    const name = nameWithModule(called.function, called.file);
    const inner = stack.length > at + 2 ? stack[at + 2] : undefined;
    // What is in the time limit says more than the limit.
    return name === 'asyncio.wait_for' && inner !== undefined
      ? `${name} of ${nameWithModule(inner.function, inner.file)}`
      : name;
  }
  if (waitsOn === undefined) return undefined;
  const row = findRow(execution.futureNode, waitsOn);
  if (row >= 0 && execution.futureIsTask[row] === 1) return `task ${nameOfTask(graph, waitsOn)}`;
  const type = typeNameOf(graph, waitsOn);
  if (type.endsWith('._GatheringFuture')) return 'asyncio.gather';
  return type.replace(/^_asyncio\./, 'asyncio.').replace(/^asyncio\.\w+\./, 'asyncio.');
}

/** At most this many tasks that one waits for. */
const MAX_AWAITED = 100_000;

function findAwaitedTasks(
  graph: HeapGraph,
  execution: Execution,
  stack: readonly ChainStep[],
  waitsOn: NodeIndex | undefined,
): NodeIndex[] {
  const holders: (NodeIndex | undefined)[] = [];
  if (waitsOn !== undefined) {
    if (isTask(execution, waitsOn)) return [waitsOn];
    // asyncio.gather
    holders.push(findValue(graph, waitsOn, '_children'));
  }
  const inner = stack.at(-1);
  if (inner !== undefined && inner.node !== NONE) {
    if (inner.function === '_wait') holders.push(findLocal(graph, inner.node, 'fs'));
    else if (inner.function === 'wait_for') {
      const fut = findLocal(graph, inner.node, 'fut');
      if (fut !== undefined && isTask(execution, fut)) return [fut];
    } else if (inner.function === 'TaskGroup.__aexit__' || inner.function === 'TaskGroup._aexit') {
      const group = findLocal(graph, inner.node, 'self');
      holders.push(group === undefined ? undefined : findValue(graph, group, '_tasks'));
    }
  }
  return holders.flatMap((holder) =>
    holder === undefined ? [] : listTasksIn(graph, execution, holder),
  );
}

function isTask({ futureNode, futureIsTask }: Execution, node: NodeIndex): boolean {
  const row = findRow(futureNode, node);
  return row >= 0 && futureIsTask[row] === 1;
}

/** The tasks among the items of a list, tuple or set. */
function listTasksIn(graph: HeapGraph, execution: Execution, holder: NodeIndex): NodeIndex[] {
  const tasks: NodeIndex[] = [];
  const end = Math.min(graph.firstEdge[holder + 1], graph.firstEdge[holder] + MAX_AWAITED);
  for (let edge = graph.firstEdge[holder]; edge < end; edge++) {
    const kind = graph.edgeKind[edge];
    if (kind !== EdgeKind.item && kind !== EdgeKind.setItem) continue;
    if (isTask(execution, graph.edgeTarget[edge])) tasks.push(graph.edgeTarget[edge]);
  }
  return tasks;
}

// --- Groups -------------------------------------------------------------------------------------------------------------

/** Tasks of one state that run the same coroutine and wait on the same line for the same. */
export interface TaskGroup {
  /** What is said of it holds for all. */
  example: TaskFacts;
  tasks: TaskFacts[];
}

/** The largest first. */
export function groupTasks(tasks: readonly TaskFacts[]): TaskGroup[] {
  const groups = new Map<string, TaskGroup>();
  for (const task of tasks) {
    const { state, coroutine, place } = task;
    // Which of many tasks one waits for makes no group of its own.
    const waitsFor = task.waitsFor?.replace(/^task .*/, 'task');
    const key = JSON.stringify([
      ...[state, coroutine, waitsFor, place?.file, place?.line, place?.function],
      task.exception === undefined,
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { example: task, tasks: [task] });
    else group.tasks.push(task);
  }
  return [...groups.values()].sort((a, b) => b.tasks.length - a.tasks.length);
}
