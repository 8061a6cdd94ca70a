// A running `leakscope watch --json` in a test: its events as they come.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type WatchEvent, watchSchema } from '../../src/report/watch-schema.ts';
import { finishCommand, startCommand } from './command-line.ts';

const LIMIT_MS = 60_000;

export interface Watching {
  /** The next event that fits; rejects when the watch ends before, or says nothing such for a minute. */
  next<E extends WatchEvent['event']>(
    event: E,
    fits?: (event: Extract<WatchEvent, { event: E }>) => boolean,
  ): Promise<Extract<WatchEvent, { event: E }>>;
  child: ChildProcess;
  /** Everything on stderr so far. */
  stderr(): string;
  /** Ctrl-C; resolves to the exit code when it has ended. */
  interrupt(): Promise<number | null>;
}

export function startWatch(...args: string[]): Watching {
  const child = startCommand(['watch', '--json', ...args]);
  const finished = finishCommand(child);
  const events: WatchEvent[] = [];
  let isOver = false;
  let stderr = '';
  let wake = () => {};
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  createInterface({ input: child.stdout! })
    .on('line', (line) => {
      events.push(watchSchema.parse(JSON.parse(line)));
      wake();
    })
    .on('close', () => {
      isOver = true;
      wake();
    });
  return {
    child,
    stderr: () => stderr,
    next: async (event, fits = () => true) => {
      const deadline = performance.now() + LIMIT_MS;
      for (;;) {
        while (events.length > 0) {
          const found = events.shift() as Extract<WatchEvent, { event: typeof event }>;
          if (found.event === event && fits(found)) return found;
        }
        const leftMs = deadline - performance.now();
        if (isOver || leftMs <= 0) throw new Error(`no such event "${event}": ${stderr}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    interrupt: async () => {
      child.kill('SIGINT');
      return (await finished).code;
    },
  };
}
