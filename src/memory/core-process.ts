// What a core tells of the process beside its memory: the arguments that it was started with, from where the kernel put them
// on the stack; its signal; and which stacks of threads it lacks. Source: Linux fs/binfmt_elf.c (create_elf_tables), fs/exec.c: from the lowest address on,
// count, pointers to arguments, zero, pointers to the environment, zero, auxiliary vector; then 16 random bytes, the
// platform's name, a gap of zeros, the texts of the arguments, those of the environment, the name of the program.
//
// A loader that was started as the program moves the pointers, and leaves the texts.

import { constants } from 'node:os';
import type { ByteMemory } from './byte-memory.ts';
import type { CoreFile } from './core-file.ts';
import { findAuxiliary } from './core-notes.ts';
import type { Mapping } from './mappings.ts';
import type { Address } from './memory-reader.ts';
import type { ThreadState } from './threads.ts';

const AT_PLATFORM = 15;
const AT_RANDOM = 25;
const AT_EXECFN = 31;
const RANDOM_BYTES = 16;
const ENTRY_BYTES = 16;
/** Linux allows arguments and environment 6 MB at most. */
const MAX_BYTES = 8 << 20;

/** The command line; what the note has of it (80 bytes) where the stack does not show it. */
export function readCommand(
  { notes }: CoreFile,
  mappings: readonly Mapping[],
  memory: ByteMemory,
): string[] {
  const inNote = notes.argumentsText === '' ? [] : notes.argumentsText.split(' ');
  const stack = mappings.find(({ path }) => path === '[stack]');
  const random = findAuxiliary(notes, AT_RANDOM);
  if (stack === undefined || random === undefined) return inNote;
  const bytes = readUpTo(memory, Math.max(stack.start, stack.end - MAX_BYTES), stack.end);
  const base = stack.end - bytes.length;
  const end = findArgumentsEnd(bytes, notes.auxiliaryVector) ?? findAuxiliary(notes, AT_EXECFN);
  if (end === undefined || end <= random || end > stack.end) return inNote;
  const platform = findAuxiliary(notes, AT_PLATFORM) ?? 0;
  const texts = bytes.subarray(
    Math.max(0, (platform > random && platform < end ? platform : random + RANDOM_BYTES) - base),
    end - base,
  );
  // Behind the platform's name; without one, behind the random bytes.
  let start = platform > random ? texts.indexOf(0) : 0;
  while (start < texts.length && texts[start] === 0) start++;
  const found = texts.toString('utf8', start).replace(/\0$/, '').split('\0');
  const isSame = notes.argumentsText.startsWith(found[0].slice(0, 40));
  return found[0] !== '' && isSame ? found : inNote;
}

function readUpTo(memory: ByteMemory, start: Address, end: Address): Buffer {
  const bytes = Buffer.alloc(end - start);
  return bytes.subarray(0, memory.readAvailable(start, bytes, 0, bytes.length));
}

/** Where the texts of the environment begin; undefined if there is no environment. */
function findArgumentsEnd(stack: Buffer, auxiliaryVector: Buffer): Address | undefined {
  const vector = stack.lastIndexOf(auxiliaryVector.subarray(0, ENTRY_BYTES));
  if (auxiliaryVector.length < ENTRY_BYTES || vector < 0 || vector % 8 !== 0) return undefined;
  let first: Address | undefined;
  // Backwards: the zero behind the environment, then its pointers.
  for (let at = vector - 16; at >= 0; at -= 8) {
    const pointer = Number(stack.readBigUInt64LE(at));
    if (pointer === 0) break;
    first = pointer;
  }
  return first;
}

/** Those that dump core. gcore notes the one with which it stopped the process. Source: signal(7). */
const DUMPING_SIGNALS = [
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGQUIT',
  'SIGSEGV',
  'SIGSYS',
  'SIGTRAP',
  'SIGXCPU',
  'SIGXFSZ',
] as const;

/** `SIGABRT`; undefined where no signal made the kernel dump. */
export const findSignalName = ({ notes }: CoreFile): string | undefined =>
  DUMPING_SIGNALS.find((name) => constants.signals[name] === notes.signal);

/** Looked at from the stack pointer on: a function that waits has its caller's frame there. */
const STACK_BYTES = 4096;

/**
 * Marks threads whose stack is missing, or zeros: gcore writes nothing behind the first guard page of a mapping (glibc 2.42
 * has such inside of mappings).
 */
export function findLostStacks(threads: readonly ThreadState[], memory: ByteMemory): ThreadState[] {
  const bytes = Buffer.alloc(STACK_BYTES);
  return threads.map((thread) => {
    const count = memory.readAvailable(thread.stackPointer ?? 0, bytes, 0, STACK_BYTES);
    const isThere = bytes.subarray(0, count).some((byte) => byte !== 0);
    return isThere ? thread : { ...thread, lacksStack: true };
  });
}
