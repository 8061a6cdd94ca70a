// A hunt over time: captures of one process at equal distances, its resident set in between, and the verdict on them.
// What the verdict is made of is in report/verdict.ts; here is only when to look.

import { assert } from '../base/assert.ts';
import { AccessError } from '../base/errors.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { type CaptureOptions, type LiveCapture, openCapture } from '../capture/capture-heap.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { EvidenceCollector, type RssSample } from '../report/evidence.ts';
import type { HuntReport } from '../report/schemas.ts';
import { judgeHunt } from '../report/verdict.ts';

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
  try {
    sample();
    const collector = new EvidenceCollector();
    await captureRounds(live, collector, options);
    sample();
    options.onProgress('comparing the captures');
    const evidence = collector.finish(rss, options.snapshots);
    assert(evidence !== undefined, 'a hunt has at least one capture');
    return judgeHunt(evidence);
  } finally {
    clearInterval(timer);
  }
}

async function captureRounds(
  live: CaptureSource,
  collector: EvidenceCollector,
  options: HuntOptions,
): Promise<void> {
  const { snapshots, everySeconds, signal, onProgress } = options;
  let dueAt = performance.now();
  for (let i = 0; i < snapshots; i++) {
    await sleepUntil(dueAt, signal, (seconds) =>
      onProgress(`Python ${live.python}, capture ${i + 1} of ${snapshots} in ${seconds} s`),
    );
    try {
      const { graph, beganAt } = await captureWithRetries(live, i, collector, options);
      requireAnalysisRoom(graph, options.budget);
      collector.add(graph);
      // A capture that came late (it was tried again) does not make the next round a short one.
      dueAt = beganAt + everySeconds * 1000;
    } catch (error) {
      if (!(error instanceof AccessError) || collector.captureCount < FEWEST_CAPTURES) throw error;
      const { reason } = error.text;
      collector.noteEnd(live.isAlive ? `capture ${i + 1} failed (${reason})` : 'the process ended');
      onProgress(`no more captures after ${collector.captureCount}`);
      break;
    }
  }
}

/** A later capture that fails on a process that lives (a thread that did not stop, say) is not the end of a long hunt. */
async function captureWithRetries(
  live: CaptureSource,
  index: number,
  collector: EvidenceCollector,
  { snapshots, signal, budget, onProgress }: HuntOptions,
): Promise<{ graph: HeapGraph; beganAt: number }> {
  const title = `capture ${index + 1} of ${snapshots}`;
  for (let retry = 0; ; retry++) {
    const beganAt = performance.now();
    try {
      const graph = await live.capture({
        native: true,
        signal,
        budget,
        onProgress: (phase, done) =>
          onProgress(`${title}: ${phase}${done > 0 ? ` ${done} objects` : ''}`),
      });
      return { graph, beganAt };
    } catch (error) {
      const isLast = index === 0 || retry === RETRIES || !live.isAlive;
      if (!(error instanceof AccessError) || isLast) throw error;
      onProgress(`${title}: ${error.text.reason}; trying again`);
      collector.noteRetry(index, error.text.reason);
      await sleep(RETRY_MS, signal);
    }
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

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal.addEventListener('abort', abort, { once: true });
  });
}
