// Turns a table of sites into the report of both tools: which sites speak for a leak, the verdict with its reasons, and
// for each site a piece of advice that fits what was lost there.

import { formatBytes, formatNumberOf } from '../base/format.ts';
import type { NativeLosses, NativeSite, NativeSitesReport } from '../report/native-sites-schema.ts';
import { findCythonSource } from './cython-source.ts';
import type { FoundProgram } from './find-program.ts';
import { foldStack, type Losses, type LossSite, type SiteTable } from './loss-sites.ts';

/** What both reports have, without the name of the schema. */
export type SitesReport = Omit<NativeSitesReport, 'schema'>;
type Verdict = Pick<SitesReport, 'verdict' | 'summary' | 'reasons' | 'nextMeasurement'>;

export type SitesRun = Omit<SitesReport, keyof Verdict | 'sites' | 'interpreter' | 'program'> & {
  program: SitesReport['program'];
  /** Why `complete` is false, and what to do. */
  incomplete: { reason: string; next: string } | undefined;
};

/**
 * Memory that was not freed may be lost or kept. It is taken for a leak where it grew in every quarter of a run of some
 * length, and for a cache or table where it is a few blocks; what is between is not decided.
 */
const STEADY_SECONDS = 2;
const FEW = { blocks: 10, bytes: 1_000_000 };
const MAX_SITES = 1000;
const MAX_STACK_ROWS = 40;

export function buildSitesReport(table: SiteTable, run: SitesRun): SitesReport {
  const { incomplete, ...facts } = run;
  const sites = [...table.sites.values()]
    .map((site) => buildSite(site, run))
    .sort(
      (a, b) =>
        Number(b.counts) - Number(a.counts) ||
        b.bytes + b.holdsBytes - (a.bytes + a.holdsBytes) ||
        b.blocks - a.blocks,
    );
  const notes = [...run.notes];
  if (sites.length > MAX_SITES) {
    notes.push(`${sites.length - MAX_SITES} more sites are left out of this report`);
  }
  return {
    ...facts,
    ...decideVerdict(sites, run, incomplete),
    sites: sites.slice(0, MAX_SITES),
    interpreter: namedLosses(table.interpreter),
    notes,
  };
}

const namedLosses = (losses: Losses): NativeLosses => ({
  definite: losses.definite,
  indirect: losses.indirect,
  possible: losses.possible,
  notFreed: losses['not-freed'],
});

function buildSite(site: LossSite, run: SitesRun): NativeSite {
  const { definite, possible, indirect, 'not-freed': notFreed } = site.losses;
  const blocks = definite.blocks + possible.blocks + notFreed.blocks;
  const isLost = definite.blocks + possible.blocks > 0;
  return {
    kind: findKind(site.losses),
    bytes: definite.bytes + possible.bytes + notFreed.bytes,
    blocks,
    losses: namedLosses(site.losses),
    holdsBytes: site.holdsBytes,
    counts: !site.atImport && (isLost || growsSteadily(site, run)),
    once: site.atImport,
    function: site.function ?? null,
    library: site.library,
    file: site.file ?? null,
    line: site.line ?? null,
    python: site.pythonName ?? null,
    pythonSource: findCythonSource(site.file, site.line) ?? null,
    module: site.module ?? null,
    allocator: site.allocator ?? null,
    makesObject: site.makesObject,
    history: site.history === undefined ? null : [...site.history],
    records: site.records,
    stack: foldStack(site.frames)
      .slice(0, MAX_STACK_ROWS)
      .map((row) => ({
        function: row.function ?? null,
        library: row.library,
        file: row.file ?? null,
        line: row.line ?? null,
        folded: row.folded,
      })),
    advice: formatAdvice(site, indirect.blocks > 0 && blocks === 0),
  };
}

function growsSteadily({ history, losses }: LossSite, run: SitesRun): boolean {
  if (history === undefined || !run.finalized || run.program.seconds < STEADY_SECONDS) return false;
  const [first, second, third, last] = history;
  return (
    losses['not-freed'].blocks >= FEW.blocks && first < second && second < third && third < last
  );
}

const isFew = ({ losses: { notFreed } }: NativeSite): boolean =>
  notFreed.blocks < FEW.blocks && (notFreed.blocks <= 1 || notFreed.bytes < FEW.bytes);

function findKind(losses: Losses): NativeSite['kind'] {
  if (losses['not-freed'].blocks > 0) return 'not-freed';
  if (losses.definite.blocks > 0) return 'definite';
  return losses.possible.blocks > 0 ? 'possible' : 'indirect';
}

function formatAdvice(site: LossSite, onlyIndirect: boolean): string {
  const where = site.line === undefined ? 'here' : `at line ${site.line}`;
  if (onlyIndirect) {
    return 'Only lost blocks lead to these. Free the blocks that hold them, in the sites above, and these with them.';
  }
  if (site.atImport) {
    return 'Allocated while the module was imported: once in a process, which is no growth.';
  }
  if (site.makesObject) {
    return `The object that ${site.allocator} made ${where} has a reference that nobody gives up: a Py_DECREF is missing, or a function that steals references was expected to take it.`;
  }
  if (site.pythonName?.endsWith('__cinit__') === true || site.pythonName?.endsWith('__init__')) {
    return `Free what ${site.pythonName} allocates ${where} in __dealloc__, and before it is allocated again.`;
  }
  const what = site.allocator === undefined ? 'allocated' : `allocated with ${site.allocator}`;
  return `Free what is ${what} ${where} when its last pointer goes: in tp_dealloc or the destructor, on error paths, and before the pointer is overwritten.`;
}

function decideVerdict(
  sites: readonly NativeSite[],
  run: SitesRun,
  incomplete: SitesRun['incomplete'],
): Verdict {
  const counted = sites.filter((site) => site.counts);
  const reasons = listReasons(sites, run);
  if (counted.length > 0) {
    const bytes = counted.reduce((sum, site) => sum + site.bytes + site.holdsBytes, 0);
    if (incomplete !== undefined) reasons.push(incomplete.reason);
    return {
      verdict: 'leak',
      summary: `${formatNumberOf(counted.length, 'place')} in native code ${run.tool.name === 'heaptrack' ? 'kept growing and did not free' : 'lost'} ${formatBytes(bytes)}`,
      reasons,
      nextMeasurement: null,
    };
  }
  if (incomplete !== undefined) {
    return {
      verdict: 'inconclusive',
      summary: 'no leak is known, because the program was not checked to its end',
      reasons: [incomplete.reason, ...reasons],
      nextMeasurement: incomplete.next,
    };
  }
  const unsure = sites.filter((site) => site.kind === 'not-freed' && !site.once && !isFew(site));
  if (unsure.length > 0) {
    const bytes = unsure.reduce((sum, site) => sum + site.bytes, 0);
    return {
      verdict: 'inconclusive',
      summary: `${formatNumberOf(unsure.length, 'place')} in native code did not free ${formatBytes(bytes)}: lost, or kept to the end`,
      reasons: [
        run.finalized
          ? `heaptrack does not see whether a block is still in use, and none grew in every quarter of a run of ${STEADY_SECONDS} s or more`
          : 'heaptrack does not see whether a block is still in use, and a signal ended the program with all that it used',
        ...reasons,
      ],
      nextMeasurement: 'leakscope valgrind -- CMD, or a longer run with more load',
    };
  }
  return {
    verdict: 'no-leak',
    summary: 'no extension lost memory in this run',
    reasons,
    nextMeasurement: null,
  };
}

function listReasons(sites: readonly NativeSite[], run: SitesRun): string[] {
  const reasons: string[] = [];
  const once = sites.filter((site) => site.once).length;
  if (once > 0) {
    reasons.push(
      `${formatNumberOf(once, 'place')} allocated while a module was imported: once, and no growth`,
    );
  }
  const few = sites.filter((site) => site.kind === 'not-freed' && !site.once && isFew(site));
  if (few.length > 0) {
    reasons.push(
      `${formatNumberOf(few.length, 'place')} did not free a few small blocks: taken for caches, as leaks repeat`,
    );
  }
  if (!run.finalized && run.tool.name !== 'heaptrack') {
    reasons.push(
      'the interpreter kept many of its objects to the end (a signal, os._exit, modules that stay), so only what is definitely lost counts',
    );
  }
  return reasons;
}

/** What the user should know about the program that was run. */
export function listProgramNotes(
  program: FoundProgram,
  isPython: boolean,
  processes: number,
): string[] {
  const notes: string[] = [];
  if (!isPython) {
    notes.push(
      'this is not a Python program: its own functions are told like those of an extension',
    );
  }
  const flags = program.isPython
    ? program.command.slice(1).filter((part) => /^-\w+$/.test(part))
    : [];
  if (program.isPython && /^-\w*[EI]/.test(flags[0] ?? '')) {
    notes.push(
      `Python's option ${flags[0]} ignores PYTHONMALLOC: objects of extensions are not seen`,
    );
  }
  if (processes > 1)
    notes.push(`${processes} programs were checked; losses at the same place are added up`);
  return notes;
}
