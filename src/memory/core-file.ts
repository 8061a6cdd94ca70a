// An ELF core file: turns the file that the kernel, gcore or the like wrote into segments of memory and the notes about the
// process, without reading the memory itself: it may be tens of gigabytes. Tells other files apart and says what they are.
// Source: gABI 4.1 chapter 5, Linux fs/binfmt_elf.c (elf_core_dump), core(5).
//
// A core that was cut off (full disk, a limit of size) has segments whose end is missing: what they held is lost, and is
// told apart from what was never dumped and may be as in a file. Not handled: other systems than Linux, 32 bits, big-endian.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { UnsupportedError, UsageError } from '../base/errors.ts';
import { type CoreMachine, type CoreNotes, readCoreNotes } from './core-notes.ts';
import {
  type ByteSource,
  ElfFile,
  type ElfSegment,
  EM_AARCH64,
  EM_X86_64,
  ET_CORE,
  fileSource,
  PT_LOAD,
  PT_NOTE,
} from './elf.ts';
import { PAGE_SIZE } from './memory-image.ts';
import type { Address } from './memory-reader.ts';

const MAGIC_BYTES = 20;
const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1');
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
/** User space ends here; the kernel's vsyscall page lies far above. */
const ADDRESS_END: Record<CoreMachine, number> = { 'x86-64': 2 ** 47, arm64: 2 ** 48 };

/** How a compressed file begins, and what unpacks it. */
const COMPRESSED: readonly { magic: string; name: string; command: string }[] = [
  { magic: '28b52ffd', name: 'zstd', command: 'zstd -d' },
  { magic: '04224d18', name: 'lz4', command: 'lz4 -d' },
  { magic: 'fd377a58', name: 'xz', command: 'xz -dk' },
  { magic: '1f8b', name: 'gzip', command: 'gunzip -k' },
];

/** A PT_LOAD: one mapping of the process. All addresses are multiples of a page. */
export interface CoreSegment {
  start: Address;
  end: Address;
  /** [start, dumpedEnd) was to be in the core, [start, heldEnd) is: the file may have been cut off. */
  dumpedEnd: Address;
  heldEnd: Address;
  /** Where `start` is in the core file. */
  fileOffset: number;
  readable: boolean;
  writable: boolean;
  executable: boolean;
}

export interface CoreFile {
  path: string;
  sizeBytes: number;
  /** When it was written last, in milliseconds since the Unix epoch. */
  writtenAtMs: number;
  machine: CoreMachine;
  /** Ascending, not overlapping. */
  segments: readonly CoreSegment[];
  notes: CoreNotes;
  /** Bytes of memory that are missing because the file ends too early. */
  cutOffBytes: number;
  /** The bytes of the file. */
  source: ByteSource;
  close(): void;
}

/** Whether a file begins as a core file does. false also for what cannot be read: whoever opens it says why. */
export function isCoreFile(path: string): boolean {
  const begin = findBeginning(path);
  if (begin?.length !== MAGIC_BYTES || !begin.subarray(0, 4).equals(ELF_MAGIC)) return false;
  return (begin[5] === 2 ? begin.readUInt16BE(16) : begin.readUInt16LE(16)) === ET_CORE;
}

/**
 * Throws UsageError for a file that is something else than it was given for: a program, a library, a compressed core.
 * Nothing for other files, which may be snapshots.
 */
export function refuseNoCore(path: string): void {
  const begin = findBeginning(path);
  if (begin === undefined) return;
  if (begin.subarray(0, 4).equals(ELF_MAGIC)) {
    throw new UsageError({
      fact: `${path} is no core file`,
      reason: 'it is an ELF program or library',
      next: 'Give the core file; the program that it is of can be given with --exe.',
    });
  }
  const packed = COMPRESSED.find(({ magic }) => begin.toString('hex').startsWith(magic));
  if (packed === undefined) return;
  throw new UsageError({
    fact: `${path} is compressed (${packed.name})`,
    reason: 'memory is looked up all over a core file, which a compressed one does not allow',
    next: `Unpack it: ${packed.command} ${path}, or coredumpctl dump PID -o core if systemd keeps it.`,
  });
}

function findBeginning(path: string): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFile()) return undefined;
    const bytes = Buffer.alloc(MAGIC_BYTES);
    return bytes.subarray(0, readSync(fd, bytes, 0, MAGIC_BYTES, 0));
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Opens a core file and reads its headers and notes; the caller closes it. Throws UsageError where it cannot be opened,
 * UnsupportedError for a core of another machine and for one whose headers are damaged or missing.
 */
export function openCore(path: string): CoreFile {
  const fd = openForReading(path);
  try {
    const { size, mtimeMs } = fstatSync(fd);
    const source = fileSource(fd);
    const elf = ElfFile.fromSource(source);
    const machine = elf === undefined ? undefined : findMachine(elf);
    if (elf === undefined || elf.type !== ET_CORE) throw cannotRead(path, 'it is no core file');
    if (machine === undefined) throw otherMachine(path, elf);
    const loads = elf.segments.filter(({ type }) => type === PT_LOAD);
    if (loads.length === 0) {
      throw cannotRead(path, 'its program headers are missing or damaged, or the file was cut off');
    }
    const notes = readCoreNotes(
      source,
      elf.segments.filter(({ type }) => type === PT_NOTE),
      machine,
    );
    const segments = decodeSegments(loads, size, ADDRESS_END[machine]);
    if (notes.threads.length === 0 && notes.files.length === 0) throw withoutNotes(path);
    let cutOffBytes = 0;
    for (const { heldEnd, dumpedEnd } of segments) cutOffBytes += dumpedEnd - heldEnd;
    const close = () => closeSync(fd);
    return {
      path,
      sizeBytes: size,
      writtenAtMs: mtimeMs,
      machine,
      segments,
      notes,
      cutOffBytes,
      source,
      close,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code === 'EACCES' ? 'you may not read it' : `the system says ${code}`;
    const next =
      code === 'EACCES'
        ? 'A core belongs to the user of the process that dumped: read it as that user or as root.'
        : 'Check the path.';
    throw new UsageError({ fact: `Cannot read ${path}`, reason, next }, { cause });
  }
}

function findMachine(elf: ElfFile): CoreMachine | undefined {
  if (!elf.is64Bit || !elf.isLittleEndian) return undefined;
  if (elf.machine === EM_X86_64) return 'x86-64';
  return elf.machine === EM_AARCH64 ? 'arm64' : undefined;
}

/** Segments that lie in user space and not over others; what is left out is damaged or the kernel's. */
function decodeSegments(
  loads: readonly ElfSegment[],
  fileBytes: number,
  addressEnd: number,
): CoreSegment[] {
  const segments: CoreSegment[] = [];
  let end = 0;
  for (const load of [...loads].sort((a, b) => a.vaddr - b.vaddr)) {
    const { vaddr, memorySizeBytes, fileOffset, flags } = load;
    if (vaddr % PAGE_SIZE !== 0 || vaddr < end || memorySizeBytes < PAGE_SIZE) continue;
    const segmentEnd = vaddr + wholePages(memorySizeBytes);
    if (segmentEnd > addressEnd) continue;
    const dumped = wholePages(Math.min(load.fileSizeBytes, memorySizeBytes));
    const held = Math.min(dumped, wholePages(Math.max(0, fileBytes - fileOffset)));
    segments.push({
      start: vaddr,
      end: segmentEnd,
      dumpedEnd: vaddr + dumped,
      heldEnd: vaddr + held,
      fileOffset,
      readable: (flags & PF_R) !== 0,
      writable: (flags & PF_W) !== 0,
      executable: (flags & PF_X) !== 0,
    });
    end = segmentEnd;
  }
  return segments;
}

const wholePages = (bytes: number): number => bytes - (bytes % PAGE_SIZE);

const cannotRead = (path: string, reason: string): UnsupportedError =>
  new UnsupportedError({
    fact: `Cannot read the core file ${path}`,
    reason,
    next: 'Dump again with enough room on the disk and without a limit of size (ulimit -c unlimited).',
  });

const withoutNotes = (path: string): UnsupportedError =>
  cannotRead(
    path,
    'it has no notes about threads and files; gcore writes them last, so that they are lost first when a file is cut off',
  );

function otherMachine(path: string, elf: ElfFile): UnsupportedError {
  const bits = elf.is64Bit ? '64' : '32';
  const order = elf.isLittleEndian ? '' : ', big-endian';
  return new UnsupportedError({
    fact: `Cannot read the core file ${path}`,
    reason: `it is of a ${bits}-bit process on another machine (ELF machine ${elf.machine}${order})`,
    next: 'leakscope reads cores of x86-64 and arm64.',
  });
}
