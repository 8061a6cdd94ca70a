// Where blocks of memory were allocated, as Python's tracemalloc has recorded it: the part of a HeapGraph that is there
// when the tracer was on. Columns, filled by `cpython/tracemalloc-tables.ts` and `capture`.
//
// Index spaces: trace 0..traceCount-1, in no order but that those of domain 0 come first; traceback; frame, grouped by
// traceback; site = one line of one file.

/** What the tracer says of itself. */
export interface TracerFacts {
  /** Frames that a traceback has at most: `tracemalloc.get_traceback_limit()`. */
  maxFrames: number;
  /** `tracemalloc.get_traced_memory()`; the peak is undefined where it cannot be told from outside. */
  tracedBytes: number;
  peakBytes?: number | undefined;
  /**
   * What the tracer's own tables, traces and tracebacks hold; `tracemalloc.get_tracemalloc_memory()` counts the tables
   * alone. The allocator rounds each block up.
   */
  tracerBytes: number;
  /** Paths as code objects have them. */
  files: string[];
  /** Names of functions; empty where the capture did not look at code objects. */
  functions: string[];
}

export interface AllocationTraces {
  /** Per trace: where its block begins. */
  readonly traceAddress: Float64Array;
  /** Per trace: bytes that were asked for. */
  readonly traceSize: Float64Array;
  /** Per trace: 0 for Python's own allocators; extension modules have others (numpy: 389047). */
  readonly traceDomain: Uint32Array;
  /** Per trace: its traceback. */
  readonly traceTraceback: Uint32Array;

  /** tracebacks + 1 cells: the frames of traceback i are [firstFrame[i], firstFrame[i + 1]), the innermost first. */
  readonly firstFrame: Uint32Array;
  /** Per frame: its site. */
  readonly frameSite: Uint32Array;

  /** Per site: row of `facts.files`, and the line, 0 if it is not known. */
  readonly siteFile: Uint32Array;
  readonly siteLine: Uint32Array;
  /** Per site: row of `facts.functions`, NONE if it is not known. */
  readonly siteFunction: Uint32Array;

  readonly facts: TracerFacts;
}

/** The traces of a graph's objects. */
export interface GraphTraces extends AllocationTraces {
  /** Per node: the trace of the block that it begins, NONE if that was allocated before the tracer was switched on. */
  readonly nodeTrace: Uint32Array;
}

/** Whether the tracer was on, and why it could not be read if it was. */
export interface TracerState {
  state: 'off' | 'on' | 'unreadable';
  /** Completes "cannot be read: ...". */
  reason?: string | undefined;
}

/** One frame of a traceback, as texts. */
export interface TraceFrame {
  file: string;
  line: number;
  /** Empty if it is not known. */
  function: string;
}

const NO_FUNCTION = 0xffffffff;

export function frameOfSite(traces: AllocationTraces, site: number): TraceFrame {
  const { facts, siteFile, siteLine, siteFunction } = traces;
  const name = siteFunction[site];
  return {
    file: facts.files[siteFile[site]],
    line: siteLine[site],
    function: name === NO_FUNCTION ? '' : facts.functions[name],
  };
}

/** The frames of a traceback, the innermost first. */
export function framesOf(traces: AllocationTraces, traceback: number): TraceFrame[] {
  const { firstFrame, frameSite } = traces;
  const frames: TraceFrame[] = [];
  for (let i = firstFrame[traceback]; i < firstFrame[traceback + 1]; i++) {
    frames.push(frameOfSite(traces, frameSite[i]));
  }
  return frames;
}
