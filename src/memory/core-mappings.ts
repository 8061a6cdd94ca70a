// The address space of the process of a core: turns segments, the notes about mapped files and the files themselves into
// Mappings, as /proc/PID/maps would show them. Sources: as core-file.ts; Linux fs/proc/task_mmu.c (names of mappings).
//
// Not in a core and told by signs: [stack] (the kernel's random bytes for the program lie there), [heap] (the lowest
// anonymous memory that is not the rest of a file's data). Shared memory is known by its name only. gcore calls memory
// without any right readable.

import { findRange } from './address-ranges.ts';
import type { CoreFile, CoreSegment } from './core-file.ts';
import type { CoreLibraries } from './core-libraries.ts';
import { type CoreFileRange, findAuxiliary } from './core-notes.ts';
import { PT_LOAD } from './elf.ts';
import { isFileMapping, type Mapping } from './mappings.ts';
import { PAGE_SIZE } from './memory-image.ts';

const AT_SYSINFO_EHDR = 33;
const AT_RANDOM = 25;
const DELETED = ' (deleted)';
const SHARED_NAME = /^\/(dev\/zero|dev\/shm\/|memfd:|SYSV)/;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;

/** The path of a mapping's file as the notes have it. */
export const notedPathOf = ({ path, isDeleted }: Mapping): string =>
  isDeleted ? path + DELETED : path;

/** Ascending. O(segments + files). */
export function buildCoreMappings(core: CoreFile, libraries: CoreLibraries): Mapping[] {
  const { segments, notes } = core;
  const inodes = new Map<string, number>();
  const inodeOf = (path: string): number => {
    const known = inodes.get(path) ?? inodes.size + 1;
    inodes.set(path, known);
    return known;
  };
  const mappings = segments.map((segment) => {
    const range = findRange(notes.files, segment.start);
    return buildMapping(segment, range, range === undefined ? 0 : inodeOf(range.path));
  });
  // gcore leaves out the segment with the pages: what is as in its file.
  for (const range of notes.files) {
    if (range.start % PAGE_SIZE !== 0 || range.end % PAGE_SIZE !== 0) continue;
    const isFree = range.start < range.end && !overlaps(segments, range);
    if (!isFree) continue;
    const rights = findRights(libraries, range);
    mappings.push(buildMapping({ ...range, ...rights }, range, inodeOf(range.path)));
  }
  mappings.sort((a, b) => a.start - b.start);
  const whole = mappings.filter((mapping, i) => i === 0 || mappings[i - 1].end <= mapping.start);
  nameSpecial(whole, core);
  return whole;
}

function buildMapping(
  part: Pick<CoreSegment, 'start' | 'end' | 'readable' | 'writable' | 'executable'>,
  range: CoreFileRange | undefined,
  inode: number,
): Mapping {
  const notedPath = range?.path ?? '';
  const isDeleted = notedPath.endsWith(DELETED);
  return {
    start: part.start,
    end: part.end,
    readable: part.readable,
    writable: part.writable,
    executable: part.executable,
    isPrivate: !SHARED_NAME.test(notedPath),
    offset: range === undefined ? 0 : range.offset + part.start - range.start,
    device: '00:00',
    inode,
    path: isDeleted ? notedPath.slice(0, -DELETED.length) : notedPath,
    isDeleted,
  };
}

const overlaps = (segments: readonly CoreSegment[], { start, end }: CoreFileRange): boolean => {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (segments[middle].end <= start) low = middle + 1;
    else high = middle;
  }
  return segments[low] !== undefined && segments[low].start < end;
};

/** As the file's headers say; for data files, readable. */
function findRights(libraries: CoreLibraries, { path, offset }: CoreFileRange) {
  const load = libraries
    .findHeaders(path)
    ?.segments.findLast(
      ({ type, fileOffset, fileSizeBytes }) =>
        type === PT_LOAD &&
        fileOffset - (fileOffset % PAGE_SIZE) <= offset &&
        offset < fileOffset + fileSizeBytes,
    );
  const flags = load?.flags ?? PF_R;
  return {
    readable: (flags & PF_R) !== 0,
    writable: (flags & PF_W) !== 0,
    executable: (flags & PF_X) !== 0,
  };
}

function nameSpecial(mappings: readonly Mapping[], { notes }: CoreFile): void {
  const name = (mapping: Mapping | undefined, path: string) => {
    if (mapping !== undefined && !isFileMapping(mapping)) mapping.path = path;
  };
  const at = (address: number | undefined) =>
    address === undefined ? undefined : findRange(mappings, address);
  name(at(findAuxiliary(notes, AT_SYSINFO_EHDR)), '[vdso]');
  name(at(findAuxiliary(notes, AT_RANDOM)), '[stack]');
  const heap = mappings.find(
    (mapping, i) =>
      mapping.writable &&
      !isFileMapping(mapping) &&
      mapping.path === '' &&
      !(i > 0 && isFileMapping(mappings[i - 1]) && mappings[i - 1].end === mapping.start),
  );
  name(heap, '[heap]');
}
