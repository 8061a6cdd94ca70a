// Sums loss records up per site: one line of one function of an extension. What the interpreter allocated for itself or
// for Python code is one row. The rules and what they were measured on: docs/native-tools.md.

import { findModuleName, findPythonName } from './cython-names.ts';
import type { LossKind, LossRecord, NativeFrame, Quarters } from './loss-record.ts';
import {
  findAllocator,
  findSiteFrame,
  isAtImport,
  isRuntimeFrame,
  makesObject,
} from './runtime-frames.ts';

export interface Loss {
  bytes: number;
  blocks: number;
}

export type Losses = Record<LossKind, Loss>;

export const emptyLosses = (): Losses => ({
  definite: { bytes: 0, blocks: 0 },
  indirect: { bytes: 0, blocks: 0 },
  possible: { bytes: 0, blocks: 0 },
  'not-freed': { bytes: 0, blocks: 0 },
});

export interface LossSite {
  /** undefined where the library has no symbols. */
  readonly function: string | undefined;
  readonly library: string;
  readonly file: string | undefined;
  readonly line: number | undefined;
  /** `cyleak.Foo.__cinit__`, from this frame or the nearest that called it. */
  readonly pythonName: string | undefined;
  readonly module: string | undefined;
  /** What the site called to allocate, and whether that made a Python object. */
  readonly allocator: string | undefined;
  readonly makesObject: boolean;
  /** Every record was allocated by the beginning of a module. */
  atImport: boolean;
  readonly losses: Losses;
  holdsBytes: number;
  records: number;
  history: Quarters | undefined;
  /** Call stack of the largest record. */
  frames: readonly NativeFrame[];
  largestBytes: number;
}

export interface SiteTable {
  readonly sites: Map<string, LossSite>;
  readonly interpreter: Losses;
  /** An interpreter is on one of the call stacks. */
  hasPython: boolean;
}

export const createSiteTable = (): SiteTable => ({
  sites: new Map(),
  interpreter: emptyLosses(),
  hasPython: false,
});

const addLoss = (to: Loss, bytes: number, blocks: number): void => {
  to.bytes += bytes;
  to.blocks += blocks;
};

/** Adds a record to its site, or to the interpreter's row. O(frames). */
export function addRecord(table: SiteTable, record: LossRecord): void {
  const at = findSiteFrame(record.frames);
  if (!table.hasPython) {
    table.hasPython = record.frames.some(
      (frame) => frame.function?.startsWith('_PyEval_') === true,
    );
  }
  if (at < 0) {
    addLoss(table.interpreter[record.kind], record.bytes, record.blocks);
    return;
  }
  const frame = record.frames[at];
  const key = `${frame.object}\0${frame.function ?? frame.instruction}\0${frame.file ?? ''}\0${frame.line ?? ''}`;
  let site = table.sites.get(key);
  if (site === undefined) {
    site = createSite(record, at);
    table.sites.set(key, site);
  }
  addLoss(site.losses[record.kind], record.bytes, record.blocks);
  site.holdsBytes += record.holdsBytes;
  site.records++;
  site.history = addQuarters(site.history, record.history);
  site.atImport &&= isAtImport(record.frames, at);
  if (record.bytes > site.largestBytes) {
    site.largestBytes = record.bytes;
    site.frames = record.frames;
  }
}

function createSite(record: LossRecord, at: number): LossSite {
  const frame = record.frames[at];
  const library = frame.object as string;
  const allocator = findAllocator(record.frames, at);
  return {
    function: frame.function,
    library,
    file: frame.file === undefined ? undefined : joinPath(frame.directory, frame.file),
    line: frame.line,
    pythonName: findNearestPythonName(record.frames, at),
    module: findModuleName(library.slice(library.lastIndexOf('/') + 1)),
    allocator: allocator?.function,
    makesObject: makesObject(allocator),
    atImport: true,
    losses: emptyLosses(),
    holdsBytes: 0,
    records: 0,
    history: undefined,
    frames: record.frames,
    largestBytes: record.bytes,
  };
}

const addQuarters = (a: Quarters | undefined, b: Quarters | undefined): Quarters | undefined =>
  a === undefined || b === undefined
    ? (a ?? b)
    : [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];

const joinPath = (directory: string | undefined, file: string): string =>
  directory === undefined || file.startsWith('/') ? file : `${directory}/${file}`;

/** Up to the frame at which the interpreter called the library: what is above that is another call. */
function findNearestPythonName(frames: readonly NativeFrame[], at: number): string | undefined {
  const library = frames[at].object;
  for (let i = at; i < frames.length && frames[i].object === library; i++) {
    const name = frames[i].function;
    const found = name === undefined ? undefined : findPythonName(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Adds what `from` has to `to`, for programs of several processes. */
export function mergeSiteTables(to: SiteTable, from: SiteTable): void {
  to.hasPython ||= from.hasPython;
  mergeLosses(to.interpreter, from.interpreter);
  for (const [key, site] of from.sites) {
    const known = to.sites.get(key);
    if (known === undefined) {
      to.sites.set(key, site);
      continue;
    }
    mergeLosses(known.losses, site.losses);
    known.holdsBytes += site.holdsBytes;
    known.records += site.records;
    known.atImport &&= site.atImport;
  }
}

function mergeLosses(to: Losses, from: Losses): void {
  for (const kind of Object.keys(to) as LossKind[]) {
    addLoss(to[kind], from[kind].bytes, from[kind].blocks);
  }
}

/**
 * Takes out of the sites what is no evidence of a loss and belongs to the interpreter's way of keeping objects: pointers
 * into the middle of objects with a collector's header are their usual ones, so `possible` says nothing about an object
 * (unless others of the same site are definitely lost), and about nothing at all where `finalized` is false: a program
 * that ended without finalizing its interpreter has all of its objects left.
 */
export function foldUncertain(table: SiteTable, finalized: boolean): void {
  for (const [key, site] of table.sites) {
    const { definite, possible, indirect } = site.losses;
    if (finalized && (!site.makesObject || definite.blocks > 0)) continue;
    addLoss(table.interpreter.possible, possible.bytes, possible.blocks);
    site.losses.possible = { bytes: 0, blocks: 0 };
    // Only definite losses lead to indirect ones: those stay.
    const left = definite.blocks + indirect.blocks + site.losses['not-freed'].blocks;
    if (left === 0) table.sites.delete(key);
  }
}

export interface StackRow {
  /** undefined: several frames of runtimes, or a function without a symbol. */
  function: string | undefined;
  library: string;
  file: string | undefined;
  line: number | undefined;
  /** Frames of runtimes that this row stands for; 0 for a frame of an extension. */
  folded: number;
}

/** The call stack, innermost first, with each run of runtime frames in one row that names its outermost function. */
export function foldStack(frames: readonly NativeFrame[]): StackRow[] {
  const rows: StackRow[] = [];
  for (const frame of frames) {
    const library = (frame.object ?? '').replace(/^.*\//, '');
    if (!isRuntimeFrame(frame)) {
      const file = frame.file === undefined ? undefined : joinPath(frame.directory, frame.file);
      rows.push({ function: frame.function, library, file, line: frame.line, folded: 0 });
      continue;
    }
    const last = rows[rows.length - 1];
    if (last === undefined || last.folded === 0) {
      rows.push({
        function: frame.function,
        library,
        file: undefined,
        line: undefined,
        folded: 1,
      });
    } else {
      last.folded++;
      if (frame.function !== undefined && rows.length === 1) {
        last.function = frame.function;
        last.library = library;
      }
    }
  }
  return rows;
}
