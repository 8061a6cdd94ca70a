// Runs leakscope's command line from source, as a user would from a shell, and collects what it prints.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** By its address, because the working directory of a run may be any. */
const TSX = import.meta.resolve('tsx');

/** Program and arguments of `leakscope ...args`. */
export const commandLine = (...args: string[]): string[] => [
  process.execPath,
  '--import',
  TSX,
  MAIN,
  ...args,
];

export interface CommandResult {
  /** null when it was ended by a signal. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export function startCommand(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const [program, ...first] = commandLine(...args);
  return spawn(program, first, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    env: { ...process.env, ...options.env },
  });
}

/** All output of a process, when it has ended. */
export function finishCommand(child: ChildProcess): Promise<CommandResult> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
}

export const runCommand = (...args: string[]): Promise<CommandResult> =>
  finishCommand(startCommand(args));

/** Runs with --json and parses what was printed; a field that the schema does not know is an error. */
export async function runJson<S extends z.ZodType>(
  schema: S,
  ...args: string[]
): Promise<z.infer<S>> {
  const { stdout, stderr, code } = await runCommand(...args, '--json');
  if (stdout === '') throw new Error(`nothing on stdout (exit ${code}): ${stderr}`);
  return schema.parse(JSON.parse(stdout));
}

/** All of stderr up to the first match. */
export function untilStderr(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
      if (pattern.test(text)) resolve(text);
    });
    child.on('close', () => reject(new Error(`ended before ${pattern}: ${text}`)));
  });
}
