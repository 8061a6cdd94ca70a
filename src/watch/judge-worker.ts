// Runs in a worker thread: takes in the captures of a hunt and judges them (see hunt-judge.ts). Requests come in order, and
// `add` and `finish` are answered when they are done.

import { parentPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { RssSample } from '../report/evidence.ts';
import type { HuntReport } from '../report/schemas.ts';
import { collectGarbage } from '../threads/collect-garbage.ts';
import { makeJudge } from './hunt-judge.ts';

export type JudgeRequest =
  | { kind: 'add'; graph: HeapGraph }
  | { kind: 'retry'; capture: number; reason: string }
  | { kind: 'end'; because: string }
  | { kind: 'finish'; rss: readonly RssSample[]; wantedCaptures: number };

export interface JudgeAnswer {
  /** Of `finish`. */
  report: HuntReport | undefined;
}

const port = parentPort;
assert(port !== null, 'judge-worker runs in a thread');
const judge = makeJudge();
const answer = (report?: HuntReport): void => port.postMessage({ report } satisfies JudgeAnswer);

port.on('message', async (request: JudgeRequest) => {
  if (request.kind === 'add') {
    await judge.add(request.graph);
    // The graph before it.
    collectGarbage();
    answer();
  } else if (request.kind === 'retry') judge.noteRetry(request.capture, request.reason);
  else if (request.kind === 'end') judge.noteEnd(request.because);
  else answer(await judge.finish(request.rss, request.wantedCaptures));
});
