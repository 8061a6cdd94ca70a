// What the program was doing at the moment of a capture: its threads with their frames, where generators and coroutines
// stand, and the states of asyncio's futures. The part of a HeapGraph that is not in objects and references, filled by
// `src/capture/build-execution.ts`; `analysis` makes stacks and chains of tasks of it.

/** One thread that Python knows, or that only the kernel knows. */
export interface ThreadRow {
  /** `threading.get_ident()`; 0 for a thread that has no PyThreadState: it runs no Python. */
  ident: number;
  interpreterId: number;
  /** Its number as the target sees it; 0 if unknown. */
  nativeId: number;
  /** What the kernel calls it, at most 15 characters; empty if unknown. */
  kernelName: string;
  isMain: boolean;
  holdsGil: boolean;
  /** Number of the system call in which it waits (x86-64), -1 if it runs outside of one; undefined if unknown. */
  systemCall?: number | undefined;
  /** Its frames are rows [firstFrame, firstFrame + frameCount) of the frame columns, the innermost first. */
  firstFrame: number;
  frameCount: number;
  /** Whether frames are missing: the rest could not be followed, or there were too many. */
  isCutOff: boolean;
}

/** A code object that a frame or a generator runs. */
export interface CodeRow {
  name: string;
  /** `name` before 3.11. */
  qualname: string;
  file: string;
  firstLine: number;
}

export const GeneratorState = {
  /** It has not begun. */
  created: 0,
  suspended: 1,
  running: 2,
  /** It has ended: it has no line. */
  finished: 3,
} as const;
export type GeneratorState = (typeof GeneratorState)[keyof typeof GeneratorState];

export const FutureState = {
  pending: 0,
  cancelled: 1,
  finished: 2,
  /** Of a Python class: its attribute `_state` tells. */
  inAttribute: 3,
} as const;
export type FutureState = (typeof FutureState)[keyof typeof FutureState];

export interface ExecutionFacts {
  threads: ThreadRow[];
  codes: CodeRow[];
}

export interface Execution {
  readonly facts: ExecutionFacts;
  /** Per frame: row of `facts.codes`. */
  readonly frameCode: Uint32Array;
  readonly frameLine: Uint32Array;
  /** Per frame: node of the generator or coroutine that it belongs to; NONE for a function's. */
  readonly frameGenerator: Uint32Array;
  /** Frames + 1 cells: the variables that have a value, of frame i, are rows [firstLocal[i], firstLocal[i + 1]). */
  readonly firstLocal: Uint32Array;
  /** Per variable: stringId of its name, and the node of its value (of a closure's variable: the cell's). */
  readonly localName: Uint32Array;
  readonly localNode: Uint32Array;

  /** Nodes of generators, coroutines and async generators, ascending. */
  readonly generatorNode: Uint32Array;
  readonly generatorState: Uint8Array;
  /** Row of `facts.codes`; NONE if it is unknown or has ended. */
  readonly generatorCode: Uint32Array;
  /** 0 if unknown. */
  readonly generatorLine: Uint32Array;

  /** Nodes of asyncio futures and tasks, ascending. */
  readonly futureNode: Uint32Array;
  readonly futureState: Uint8Array;
  /** 1 for tasks. */
  readonly futureIsTask: Uint8Array;
}

/** Row of `node` in an ascending column; -1 if it is not there. O(log n). */
export function findRow(column: Uint32Array, node: number): number {
  let low = 0;
  let high = column.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (column[middle] < node) low = middle + 1;
    else high = middle;
  }
  return low < column.length && column[low] === node ? low : -1;
}
