// Sums up traced allocations by line, file, traceback or domain, and compares the sums of two moments.
// Source: Lib/tracemalloc.py (Snapshot.statistics, compare_to). One difference: in cumulative sums an allocation counts
// once in each group, however often that is on its traceback; tracemalloc counts it for each frame.

import { PairIndex } from '../base/pair-index.ts';
import {
  type AllocationTraces,
  frameOfSite,
  framesOf,
  type TraceFrame,
} from '../graph/allocation-traces.ts';
import { type AllocationFilter, compileFilters } from './allocation-filters.ts';

export type GroupBy = 'line' | 'file' | 'traceback' | 'domain';

export interface GroupOptions {
  by: GroupBy;
  filters?: readonly AllocationFilter[] | undefined;
  /** Count an allocation for every line (file) of its traceback and not only for the innermost. */
  cumulative?: boolean | undefined;
}

export interface AllocationGroups {
  /** The most bytes first. */
  groups: AllocationGroup[];
  /** Of all allocations that the filters leave. */
  totalBytes: number;
  totalCount: number;
}

export interface AllocationGroup {
  bytes: number;
  count: number;
  /** The site, the file (row of `facts.files`), the traceback or the domain itself: by what was grouped. */
  row: number;
}

/** What allocations with one traceback in one domain come to. */
interface StackSums {
  domain: Uint32Array;
  traceback: Uint32Array;
  bytes: Float64Array;
  count: Float64Array;
}

/** O(traces + frames of the tracebacks in use). */
export function groupAllocations(
  traces: AllocationTraces,
  { by, filters = [], cumulative = false }: GroupOptions,
): AllocationGroups {
  const sums = sumStacks(traces, filters);
  const groups = new Map<number, AllocationGroup>();
  const result = { totalBytes: 0, totalCount: 0 };
  const add = (row: number, bytes: number, count: number) => {
    const group = groups.get(row);
    if (group === undefined) groups.set(row, { row, bytes, count });
    else {
      group.bytes += bytes;
      group.count += count;
    }
  };
  const { firstFrame, frameSite, siteFile } = traces;
  const seenIn = new Uint32Array(by === 'file' ? traces.facts.files.length : siteFile.length);
  for (let i = 0; i < sums.traceback.length; i++) {
    const [bytes, count] = [sums.bytes[i], sums.count[i]];
    const traceback = sums.traceback[i];
    result.totalBytes += bytes;
    result.totalCount += count;
    if (by === 'domain') add(sums.domain[i], bytes, count);
    else if (by === 'traceback') add(traceback, bytes, count);
    else {
      const start = firstFrame[traceback];
      const end = cumulative
        ? firstFrame[traceback + 1]
        : Math.min(start + 1, firstFrame[traceback + 1]);
      for (let frame = start; frame < end; frame++) {
        const row = by === 'file' ? siteFile[frameSite[frame]] : frameSite[frame];
        if (seenIn[row] === i + 1) continue;
        seenIn[row] = i + 1;
        add(row, bytes, count);
      }
    }
  }
  const sorted = [...groups.values()].sort((a, b) => b.bytes - a.bytes || b.count - a.count);
  return { groups: sorted, ...result };
}

/** O(traces). */
function sumStacks(traces: AllocationTraces, filters: readonly AllocationFilter[]): StackSums {
  const { traceDomain, traceTraceback, traceSize } = traces;
  const keep = compileFilters(traces, filters);
  const rows = new PairIndex(traces.firstFrame.length);
  const stackCount = countStacks(traces, rows);
  const all: StackSums = {
    domain: new Uint32Array(stackCount),
    traceback: new Uint32Array(stackCount),
    bytes: new Float64Array(stackCount),
    count: new Float64Array(stackCount),
  };
  for (let trace = 0; trace < traceTraceback.length; trace++) {
    const row = rows.find(traceDomain[trace], traceTraceback[trace]);
    all.domain[row] = traceDomain[trace];
    all.traceback[row] = traceTraceback[trace];
    all.bytes[row] += traceSize[trace];
    all.count[row]++;
  }
  const kept = [...all.traceback.keys()].filter((row) => keep(all.domain[row], all.traceback[row]));
  return {
    domain: Uint32Array.from(kept, (row) => all.domain[row]),
    traceback: Uint32Array.from(kept, (row) => all.traceback[row]),
    bytes: Float64Array.from(kept, (row) => all.bytes[row]),
    count: Float64Array.from(kept, (row) => all.count[row]),
  };
}

function countStacks({ traceDomain, traceTraceback }: AllocationTraces, rows: PairIndex): number {
  for (let trace = 0; trace < traceTraceback.length; trace++) {
    rows.add(traceDomain[trace], traceTraceback[trace]);
  }
  return rows.length;
}

/** The frames that a group stands for: none of a domain, a file without a line of a file. */
export function framesOfGroup(
  traces: AllocationTraces,
  by: GroupBy,
  { row }: AllocationGroup,
): TraceFrame[] {
  if (by === 'domain') return [];
  if (by === 'traceback') return framesOf(traces, row);
  if (by === 'line') return [frameOfSite(traces, row)];
  return [{ file: traces.facts.files[row], line: 0, function: '' }];
}

export interface ComparedGroup extends AllocationGroup {
  bytesGrowth: number;
  countGrowth: number;
  /** The group is of the earlier moment: in the later one nothing is left of it. */
  isGone: boolean;
}

/** Groups of the later moment, and those of the earlier one that are gone, the most growth in bytes first. */
export function compareGroups(
  before: AllocationTraces,
  now: AllocationTraces,
  options: GroupOptions,
): Omit<AllocationGroups, 'groups'> & { groups: ComparedGroup[] } {
  const { by } = options;
  const earlier = groupAllocations(before, options);
  const later = groupAllocations(now, options);
  const byKey = new Map<string, AllocationGroup>();
  for (const group of earlier.groups) byKey.set(keyOf(before, by, group), group);
  const groups = later.groups.map((group): ComparedGroup => {
    const key = keyOf(now, by, group);
    const old = byKey.get(key);
    byKey.delete(key);
    return {
      ...group,
      bytesGrowth: group.bytes - (old?.bytes ?? 0),
      countGrowth: group.count - (old?.count ?? 0),
      isGone: false,
    };
  });
  for (const { row, bytes, count } of byKey.values()) {
    const gone = { bytesGrowth: -bytes, countGrowth: -count, isGone: true };
    groups.push({ row, bytes: 0, count: 0, ...gone });
  }
  groups.sort(
    (a, b) => b.bytesGrowth - a.bytesGrowth || b.countGrowth - a.countGrowth || b.bytes - a.bytes,
  );
  return { ...later, groups };
}

/** The same for the same place in two captures, whose rows differ. */
function keyOf(traces: AllocationTraces, by: GroupBy, group: AllocationGroup): string {
  if (by === 'domain') return `${group.row}`;
  return framesOfGroup(traces, by, group)
    .map(({ file, line }) => `${line} ${file}`)
    .join('\n');
}
