// Programs that consoles come into (tests/programs/remote_target.py), and what must be as before when they have left.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type RunningPython, startPython, type TestPython } from './pythons.ts';

const INJECT_AND_DIE = fileURLToPath(new URL('../programs/inject_and_die.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');
const PROGRAM = fileURLToPath(new URL('../programs/remote_target.py', import.meta.url));

export type Mode =
  | 'cpu'
  | 'load'
  | 'sleeping'
  | 'joined'
  | 'printing'
  | 'idle'
  | 'asyncio'
  | 'forked'
  | 'serving'
  | 'ignoring'
  | 'interruptible';

export interface TargetState {
  names: string[];
  stdout: boolean;
  threads: number;
  modules: string[];
  works: boolean;
  results: unknown[];
  logging: boolean;
  /** Of SIGINT and of signal 64. */
  handlers: string[];
}

/** `pid` in what it prints is the process to come into: the worker's where it has forked one. */
export const startRemoteTarget = (
  python: TestPython,
  mode: Mode,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningPython<{ pid: number }>> => startPython(python, PROGRAM, { args: [mode], env });

/** What the target says of itself now; lines that it printed by itself are left out. */
export async function readState(target: RunningPython): Promise<TargetState> {
  target.send('state');
  for (;;) {
    const line = await target.nextLine();
    if (line.startsWith('{')) return JSON.parse(line) as TargetState;
  }
}

/** The target is as it was before: nothing of leakscope is left in it, and it works. */
export async function expectUnchanged(target: RunningPython, before: TargetState): Promise<void> {
  let after = await readState(target);
  // A thread that has done its last work is still there for a moment, longer on a busy machine.
  for (let i = 0; i < 50 && after.threads > before.threads; i++) after = await readState(target);
  expect({ ...after, results: 0 }).toEqual({ ...before, results: 0 });
  expect(after).toMatchObject({ modules: [], works: true, stdout: true, logging: true });
  expect(target.stderr()).toBe('');
}

/** Folders in which these leakscopes meet their targets; other tests have theirs beside them. */
export function listChannelFolders(...owners: number[]): string[] {
  const pids = owners.map((pid) => pid.toString(36));
  const name = /^leakscope-[0-9a-z]+-([0-9a-z]+)-[0-9a-z]+-[0-9a-f]{8}$/;
  return readdirSync('/tmp').filter((each) => pids.includes(name.exec(each)?.[1] ?? ''));
}

export interface Death {
  /** null if there were fewer steps: then it has ended by itself. */
  signal: string | null;
  code: number | null;
  pid: number;
}

/** A leakscope that kills itself after `step` steps (files, writes to the target); ends with 0 if there are fewer. */
export function injectAndDie(
  pid: number,
  step: number,
  { ofSignals = false, env = {} }: { ofSignals?: boolean; env?: NodeJS.ProcessEnv } = {},
): Promise<Death> {
  const steps = ofSignals ? ['signals'] : [];
  const args = ['--import', TSX, INJECT_AND_DIE, `${pid}`, `${step}`, ...steps];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  return new Promise((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal, pid: child.pid as number })),
  );
}
