// `hunt -- CMD ...` and `--load CMD`: starts a program in a process group of its own, waits until the Python in it can
// be read, and ends the whole group when leakscope ends. Its output goes to our stderr: stdout is the report's.

import { type ChildProcess, spawn } from 'node:child_process';
import { AccessError, UsageError, UserError } from '../base/errors.ts';
import { findProcessStat } from '../memory/process-status.ts';
import { probePython } from './python-processes.ts';
import { findPythonsBelow } from './resolve-target.ts';
import type { Session } from './session.ts';

const READY_TIMEOUT_MS = 30_000;
const REFUSAL_TIMEOUT_MS = 5_000;
const POLL_MS = 50;
const GRACE_MS = 3000;

export interface StartedProgram {
  readonly pid: number;
  readonly command: readonly string[];
  /** Whether it has ended; `ending` says how. */
  hasEnded(): boolean;
  ending(): string;
  /** SIGTERM to its process group, SIGKILL after 3 seconds; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Starts `command`; throws UsageError if it cannot be started. */
export async function startProgram(
  command: readonly string[],
  session: Session,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<StartedProgram> {
  // 2: what the program prints must not come between the lines of a report on stdout.
  const child = spawn(command[0], command.slice(1), {
    detached: true,
    stdio: ['ignore', 2, 2],
    env: environment,
  });
  await waitForSpawn(child, command);
  const pid = child.pid as number;
  const forget = session.atExit(() => killGroup(pid, 'SIGKILL'));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid,
    command,
    hasEnded,
    ending: () =>
      child.signalCode === null ? `exit code ${child.exitCode}` : `signal ${child.signalCode}`,
    stop: async () => {
      killGroup(pid, 'SIGTERM');
      const timer = setTimeout(() => killGroup(pid, 'SIGKILL'), GRACE_MS);
      await ended;
      clearTimeout(timer);
      // What the program itself had started and left behind.
      killGroup(pid, 'SIGKILL');
      forget();
    },
  };
}

/** Resolves when it was started; throws UsageError if it cannot be. */
export function waitForSpawn(child: ChildProcess, command: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve());
    child.once('error', (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === 'ENOENT';
      reject(
        new UsageError(
          {
            fact: `Cannot start "${command[0]}"`,
            reason: isMissing ? 'there is no such program' : error.message,
            next: 'Check the command behind --; a script needs its interpreter: -- python app.py',
          },
          { cause: error },
        ),
      );
    });
  });
}

function killGroup(groupId: number, signal: NodeJS.Signals): void {
  // The group is ours as long as its leader or one of its members lives; ids of groups in use are not given out again.
  try {
    process.kill(-groupId, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** The pid of the Python in a started program: itself, or the only Python below it. Throws AccessError if none comes. */
export async function waitForPython(program: StartedProgram, session: Session): Promise<number> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  const refusalDeadline = Date.now() + REFUSAL_TIMEOUT_MS;
  let reason = 'no Python appeared';
  while (Date.now() < deadline) {
    if (program.hasEnded()) {
      throw new AccessError({
        fact: `"${program.command.join(' ')}" ended before it could be read`,
        reason: `it ended with ${program.ending()}`,
        next: 'Its output stands above. Hunt a program that keeps running, or add load with --load.',
      });
    }
    const found = findPythonOf(program.pid);
    if (typeof found === 'number') return found;
    // An interpreter that is just starting is refused as well, but not for long.
    if (found instanceof UserError) {
      if (Date.now() > refusalDeadline) throw found;
    } else reason = found;
    session.progress('waiting for the program to start');
    await session.sleep(POLL_MS);
  }
  throw new AccessError({
    fact: `No Python to read in "${program.command.join(' ')}" after ${READY_TIMEOUT_MS / 1000} s`,
    reason,
    next: `Start it by itself, then: leakscope ps, leakscope hunt PID`,
  });
}

/** The pid, or why there is none yet. */
function findPythonOf(pid: number): number | UserError | string {
  if (findProcessStat(pid) === undefined) return 'it has ended';
  const probe = probePython(pid);
  if (probe.kind === 'python') return pid;
  const below = findPythonsBelow(pid);
  if (below.length === 1) return below[0];
  if (below.length > 1) return `several Python processes run in it: ${below.join(', ')}`;
  return probe.kind === 'refused' ? probe.error : probe.reason;
}
