// The files that were mapped into the process of a core: a core leaves out pages that are as in their file, so the very
// files are looked for, at the recorded path, below a folder that the user names, and by build id. Turns the notes of a core
// into CoreLibraries: open ELF files, and which are missing and why.
// Source: core(5) (coredump_filter), Linux fs/binfmt_elf.c (vma_dump_size: the first page of an ELF file is dumped).
//
// A file is used only if its build id is the one in the core, or, where neither has one, if its first page is the same. A
// core without first pages (a narrower coredump_filter) cannot tell: then the file must fit the mappings and be older.

import { closeSync, fstatSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { findRange } from './address-ranges.ts';
import type { CoreFile } from './core-file.ts';
import { type CoreFileRange, findAuxiliary } from './core-notes.ts';
import { type ByteSource, ElfFile, fileSource, PT_LOAD } from './elf.ts';
import { tryOpenFile } from './mapped-files.ts';
import { PAGE_SIZE } from './memory-image.ts';

/** Where the user says that the files are. */
export interface CoreSearch {
  /** A folder with the files below it at their paths, or directly in it. */
  sysroot?: string | undefined;
  /** The program, or any other of the files. */
  exe?: string | undefined;
}

export interface CoreLibrary {
  /** Where it was opened. */
  openedAs: string;
  elf: ElfFile;
  fd: number;
}

export interface MissingFile {
  path: string;
  /** `not found`, `/usr/bin/python3.11 is another build (build id …, not …)`. */
  reason: string;
}

/** No process has more libraries; each that is found stays open. */
const MAX_FILES = 4096;
/** Address at which the program begins. */
const AT_ENTRY = 9;
const DELETED = / \(deleted\)$/;
const NO_FILE = /^(?!\/)|^\/(dev|proc|sys)\/|^\/(memfd:|SYSV|anon_hugepage|i915)/;
const BUILD_ID_FOLDERS = ['/usr/lib/debug/.build-id', '/usr/lib/.build-id'];

/** What the core itself has of a file: its first pages, as they were mapped. */
interface InCore {
  head: ByteSource;
  /** undefined where the core does not have the first page. */
  elf: ElfFile | undefined;
}

export class CoreLibraries {
  /** By the path in the notes. */
  private readonly found = new Map<string, CoreLibrary>();
  private readonly inCore = new Map<string, InCore>();
  readonly missing: MissingFile[] = [];
  /** Paths of files that fit, while the core does not have what would prove that they are the same. */
  readonly unverified: string[] = [];

  /** Some 50 microseconds a file. */
  constructor(core: CoreFile, search: CoreSearch = {}) {
    const rangesByPath = new Map<string, CoreFileRange[]>();
    for (const range of core.notes.files) {
      const ranges = rangesByPath.get(range.path);
      if (ranges !== undefined) ranges.push(range);
      else if (rangesByPath.size < MAX_FILES && !NO_FILE.test(range.path)) {
        rangesByPath.set(range.path, [range]);
      }
    }
    const program = findProgramPath(core);
    for (const [path, ranges] of rangesByPath) {
      this.search(core, search, path, ranges, path === program);
    }
  }

  private search(
    core: CoreFile,
    search: CoreSearch,
    path: string,
    ranges: readonly CoreFileRange[],
    isProgram: boolean,
  ): void {
    const inCore = readFirstPages(core, ranges);
    this.inCore.set(path, inCore);
    const isRun = ranges.some(({ start }) => findRange(core.segments, start)?.executable === true);
    let reason = DELETED.test(path) ? 'not found; it was deleted while it was in use' : 'not found';
    const places = placesOf(path, search, inCore.elf?.buildId);
    // What the user calls the program may be another file, if it can be told apart.
    if (search.exe !== undefined && (isProgram || inCore.elf !== undefined)) {
      places.unshift(search.exe);
    }
    for (const place of places) {
      const library = openLibrary(place);
      if (library === undefined) continue;
      const difference = findDifference(library, inCore, core, ranges);
      if (difference === undefined) {
        this.found.set(path, library);
        if (inCore.elf === undefined) this.unverified.push(path);
        return;
      }
      closeSync(library.fd);
      if (isProgram || place !== search.exe) reason = `${place} ${difference}`;
    }
    // What is mapped to be read, and no program or library, is data: it is of no use here.
    if (inCore.elf !== undefined || isRun) {
      this.missing.push({ path: path.replace(DELETED, ''), reason });
    }
  }

  /** The file with this path in the notes; undefined if it was not found. */
  find(path: string): CoreLibrary | undefined {
    return this.found.get(path);
  }

  /** Whether the file is known to be an ELF file, found or not. */
  isElf(path: string): boolean {
    return this.found.has(path) || this.inCore.get(path)?.elf !== undefined;
  }

  /** The headers of an ELF file, by itself or as they are in the core; undefined for what is none or unknown. */
  findHeaders(path: string): ElfFile | undefined {
    return this.found.get(path)?.elf ?? this.inCore.get(path)?.elf;
  }

  close(): void {
    for (const { fd } of this.found.values()) closeSync(fd);
  }
}

/** The file in which the program begins; undefined where the notes do not tell. */
function findProgramPath({ notes }: CoreFile): string | undefined {
  const entry = findAuxiliary(notes, AT_ENTRY);
  return entry === undefined ? undefined : findRange(notes.files, entry)?.path;
}

function readFirstPages(core: CoreFile, ranges: readonly CoreFileRange[]): InCore {
  const first = ranges.find(({ offset }) => offset === 0);
  const segment = first === undefined ? undefined : findRange(core.segments, first.start);
  const start = first?.start ?? 0;
  const head: ByteSource = {
    sizeBytes: segment === undefined ? 0 : Math.max(0, segment.heldEnd - start),
    read(offset, target) {
      if (segment === undefined) return 0;
      const count = Math.min(target.length, Math.max(0, this.sizeBytes - offset));
      const at = segment.fileOffset + (start - segment.start) + offset;
      return count === 0 ? 0 : core.source.read(at, target.subarray(0, count));
    },
  };
  return { head, elf: head.sizeBytes === 0 ? undefined : ElfFile.fromSource(head) };
}

/** In the order in which they are tried. */
function placesOf(path: string, { sysroot }: CoreSearch, buildId: string | undefined) {
  const recorded = path.replace(DELETED, '');
  const places: string[] = [];
  if (sysroot !== undefined) places.push(join(sysroot, recorded), join(sysroot, basename(path)));
  places.push(recorded);
  if (buildId !== undefined) {
    const name = join(buildId.slice(0, 2), buildId.slice(2));
    for (const folder of BUILD_ID_FOLDERS) {
      if (sysroot !== undefined) places.push(join(sysroot, folder, name));
      places.push(join(folder, name), join(folder, `${name}.debug`));
    }
  }
  return places;
}

function openLibrary(openedAs: string): CoreLibrary | undefined {
  const opened = tryOpenFile(openedAs);
  if (opened === undefined) return undefined;
  const elf = ElfFile.fromSource(fileSource(opened.fd));
  if (elf !== undefined) return { openedAs, elf, fd: opened.fd };
  closeSync(opened.fd);
  return undefined;
}

/** Completes "FILE ..."; undefined if it is the file that was mapped, as far as can be told. */
function findDifference(
  { elf, fd }: CoreLibrary,
  inCore: InCore,
  core: CoreFile,
  ranges: readonly CoreFileRange[],
): string | undefined {
  if (elf.hasNoContents) return 'has debug information only';
  if (inCore.elf === undefined) {
    if (!fitsMappings(elf, ranges)) return 'does not fit what was mapped';
    const isOlder = fstatSync(fd).mtimeMs <= core.writtenAtMs;
    return isOlder ? undefined : 'is newer than the core, which cannot tell which file it was';
  }
  const [expected, own] = [inCore.elf.buildId, elf.buildId];
  if (expected !== undefined && own !== undefined) {
    return expected === own
      ? undefined
      : `is another build (build id ${own.slice(0, 12)}…, not ${expected.slice(0, 12)}…)`;
  }
  return hasSameHead(fd, inCore.head) ? undefined : 'is another file (its first page differs)';
}

function hasSameHead(fd: number, head: ByteSource): boolean {
  const [inCore, inFile] = [Buffer.alloc(PAGE_SIZE), Buffer.alloc(PAGE_SIZE)];
  const count = Math.min(head.read(0, inCore), readSync(fd, inFile, 0, PAGE_SIZE, 0));
  return count > 0 && inCore.subarray(0, count).equals(inFile.subarray(0, count));
}

/** Whether every range begins in a segment of the file, at the distance at which the file has them. */
function fitsMappings(elf: ElfFile, ranges: readonly CoreFileRange[]): boolean {
  const loads = elf.segments.filter(({ type }) => type === PT_LOAD);
  const biases = new Set<number>();
  for (const { start, offset } of ranges) {
    const load = loads.findLast(
      ({ fileOffset, fileSizeBytes }) =>
        fileOffset - (fileOffset % PAGE_SIZE) <= offset && offset < fileOffset + fileSizeBytes,
    );
    if (load === undefined) return false;
    biases.add(start - offset - (load.vaddr - load.fileOffset));
  }
  return biases.size === 1;
}
