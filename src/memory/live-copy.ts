// A consistent copy of a running process: stops it, looks which pages it has now, copies them, continues it. Turns a
// LiveTarget into a MemoryImage with the facts of that moment (threads, mappings, resident set, pause).
//
// Everything that does not need the target to stand still is done before (room for the copy, page faults of that room) or
// after (pages that are as in their file, the image's index). Pages that are swapped out are read, and thereby swapped in.

import { AccessError } from '../base/errors.ts';
import type { AddressRange } from './address-ranges.ts';
import {
  type CopyLayout,
  type CopyRun,
  computeCopyLayout,
  type LeftOut,
  type MappingResidency,
} from './copy-layout.ts';
import { copyRun, makeCopyRoom, type PlacedRuns, placeNone, placeRun } from './copy-runs.ts';
import type { LiveTarget } from './freeze.ts';
import { waitMs } from './guard-process.ts';
import type { LiveMemory } from './live-memory.ts';
import { decodeMappings, findMapsText, type Mapping, Pagemap } from './mappings.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { MemoryImage, PAGE_SIZE, type PageRun } from './memory-image.ts';
import { findPssBytes, findRssBytes } from './process-status.ts';
import { readThreadNames, readThreadStates, type ThreadState } from './threads.ts';
import { UnchangedPages } from './unchanged-pages.ts';

/** How often the check of the caller may ask for another moment. */
const MAX_CHECKS = 100;
/** How often the room for the copy may prove too small. */
const MAX_GROWTHS = 6;
const SLACK_PAGES = (8 << 20) / PAGE_SIZE;
const SIGN_OF_LIFE_MS = 1000;

export interface CopyOptions {
  /**
   * Memory to leave out, such as the data of large arrays. Asked with no reader before the target is stopped, to know how
   * much room the copy needs, and again when it stands still.
   */
  findSkipped?: (frozen: LiveMemory | undefined) => readonly AddressRange[];
  /**
   * Asked when the target stands still and before anything is copied: whether this moment is good. If not, the target
   * is continued and stopped again a little later, at most 100 times; the last time it is copied all the same.
   */
  check?: (memory: LiveMemory) => boolean;
  /** Whether to ask for the proportional set as well: some 30 ms of the pause per GB. Default false. */
  wantsPss?: boolean;
  /** Asked before room for the copy is made. */
  budget?: MemoryBudget | undefined;
  /** Asked before the first room is made, with its bytes: whether other threads are to see the copy. Default: no. */
  isShared?: (copyBytes: number) => boolean;
}

export interface LiveCopy {
  image: MemoryImage;
  /** Of the moment of the copy. */
  mappings: Mapping[];
  threads: ThreadState[];
  /** ISO 8601, UTC. */
  at: string;
  /** Milliseconds for which the target stood still while it was copied. */
  pauseMs: number;
  /** The same with all earlier stops of this copy, which found a bad moment or too little room. */
  totalPauseMs: number;
  /** Stops that were made, at least 1. */
  tries: number;
  /** Whether `check` was content in the end; true without a check. */
  checkPassed: boolean;
  /** Bytes copied while the target stood still. */
  copiedBytes: number;
  /** Resident set of the target at that moment. */
  rssBytes: number;
  /** Resident set with shared pages divided by who shares them; undefined unless it was wanted. */
  pssBytes: number | undefined;
  /** What of each mapping is resident; swapped pages of copied ones were read, and thereby are, too. */
  residency: MappingResidency[];
  /** Resident pages of what was skipped. */
  skippedRuns: PageRun[];
  /** Anonymous pages that other processes have, too, or that are the kernel's page of zeros. */
  commonRuns: PageRun[];
  /** Bytes that should have been copied and could not be read. */
  unreadableBytes: number;
  /** Mappings that were not looked at, and why. */
  leftOut: LeftOut[];
}

/** What is known and open before the target is stopped. */
interface Copier {
  target: LiveTarget;
  pagemap: Pagemap | undefined;
  files: UnchangedPages;
  findSkipped: (frozen: LiveMemory | undefined) => readonly AddressRange[];
  mapsText: string;
  mappings: Mapping[];
  wantsPss: boolean;
  budget: MemoryBudget | undefined;
  isShared: boolean;
}

/** What a stop of the target brought. */
type Attempt =
  | { kind: 'bad moment' }
  | { kind: 'no room'; pageCount: number }
  | ({ kind: 'copied' } & FrozenState);

interface FrozenState {
  mappings: Mapping[];
  layout: CopyLayout;
  placed: PlacedRuns;
  threads: ThreadState[];
  at: string;
  rssBytes: number;
  pssBytes: number | undefined;
  checkPassed: boolean;
}

/**
 * Copies a process. Synchronous; takes about 0.3 s per GB before the stop. Throws AccessError when the target ends or
 * cannot be stopped, UnsupportedError above 16 GiB or what the budget has left.
 */
export function copyLive(target: LiveTarget, options: CopyOptions = {}): LiveCopy {
  const { pid } = target;
  target.prepare();
  const mapsText = readMapsText(pid);
  const mappings = decodeMappings(mapsText);
  const files = new UnchangedPages(pid, target.memory);
  const pagemap = Pagemap.open(pid);
  const findSkipped = options.findSkipped ?? (() => []);
  const wantsPss = options.wantsPss === true;
  const { budget } = options;
  const copier: Copier = {
    target,
    pagemap,
    files,
    findSkipped,
    mapsText,
    mappings,
    wantsPss,
    budget,
    isShared: false,
  };
  try {
    return copyWith(copier, options);
  } finally {
    pagemap?.close();
    files.close();
  }
}

function copyWith(copier: Copier, { check, isShared }: CopyOptions): LiveCopy {
  const { target, files } = copier;
  for (const mapping of copier.mappings) files.isElf(mapping);
  const { pageCount } = layOut(copier, copier.mappings, undefined);
  copier.isShared = isShared?.(pageCount * PAGE_SIZE) === true;
  let storage = makeRoom(pageCount, copier);
  let totalPauseMs = 0;
  let growths = 0;
  for (let tries = 1; ; tries++) {
    const isLastCheck = tries - growths >= MAX_CHECKS;
    const { value, pauseMs, vainPauseMs } = target.withFrozen((stillWorking) =>
      attemptCopy(copier, storage, stillWorking, check, isLastCheck),
    );
    totalPauseMs += vainPauseMs + pauseMs;
    if (value.kind === 'bad moment') waitMs(Math.min(tries, 5));
    else if (value.kind === 'no room') {
      if (++growths > MAX_GROWTHS) throw growsTooFast(target.pid);
      storage = makeRoom(value.pageCount, copier);
    } else {
      return finishCopy(copier, storage, value, { pauseMs, totalPauseMs, tries });
    }
  }
}

/** Runs while the target stands still: nothing here may wait or allocate much. */
function attemptCopy(
  copier: Copier,
  storage: Uint32Array,
  stillWorking: () => void,
  check: CopyOptions['check'],
  isLastCheck: boolean,
): Attempt {
  const { target } = copier;
  const checkPassed = check === undefined || check(target.memory);
  if (!checkPassed && !isLastCheck) return { kind: 'bad moment' };
  const at = new Date().toISOString();
  const mapsText = readMapsText(target.pid);
  const mappings = mapsText === copier.mapsText ? copier.mappings : decodeMappings(mapsText);
  const layout = layOut(copier, mappings, target.memory);
  if ((layout.pageCount + 1) * PAGE_SIZE > storage.byteLength) {
    return { kind: 'no room', pageCount: layout.pageCount };
  }
  const placed = copyRuns(layout.runs, target.memory, storage, stillWorking);
  const threads = readThreadStates(target.pid);
  const rssBytes = findRssBytes(target.pid) ?? 0;
  const pssBytes = copier.wantsPss ? findPssBytes(target.pid) : undefined;
  return { kind: 'copied', mappings, layout, placed, threads, at, rssBytes, pssBytes, checkPassed };
}

function finishCopy(
  { target, files }: Copier,
  storage: Uint32Array,
  state: FrozenState,
  pause: Pick<LiveCopy, 'pauseMs' | 'totalPauseMs' | 'tries'>,
): LiveCopy {
  const { placed, layout, mappings, threads, at, rssBytes, pssBytes, checkPassed } = state;
  if (placed.copiedBytes === 0) throw hasNoMemory(target.pid);
  const runs = fillFromFiles(placed, storage, files, target.memory);
  readThreadNames(target.pid, threads);
  return {
    image: new MemoryImage(runs, storage),
    mappings,
    threads,
    at,
    ...pause,
    checkPassed,
    copiedBytes: placed.copiedBytes,
    rssBytes,
    pssBytes,
    unreadableBytes: placed.unreadableBytes,
    leftOut: layout.leftOut,
    residency: layout.residency,
    skippedRuns: layout.skippedRuns,
    commonRuns: layout.commonRuns,
  };
}

const layOut = (
  copier: Copier,
  mappings: readonly Mapping[],
  frozen: LiveMemory | undefined,
): CopyLayout =>
  computeCopyLayout(
    mappings,
    copier.pagemap,
    (mapping) => copier.files.isElf(mapping),
    copier.findSkipped(frozen),
  );

/** Copies what comes from memory and leaves room for what comes from files. */
function copyRuns(
  runs: readonly CopyRun[],
  memory: LiveMemory,
  storage: Uint32Array,
  stillWorking: () => void,
): PlacedRuns {
  const placed = placeNone();
  let toldAt = performance.now();
  for (const run of runs) {
    if (run.source.kind === 'file') placeRun(run, placed);
    else copyRun(run, memory, storage, placed);
    const now = performance.now();
    if (now - toldAt > SIGN_OF_LIFE_MS) {
      stillWorking();
      toldAt = now;
    }
  }
  return placed;
}

/** Fills the rooms for unchanged pages and drops those that cannot be had; returns the runs of the image. */
function fillFromFiles(
  placed: PlacedRuns,
  storage: Uint32Array,
  files: UnchangedPages,
  memory: LiveMemory,
): PageRun[] {
  const runs: PageRun[] = [];
  let from = PAGE_SIZE;
  let to = PAGE_SIZE;
  for (const { address, pageCount, source } of placed.runs) {
    const byteCount = pageCount * PAGE_SIZE;
    const room = new Uint8Array(storage.buffer, from, byteCount);
    const isFilled =
      source.kind === 'memory' ||
      files.fill(source.mapping, address, room) ||
      memory.readAvailable(address, room, 0, byteCount) === byteCount;
    if (isFilled) {
      if (to !== from) storage.copyWithin(to / 4, from / 4, (from + byteCount) / 4);
      runs.push({ address, pageCount });
      to += byteCount;
    } else placed.unreadableBytes += byteCount;
    from += byteCount;
  }
  return runs;
}

function makeRoom(pageCount: number, { target: { pid }, budget, isShared }: Copier): Uint32Array {
  const slack = Math.ceil(pageCount / 50) + SLACK_PAGES;
  return makeCopyRoom(pageCount, slack, `process ${pid}`, budget, isShared);
}

function readMapsText(pid: number): string {
  const text = findMapsText(pid);
  if (text === undefined) throw hasNoMemory(pid);
  return text;
}

const hasNoMemory = (pid: number): AccessError =>
  new AccessError({
    fact: `Cannot copy process ${pid}`,
    reason: 'it has ended, or it runs another program since leakscope opened it',
    next: 'Run `leakscope ps` to see the processes that can be read.',
  });

const growsTooFast = (pid: number): AccessError =>
  new AccessError({
    fact: `Cannot copy process ${pid}`,
    reason: `its memory grew faster than room for the copy could be made, ${MAX_GROWTHS} times`,
    next: 'Try again.',
  });
