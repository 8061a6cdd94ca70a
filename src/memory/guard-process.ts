// A small process beside leakscope that does one thing for a target when leakscope no longer can: the end of the pipe to
// its stdin is the end of leakscope, whatever ended it. What it does then is a script; what it must know comes through
// the pipe, and a write is in the kernel when it returns, so that it arrives even if leakscope is killed right after it.
//
// It has a session of its own, so that Ctrl-C in the terminal does not reach it, and ends by itself when leakscope does.
// Costs about 45 ms once and 6 MB of private memory while it runs.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { AccessError } from '../base/errors.ts';
import { findProcessStat } from './process-status.ts';

/** The name under which `ps` shows it (at most 15 characters); taking it is how it says that it is ready. */
const NAME = 'leakscope-guard';
const READY_LIMIT_MS = 10_000;

/** `isSame()`: whether the pid is still the process that was meant. */
const PRELUDE = `
const fs = require('node:fs');
const [pid, startTimeTicks, ...more] = process.argv.slice(1);
function isSame() {
  try {
    const stat = fs.readFileSync('/proc/' + pid + '/stat', 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] === startTimeTicks;
  } catch {
    return false;
  }
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGUSR1', 'SIGUSR2'])
  process.on(signal, () => {});
`;

export interface WatchedProcess {
  pid: number;
  startTimeTicks: number;
}

export class GuardProcess {
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
   * Starts one, which takes some 45 ms in which others can work (`waitUntilReady`). The script is CommonJS and runs as
   * `node -e`, the same from source and from dist; it finds `fs`, `pid` (text), `isSame()` and `more`: the arguments here.
   * Throws AccessError if it cannot be started.
   */
  static start(target: WatchedProcess, script: string, ...more: (string | number)[]): GuardProcess {
    const code = `${PRELUDE}${script}\nprocess.title = '${NAME}';`;
    const args = [target.pid, target.startTimeTicks, ...more].map(String);
    const child = spawn(process.execPath, ['-e', code, '--', ...args], {
      detached: true,
      cwd: '/',
      env: withoutNodeVariables(),
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.on('error', () => {});
    if (child.pid === undefined) throw guardFailed('its process could not be created');
    return new GuardProcess(child);
  }

  /** Waits until it listens. Throws AccessError if it does not: nothing that needs it may be done then. */
  waitUntilReady(): void {
    const deadline = performance.now() + READY_LIMIT_MS;
    while (!this.isReady) {
      if (!this.isAlive) throw guardFailed('it ended at once');
      if (performance.now() > deadline) {
        this.close();
        throw guardFailed(`it was not ready within ${READY_LIMIT_MS / 1000} s`);
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

  /** Whether all of it is in the kernel: else it waits for the event loop and would be lost with leakscope. */
  tell(text: string): boolean {
    this.pipe.write(text);
    return this.pipe.writableLength === 0;
  }

  /** The end of the pipe, as if leakscope had ended. */
  close(): void {
    this.pipe.end();
  }

  private findStat() {
    return this.child.pid === undefined ? undefined : findProcessStat(this.child.pid);
  }
}

const waitCell = new Int32Array(new SharedArrayBuffer(4));

/** Stands still for `ms`, synchronously: what happens between stopping and continuing a target must not be deferred. */
export function waitMs(ms: number): void {
  Atomics.wait(waitCell, 0, 0, ms);
}

/** Settings of leakscope's own Node (loaders, inspectors) must not reach the guard's. */
function withoutNodeVariables(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^NODE_/.test(name)));
}

/** Without a guard the target is not touched. */
export const guardFailed = (reason: string): AccessError =>
  new AccessError({
    fact: 'Cannot start the watchdog that protects the target',
    reason,
    next: 'Check that another Node process can be started here (memory, process limits).',
  });
