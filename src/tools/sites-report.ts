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

/** From here on, memory that was not freed is taken for a leak: a cache or a table is one block, or a few small ones. */
const REPEATED_BLOCKS = 10;
const REPEATED_LARGE = { blocks: 2, bytes: 1_000_000 };
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
  const isRepeated =
    notFreed.blocks >= REPEATED_BLOCKS ||
    (notFreed.blocks >= REPEATED_LARGE.blocks && notFreed.bytes >= REPEATED_LARGE.bytes);
  return {
    kind: findKind(site.losses),
    bytes: definite.bytes + possible.bytes + notFreed.bytes,
    blocks,
    losses: namedLosses(site.losses),
    holdsBytes: site.holdsBytes,
    counts:
      !site.atImport && (definite.blocks + possible.blocks > 0 || (isRepeated && run.finalized)),
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
    return `${site.allocator} ${where} returns a new reference that nobody gives up: a Py_DECREF is missing, or a function that steals it was expected to.`;
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
    const what = run.tool.name === 'heaptrack' ? 'did not free' : 'lost';
    if (incomplete !== undefined) reasons.push(incomplete.reason);
    return {
      verdict: 'leak',
      summary: `${formatNumberOf(counted.length, 'place')} in native code ${what} ${formatBytes(bytes)}`,
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
  const unsure = sites.filter((site) => !site.once && site.losses.notFreed.blocks > 0);
  if (unsure.length > 0 && !run.finalized) {
    return {
      verdict: 'inconclusive',
      summary: 'a signal ended the program, so what it still used cannot be told from a leak',
      reasons,
      nextMeasurement: 'let the program end by itself, or confirm with leakscope valgrind -- CMD',
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
  const few = sites.filter((site) => site.kind === 'not-freed' && !site.once && !site.counts);
  if (few.length > 0 && run.finalized) {
    reasons.push(
      `${formatNumberOf(few.length, 'place')} did not free a few blocks: taken for caches, as leaks repeat`,
    );
  }
  if (!run.finalized && run.tool.name !== 'heaptrack') {
    reasons.push(
      'the interpreter did not free its objects at the end (a signal or os._exit), so only what is definitely lost counts',
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
  if (processes > 1) {
    notes.push(`${processes} processes: what was lost before a fork counts in each of them`);
  }
  return notes;
}
