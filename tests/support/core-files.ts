// Core files for tests: of gcore, of the kernel, and copies of them that are damaged or have pages left out.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const HEADER_BYTES = 56;
const PT_LOAD = 1;

/** A folder that is removed when the tests of the file are through. */
export function makeTestFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `leakscope-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Dumps a process with gdb's gcore, which stops it meanwhile; returns the path of the core. */
export function dumpCore(pid: number, folder: string): string {
  const { status, stderr, error } = spawnSync('gcore', ['-o', join(folder, 'core'), `${pid}`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`gcore failed (apt-get install gdb): ${error ?? stderr}`);
  return join(folder, `core.${pid}`);
}

/** One program header of a core, and where in the file it is. */
export interface CoreHeader {
  at: number;
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileBytes: number;
  memoryBytes: number;
}

export function readCoreHeaders(bytes: Buffer): CoreHeader[] {
  const first = Number(bytes.readBigUInt64LE(32));
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const at = first + i * HEADER_BYTES;
    const word = (offset: number) => Number(bytes.readBigUInt64LE(at + offset));
    return {
      at,
      type: bytes.readUInt32LE(at),
      flags: bytes.readUInt32LE(at + 4),
      offset: word(8),
      address: word(16),
      fileBytes: word(32),
      memoryBytes: word(40),
    };
  });
}

/** A copy of a core without the pages of the segments for which `isLeftOut`, as a coredump_filter leaves them out. */
export function leaveOut(
  core: string,
  copy: string,
  isLeftOut: (header: CoreHeader) => boolean,
): string {
  const bytes = readFileSync(core);
  for (const header of readCoreHeaders(bytes)) {
    if (header.type === PT_LOAD && isLeftOut(header)) bytes.writeBigUInt64LE(0n, header.at + 32);
  }
  writeFileSync(copy, bytes);
  return copy;
}

/** In how many rows two columns differ; a row that only one of them has counts. */
export function countDifferences(a: ArrayLike<unknown>, b: ArrayLike<unknown>): number {
  let count = Math.abs(a.length - b.length);
  for (let row = Math.min(a.length, b.length) - 1; row >= 0; row--) {
    if (!Object.is(a[row], b[row])) count++;
  }
  return count;
}

/** The same core as the kernel orders it: notes before the memory, which gcore writes last. */
export function notesFirst(core: string, copy: string): string {
  const bytes = readFileSync(core);
  const headers = readCoreHeaders(bytes);
  const [note] = headers.filter(({ type }) => type !== PT_LOAD);
  const end = 64 + headers.length * HEADER_BYTES;
  const parts = [Buffer.alloc(end), bytes.subarray(note.offset, note.offset + note.fileBytes)];
  bytes.copy(parts[0], 0, 0, 64);
  parts[0].writeBigUInt64LE(64n, 32);
  let offset = end + note.fileBytes;
  for (const [row, header] of headers.entries()) {
    bytes.copy(parts[0], 64 + row * HEADER_BYTES, header.at, header.at + HEADER_BYTES);
    const isNote = header === note;
    parts[0].writeBigUInt64LE(BigInt(isNote ? end : offset), 64 + row * HEADER_BYTES + 8);
    if (isNote) continue;
    parts.push(bytes.subarray(header.offset, header.offset + header.fileBytes));
    offset += header.fileBytes;
  }
  writeFileSync(copy, Buffer.concat(parts));
  return copy;
}

/** The first `byteCount` bytes of a file. */
export function cutOff(file: string, copy: string, byteCount: number): string {
  copyFileSync(file, copy);
  truncateSync(copy, byteCount);
  return copy;
}
