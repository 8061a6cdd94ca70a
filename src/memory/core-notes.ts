// The notes of a core file: turns its PT_NOTE segments into threads with their registers, the process, the files that were
// mapped, the auxiliary vector and the signal. Reads headers of notes one after the other and only the notes that are used:
// the state of vector registers is several times as large as the rest.
// Source: Linux fs/binfmt_elf.c (fill_note_info, fill_files_note), include/uapi/linux/elfcore.h, arch/x86/include/asm/
// user_64.h, arch/arm64/include/uapi/asm/ptrace.h; gdb's linux-tdep.c, which writes NT_FILE in units of bytes.
//
// What is damaged is left out; a note that claims to end behind its segment ends the list.

import type { ByteSource, ElfSegment } from './elf.ts';
import type { Address } from './memory-reader.ts';
import type { ThreadState } from './threads.ts';

const NT_PRSTATUS = 1;
const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_FILE = 0x46494c45;
const NT_SIGINFO = 0x53494749;

const MAX_NOTES = 1 << 20;
const MAX_THREADS = 1 << 16;
const MAX_FILES = 1 << 20;
/** Of the notes that are read: names of files are most of it. */
const MAX_DESCRIPTION_BYTES = 64 << 20;
const HEAD_BYTES = 12;
/** One read of the file has many heads of notes. */
const WINDOW_BYTES = 1 << 16;
/** pr_pid of elf_prstatus, and where its registers begin. */
const TID_AT = 32;
const REGISTERS_AT = 112;
/** pr_pid, pr_fname and pr_psargs of elf_prpsinfo. */
const PID_AT = 24;
const ARGUMENTS_AT = 56;
const ARGUMENTS_BYTES = 80;

/** Which of the registers of elf_prstatus are what, by their index. */
interface RegisterLayout {
  count: number;
  stackPointer: number;
  instructionPointer: number;
  /** Number of the system call, -1 outside of one; undefined where no register keeps it. */
  systemCall: number | undefined;
  /** Those that may hold pointers: not flags, nor segments. */
  general: readonly number[];
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

export type CoreMachine = 'x86-64' | 'arm64';

const registerLayouts: Record<CoreMachine, RegisterLayout> = {
  // r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base …
  'x86-64': {
    count: 27,
    stackPointer: 19,
    instructionPointer: 16,
    systemCall: 15,
    general: [...range(15), 21],
  },
  // x0 … x30 sp pc pstate
  arm64: {
    count: 34,
    stackPointer: 31,
    instructionPointer: 32,
    systemCall: undefined,
    general: range(31),
  },
};

/** A range of addresses that a file was mapped to. */
export interface CoreFileRange {
  start: Address;
  end: Address;
  /** Position in the file, in bytes. */
  offset: number;
  /** As the kernel names it, with ` (deleted)` if it was. */
  path: string;
}

export interface CoreNotes {
  /** The one that dumped (that got the signal) first. */
  threads: ThreadState[];
  /** As the process itself counted; undefined without the note. */
  pid: number | undefined;
  /** The first 80 bytes of the command line. */
  argumentsText: string;
  /** Ascending. */
  files: CoreFileRange[];
  /** The auxiliary vector as it was given to the program: pairs of words. */
  auxiliaryVector: Buffer;
  /** Which signal made the kernel dump; undefined in a core of gcore, and where it was none. */
  signal: number | undefined;
}

/** The value of one entry of the auxiliary vector. */
export function findAuxiliary(
  { auxiliaryVector }: Pick<CoreNotes, 'auxiliaryVector'>,
  type: number,
): number | undefined {
  for (let at = 0; at + 16 <= auxiliaryVector.length; at += 16) {
    if (auxiliaryVector.readUInt32LE(at) === type) {
      return Number(auxiliaryVector.readBigUInt64LE(at + 8));
    }
  }
  return undefined;
}

/** Some microseconds a thread. */
export function readCoreNotes(
  source: ByteSource,
  segments: readonly Pick<ElfSegment, 'fileOffset' | 'fileSizeBytes'>[],
  machine: CoreMachine,
): CoreNotes {
  const notes: CoreNotes = {
    threads: [],
    pid: undefined,
    argumentsText: '',
    files: [],
    auxiliaryVector: Buffer.alloc(0),
    signal: undefined,
  };
  const left = { notes: MAX_NOTES, bytes: MAX_DESCRIPTION_BYTES };
  for (const segment of segments) {
    forEachNote(source, segment, left, (type, description) => {
      addNote(notes, type, description, registerLayouts[machine]);
    });
  }
  notes.files.sort((a, b) => a.start - b.start);
  return notes;
}

function addNote(notes: CoreNotes, type: number, description: Buffer, layout: RegisterLayout) {
  switch (type) {
    case NT_PRSTATUS: {
      const thread = decodeThread(description, layout);
      if (thread !== undefined && notes.threads.length < MAX_THREADS) notes.threads.push(thread);
      break;
    }
    case NT_PRPSINFO:
      if (description.length < ARGUMENTS_AT + ARGUMENTS_BYTES) break;
      notes.pid ??= description.readInt32LE(PID_AT);
      notes.argumentsText = description
        .toString('utf8', ARGUMENTS_AT, ARGUMENTS_AT + ARGUMENTS_BYTES)
        .replace(/\0.*$/s, '')
        .trimEnd();
      break;
    case NT_AUXV:
      notes.auxiliaryVector = description;
      break;
    case NT_FILE:
      notes.files.push(...decodeFiles(description));
      break;
    case NT_SIGINFO:
      if (description.length >= 4) notes.signal = description.readInt32LE(0) || undefined;
      break;
  }
}

function decodeThread(description: Buffer, layout: RegisterLayout): ThreadState | undefined {
  if (description.length < REGISTERS_AT + layout.count * 8) return undefined;
  const register = (index: number): number =>
    Number(description.readBigUInt64LE(REGISTERS_AT + index * 8));
  const tid = description.readInt32LE(TID_AT);
  const { systemCall } = layout;
  return {
    tid,
    innerTid: tid,
    name: '',
    stackPointer: register(layout.stackPointer),
    instructionPointer: register(layout.instructionPointer),
    ...(systemCall !== undefined && {
      systemCall: description.readInt32LE(REGISTERS_AT + systemCall * 8),
    }),
    registers: layout.general.map(register),
  };
}

/** Count, unit of positions, then start, end and position of each, then their names, each with a zero at its end. */
function decodeFiles(description: Buffer): CoreFileRange[] {
  const word = (at: number): number => Number(description.readBigUInt64LE(at));
  if (description.length < 16) return [];
  const [count, unit] = [word(0), word(8)];
  const names = 16 + count * 24;
  if (count > MAX_FILES || names > description.length) return [];
  const files: CoreFileRange[] = [];
  let at = names;
  for (let row = 0; row < count && at < description.length; row++) {
    const end = description.indexOf(0, at);
    const path = description.toString('utf8', at, end < 0 ? description.length : end);
    at = end < 0 ? description.length : end + 1;
    const entry = 16 + row * 24;
    files.push({ start: word(entry), end: word(entry + 8), offset: word(entry + 16) * unit, path });
  }
  return files;
}

const USED: readonly number[] = [NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE, NT_SIGINFO];

/** Head: bytes of the name, bytes of the description, type; then both, each padded to 4 bytes. */
function forEachNote(
  source: ByteSource,
  { fileOffset, fileSizeBytes }: Pick<ElfSegment, 'fileOffset' | 'fileSizeBytes'>,
  left: { notes: number; bytes: number },
  visit: (type: number, description: Buffer) => void,
): void {
  const end = Math.min(fileOffset + fileSizeBytes, source.sizeBytes);
  const window = Buffer.alloc(WINDOW_BYTES);
  let windowStart = 0;
  let windowEnd = 0;
  for (let at = fileOffset; at + HEAD_BYTES <= end && left.notes > 0; left.notes--) {
    if (at < windowStart || at + HEAD_BYTES > windowEnd) {
      windowStart = at;
      windowEnd = at + source.read(at, window);
      if (at + HEAD_BYTES > windowEnd) return;
    }
    const nameBytes = window.readUInt32LE(at - windowStart);
    const byteCount = window.readUInt32LE(at - windowStart + 4);
    const type = window.readUInt32LE(at - windowStart + 8);
    const start = at + HEAD_BYTES + align4(nameBytes);
    if (start + byteCount > end) return;
    // Types mean what is meant here under the name CORE only, which has 5 bytes with its zero.
    if (nameBytes === 5 && USED.includes(type)) {
      if (byteCount > left.bytes) return;
      left.bytes -= byteCount;
      const description = Buffer.alloc(byteCount);
      if (source.read(start, description) !== byteCount) return;
      visit(type, description);
    }
    at = start + align4(byteCount);
  }
}

const align4 = (size: number): number => Math.ceil(size / 4) * 4;
