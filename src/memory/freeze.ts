// Stops a process for as long as a synchronous function runs, and continues it whatever happens: in a `finally` here, and
// by the watchdog process when leakscope dies. Source: signal(7), proc(5).
//
// Before every signal the start time is compared, because pids are reused. A target that somebody else has stopped or
// holds with a debugger is refused: continuing it would be wrong. `ptrace` is not used. Not handled: leaving the target
// stopped across turns of the event loop.

import { assert } from '../base/assert.ts';
import { AccessError, UnsupportedError } from '../base/errors.ts';
import { openLiveMemory } from './access.ts';
import { waitMs } from './guard-process.ts';
import type { LiveMemory } from './live-memory.ts';
import { findKernelPageBytes } from './mappings.ts';
import { PAGE_SIZE } from './memory-image.ts';
import {
  findProcess,
  findProcessStat,
  findThreadStat,
  listThreads,
  type ProcessStat,
  type ProcessStatus,
} from './process-status.ts';
import { Watchdog } from './watchdog.ts';

/** All threads stand still within a millisecond, unless one cannot be interrupted in the kernel or waits for a processor. */
const STOP_LIMIT_MS = 500;
/** A thread that gets no processor to stop (a crowded machine, a container at its limit) gets one a little later. */
const STARVED_TRIES = 6;
const STARVED_WAIT_MS = 100;
/** Without a sign of life for this long while the target stands still, the watchdog continues it. */
const SILENCE_LIMIT_MS = 10_000;
const SPIN_MS = 1;

/** What freezing needs of the system; replaced in tests. */
export interface ProcessControl {
  findProcess(pid: number): ProcessStatus | undefined;
  findProcessStat(pid: number): ProcessStat | undefined;
  listThreads(pid: number): number[];
  findThreadStat(pid: number, tid: number): ProcessStat | undefined;
  signal(pid: number, signal: 'SIGSTOP' | 'SIGCONT'): void;
  startWatchdog(target: { pid: number; startTimeTicks: number }): Guard;
}

/** What freezing needs of the watchdog. */
export interface Guard {
  readonly isAlive: boolean;
  /** Throws AccessError when it cannot be: nothing may be stopped then. */
  waitUntilReady(): void;
  arm(): void;
  disarm(): void;
  close(): void;
}

/** The real system. */
export const systemControl: ProcessControl = {
  findProcess,
  findProcessStat,
  listThreads,
  findThreadStat,
  signal: (pid, signal) => process.kill(pid, signal),
  startWatchdog: (target) => Watchdog.start(target, SILENCE_LIMIT_MS),
};

export interface FrozenResult<T> {
  value: T;
  /** Milliseconds from SIGSTOP to SIGCONT. */
  pauseMs: number;
  /** Stood still before in tries in which some thread got no processor to stop. */
  vainPauseMs: number;
}

/** A thread still ran when the time for stopping was over. */
interface NotStopped {
  running: ProcessStat;
  pauseMs: number;
}

/** A process that may be read and stopped; one watchdog serves all its freezes. */
export class LiveTarget {
  readonly pid: number;
  /** With the pid it names this process and no later one. */
  readonly startTimeTicks: number;
  /** Its memory as it is at each moment. */
  readonly memory: LiveMemory;
  private readonly control: ProcessControl;
  private guard: Guard | undefined;
  private isFrozen = false;

  constructor(status: ProcessStatus, memory: LiveMemory, control: ProcessControl) {
    this.pid = status.pid;
    this.startTimeTicks = status.startTimeTicks;
    this.memory = memory;
    this.control = control;
  }

  /**
   * Stops the target, runs `use`, continues it. `use` must be synchronous; it calls `stillWorking` at least every few
   * seconds. Throws AccessError when the target cannot be stopped or was continued by somebody else meanwhile (what was
   * read may then be mixed), and what `use` throws.
   */
  withFrozen<T>(use: (stillWorking: () => void) => T): FrozenResult<T> {
    assert(!this.isFrozen, 'a target is frozen once at a time');
    let vainPauseMs = 0;
    for (let tries = 1; ; tries++) {
      const result = this.tryFrozen(use);
      if ('value' in result) return { ...result, vainPauseMs };
      vainPauseMs += result.pauseMs;
      const { running } = result;
      if (running.state === 'D' || tries === STARVED_TRIES) throw doesNotStop(this.pid, running);
      // The target runs on between tries: its other threads must not stand still for as long as one waits for its turn.
      waitMs(STARVED_WAIT_MS * tries);
    }
  }

  private tryFrozen<T>(
    use: (stillWorking: () => void) => T,
  ): { value: T; pauseMs: number } | NotStopped {
    this.refuseUnlessStoppable();
    const guard = this.startGuard();
    guard.waitUntilReady();
    guard.arm();
    let startedAt = 0;
    let result: { value: T } | { running: ProcessStat };
    let stayedStopped = true;
    let pauseMs = 0;
    try {
      // Again, because starting the watchdog takes a while.
      this.refuseUnlessStoppable();
      startedAt = performance.now();
      this.control.signal(this.pid, 'SIGSTOP');
      this.isFrozen = true;
      const running = this.findUnstoppable();
      if (running === undefined) {
        result = { value: use(() => guard.arm()) };
        stayedStopped = this.findRunningThread() === undefined;
      } else result = { running };
    } finally {
      if (this.isFrozen) this.resume();
      pauseMs = performance.now() - startedAt;
      this.isFrozen = false;
      guard.disarm();
    }
    if (!stayedStopped) throw this.wasContinued();
    return { ...result, pauseMs };
  }

  /**
   * Starts the watchdog unless it runs, and does not wait for it. `withFrozen` does so itself; who fills memory that was
   * prepared for the purpose calls this before: starting a process (fork) write-protects every page of ours, and each then
   * costs a fault again.
   */
  prepare(): void {
    this.startGuard();
  }

  /** Whether the process that was opened still runs. */
  get isAlive(): boolean {
    const stat = this.control.findProcessStat(this.pid);
    if (stat?.startTimeTicks !== this.startTimeTicks || stat.isExiting) return false;
    return !'ZX'.includes(stat.state);
  }

  close(): void {
    this.guard?.close();
    this.memory.close();
  }

  private startGuard(): Guard {
    if (this.guard?.isAlive === true) return this.guard;
    this.guard?.close();
    this.guard = this.control.startWatchdog(this);
    return this.guard;
  }

  private refuseUnlessStoppable(): void {
    const status = this.control.findProcess(this.pid);
    if (status?.startTimeTicks !== this.startTimeTicks) throw hasEnded(this.pid);
    refuseState(status);
  }

  private isSame(): boolean {
    return this.control.findProcessStat(this.pid)?.startTimeTicks === this.startTimeTicks;
  }

  /** Waits until all threads stand still; the one that does not within the limit. */
  private findUnstoppable(): ProcessStat | undefined {
    const begin = performance.now();
    for (;;) {
      const running = this.findRunningThread();
      const waitedMs = performance.now() - begin;
      if (running === undefined || waitedMs > STOP_LIMIT_MS) return running;
      // The longer it takes, the more the processor is needed by the target.
      if (waitedMs > SPIN_MS) waitMs(Math.min(waitedMs / 10, 2));
    }
  }

  /** A thread that is not stopped. Lists again at the end: a thread may have been started before its starter stopped. */
  private findRunningThread(): ProcessStat | undefined {
    const stopped = new Set<number>();
    for (;;) {
      const fresh = this.control.listThreads(this.pid).filter((tid) => !stopped.has(tid));
      if (fresh.length === 0) {
        if (stopped.size === 0) throw hasEnded(this.pid);
        return undefined;
      }
      for (const tid of fresh) {
        const stat = this.control.findThreadStat(this.pid, tid);
        // Threads that have ended stand still, too.
        if (stat !== undefined && !'TZX'.includes(stat.state)) return stat;
        stopped.add(tid);
      }
    }
  }

  private resume(): void {
    if (!this.isSame()) return;
    try {
      this.control.signal(this.pid, 'SIGCONT');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  private wasContinued(): AccessError {
    return new AccessError({
      fact: `The copy of process ${this.pid} cannot be used`,
      reason: 'the process was continued by somebody else while its memory was read',
      next: `Try again; if it happens again, see what sends SIGCONT to process ${this.pid}.`,
    });
  }
}

/**
 * Opens a process for reading and stopping. Tests the permission for both and sends nothing. Throws AccessError for a
 * process that is gone, not ours, stopped, traced, or leakscope itself.
 */
export function openTarget(pid: number, control: ProcessControl = systemControl): LiveTarget {
  refuseOtherPages();
  if (pid === process.pid) throw cannotStop(pid, 'it is leakscope itself', 'Give another pid.');
  const memory = openLiveMemory(pid);
  try {
    const status = control.findProcess(pid);
    if (status === undefined) throw hasEnded(pid);
    refuseState(status);
    refuseWithoutSignals(pid);
    return new LiveTarget(status, memory, control);
  } catch (error) {
    memory.close();
    throw error;
  }
}

/** Copies are made in pages of 4 KiB; some arm64 kernels have larger ones. */
function refuseOtherPages(): void {
  const pageBytes = findKernelPageBytes();
  if (pageBytes === undefined || pageBytes === PAGE_SIZE) return;
  throw new UnsupportedError({
    fact: 'Cannot copy processes on this machine',
    reason: `its kernel has pages of ${pageBytes / 1024} KiB; leakscope knows pages of 4 KiB`,
    next: 'Run the program under a kernel with pages of 4 KiB.',
  });
}

function refuseState(status: ProcessStatus): void {
  const { pid, state, tracerPid } = status;
  if (state === 'Z' || state === 'X') throw hasEnded(pid);
  if (tracerPid !== 0 || state === 't') {
    const next = 'Detach the debugger (or strace) first.';
    throw cannotStop(pid, `process ${tracerPid} holds it as a debugger`, next);
  }
  if (state === 'T') {
    throw cannotStop(pid, 'it is stopped already', `Continue it first: kill -CONT ${pid}.`);
  }
}

function refuseWithoutSignals(pid: number): void {
  try {
    process.kill(pid, 0);
  } catch (cause) {
    const reason = 'leakscope may read it but not send it signals';
    const next = `Run leakscope as root: sudo leakscope … ${pid}.`;
    throw new AccessError({ fact: `Cannot stop process ${pid}`, reason, next }, { cause });
  }
}

const cannotStop = (pid: number, reason: string, next: string): AccessError =>
  new AccessError({ fact: `Cannot stop process ${pid} for a copy`, reason, next });

/** The error for a process that is gone. */
export const hasEnded = (pid: number): AccessError =>
  new AccessError({
    fact: `Cannot read process ${pid}`,
    reason: 'it has ended',
    next: 'Run `leakscope ps` to see the processes that can be read.',
  });

function doesNotStop(pid: number, { pid: tid, name, state }: ProcessStat): AccessError {
  const why =
    state === 'D'
      ? `waits in the kernel and cannot be interrupted within ${STOP_LIMIT_MS} ms`
      : `got no processor to stop, in ${STARVED_TRIES} tries of ${STOP_LIMIT_MS} ms`;
  const reason = `its thread ${tid} (${name}) ${why}`;
  return cannotStop(pid, reason, 'The process runs on; try again.');
}
