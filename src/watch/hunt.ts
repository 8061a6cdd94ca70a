// A hunt over time: captures of one process at equal distances, its resident set in between, and the verdict on them.
// What the verdict is made of is in report/verdict.ts; here is only when to look.

import { AccessError, UnsupportedError } from '../base/errors.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { type CaptureOptions, type LiveCapture, openCapture } from '../capture/capture-heap.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { RssSample } from '../report/evidence.ts';
import type { HuntReport } from '../report/schemas.ts';
import { type HuntJudge, LARGE_HEAP_NODES, makeJudge, startJudgeThread } from './hunt-judge.ts';
import { sleep } from './sleep.ts';

const SAMPLE_MS = 250;
/** How often a capture that failed is tried again before the hunt is given up, and after how long. */
const RETRIES = 3;
const RETRY_MS = 1000;
/** Fewer captures leave no round to compare. */
const FEWEST_CAPTURES = 2;

export interface HuntOptions {
  everySeconds: number;
  /** Captures, at least 2: one round fewer. */
  snapshots: number;
  signal: AbortSignal;
  /** What the hunt may allocate. */
  budget?: CaptureOptions['budget'];
  onProgress(text: string): void;
  /** Whether the report is to have no contents of the program's data. */
  redact?: boolean;
  /** Objects from which on captures are compared in a thread of its own; for tests. */
  largeHeapNodes?: number;
}

/**
 * Captures `pid` and judges. A target that ends early, or cannot be captured any more, is judged on what was captured; with
 * fewer than two captures that is an AccessError. Rejects with the signal's reason when aborted; the target is never left stopped.
 */
export async function huntProcess(pid: number, options: HuntOptions): Promise<HuntReport> {
  const live = openCapture(pid);
  try {
    return await huntLive(live, options);
  } finally {
    live.close();
  }
}

/** What a hunt needs of a process. */
export type CaptureSource = Pick<LiveCapture, 'python' | 'isAlive' | 'capture' | 'findRssBytes'>;

/** The same of a process that is open already, and stays so. */
export async function huntLive(live: CaptureSource, options: HuntOptions): Promise<HuntReport> {
  const rss: RssSample[] = [];
  const sample = () => {
    const bytes = live.findRssBytes();
    if (bytes !== undefined && bytes > 0) rss.push({ at: new Date().toISOString(), bytes });
  };
  const timer = setInterval(sample, SAMPLE_MS);
  let judge: HuntJudge | undefined;
  try {
    sample();
    const first = await captureWithRetries(live, 0, undefined, options);
    const isLarge = first.graph.nodeCount >= (options.largeHeapNodes ?? LARGE_HEAP_NODES);
    judge = isLarge ? startJudgeThread() : makeJudge();
    await captureRounds(live, first, judge, options);
    sample();
    options.onProgress('comparing the captures');
    return await untilAborted(judge.finish(rss, options.snapshots), options.signal);
  } finally {
    clearInterval(timer);
    await judge?.close();
  }
}

interface TimedCapture {
  graph: HeapGraph;
  /** Of `performance.now`. */
  beganAt: number;
}

async function captureRounds(
  live: CaptureSource,
  first: TimedCapture,
  judge: HuntJudge,
  options: HuntOptions,
): Promise<void> {
  const { snapshots, everySeconds, signal, onProgress } = options;
  let capture = first;
  for (let count = 1; ; count++) {
    requireAnalysisRoom(capture.graph, options.budget);
    await untilAborted(judge.add(capture.graph), signal);
    if (count === snapshots) return;
    // A capture that came late (it was tried again) does not make the next round a short one.
    const dueAt = capture.beganAt + everySeconds * 1000;
    await sleepUntil(dueAt, signal, (seconds) =>
      onProgress(`Python ${live.python}, capture ${count + 1} of ${snapshots} in ${seconds} s`),
    );
    try {
      capture = await captureWithRetries(live, count, judge, options);
    } catch (error) {
      if (!(error instanceof AccessError) || count < FEWEST_CAPTURES) throw error;
      const { reason } = error.text;
      judge.noteEnd(live.isAlive ? `capture ${count + 1} failed (${reason})` : 'the process ended');
      onProgress(`no more captures after ${count}`);
      return;
    }
  }
}

/**
 * A later capture that fails on a process that lives (a thread that did not stop, say) is not the end of a long hunt, nor is
 * one without room as long as the capture before is still being compared.
 */
async function captureWithRetries(
  live: CaptureSource,
  index: number,
  judge: HuntJudge | undefined,
  { snapshots, signal, budget, redact = false, onProgress }: HuntOptions,
): Promise<TimedCapture> {
  const title = `capture ${index + 1} of ${snapshots}`;
  for (let retry = 0; ; retry++) {
    const beganAt = performance.now();
    try {
      const graph = await live.capture({
        native: true,
        redact,
        signal,
        budget,
        onProgress: (phase, done) =>
          onProgress(`${title}: ${phase}${done > 0 ? ` ${done} objects` : ''}`),
      });
      return { graph, beganAt };
    } catch (error) {
      if (error instanceof UnsupportedError && judge?.isBusy === true) {
        onProgress(`${title}: waits until the one before is compared`);
        await untilAborted(judge.settle(), signal);
        continue;
      }
      const isLast = judge === undefined || retry === RETRIES || !live.isAlive;
      if (!(error instanceof AccessError) || isLast) throw error;
      onProgress(`${title}: ${error.text.reason}; trying again`);
      judge.noteRetry(index, error.text.reason);
      await sleep(RETRY_MS, signal);
    }
  }
}

/** What `work` gives, or the signal's reason as soon as that is aborted. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Resolves at `dueAt` (of `performance.now`), tells the seconds left about once a second. */
async function sleepUntil(
  dueAt: number,
  signal: AbortSignal,
  onSecond: (secondsLeft: number) => void,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const leftMs = dueAt - performance.now();
    if (leftMs <= 0) return;
    onSecond(Math.ceil(leftMs / 1000));
    await sleep(Math.min(leftMs, 1000), signal);
  }
}
