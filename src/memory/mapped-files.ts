// The ELF files behind a process's mappings: opens the very file that is mapped, not what has taken its place since, and
// computes where it was loaded (load bias). Paths of /proc/PID/maps are those of the target's mount namespace.
//
// A file is accepted when its inode number is the mapping's (the device may differ on overlayfs) and, if the file system
// shows another number (overlayfs without xino), when its build id is the one that lies in the target's memory.

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { MemoryReadError } from '../base/errors.ts';
import { type ElfFile, ET_EXEC, openElfOf, PT_LOAD, PT_NOTE } from './elf.ts';
import type { Mapping } from './mappings.ts';
import { PAGE_SIZE } from './memory-image.ts';
import type { Address, MemoryReader } from './memory-reader.ts';

/** A file that is mapped into a process, with addresses of that process. */
export class MappedElf {
  /** As the mappings name it. */
  readonly path: string;
  /** Where it was opened: `/proc/4242/root/usr/bin/python3.11`. */
  readonly openedAs: string;
  readonly elf: ElfFile;
  /** What is added to the file's addresses; 0 for ET_EXEC. */
  readonly bias: Address;
  private readonly release: () => void;

  constructor(path: string, openedAs: string, elf: ElfFile, bias: Address, release: () => void) {
    this.path = path;
    this.openedAs = openedAs;
    this.elf = elf;
    this.bias = bias;
    this.release = release;
  }

  get is64Bit(): boolean {
    return this.elf.is64Bit;
  }

  /** Address in the target, from .dynsym, else from .symtab. */
  findSymbol(name: string): Address | undefined {
    const symbol = this.elf.findSymbol(name);
    return symbol === undefined ? undefined : symbol.vaddr + this.bias;
  }

  /** Addresses in the target of several names, in one pass. */
  findSymbols(names: readonly string[]): Map<string, Address> {
    const found = new Map<string, Address>();
    for (const [name, symbol] of this.elf.findSymbols(names))
      found.set(name, symbol.vaddr + this.bias);
    return found;
  }

  /** A loaded section, in the target. */
  findSection(name: string): { address: Address; sizeBytes: number } | undefined {
    const section = this.elf.findSection(name);
    if (section === undefined || section.vaddr === 0) return undefined;
    return { address: section.vaddr + this.bias, sizeBytes: section.sizeBytes };
  }

  close(): void {
    this.release();
  }
}

/**
 * The ELF file that is mapped from `path` (of several with that name, the one mapped lowest). undefined if it is no ELF
 * file, cannot be opened, or was replaced. `memory` is asked for the build id when inode numbers do not agree.
 */
export function openMappedElf(
  pid: number,
  mappings: readonly Mapping[],
  path: string,
  memory?: MemoryReader,
): MappedElf | undefined {
  const first = mappings.find((mapping) => mapping.path === path && mapping.inode !== 0);
  if (first === undefined) return undefined;
  const ofFile = mappings.filter(
    (mapping) =>
      mapping.path === path && mapping.inode === first.inode && mapping.device === first.device,
  );
  for (const { openedAs, fd, isSameInode } of openCandidates(pid, ofFile)) {
    const opened = openElfOf(fd);
    if (opened === undefined) continue;
    const bias = computeLoadBias(opened.elf, ofFile);
    if (
      bias !== undefined &&
      (isSameInode || (memory !== undefined && hasSameBuildId(opened.elf, bias, ofFile, memory)))
    ) {
      return new MappedElf(path, openedAs, opened.elf, bias, opened.close);
    }
    opened.close();
  }
  return undefined;
}

/** A descriptor of the file behind a mapping; the caller closes it. undefined if it is not to be had. */
export function openMappedFile(pid: number, mapping: Mapping): number | undefined {
  let found: number | undefined;
  for (const { fd, isSameInode } of openCandidates(pid, [mapping])) {
    if (found === undefined && isSameInode) found = fd;
    else closeSync(fd);
  }
  return found;
}

/**
 * What the loader added to the addresses of a file: the mapping that shows the first loaded segment, less that segment's
 * page. `mappings` are those of this file, ascending. undefined if the segment is not mapped, as when a file is only read.
 */
export function computeLoadBias(elf: ElfFile, mappings: readonly Mapping[]): Address | undefined {
  const loads = elf.segments.filter((segment) => segment.type === PT_LOAD);
  if (loads.length === 0) return elf.is64Bit ? undefined : 0;
  if (elf.type === ET_EXEC) return 0;
  const [first] = loads;
  const candidates = mappings
    .filter((mapping) => mapping.offset === pageStart(first.fileOffset))
    .map((mapping) => mapping.start - pageStart(first.vaddr));
  // A program may also have mapped the file to read it: the loaded image has every segment in its place.
  return (
    candidates.find((bias) =>
      loads.every((segment) =>
        mappings.some(
          (mapping) => mapping.start <= bias + segment.vaddr && bias + segment.vaddr < mapping.end,
        ),
      ),
    ) ?? candidates[0]
  );
}

interface Candidate {
  openedAs: string;
  fd: number;
  isSameInode: boolean;
}

/** Opens the places where a mapped file may be, one after the other; whoever takes one closes its descriptor. */
function* openCandidates(pid: number, mappings: readonly Mapping[]): Generator<Candidate> {
  const [mapping] = mappings;
  const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
  const places = [`/proc/${pid}/root${mapping.path}`, mapping.path];
  // The next needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, but opens deleted files; the last, the program itself, needs
  // neither.
  places.push(`/proc/${pid}/map_files/${range}`, `/proc/${pid}/exe`);
  for (const openedAs of places) {
    const opened = tryOpenFile(openedAs);
    if (opened === undefined) continue;
    yield { openedAs, fd: opened.fd, isSameInode: opened.inode === mapping.inode };
  }
}

/** Opens a regular file; anything else that has taken its place (a pipe would block) is left alone. */
export function tryOpenFile(path: string): { fd: number; inode: number } | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (stat.isFile()) return { fd, inode: stat.ino };
    closeSync(fd);
  } catch {
    // Not there, or not ours to open.
  }
  return undefined;
}

/** Compares the build id of the file with the note that the loader mapped into the target. */
function hasSameBuildId(
  elf: ElfFile,
  bias: Address,
  mappings: readonly Mapping[],
  memory: MemoryReader,
): boolean {
  const id = elf.buildId;
  if (id === undefined) return false;
  return elf.segments.some((segment) => {
    if (segment.type !== PT_NOTE || segment.fileSizeBytes > PAGE_SIZE) return false;
    const address = bias + segment.vaddr;
    // The program itself is among the places tried: its own note says nothing about another file.
    if (!mappings.some(({ start, end }) => start <= address && address < end)) return false;
    try {
      const inMemory = memory.bytesAt(address, segment.fileSizeBytes);
      const inFile = elf.readBytes(segment.fileOffset, segment.fileSizeBytes);
      return inFile?.equals(inMemory) === true && inFile.toString('hex').includes(id);
    } catch (error) {
      if (error instanceof MemoryReadError) return false;
      throw error;
    }
  });
}

const pageStart = (value: number): number => value - (value % PAGE_SIZE);
