// The address space of a process: turns /proc/PID/maps into Mappings and /proc/PID/pagemap into runs of pages that have
// content of their own. Source: Documentation/filesystems/proc.rst and Documentation/admin-guide/mm/pagemap.rst.
//
// Pages that are neither present nor swapped are zeros (anonymous memory) or as in the file (mapped files). They are not
// read through the process: that would make the kernel allocate them there.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { PAGE_SIZE, type PageRun } from './memory-image.ts';
import type { Address } from './memory-reader.ts';

/** One line of /proc/PID/maps. */
export interface Mapping {
  start: Address;
  end: Address;
  readable: boolean;
  writable: boolean;
  executable: boolean;
  /** Copy on write; false for shared memory. */
  isPrivate: boolean;
  /** Position in the file, in bytes. */
  offset: number;
  /** `fe:00`; `00:00` without a file. */
  device: string;
  /** 0 without a file. */
  inode: number;
  /** A path as the target sees it (` (deleted)` left out), `[heap]` and the like, or empty for anonymous memory. */
  path: string;
  /** The file is no longer at `path`. */
  isDeleted: boolean;
}

const DELETED = ' (deleted)';
const NO_DEVICE = /^\/dev\/(zero$|shm\/)/;
const LINE = /^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) (\S+) (\d+) *(.*)$/;

/** Mappings of the text of a maps file, ascending; lines that are none are left out. */
export function decodeMappings(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, start, end, flags, offset, device, inode, rawPath] = match;
    const isDeleted = rawPath.endsWith(DELETED);
    const path = isDeleted ? rawPath.slice(0, -DELETED.length) : rawPath;
    mappings.push({
      start: Number.parseInt(start, 16),
      end: Number.parseInt(end, 16),
      readable: flags[0] === 'r',
      writable: flags[1] === 'w',
      executable: flags[2] === 'x',
      isPrivate: flags[3] === 'p',
      offset: Number.parseInt(offset, 16),
      device,
      inode: Number(inode),
      // The kernel writes a newline in a path as \012.
      path: path.replaceAll('\\012', '\n'),
      isDeleted,
    });
  }
  return mappings;
}

/** The text of a process's maps file; undefined if it is gone, has no memory, or is not ours to read. */
export function findMapsText(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8') || undefined;
  } catch {
    return undefined;
  }
}

/** Mappings of a process now; undefined as for `findMapsText`. */
export function findMappings(pid: number): Mapping[] | undefined {
  const text = findMapsText(pid);
  return text === undefined ? undefined : decodeMappings(text);
}

/** Memory of the kernel or of a device: reading it has side effects, or shows what is not the process's. */
export const isSpecialMapping = ({ path }: Mapping): boolean =>
  path.startsWith('[v') || (path.startsWith('/dev/') && !NO_DEVICE.test(path));

/** Whether the mapping shows a file (and not anonymous memory, which may carry a name in brackets). */
export const isFileMapping = (mapping: Mapping): boolean => mapping.inode !== 0;

/** Memory that an allocator may have asked of the kernel; stacks of threads are among it, the main stack is not. */
export const isAnonymousMemory = ({ writable, isPrivate, inode, path }: Mapping): boolean =>
  writable &&
  isPrivate &&
  inode === 0 &&
  (path === '' || path === '[heap]' || path.startsWith('[anon'));

const SHARED_MEMORY = /^\/(dev\/(zero$|shm\/)|memfd:|SYSV)/;

/** Memory that processes share and no disk holds; a shared mapping of a file on disk is none. A tmpfs elsewhere is not told. */
export const isSharedMemory = ({ isPrivate, inode, path }: Mapping): boolean =>
  !isPrivate && (inode === 0 || SHARED_MEMORY.test(path));

/** Entries read at once: 1 MiB of pagemap, 512 MiB of address space. */
const PAGEMAP_CHUNK_ENTRIES = 1 << 17;

/** What a page holds, from the upper half of its pagemap entry. */
const PRESENT_OR_SWAPPED = 0xc0000000;
const SWAPPED = 0x40000000;
/** Bit 61: the page belongs to a file or to shared memory, so the process has not written to its own copy. */
const FILE_PAGE = 0x20000000;
/** Bit 58 (Linux 6.15): a guard page of a thread's stack (glibc 2.42), called swapped; it has no content to read. */
const GUARD_PAGE = 0x04000000;

/** Bit 56: no other process has the page; not set for the kernel's page of zeros either, which is in no resident set. */
const EXCLUSIVE = 0x01000000;

/** Pages of a range by what they are. */
export interface PageCounts {
  /** Resident, the process's own: anonymous memory, and what it has written to of a private mapping. */
  ownPages: number;
  /** Resident, of a file or of shared memory. */
  filePages: number;
  swappedPages: number;
  /** If given, for anonymous memory: pages that other processes have, too, or that are the kernel's page of zeros. */
  commonRuns?: PageRun[];
}

/** Which pages of a target have content; of processes and of cores. */
export interface PagePresence {
  /** See `Pagemap`. */
  appendRuns(
    start: Address,
    end: Address,
    onlyOwn: boolean,
    runs: PageRun[],
    counts?: PageCounts,
  ): boolean;
}

/** /proc/PID/pagemap, kept open: which pages of a range have content. */
export class Pagemap implements PagePresence {
  private readonly fd: number;
  private readonly entries = new Uint32Array(PAGEMAP_CHUNK_ENTRIES * 2);
  private readonly bytes = new Uint8Array(this.entries.buffer);

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** undefined where the kernel does not offer it; callers then copy whole mappings. */
  static open(pid: number): Pagemap | undefined {
    try {
      const pagemap = new Pagemap(openSync(`/proc/${pid}/pagemap`, 'r'));
      // Touched now, so that no page fault falls into the target's pause.
      pagemap.entries.fill(0);
      return pagemap;
    } catch {
      return undefined;
    }
  }

  /**
   * Appends the present or swapped pages of [start, end) to `runs`; with `onlyOwn`, those that the process has written
   * to and that no longer are as in their file. Joins the last run when it ends where the first begins. About 4 ms per
   * 512 MiB of address space. Returns false if the pages could not be told (nothing is appended then). Adds what it sees
   * to `counts`.
   */
  appendRuns(
    start: Address,
    end: Address,
    onlyOwn: boolean,
    runs: PageRun[],
    counts: PageCounts = { ownPages: 0, filePages: 0, swappedPages: 0 },
  ): boolean {
    const { entries } = this;
    const { commonRuns } = counts;
    const firstPage = start / PAGE_SIZE;
    const endPage = end / PAGE_SIZE;
    const runCount = runs.length;
    const lastRun = runs.at(-1);
    const lastPageCount = lastRun?.pageCount ?? 0;
    let run = lastRun;
    let nextAddress = run === undefined ? -1 : run.address + run.pageCount * PAGE_SIZE;
    for (let page = firstPage; page < endPage; ) {
      const wanted = Math.min(PAGEMAP_CHUNK_ENTRIES, endPage - page);
      const count = this.readEntries(page, wanted);
      if (count === 0) {
        runs.length = runCount;
        if (lastRun !== undefined) lastRun.pageCount = lastPageCount;
        return false;
      }
      for (let i = 0; i < count; i++) {
        const high = entries[2 * i + 1];
        if ((high & PRESENT_OR_SWAPPED) === 0 || (high & GUARD_PAGE) !== 0) continue;
        if ((high & SWAPPED) !== 0) counts.swappedPages++;
        else if ((high & FILE_PAGE) !== 0) counts.filePages++;
        else counts.ownPages++;
        // A huge page of zeros is said to be of a file.
        if (commonRuns !== undefined && (high & (EXCLUSIVE | SWAPPED)) === 0) {
          appendPage(commonRuns, (page + i) * PAGE_SIZE);
        }
        if (onlyOwn && (high & FILE_PAGE) !== 0) continue;
        const address = (page + i) * PAGE_SIZE;
        if (run !== undefined && address === nextAddress) run.pageCount++;
        else {
          run = { address, pageCount: 1 };
          runs.push(run);
        }
        nextAddress = address + PAGE_SIZE;
      }
      page += count;
    }
    return true;
  }

  private readEntries(page: number, count: number): number {
    try {
      return readSync(this.fd, this.bytes, 0, count * 8, page * 8) >>> 3;
    } catch {
      return 0;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

function appendPage(runs: PageRun[], address: Address): void {
  const last = runs.at(-1);
  if (last !== undefined && last.address + last.pageCount * PAGE_SIZE === address) last.pageCount++;
  else runs.push({ address, pageCount: 1 });
}

/** Bytes of the kernel's pages, as this process's own mappings tell; undefined if the kernel does not say. */
export function findKernelPageBytes(): number | undefined {
  try {
    const match = /^KernelPageSize: +(\d+) kB$/m.exec(readFileSync('/proc/self/smaps', 'utf8'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}
