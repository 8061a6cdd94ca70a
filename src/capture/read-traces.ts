// What tracemalloc has recorded, out of a copy of the target: the traces by themselves, or with the objects of a graph
// and the names of functions. Costs nothing while the tracer is off.

import { MemoryReadError } from '../base/errors.ts';
import { PairIndex } from '../base/pair-index.ts';
import { Problems } from '../base/problems.ts';
import type { RuntimeLocation } from '../cpython/find-runtime.ts';
import { findFunctionNames } from '../cpython/function-names.ts';
import type { OwnBlock } from '../cpython/hashtables.ts';
import { findTracer } from '../cpython/tracemalloc-state.ts';
import { decodeTraces } from '../cpython/tracemalloc-tables.ts';
import type { AllocationTraces, GraphTraces, TracerState } from '../graph/allocation-traces.ts';
import { type CaptureFacts, NONE } from '../graph/heap-graph.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { SortedObjects } from './sort-found.ts';

const TWO_32 = 2 ** 32;

export interface FoundTraces {
  tracer: TracerState;
  /** There if the tracer was on and could be read. */
  traces?: AllocationTraces | undefined;
  problems?: Problems | undefined;
  method?: string | undefined;
}

/** Traces without a graph. */
export interface TraceCapture {
  traces: AllocationTraces | undefined;
  /** `tracer` is there. */
  capture: CaptureFacts;
}

/** `own` is told of the tracer's own blocks. Never throws. Some 0.3 microseconds a trace. */
export function readTraces(
  image: MemoryImage,
  location: RuntimeLocation,
  problems: Problems,
  own?: OwnBlock,
): FoundTraces {
  const found = findTracer(image, location);
  if (found.state === 'off') return { tracer: { state: 'off' } };
  if (found.state === 'unreadable') return { tracer: found };
  try {
    const traces = decodeTraces(image, location, found, problems, own);
    return { tracer: { state: 'on' }, traces, problems, method: found.method };
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
    return { tracer: { state: 'unreadable', reason: 'its tables were not copied' } };
  }
}

/** `facts`: of the copy. */
export function buildTraceCapture(
  { tracer, traces, problems = new Problems(), method }: FoundTraces,
  facts: Omit<CaptureFacts, 'problems' | 'coverage' | 'python' | 'build'>,
  { version, build, method: location }: RuntimeLocation,
): TraceCapture {
  return {
    traces,
    capture: {
      ...facts,
      python: version.text,
      build,
      method: [...location, ...facts.method, ...(method === undefined ? [] : [method])],
      tracer,
      problems: problems.list(),
      coverage: 1,
    },
  };
}

/** Joins traces with the objects of a graph. About 0.1 microseconds a trace and an object. */
export function buildGraphTraces(
  traces: AllocationTraces,
  sorted: SortedObjects,
  location: RuntimeLocation,
): GraphTraces {
  const { found } = sorted;
  const named = findFunctionNames(found, location, traces);
  return {
    ...traces,
    siteFunction: named.siteFunction,
    facts: { ...traces.facts, functions: named.functions },
    nodeTrace: findNodeTraces(traces, sorted),
  };
}

/** Per node: the trace of domain 0 whose block begins where the object's block does. */
function findNodeTraces(traces: AllocationTraces, { found }: SortedObjects): Uint32Array {
  const { traceAddress, traceDomain } = traces;
  const { image, types } = found;
  const traceCount = traceAddress.length;
  const rows = new PairIndex(traceCount);
  const traceOfRow = new Uint32Array(traceCount);
  for (let trace = 0; trace < traceCount; trace++) {
    if (traceDomain[trace] !== 0) continue;
    const address = traceAddress[trace];
    const hi = Math.floor(address / TWO_32);
    traceOfRow[rows.add(address - hi * TWO_32, hi)] = trace;
  }
  const nodeTrace = new Uint32Array(found.word.length).fill(NONE);
  const words = found.word.array;
  const typeIds = found.typeId.array;
  let runEnd = 0;
  let difference = 0;
  for (let node = 0; node < nodeTrace.length; node++) {
    const word = words[node];
    // Words ascend: within a run the difference is the same.
    if (word >= runEnd) {
      runEnd = image.runEnd(word);
      difference = image.addressOfWord(word) - word * 8;
    }
    const address = word * 8 + difference - types[typeIds[node]].preheaderBytes;
    const hi = Math.floor(address / TWO_32);
    const row = rows.find(address - hi * TWO_32, hi);
    if (row >= 0) nodeTrace[node] = traceOfRow[row];
  }
  return nodeTrace;
}
