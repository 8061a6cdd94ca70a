// What a core tells of the process beside its memory: the arguments that it was started with, from where the kernel put them
// on the stack; and its signal. Source: Linux fs/binfmt_elf.c (create_elf_tables): count, arguments, zero, environment,
// zero, auxiliary vector, in this order from the lowest address on.

import { constants } from 'node:os';
import type { ByteMemory } from './byte-memory.ts';
import type { CoreFile } from './core-file.ts';
import type { Mapping } from './mappings.ts';

/** The tables lie at the end of the stack, before the texts; Linux allows these 6 MB at most. */
const MAX_STACK_END_BYTES = 8 << 20;
const MAX_ARGUMENTS = 4096;
const MAX_ARGUMENT_BYTES = 1 << 17;

/** The command line; what the note has of it (80 bytes) where the stack does not show it. */
export function readCommand(
  { notes }: CoreFile,
  mappings: readonly Mapping[],
  memory: ByteMemory,
): string[] {
  const stack = mappings.find(({ path }) => path === '[stack]');
  const inNote = notes.argumentsText === '' ? [] : notes.argumentsText.split(' ');
  if (stack === undefined || notes.auxiliaryVector.length === 0) return inNote;
  const start = Math.max(stack.start, stack.end - MAX_STACK_END_BYTES);
  const bytes = Buffer.alloc(stack.end - start);
  const count = memory.readAvailable(start, bytes, 0, bytes.length);
  const pointers = findArgumentPointers(bytes.subarray(0, count), notes.auxiliaryVector);
  const texts = pointers?.map((pointer) => {
    const text = memory.findCString(pointer, MAX_ARGUMENT_BYTES);
    return text === undefined ? undefined : Buffer.from(text, 'latin1').toString('utf8');
  });
  return texts === undefined || texts.includes(undefined) ? inNote : (texts as string[]);
}

function findArgumentPointers(stack: Buffer, auxiliaryVector: Buffer): number[] | undefined {
  const word = (at: number): number => (at < 0 ? -1 : Number(stack.readBigUInt64LE(at)));
  const vector = stack.lastIndexOf(auxiliaryVector);
  if (vector < 0 || vector % 8 !== 0) return undefined;
  // Backwards: the zero behind the environment, the environment, the zero behind the arguments.
  let at = vector - 16;
  while (word(at) > 0) at -= 8;
  const pointers: number[] = [];
  for (at -= 8; pointers.length <= MAX_ARGUMENTS; at -= 8) {
    if (word(at) < 0) return undefined;
    if (word(at) === pointers.length) return pointers.reverse();
    pointers.push(word(at));
  }
  return undefined;
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
