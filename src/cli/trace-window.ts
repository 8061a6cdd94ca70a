// Switches tracemalloc on in a running process for a while, and off again: `allocations --start`, `hunt --trace`. A tracer
// that the program has switched on itself is left as it is. If leakscope is killed meanwhile, the agent in the process
// sees its connection end and switches the tracer off.

import { AccessError } from '../base/errors.ts';
import { formatDuration } from '../base/format.ts';
import { openRemote } from '../remote/open-remote.ts';
import type { RemoteSession } from '../remote/remote-session.ts';
import { askConsent } from './consent.ts';
import type { RemoteCommandOptions } from './options.ts';
import { nameChildren, openPython } from './resolve-target.ts';
import type { Session } from './session.ts';

/** Of `timeout` where a command has no such option. */
const TIMEOUT_SECONDS = 10;

export interface TraceWindow {
  /** Processor time to make and free a small object, in nanoseconds, before and with the tracer; undefined if it was on. */
  objectNs: { without: number; with: number } | undefined;
}

export interface TraceOptions extends Partial<RemoteCommandOptions> {
  command: string;
  /** Frames of a traceback. */
  frames: number;
}

/**
 * Runs `use` while the tracer is on, and says what was done. Throws what `openRemote` and `use` throw, each with the tracer as
 * it was. No code runs in a process that traces already.
 */
export async function withTracer<T>(
  pid: number,
  { command, frames, yes, nudge, timeout = TIMEOUT_SECONDS }: TraceOptions,
  session: Session,
  use: (window: TraceWindow) => Promise<T>,
): Promise<T> {
  if (isTracing(pid)) {
    session.note(`tracemalloc is on in process ${pid} already: nothing was changed there`);
    return use({ objectNs: undefined });
  }
  if (yes !== true) {
    const what = 'while tracemalloc is on, which makes the process slower and larger';
    await askConsent({ pid, command, what }, session);
  }
  const remote = await openRemote(pid, {
    timeoutMs: timeout * 1000,
    nudge: nudge === true,
    signal: session.signal,
    onProgress: (text) => session.progress(text),
    atExit: (cleanup) => session.atExit(cleanup),
  }).catch((error: unknown) => {
    throw nameChildren(pid, error);
  });
  const startedAt = performance.now();
  try {
    const reply = await remote.request('tracemalloc', { action: 'start', frames });
    return await use({ objectNs: decodeTimes(reply.objectNs) });
  } finally {
    const hasEnded = await stopTracer(remote);
    const seconds = (performance.now() - startedAt) / 1000;
    const end = hasEnded ? 'nothing is left there' : 'its agent ends with the connection';
    session.note(
      `switched tracemalloc on in process ${pid} for ${formatDuration(seconds)} and off again, through ${remote.how}; ${end}`,
    );
  }
}

function isTracing(pid: number): boolean {
  const live = openPython(pid);
  try {
    return live.isTracing() === true;
  } finally {
    live.close();
  }
}

/** The reply is the target's word. */
function decodeTimes(times: unknown): TraceWindow['objectNs'] {
  if (!Array.isArray(times) || times.length !== 2 || !times.every(Number.isFinite))
    return undefined;
  return { without: times[0], with: times[1] };
}

/** Whether the agent has ended. */
async function stopTracer(remote: RemoteSession): Promise<boolean> {
  try {
    if (remote.isConnected) await remote.request('tracemalloc', { action: 'stop' });
  } catch (error) {
    // The process has ended: nothing is left to switch off.
    if (!(error instanceof AccessError)) throw error;
  }
  return remote.close();
}
