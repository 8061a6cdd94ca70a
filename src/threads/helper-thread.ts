// A thread that works beside this one: requests go to it in order, and each has one answer. What both see are shared arrays;
// other arrays are transferred or copied.
//
// A thread costs some 40 ms (of another core) and 10 MB: it is for large heaps only.

import { parentPort, Worker } from 'node:worker_threads';
import { assert } from '../base/assert.ts';

/** What goes from one thread to the other, and the storage that is handed over and not copied. */
export interface Message<T> {
  content: T;
  transfer?: ArrayBuffer[];
}

export class HelperThread<Request, Answer> {
  private readonly worker: Worker;
  private readonly waiting: { resolve(answer: Answer): void; reject(error: unknown): void }[] = [];
  private failure: unknown;

  /** `file` is what `workerFileOf` gives; the thread begins at once, and nobody waits for that. */
  constructor(file: URL) {
    // It makes few objects, and would let the room for new ones grow to 48 MB.
    this.worker = new Worker(file, { resourceLimits: { maxYoungGenerationSizeMb: 4 } });
    this.worker.on('message', (answer: Answer) => this.waiting.shift()?.resolve(answer));
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('the thread has ended')));
  }

  /** Rejects when the thread fails. */
  ask({ content, transfer = [] }: Message<Request>): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
      this.waiting.push({ resolve, reject });
    });
    // Whoever waits for it is told; nobody may be waiting when it fails.
    answer.catch(() => {});
    if (this.failure === undefined) this.worker.postMessage(content, transfer);
    else this.fail(this.failure);
    return answer;
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
  }

  /** Ends the thread, whatever it does. */
  async close(): Promise<void> {
    await this.worker.terminate();
  }
}

/** The other side: to be called once in the thread. */
export function answerRequests<Request, Answer>(
  answer: (request: Request) => Message<Answer>,
): void {
  const port = parentPort;
  assert(port !== null, 'it runs in a thread');
  port.on('message', (request: Request) => {
    const { content, transfer } = answer(request);
    port.postMessage(content, transfer);
  });
}
