// Who takes in a hunt's captures and judges them: this thread for heaps of usual size, a thread of its own for large ones,
// so that a capture is compared while the next one is made. The same report either way.
//
// Graphs go to the thread without a copy: their columns are shared, or transferred and gone here.

import { Worker } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { EvidenceCollector, type RssSample } from '../report/evidence.ts';
import type { HuntReport } from '../report/schemas.ts';
import { judgeHunt } from '../report/verdict.ts';
import { workerFileOf } from '../threads/worker-file.ts';
import type { JudgeAnswer, JudgeRequest } from './judge-worker.ts';

/** Smaller heaps are compared within the time between two captures, and a thread takes some 40 MB. */
export const LARGE_HEAP_NODES = 2_000_000;

export interface HuntJudge {
  /** Whether a capture is still being compared. */
  readonly isBusy: boolean;
  /** Takes in the next capture, whose graph may not be used any more. */
  add(graph: HeapGraph): Promise<void>;
  /** A capture failed, and is tried again. */
  noteRetry(capture: number, reason: string): void;
  /** There are no more captures, because of this. */
  noteEnd(because: string): void;
  /** Resolves when everything that was added has been compared. */
  settle(): Promise<void>;
  /** At least one capture was added. */
  finish(rss: readonly RssSample[], wantedCaptures: number): Promise<HuntReport>;
  close(): Promise<void>;
}

export function makeJudge(): HuntJudge {
  const collector = new EvidenceCollector();
  return {
    isBusy: false,
    add: async (graph) => collector.add(graph),
    noteRetry: (capture, reason) => collector.noteRetry(capture, reason),
    noteEnd: (because) => collector.noteEnd(because),
    settle: async () => {},
    finish: async (rss, wantedCaptures) => {
      const evidence = collector.finish(rss, wantedCaptures);
      assert(evidence !== undefined, 'a hunt has at least one capture');
      return judgeHunt(evidence);
    },
    close: async () => {},
  };
}

/** The same in a thread of its own. Errors there reject what is waited for here. */
export function startJudgeThread(): HuntJudge {
  const worker = new Worker(workerFileOf('judge-worker', import.meta.url));
  let waiting: { resolve(report: HuntReport | undefined): void; reject(error: unknown): void };
  let answer: Promise<HuntReport | undefined> = Promise.resolve(undefined);
  let isBusy = false;
  let failure: unknown;
  worker.on('message', ({ report }: JudgeAnswer) => waiting.resolve(report));
  worker.on('error', (error) => {
    failure = error;
    waiting?.reject(error);
  });
  const ask = (request: JudgeRequest, transfer: ArrayBuffer[] = []) => {
    isBusy = true;
    answer = new Promise<HuntReport | undefined>((resolve, reject) => {
      waiting = { resolve, reject };
      if (failure !== undefined) reject(failure);
    }).finally(() => {
      isBusy = false;
    });
    // Whoever waits for it is told; nobody may be waiting when it fails.
    answer.catch(() => {});
    worker.postMessage(request, transfer);
  };
  return {
    get isBusy() {
      return isBusy;
    },
    add: async (graph) => {
      await answer;
      ask({ kind: 'add', graph }, buffersOf(graph));
    },
    noteRetry: (capture, reason) => worker.postMessage({ kind: 'retry', capture, reason }),
    noteEnd: (because) => worker.postMessage({ kind: 'end', because }),
    settle: async () => void (await answer),
    finish: async (rss, wantedCaptures) => {
      await answer;
      ask({ kind: 'finish', rss, wantedCaptures });
      const report = await answer;
      assert(report !== undefined, 'a judgement has a report');
      return report;
    },
    close: async () => void (await worker.terminate()),
  };
}

/** The storage of all columns of a graph and of its parts that is not shared. */
function buffersOf(value: object, into = new Set<ArrayBuffer>()): ArrayBuffer[] {
  for (const each of Object.values(value)) {
    if (ArrayBuffer.isView(each)) {
      if (each.buffer instanceof ArrayBuffer) into.add(each.buffer);
    } else if (typeof each === 'object' && each !== null && !Array.isArray(each))
      buffersOf(each, into);
  }
  return [...into];
}
