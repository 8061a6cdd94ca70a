// A small process beside leakscope that continues a stopped target when leakscope cannot: it was killed, it crashed, or it
// gave no sign of life for too long. It knows through a pipe: `F` (the target is about to be stopped) starts its clock,
// `C` (it was continued) stops it, and the end of the pipe is the end of leakscope.
//
// It checks the target's start time before its one signal. Not handled: leakscope and the watchdog both killed while the
// target stands still.

import { GuardProcess, type WatchedProcess } from './guard-process.ts';

/** Arguments: limit in milliseconds. */
const SCRIPT = `
const limitMs = Number(more[0]);
let armed = false;
let timer;
function resume() {
  clearTimeout(timer);
  if (!armed) return;
  armed = false;
  try {
    if (isSame()) process.kill(Number(pid), 'SIGCONT');
  } catch {}
}
function end() {
  resume();
  process.exit();
}
process.stdin.on('data', (letters) => {
  clearTimeout(timer);
  armed = letters[letters.length - 1] === 70;
  if (armed) timer = setTimeout(resume, limitMs);
});
process.stdin.on('end', end);
process.stdin.on('error', end);
`;

export class Watchdog {
  private readonly process: GuardProcess;

  private constructor(process: GuardProcess) {
    this.process = process;
  }

  /**
   * Starts a watchdog for a target, which takes some 45 ms in which others can work (`waitUntilReady`). It continues the
   * target when it was armed and has heard nothing for `limitMs`. Throws AccessError if it cannot be started.
   */
  static start(target: WatchedProcess, limitMs: number): Watchdog {
    return new Watchdog(GuardProcess.start(target, SCRIPT, limitMs));
  }

  /** Waits until it listens. Throws AccessError if it does not: nothing may be stopped then. */
  waitUntilReady(): void {
    this.process.waitUntilReady();
  }

  get isAlive(): boolean {
    return this.process.isAlive;
  }

  /** The target is about to be stopped, or still is and leakscope works: the clock starts anew. */
  arm(): void {
    this.process.tell('F');
  }

  /** The target was continued. */
  disarm(): void {
    this.process.tell('C');
  }

  /** Ends it (and continues the target if it is armed). */
  close(): void {
    this.process.close();
  }
}
