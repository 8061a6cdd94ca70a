// Runs a program under a tool that ends with it: in a process group of its own, its output on our stderr (stdout is the
// report's) and its input ours unless that is a terminal. The first Ctrl-C ends the program and not us, so that the tool
// still does its work; the second ends everything. Whatever happens, the group is killed and the folder removed.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../base/errors.ts';
import { formatDuration } from '../base/format.ts';

/** What a tool needs of whoever runs it. */
export interface ToolHost {
  /** Aborted when everything is to end at once. */
  readonly signal: AbortSignal;
  /** Runs `cleanup` at the end, whatever the end is; the returned function takes it back. */
  atExit(cleanup: () => void): () => void;
  /** Calls `handler` at the first Ctrl-C instead of aborting; the returned function takes it back. */
  onInterrupt(handler: () => void): () => void;
  progress(text: string): void;
  note(text: string): void;
}

export interface ToolRun {
  readonly pid: number;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The user pressed Ctrl-C. */
  readonly interrupted: boolean;
  readonly seconds: number;
  /** Processes that it, or its descendants, had started, as far as they were seen: some live too shortly. */
  readonly descendants: readonly number[];
}

const PROGRESS_MS = 500;
/** Programs are slow under a tool: what they start lives longer than this. */
const CHILDREN_MS = 50;

/** A folder of its own that is gone when leakscope ends; the function removes it. */
export function createWorkFolder(tool: string, host: ToolHost): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `leakscope-${tool}-`));
  const erase = () => rmSync(path, { recursive: true, force: true });
  const forget = host.atExit(erase);
  return {
    path,
    remove: () => {
      forget();
      erase();
    },
  };
}

/** Resolves when the program has ended; rejects with the abort reason when the host's signal is aborted. */
export async function runUnderTool(
  command: readonly string[],
  environment: NodeJS.ProcessEnv,
  host: ToolHost,
  describe: (elapsed: string) => string,
): Promise<ToolRun> {
  host.signal.throwIfAborted();
  const start = performance.now();
  const child = spawn(command[0], command.slice(1), {
    detached: true,
    stdio: [process.stdin.isTTY ? 'ignore' : 'inherit', 2, 2],
    env: environment,
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(cannotStart(command[0], error)));
  });
  const pid = child.pid as number;
  let interrupted = false;
  const forget = [
    host.atExit(() => signalGroup(pid, 'SIGKILL')),
    host.onInterrupt(() => {
      interrupted = true;
      host.note('stopping the program; the result so far follows (Ctrl-C again: end at once)');
      // A Python that gets SIGINT finalizes, which frees its objects; SIGTERM would leave them all.
      signalProcess(pid, 'SIGINT');
    }),
  ];
  const seconds = () => (performance.now() - start) / 1000;
  const timer = setInterval(() => host.progress(describe(formatDuration(seconds()))), PROGRESS_MS);
  const descendants = new Set<number>();
  const childrenTimer = setInterval(() => addDescendants(pid, descendants), CHILDREN_MS);
  const onAbort = () => signalGroup(pid, 'SIGKILL');
  host.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const [exitCode, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
      (resolve) => child.once('exit', (...ending) => resolve(ending)),
    );
    host.signal.throwIfAborted();
    return {
      pid,
      exitCode,
      signal,
      interrupted,
      seconds: seconds(),
      descendants: [...descendants],
    };
  } finally {
    clearInterval(timer);
    clearInterval(childrenTimer);
    host.signal.removeEventListener('abort', onAbort);
    // What the program itself had started and left behind.
    signalGroup(pid, 'SIGKILL');
    for (const undo of forget) undo();
  }
}

/** Children of all threads, theirs, and so on: a few small reads. Without /proc/PID/task/TID/children there are none. */
function addDescendants(pid: number, into: Set<number>): void {
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8');
      for (const child of text.split(' ').filter(Boolean).map(Number)) {
        into.add(child);
        addDescendants(child, into);
      }
    }
  } catch {
    // It has just ended.
  }
}

const cannotStart = (program: string, error: Error): UsageError =>
  new UsageError(
    {
      fact: `Cannot start "${program}"`,
      reason: error.message,
      next: 'Check the command behind --; a script needs its interpreter: -- python app.py',
    },
    { cause: error },
  );

function signalGroup(groupId: number, signal: NodeJS.Signals): void {
  // The group is ours as long as one of its members lives; ids of groups in use are not given out again.
  try {
    process.kill(-groupId, signal);
  } catch {
    // Nobody is left in it.
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  // Our child: its pid is not given out again before we have waited for it.
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}
