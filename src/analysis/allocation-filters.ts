// Which allocations to look at: filters in and out with shell patterns for files, as tracemalloc's Filter and DomainFilter.
// Source: Lib/tracemalloc.py (Filter, DomainFilter, Snapshot.filter_traces).

import { compileGlob } from '../base/fnmatch.ts';
import type { AllocationTraces } from '../graph/allocation-traces.ts';

export interface AllocationFilter {
  /** Whether what fits is kept (and nothing else, unless another such filter fits), or left out. */
  inclusive: boolean;
  /** Shell pattern for the file of a frame; undefined: any. `.pyc` means `.py`. */
  file?: string | undefined;
  line?: number | undefined;
  /** Whether any frame may fit, and not only the innermost. */
  allFrames?: boolean | undefined;
  domain?: number | undefined;
}

/** Tells whether an allocation of this domain with this traceback is looked at. */
export type KeepAllocation = (domain: number, traceback: number) => boolean;

/** O(sites * filters); the function that comes out looks at each traceback once. */
export function compileFilters(
  traces: AllocationTraces,
  filters: readonly AllocationFilter[],
): KeepAllocation {
  if (filters.length === 0) return () => true;
  const compiled = filters.map((filter) => ({ filter, fits: compileOne(traces, filter) }));
  const inclusive = compiled.filter(({ filter }) => filter.inclusive);
  const exclusive = compiled.filter(({ filter }) => !filter.inclusive);
  return (domain, traceback) =>
    (inclusive.length === 0 || inclusive.some(({ fits }) => fits(domain, traceback))) &&
    !exclusive.some(({ fits }) => fits(domain, traceback));
}

const UNKNOWN = 0;
const YES = 1;
const NO = 2;

function compileOne(traces: AllocationTraces, filter: AllocationFilter): KeepAllocation {
  const { firstFrame, frameSite } = traces;
  const siteFits = matchSites(traces, filter);
  const known = new Uint8Array(firstFrame.length - 1);
  return (domain, traceback) => {
    if (filter.domain !== undefined && filter.domain !== domain) return false;
    if (known[traceback] === UNKNOWN) {
      const start = firstFrame[traceback];
      const end = filter.allFrames === true ? firstFrame[traceback + 1] : start + 1;
      known[traceback] = NO;
      for (let frame = start; frame < end; frame++) {
        if (siteFits[frameSite[frame]] === 1) known[traceback] = YES;
      }
    }
    return known[traceback] === YES;
  };
}

function matchSites(
  { siteFile, siteLine, facts }: AllocationTraces,
  { file, line }: AllocationFilter,
): Uint8Array {
  const normal = (name: string) => name.replace(/\.pyc$/, '.py');
  const isMatch = file === undefined ? () => true : compileGlob(normal(file));
  const fileFits = facts.files.map((name) => isMatch(normal(name)));
  return Uint8Array.from(siteFile, (row, site) =>
    fileFits[row] && (line === undefined || line === siteLine[site]) ? 1 : 0,
  );
}
