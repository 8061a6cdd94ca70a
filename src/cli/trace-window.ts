// Switches tracemalloc on in a running process for a while, and off again: `allocations --start`, `hunt --trace`. A tracer
// that the program has switched on itself is left as it is. If leakscope is killed meanwhile, the agent in the process
// sees its connection end and switches the tracer off.

import { AccessError } from '../base/errors.ts';
import { hasCooperativeAgent, openRemote } from '../remote/open-remote.ts';
import type { RemoteSession } from '../remote/remote-session.ts';
import { askConsent } from './consent.ts';
import { nameChildren } from './resolve-target.ts';
import type { Session } from './session.ts';

export interface TraceWindow {
  /** Processor time to make and free a small object, in nanoseconds, before and with the tracer; undefined if it was on. */
  objectNs: { without: number; with: number } | undefined;
}

export interface TraceOptions {
  command: string;
  /** Frames of a traceback. */
  frames: number;
  /** Do not ask. */
  yes: boolean;
}

/** Runs `use` while the tracer is on. Throws what `openRemote` and `use` throw, each with the tracer as it was. */
export async function withTracer<T>(
  pid: number,
  { command, frames, yes }: TraceOptions,
  session: Session,
  use: (window: TraceWindow) => Promise<T>,
): Promise<T> {
  if (!yes && !(await hasCooperativeAgent(pid))) {
    const what = 'while tracemalloc is on, which makes the process slower and larger';
    await askConsent({ pid, command, what }, session);
  }
  const remote = await openRemote(pid, {
    signal: session.signal,
    onProgress: (text) => session.progress(text),
    atExit: (cleanup) => session.atExit(cleanup),
  }).catch((error: unknown) => {
    throw nameChildren(pid, error);
  });
  try {
    const reply = await remote.request('tracemalloc', { action: 'start', frames });
    return await use({ objectNs: decodeTimes(reply.objectNs) });
  } finally {
    await stopTracer(remote);
  }
}

/** The reply is the target's word. */
function decodeTimes(times: unknown): TraceWindow['objectNs'] {
  if (!Array.isArray(times) || times.length !== 2 || !times.every(Number.isFinite))
    return undefined;
  return { without: times[0], with: times[1] };
}

async function stopTracer(remote: RemoteSession): Promise<void> {
  try {
    if (remote.isConnected) await remote.request('tracemalloc', { action: 'stop' });
  } catch (error) {
    // The process has ended: nothing is left to switch off.
    if (!(error instanceof AccessError)) throw error;
  } finally {
    await remote.close();
  }
}
