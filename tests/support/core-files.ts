// Core files for tests: of gcore, of the kernel, and copies of them that are damaged or have pages left out.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
