// Turns traces of one moment, or of two, into the report of `leakscope allocations`.

import type { AllocationFilter } from '../analysis/allocation-filters.ts';
import {
  type AllocationGroup,
  type AllocationGroups,
  type ComparedGroup,
  compareGroups,
  framesOfGroup,
  type GroupBy,
  groupAllocations,
} from '../analysis/allocation-groups.ts';
import { findAllocationSite } from '../analysis/allocation-sites.ts';
import { formatAddress } from '../base/format.ts';
import { type AllocationTraces, framesOf } from '../graph/allocation-traces.ts';
import {
  type CaptureFacts,
  type HeapGraph,
  NONE,
  type NodeIndex,
  typeNameOf,
} from '../graph/heap-graph.ts';
import type { AllocationPlace, AllocationsReport } from './allocations-schema.ts';
import type { TracedStack } from './flame-graph.ts';
import { buildCore, buildFrames, buildProblems, buildTarget } from './report-parts.ts';
import { formatRepr } from './repr-text.ts';

/** One moment: the traces are undefined where the tracer was off. */
export interface TracedMoment {
  traces: AllocationTraces | undefined;
  capture: CaptureFacts;
}

export interface AllocationsOptions {
  by: GroupBy;
  cumulative: boolean;
  filters: readonly AllocationFilter[];
  /** Places to list. */
  limit: number;
  /** The text of a line of the target's source; undefined if it cannot be had. */
  findSource: (file: string, line: number) => string | undefined;
  /** For how long leakscope had switched the tracer on; null if it had not. */
  window: AllocationsReport['window'];
}

/** `before` is compared with where its tracer was on, too. */
export function buildAllocationsReport(
  before: TracedMoment | undefined,
  now: TracedMoment,
  options: AllocationsOptions,
): AllocationsReport {
  const { traces, capture } = now;
  const compared =
    before?.traces === undefined || traces === undefined
      ? undefined
      : { groups: compareGroups(before.traces, traces, options), traces: before.traces };
  const found = compared?.groups ?? (traces && groupAllocations(traces, options));
  const earlier = compared && groupAllocations(compared.traces, options);
  return {
    schema: 'leakscope/allocations@1',
    tracing: traces !== undefined,
    tracer: traces === undefined ? null : describeTracer(traces),
    window: options.window,
    from: before === undefined ? null : buildMoment(before.capture),
    capture: buildMoment(capture),
    by: options.by,
    cumulative: options.cumulative,
    total: buildTotal(found, earlier),
    top: (found?.groups ?? [])
      .slice(0, options.limit)
      .map((group) => buildPlace(group, traces, compared?.traces, options)),
    object: null,
    target: buildTarget(capture),
    problems: buildProblems(capture.problems),
  };
}

/** The same of one object, instead of places. */
export function buildObjectAllocation(graph: HeapGraph, node: NodeIndex): AllocationsReport {
  const { traces, capture } = graph;
  const options = { by: 'line' as const, cumulative: false, filters: [], limit: 0 };
  const trace = traces?.nodeTrace[node] ?? NONE;
  return {
    ...buildAllocationsReport(
      undefined,
      { traces, capture },
      { ...options, findSource: () => undefined, window: null },
    ),
    object: {
      address: formatAddress(graph.address[node]),
      type: typeNameOf(graph, node),
      repr: formatRepr(graph, node),
      bytes: traces === undefined || trace === NONE ? null : traces.traceSize[trace],
      traceback: buildFrames(findAllocationSite(graph, node)),
    },
  };
}

const buildMoment = (capture: CaptureFacts): AllocationsReport['capture'] => ({
  at: capture.at,
  pauseMs: capture.pauseMs,
  copiedBytes: capture.copiedBytes,
  rssBytes: capture.rssBytes,
  core: buildCore(capture),
});

function describeTracer(traces: AllocationTraces): NonNullable<AllocationsReport['tracer']> {
  const { maxFrames, tracedBytes, peakBytes, tracerBytes } = traces.facts;
  return {
    maxFrames,
    tracedBytes,
    peakBytes: peakBytes ?? null,
    tracerBytes,
    traces: traces.traceAddress.length,
    tracebacks: traces.firstFrame.length - 1,
  };
}

const buildTotal = (
  now: AllocationGroups | undefined,
  before: AllocationGroups | undefined,
): AllocationsReport['total'] => ({
  bytes: now?.totalBytes ?? 0,
  count: now?.totalCount ?? 0,
  bytesGrowth: before === undefined ? null : (now?.totalBytes ?? 0) - before.totalBytes,
  countGrowth: before === undefined ? null : (now?.totalCount ?? 0) - before.totalCount,
  places: now?.groups.length ?? 0,
});

function buildPlace(
  group: AllocationGroup | ComparedGroup,
  now: AllocationTraces | undefined,
  before: AllocationTraces | undefined,
  { by, findSource }: AllocationsOptions,
): AllocationPlace {
  const compared = 'bytesGrowth' in group ? group : undefined;
  const traces = compared?.isGone === true ? before : now;
  const frames = traces === undefined ? [] : framesOfGroup(traces, by, group);
  const first = frames.at(0);
  const hasLine = first !== undefined && by !== 'file';
  return {
    file: first?.file ?? null,
    line: hasLine ? first.line : null,
    function: hasLine ? nullIfEmpty(first.function) : null,
    domain: by === 'domain' ? group.row : null,
    bytes: group.bytes,
    count: group.count,
    bytesGrowth: compared?.bytesGrowth ?? null,
    countGrowth: compared?.countGrowth ?? null,
    source: hasLine ? (findSource(first.file, first.line) ?? null) : null,
    traceback: by === 'traceback' ? buildFrames(frames) : null,
  };
}

const nullIfEmpty = (text: string): string | null => (text === '' ? null : text);

/** What a flame graph is drawn of: bytes by traceback; of two moments, what has grown. */
export function collectStacks(
  before: AllocationTraces | undefined,
  now: AllocationTraces,
  filters: readonly AllocationFilter[],
): TracedStack[] {
  const options = { by: 'traceback' as const, filters };
  const stack = (row: number, bytes: number): TracedStack => ({
    frames: framesOf(now, row),
    bytes,
  });
  if (before === undefined) {
    return groupAllocations(now, options).groups.map(({ row, bytes }) => stack(row, bytes));
  }
  return compareGroups(before, now, options)
    .groups.filter(({ isGone, bytesGrowth }) => !isGone && bytesGrowth > 0)
    .map(({ row, bytesGrowth }) => stack(row, bytesGrowth));
}
