// A hunt over files: snapshots or cores of one process that were written over time, read one after the other, and the verdict
// on them. The resident set is known at the captures only.

import { setImmediate } from 'node:timers/promises';
import { assert } from '../base/assert.ts';
import { UsageError } from '../base/errors.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import type { CaptureOptions } from '../capture/capture-heap.ts';
import { type GraphFileOptions, readGraphFile } from '../capture/graph-file.ts';
import type { CaptureFacts } from '../graph/heap-graph.ts';
import { redactGraph } from '../graph/redact-graph.ts';
import { EvidenceCollector, type RssSample } from '../report/evidence.ts';
import type { HuntReport } from '../report/schemas.ts';
import { judgeHunt } from '../report/verdict.ts';

/** The start of a process is computed from when the machine booted, which the clock may correct in between. */
const START_TOLERANCE_SECONDS = 5;

export interface HuntFilesOptions {
  signal: AbortSignal;
  /** What the hunt may allocate. */
  budget?: CaptureOptions['budget'];
  /** Where the files of a core's process are. */
  search?: GraphFileOptions['search'];
  onProgress(text: string): void;
  /** Called with the facts of each capture. */
  onCapture?(capture: CaptureFacts): void;
  /** Whether the report is to have no contents of the program's data. */
  redact?: boolean;
}

/**
 * Judges at least two snapshots, in the order of their captures; one graph is in memory at a time. Throws UsageError for
 * what `readGraphFile` refuses, and for files of several processes or in another order.
 */
export async function huntFiles(
  paths: readonly string[],
  { signal, budget, search, redact = false, onProgress, onCapture }: HuntFilesOptions,
): Promise<HuntReport> {
  const collector = new EvidenceCollector();
  const rss: RssSample[] = [];
  let before: CaptureFacts | undefined;
  for (const [i, path] of paths.entries()) {
    onProgress(`reading ${path}, ${i + 1} of ${paths.length}`);
    // Lets Ctrl-C in, which a long calculation keeps out.
    await setImmediate();
    signal.throwIfAborted();
    const read = await readGraphFile(path, { signal, budget, ...(search && { search }) });
    const graph = redact ? redactGraph(read) : read;
    const { capture } = graph;
    onCapture?.(capture);
    if (before !== undefined) refuseUnlessLater(before, capture, paths[i - 1], path);
    requireAnalysisRoom(graph, budget);
    collector.add(graph);
    rss.push({ at: capture.at, bytes: capture.rssBytes });
    before = capture;
  }
  onProgress('comparing the captures');
  const evidence = collector.finish(rss, paths.length, paths[paths.length - 1]);
  assert(evidence !== undefined, 'a hunt has at least one capture');
  return judgeHunt(evidence);
}

function refuseUnlessLater(
  before: CaptureFacts,
  after: CaptureFacts,
  beforePath: string,
  afterPath: string,
): void {
  const starts = [before.processStartedAt, after.processStartedAt];
  // A core does not tell it.
  const isSameStart =
    starts.includes(0) || Math.abs(starts[0] - starts[1]) < START_TOLERANCE_SECONDS;
  const isSame = before.pid === after.pid && isSameStart;
  if (!isSame) {
    throw new UsageError({
      fact: `${beforePath} and ${afterPath} are of different processes`,
      reason: `pid ${before.pid} and pid ${after.pid}${before.pid === after.pid ? ', started at different times' : ''}: what one has more than the other is no growth`,
      next: 'Give captures of one process; leakscope growth compares any two.',
    });
  }
  if (Date.parse(before.at) < Date.parse(after.at)) return;
  throw new UsageError({
    fact: `${afterPath} was not captured after ${beforePath}`,
    reason: `the one is of ${after.at}, the other of ${before.at}`,
    next: 'Give the files in the order of their captures.',
  });
}
