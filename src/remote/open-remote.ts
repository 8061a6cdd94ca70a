// From a pid to a conversation with an agent inside that process: through an agent that is there already, else by making the
// process run one line (3.8 to 3.13: a pending call; 3.14 and later: PEP 768). What could not be done in time is taken back.

import { readlinkSync } from 'node:fs';
import { AccessError, MemoryReadError, UserError } from '../base/errors.ts';
import {
  armDebuggerScript,
  checkRemoteDebugging,
  listScriptThreads,
  type ScriptPlace,
} from './arm-debugger-script.ts';
import { type Armed, armPendingCall } from './arm-pending-call.ts';
import { describeMainThread, waitsInEpoll } from './blocked-thread.ts';
import { type AcceptedAgent, type Channel, openChannel } from './channel.ts';
import { findCooperativeAgent } from './cooperative.ts';
import { openRemotePython, type RemotePython } from './remote-python.ts';
import { RemoteSession } from './remote-session.ts';
import { findInnerPid, openTargetWriter, type TargetWriter } from './target-writer.ts';
import { UndoGuard } from './undo-guard.ts';
import {
  prepareEpollWaker,
  prepareInterrupt,
  type Undo,
  type Waker,
  whyNoInterrupt,
} from './wake-main-thread.ts';

export interface RemoteOptions {
  /** How long the program may take to come by; 10 seconds by default. */
  timeoutMs?: number;
  /** Takes back what was done and rejects with its reason. */
  signal?: AbortSignal;
  onProgress?: (text: string) => void;
  /** Registers what must be done if leakscope ends meanwhile; the returned function takes it back. */
  atExit?: (cleanup: () => void) => () => void;
  /** Whether a main thread that waits may be woken by a SIGINT that is made harmless before (3.12 and later). */
  nudge?: boolean;
  /** Whether an agent that the program has started itself may be used; true by default. */
  cooperative?: boolean;
  /** For tests. */
  openWriter?: (pid: number) => TargetWriter;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** The code has begun to run: the agent needs this long at most to call. */
const AGENT_LIMIT_MS = 5000;
/** An idle event loop comes by at once; after this long it is taken for blocked. */
const IDLE_MS = 60;
/** Of threads of 3.14 and later: the main one gets this long, then each other one. */
const MAIN_THREAD_MS = 500;
const OTHER_THREAD_MS = 150;
const MAX_OTHER_THREADS = 8;
const POLL_MS = 20;
/** Before and after a nudge. */
const PATIENCE_MS = 300;
const SIGNAL_DELAY_MS = 5;
/** How a user who is not known in a user namespace appears there. */
const UNKNOWN_UID = 65534;

/** Whether `openRemote` would find an agent that the program has started itself; nothing is written then. */
export async function hasCooperativeAgent(pid: number): Promise<boolean> {
  const agent = await findCooperativeAgent(pid);
  agent?.socket.destroy();
  return agent !== undefined;
}

/** Throws AccessError, UnsupportedError or UsageError, each with the target as it was. */
export async function openRemote(pid: number, options: RemoteOptions = {}): Promise<RemoteSession> {
  options.signal?.throwIfAborted();
  if (options.cooperative !== false) {
    const agent = await findCooperativeAgent(pid);
    if (agent !== undefined) {
      const how = 'the agent that the program started itself';
      return makeSession(pid, how, agent, () => {});
    }
  }
  const python = openRemotePython(pid, options.openWriter ?? openTargetWriter);
  try {
    return await inject(python, options);
  } finally {
    python.close();
  }
}

function makeSession(
  pid: number,
  how: string,
  { socket, hello, lines }: AcceptedAgent,
  onClosed: () => void,
): RemoteSession {
  return new RemoteSession({ pid, python: hello.python, how }, socket, lines, onClosed);
}

/** What is under way in one injection. */
interface Injection {
  python: RemotePython;
  channel: Channel;
  options: RemoteOptions;
  deadline: number;
  armed: Armed | undefined;
  /** Puts back what a nudge has changed. */
  undoNudge: Undo | undefined;
  /** Their guard processes end with the injection. */
  wakers: Waker[];
}

async function inject(python: RemotePython, options: RemoteOptions): Promise<RemoteSession> {
  const { pid } = python;
  const takesScripts = python.runtime.layout.hasSize('_PyRemoteDebuggerSupport');
  if (takesScripts) checkRemoteDebugging(python);
  options.onProgress?.(`preparing to run code in process ${pid}`);
  const channel = openChannel({
    pid,
    innerPid: findInnerPid(pid),
    hasGevent: python.hasGevent,
    uids: isInOtherUserNamespace(pid) ? [UNKNOWN_UID] : [],
  });
  const deadline = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const injection: Injection = {
    python,
    channel,
    options,
    deadline,
    armed: undefined,
    undoNudge: undefined,
    wakers: [],
  };
  const forget = options.atExit?.(() => takeBack(injection));
  try {
    const agent = takesScripts ? await runScript(injection) : await runPendingCall(injection);
    injection.undoNudge?.();
    injection.armed?.clean();
    const how = takesScripts ? 'a debugger script (PEP 768)' : 'a pending call';
    const session = makeSession(pid, how, agent, () => forgetSession?.());
    const forgetSession = options.atExit?.(() => session.destroy());
    return session;
  } catch (error) {
    takeBack(injection);
    throw error;
  } finally {
    forget?.();
    for (const waker of injection.wakers) waker.close();
    channel.close();
  }
}

/** Everything as it was; may be called twice, and at the end of leakscope. */
function takeBack(injection: Injection): void {
  const { armed, undoNudge, channel } = injection;
  injection.armed = undefined;
  injection.undoNudge = undefined;
  try {
    undoNudge?.();
    armed?.disarm();
  } catch (error) {
    // The target has ended, or somebody else has stopped it: the call is then harmless, since its file is gone.
    if (!(error instanceof UserError) && !(error instanceof MemoryReadError)) throw error;
  } finally {
    channel.close();
  }
}

async function runPendingCall(injection: Injection): Promise<AcceptedAgent> {
  const { python, channel, options } = injection;
  const { pid } = python;
  const hasWaited = waitsInEpoll(pid);
  injection.armed = await armPendingCall(python, channel.line, {
    sleep: sleepOn(options.signal),
    limitMs: injection.deadline - performance.now(),
  });
  options.onProgress?.(`waiting for process ${pid} to come by`);
  // Its guard starts while the program may come by itself.
  const early = hasWaited ? prepare(injection, prepareEpollWaker) : undefined;
  const first = await waitForAgent(injection, IDLE_MS);
  if (first !== undefined) return first;
  if (waitsInEpoll(pid)) {
    options.onProgress?.(`waking process ${pid}`);
    const waker = early ?? prepare(injection, prepareEpollWaker);
    injection.undoNudge = waker?.swap();
  }
  const nudged = await nudge(injection);
  if (nudged !== undefined) return nudged;
  const agent = await waitForAgent(injection, injection.deadline - performance.now());
  if (agent !== undefined) return agent;
  throw await notRun(injection);
}

async function runScript(injection: Injection): Promise<AcceptedAgent> {
  const guard = UndoGuard.start(injection.python.target);
  try {
    return await runOnSomeThread(injection, guard);
  } finally {
    // A script that waits all the same is taken back by it; one that has run is none of its business.
    guard.close();
  }
}

async function runOnSomeThread(injection: Injection, guard: UndoGuard): Promise<AcceptedAgent> {
  const { python, options } = injection;
  const [main, ...others] = listScriptThreads(python);
  const leftMs = () => injection.deadline - performance.now();
  if (main === undefined) throw await notRun(injection);
  guard.waitUntilReady();
  const toMain = { thread: main, where: 'the main thread', guard };
  const early = await runOnThread(injection, toMain, Math.min(MAIN_THREAD_MS, leftMs()));
  if (early !== undefined) return early;
  for (const thread of others.slice(0, MAX_OTHER_THREADS)) {
    options.onProgress?.(`trying another thread of process ${python.pid}`);
    const place = { thread, where: 'another thread', guard };
    const agent = await runOnThread(injection, place, OTHER_THREAD_MS);
    if (agent !== undefined) return agent;
  }
  const last = await runOnThread(injection, toMain, leftMs(), true);
  if (last !== undefined) return last;
  throw await notRun(injection);
}

async function runOnThread(
  injection: Injection,
  place: ScriptPlace,
  limitMs: number,
  mayNudge = false,
): Promise<AcceptedAgent | undefined> {
  const { python, channel, options } = injection;
  const sleep = sleepOn(options.signal);
  const limits = { sleep, limitMs: injection.deadline - performance.now() };
  const armed = await armDebuggerScript(python, channel.scriptPath, place, limits);
  injection.armed = armed;
  options.onProgress?.(`waiting for process ${python.pid} to come by`);
  const nudged = mayNudge ? await nudge(injection) : undefined;
  const agent = nudged ?? (await waitForAgent(injection, limitMs));
  if (agent !== undefined) return agent;
  injection.armed = undefined;
  // It may have begun just now.
  return armed.disarm() ? waitForAgent(injection, AGENT_LIMIT_MS) : undefined;
}

function prepare(injection: Injection, prepareWaker: typeof prepareInterrupt): Waker | undefined {
  const waker = prepareWaker(injection.python);
  if (waker !== undefined) injection.wakers.push(waker);
  return waker;
}

/** Wakes the main thread by a SIGINT without effect, if the user wants that; the agent that called then. */
async function nudge(injection: Injection): Promise<AcceptedAgent | undefined> {
  const { python, options } = injection;
  if (options.nudge !== true) return undefined;
  const waker = prepare(injection, prepareInterrupt);
  const early = await waitForAgent(injection, PATIENCE_MS);
  if (early !== undefined) return early;
  injection.undoNudge?.();
  options.onProgress?.(`nudging process ${python.pid}`);
  injection.undoNudge = waker?.swap();
  if (injection.undoNudge === undefined) return undefined;
  // Right after it was continued the kernel may give the signal to another thread.
  await sleepOn(options.signal)(SIGNAL_DELAY_MS);
  if (python.target.isAlive) process.kill(python.pid, 'SIGINT');
  const agent = await waitForAgent(injection, PATIENCE_MS);
  injection.undoNudge();
  injection.undoNudge = undefined;
  return agent;
}

/** The agent that called within the time; longer where the code has begun to run. */
async function waitForAgent(
  { python, channel, options, armed }: Injection,
  limitMs: number,
): Promise<AcceptedAgent | undefined> {
  const sleep = sleepOn(options.signal);
  let until = performance.now() + limitMs;
  let hasBegun = false;
  while (performance.now() < until) {
    const agent = await Promise.race([channel.accepted, sleep(POLL_MS)]);
    if (agent !== undefined) return agent;
    if (!python.target.isAlive) throw ended(python.pid);
    if (!hasBegun && armed !== undefined && isTaken(armed)) {
      hasBegun = true;
      until = Math.max(until, performance.now() + AGENT_LIMIT_MS);
    }
  }
  return undefined;
}

/** A thread's state may be gone. */
function isTaken(armed: Armed): boolean {
  try {
    return armed.isTaken();
  } catch (error) {
    if (error instanceof MemoryReadError) return false;
    throw error;
  }
}

const sleepOn =
  (signal: AbortSignal | undefined) =>
  (ms: number): Promise<undefined> =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve(undefined);
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });

const ended = (pid: number): AccessError =>
  new AccessError({
    fact: `Cannot run code in process ${pid}`,
    reason: 'it has ended meanwhile',
    next: 'Run `leakscope ps` to see the processes that run.',
  });

async function notRun(injection: Injection): Promise<AccessError> {
  const { python, channel, options, armed } = injection;
  const { pid } = python;
  const seconds = (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) / 1000;
  if (armed !== undefined && isTaken(armed)) {
    const turnedAway = channel.refused > 0 ? `; ${channel.refused} callers were turned away` : '';
    return new AccessError({
      fact: `Process ${pid} ran the call, but its agent did not answer`,
      reason: `it may be forbidden to start threads or to open sockets${turnedAway}`,
      next: 'Read it from outside instead: leakscope hunt, show, path.',
    });
  }
  // It has just been stopped and continued: what it waits for shows a moment later.
  await sleepOn(undefined)(POLL_MS);
  const { outcome, advice } = explainNudge(injection);
  return new AccessError({
    fact: `Process ${pid} ran no Python code within ${seconds} s, so the call was taken back`,
    reason: `${describeMainThread(pid)}${outcome}`,
    next: `Give it something to do (send it a request) and try again, or wait longer: --timeout 60s.${advice}`,
  });
}

/** What became of `--nudge`, and whether to try it. */
function explainNudge({ python, options }: Injection): { outcome: string; advice: string } {
  let obstacle: string | undefined;
  try {
    obstacle = whyNoInterrupt(python);
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
    obstacle = 'its signal handlers could not be read';
  }
  if (options.nudge === true) {
    const outcome = obstacle === undefined ? 'a nudge did not wake it' : 'it was not nudged';
    return { outcome: `; ${[outcome, obstacle].filter(Boolean).join(': ')}`, advice: '' };
  }
  const advice =
    obstacle === undefined
      ? ' Or wake it: --nudge (for some 300 ms a real Ctrl-C for the program is lost).'
      : ` --nudge does not help here: ${obstacle}.`;
  return { outcome: '', advice };
}

function isInOtherUserNamespace(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user');
  } catch {
    return false;
  }
}
