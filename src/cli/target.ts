// TARGET of the command line: a pid, a snapshot file or a core file, and the graph that it gives.

import { existsSync, statSync } from 'node:fs';
import { UsageError } from '../base/errors.ts';
import { formatNumberOf } from '../base/format.ts';
import type { CaptureOptions } from '../capture/capture-heap.ts';
import { readGraphFile } from '../capture/graph-file.ts';
import { openSnapshotFile, type SnapshotFile } from '../capture/snapshot-file.ts';
import type { CaptureFacts, HeapGraph } from '../graph/heap-graph.ts';
import { describeCoreGaps } from '../report/core-text.ts';
import { buildCore } from '../report/report-parts.ts';
import { openPython } from './resolve-target.ts';
import type { Session } from './session.ts';

export type Target = { kind: 'process'; pid: number } | { kind: 'file'; path: string };

/** What a TARGET may be, for help texts. */
export const TARGET_HELP = 'a pid, a snapshot file (leakscope capture) or a core file';

/** Digits are a pid; a file of such a name is written ./1234. Throws UsageError where there is no such file. */
export function parseTarget(text: string): Target {
  if (/^\d+$/.test(text)) return { kind: 'process', pid: parsePid(text) };
  refuseMissing(text, 'target', 'it is neither a pid nor a file that exists');
  return { kind: 'file', path: text };
}

/** The same for commands that take no pid. */
export function parseFile(text: string): string {
  refuseMissing(text, 'file', 'nothing has that name');
  return text;
}

function refuseMissing(path: string, what: string, reason: string): void {
  if (!existsSync(path)) {
    throw new UsageError({
      fact: `There is no ${what} "${path}"`,
      reason,
      next:
        what === 'target'
          ? 'Give the pid of a Python process (leakscope ps lists them), a snapshot file or a core file.'
          : 'Give a file that leakscope capture wrote.',
    });
  }
  if (!statSync(path).isFile()) {
    throw new UsageError({
      fact: `"${path}" is not a snapshot file`,
      reason: 'it is no regular file',
      next: 'Give a file that leakscope capture wrote, or a core file.',
    });
  }
}

export function parsePid(text: string): number {
  const pid = Number(text);
  if (/^\d+$/.test(text) && pid > 0 && pid <= 4_194_304) return pid;
  throw new UsageError({
    fact: `"${text}" is not a pid`,
    reason: 'pids are whole numbers from 1 to 4194304',
    next: 'leakscope ps lists the Python processes.',
  });
}

type ReadOptions = Pick<CaptureOptions, 'native' | 'wantsPss' | 'redact'>;

/** Captures the process or opens the file, whose columns are read when they are needed. */
export async function loadGraph(
  target: Target,
  session: Session,
  options: ReadOptions = {},
): Promise<HeapGraph> {
  if (target.kind === 'file') {
    session.progress(`reading ${target.path}`);
    const graph = await readGraphFile(target.path, {
      ...options,
      ...captureOptionsOf(session),
      search: session.coreSearch,
    });
    noteGaps(graph.capture, session);
    return graph;
  }
  return capturePid(target.pid, session, options);
}

/** A snapshot file, which stays open until leakscope ends. */
export function openFile(path: string, session: Session): SnapshotFile {
  session.progress(`reading ${path}`);
  return openSnapshotFile(path, { budget: session.budget });
}

/** Says what a core file does not have; nothing for others. */
export function noteGaps(capture: CaptureFacts, session: Session): void {
  for (const line of describeCoreGaps(buildCore(capture))) session.note(`note: ${line}`);
}

/** One capture, with progress; a wrapper's pid is refused with the pid of the Python under it. */
export async function capturePid(
  pid: number,
  session: Session,
  options: ReadOptions = {},
): Promise<HeapGraph> {
  const capture = openPython(pid);
  try {
    return await capture.capture({
      // Sizes are the same in all commands: with the C memory that objects own.
      native: true,
      ...options,
      ...captureOptionsOf(session),
    });
  } finally {
    capture.close();
  }
}

/** What a capture is to know of this run: when to stop, what it may allocate, whom to tell how far it is. */
export const captureOptionsOf = (
  session: Session,
): Required<Pick<CaptureOptions, 'signal' | 'budget' | 'onProgress'>> => ({
  signal: session.signal,
  budget: session.budget,
  onProgress: showProgressOn(session),
});

/** The progress of a capture as text: its phase, and how many objects it has met. */
const showProgressOn =
  (session: Session) =>
  (phase: string, done: number): void =>
    session.progress(done > 0 ? `${phase}: ${formatNumberOf(done, 'object')}` : phase);
