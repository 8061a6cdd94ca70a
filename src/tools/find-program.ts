// Finds the program that a command line starts, the way exec and the shell do (PATH, `#!` lines), because valgrind
// follows exactly one program: a wrapper script would be measured instead of the Python that it starts.

import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { UsageError } from '../base/errors.ts';

export interface FoundProgram {
  /** Path of an ELF program, and all its arguments. */
  readonly command: readonly string[];
  /** It is called python, python3, python3.11 ... */
  readonly isPython: boolean;
  /** The name of the shell, if the program is one. */
  readonly shell: string | undefined;
}

const MAX_INTERPRETERS = 5;
const SHELL = /^(?:ba|da|k|z|a)?sh$|^busybox$/;
const PYTHON = /^python\d*(?:\.\d+)*[a-z]*$/;

/** Throws UsageError if there is no such program or it cannot be run. */
export function findProgram(command: readonly string[]): FoundProgram {
  let parts = [...command];
  for (let i = 0; i < MAX_INTERPRETERS; i++) {
    const file = findExecutable(parts[0]);
    if (file === undefined) throw cannotStart(parts[0], 'there is no such program');
    parts = [file, ...parts.slice(1)];
    const head = readHead(file);
    // A file that cannot be read may be a program all the same.
    if (head === undefined || head.startsWith('\x7fELF')) return describeProgram(parts);
    if (!head.startsWith('#!')) {
      throw cannotStart(
        parts[0],
        'it is neither a program nor a script that names its interpreter',
      );
    }
    parts = [...splitInterpreterLine(head), ...parts];
  }
  throw new UsageError({
    fact: `Cannot start "${command[0]}"`,
    reason: `its first line names a script, whose first line names a script, ${MAX_INTERPRETERS} times`,
    next: 'Check the command behind --.',
  });
}

/** Throws UsageError for a shell: the tool would follow it, and not the program that it starts. */
export function refuseShell(program: FoundProgram, tool: string, next: string): void {
  if (program.shell === undefined) return;
  throw new UsageError({
    fact: `"${program.command.slice(0, 2).join(' ')}" is run by ${program.shell}`,
    reason: `${tool} would follow the shell and not the program that it starts`,
    next,
  });
}

/** The first executable file of that name: of PATH unless the name has a slash. */
export function findExecutable(name: string): string | undefined {
  const folders = name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  for (const folder of folders) {
    const file = folder === '' && !name.includes('/') ? undefined : join(folder, name);
    if (file !== undefined && isExecutableFile(name.includes('/') ? name : file)) {
      return name.includes('/') ? name : file;
    }
  }
  return undefined;
}

function isExecutableFile(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function readHead(file: string): string | undefined {
  const head = Buffer.alloc(256);
  try {
    const descriptor = openSync(file, 'r');
    try {
      return head.toString('latin1', 0, readSync(descriptor, head, 0, head.length, 0));
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Executable but not readable: then it is no script, which its interpreter would have to read.
    return undefined;
  }
}

/** `#!/usr/bin/env python3` is python3, `#!/usr/bin/python3 -u` is both. */
function splitInterpreterLine(head: string): string[] {
  const line = head.slice(2).split('\n')[0].trim();
  const [program, ...rest] = line.split(/\s+/);
  if (!/(^|\/)env$/.test(program)) return rest.length === 0 ? [program] : [program, rest.join(' ')];
  const words = rest[0] === '-S' ? rest.slice(1) : rest;
  // Before the program env may set variables, which does not matter for finding it.
  return words.slice(words.findIndex((word) => !word.includes('=')));
}

function describeProgram(command: readonly string[]): FoundProgram {
  const path = realpathSync(command[0]);
  const name = path.slice(path.lastIndexOf('/') + 1);
  return {
    command,
    isPython: PYTHON.test(name),
    shell: SHELL.test(name) ? name : undefined,
  };
}

function cannotStart(name: string, reason: string): UsageError {
  return new UsageError({
    fact: `Cannot start "${name}"`,
    reason,
    next: 'Check the command behind --; a script needs its interpreter: -- python app.py',
  });
}
