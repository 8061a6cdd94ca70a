// DOT to SVG or PNG in a worker thread with a time limit. Everything it needs comes with leakscope's own dependencies:
// neither Graphviz nor fonts have to be installed.

import { Worker } from 'node:worker_threads';
import { UnsupportedError } from '../base/errors.ts';
import { workerFileOf } from '../threads/worker-file.ts';
import type { PictureJob } from './picture-worker.ts';

const TIME_LIMIT_MS = 30_000;

/** Bytes of the file. Throws UnsupportedError when Graphviz takes longer than 30 seconds. */
export async function renderPicture(
  job: PictureJob,
  signal: AbortSignal,
  timeLimitMs = TIME_LIMIT_MS,
): Promise<Uint8Array> {
  signal.throwIfAborted();
  const worker = new Worker(workerFileOf('picture-worker', import.meta.url), { workerData: job });
  let isTooLong = false;
  let giveUp: (() => void) | undefined;
  // Not AbortSignal.timeout in AbortSignal.any: Node.js 20 may collect such a signal before it fires.
  const timer = setTimeout(() => {
    isTooLong = true;
    giveUp?.();
  }, timeLimitMs);
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      giveUp = () => reject(isTooLong ? takesTooLong(timeLimitMs) : signal.reason);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  } finally {
    clearTimeout(timer);
    if (giveUp !== undefined) signal.removeEventListener('abort', giveUp);
    await worker.terminate();
  }
}

const takesTooLong = (timeLimitMs: number): UnsupportedError =>
  new UnsupportedError({
    fact: 'The picture could not be laid out',
    reason: `Graphviz took longer than ${timeLimitMs / 1000} s`,
    next: 'Draw less (--depth 2 --fan-out 5), or write DOT (-o x.dot) and lay it out with another program.',
  });
