// A small process beside leakscope that continues a stopped target when leakscope cannot: it was killed, it crashed, or it
// gave no sign of life for too long. It knows through a pipe: `F` (the target is about to be stopped) starts its clock,
// `C` (it was continued) stops it, and the end of the pipe is the end of leakscope.
//
// It has a session of its own, so that Ctrl-C in the terminal does not reach it, checks the target's start time before its
// one signal, and ends by itself when leakscope does. Costs about 45 ms once and 6 MB of private memory while it runs.
// Not handled: leakscope and the watchdog both killed while the target stands still.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { AccessError } from '../base/errors.ts';
import { findProcessStat } from './process-status.ts';

/** The name under which `ps` shows it (at most 15 characters); taking it is how it says that it is ready. */
const NAME = 'leakscope-guard';
const READY_LIMIT_MS = 10_000;

/** Runs as `node -e`, the same from source and from dist. Arguments: pid, start time in ticks, limit in milliseconds. */
const SCRIPT = `
const { readFileSync } = require('node:fs');
const [pid, startTimeTicks, limitMs] = process.argv.slice(1);
let armed = false;
let timer;
function resume() {
  clearTimeout(timer);
  if (!armed) return;
  armed = false;
  try {
    const stat = readFileSync('/proc/' + pid + '/stat', 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[19] === startTimeTicks) process.kill(Number(pid), 'SIGCONT');
  } catch {}
}
function end() {
  resume();
  process.exit();
}
process.stdin.on('data', (letters) => {
  clearTimeout(timer);
  armed = letters[letters.length - 1] === 70;
  if (armed) timer = setTimeout(resume, Number(limitMs));
});
process.stdin.on('end', end);
process.stdin.on('error', end);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGUSR1', 'SIGUSR2'])
  process.on(signal, () => {});
process.title = '${NAME}';
`;

export interface WatchedProcess {
  pid: number;
  startTimeTicks: number;
}

export class Watchdog {
  private readonly child: ChildProcess;
  private readonly pipe: Socket;
  private isReady = false;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.pipe = child.stdin as Socket;
    // It may end before leakscope does; `isAlive` finds that out where it matters.
    this.pipe.on('error', () => {});
    child.unref();
    this.pipe.unref();
  }

  /**
   * Starts a watchdog for a target, which takes some 45 ms in which others can work (`waitUntilReady`). It continues the
   * target when it was armed and has heard nothing for `limitMs`. Throws AccessError if it cannot be started.
   */
  static start(target: WatchedProcess, limitMs: number): Watchdog {
    const args = ['-e', SCRIPT, '--', `${target.pid}`, `${target.startTimeTicks}`, `${limitMs}`];
    const child = spawn(process.execPath, args, {
      detached: true,
      cwd: '/',
      env: withoutNodeVariables(),
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.on('error', () => {});
    if (child.pid === undefined) throw cannotStart('its process could not be created');
    return new Watchdog(child);
  }

  /** Waits until it listens. Throws AccessError if it does not: nothing may be stopped then. */
  waitUntilReady(): void {
    const deadline = performance.now() + READY_LIMIT_MS;
    while (!this.isReady) {
      if (!this.isAlive) throw cannotStart('it ended at once');
      if (performance.now() > deadline) {
        this.close();
        throw cannotStart(`it was not ready within ${READY_LIMIT_MS / 1000} s`);
      }
      this.isReady = this.findStat()?.name === NAME;
      if (!this.isReady) waitMs(1);
    }
  }

  /** Whether it runs. Asks the kernel, because Node learns of its end only when the event loop turns. */
  get isAlive(): boolean {
    const stat = this.findStat();
    return stat !== undefined && stat.state !== 'Z' && stat.state !== 'X';
  }

  private findStat() {
    return this.child.pid === undefined ? undefined : findProcessStat(this.child.pid);
  }

  /** The target is about to be stopped, or still is and leakscope works: the clock starts anew. */
  arm(): void {
    this.pipe.write('F');
  }

  /** The target was continued. */
  disarm(): void {
    this.pipe.write('C');
  }

  /** Ends it (and continues the target if it is armed). */
  close(): void {
    this.pipe.end();
  }
}

const waitCell = new Int32Array(new SharedArrayBuffer(4));

/** Stands still for `ms`, synchronously: what happens between stopping and continuing a target must not be deferred. */
export function waitMs(ms: number): void {
  Atomics.wait(waitCell, 0, 0, ms);
}

/** Settings of leakscope's own Node (loaders, inspectors) must not reach the watchdog's. */
function withoutNodeVariables(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^NODE_/.test(name)));
}

const cannotStart = (reason: string): AccessError =>
  new AccessError({
    fact: 'Cannot start the watchdog that protects the target',
    reason,
    next: 'Check that another Node process can be started here (memory, process limits).',
  });
