// Snapshot files (`.lscope`): a HeapGraph on disk. The bytes are graph/encode-snapshot.ts's and decode-snapshot.ts's; here are
// files, compression and what can go wrong with a disk. A snapshot holds what the process held, secrets included: only its
// owner may read it.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { crc32, deflateRaw, inflateRawSync } from 'node:zlib';
import { UsageError } from '../base/errors.ts';
import { openSnapshot, readSnapshot, type Snapshot } from '../graph/decode-snapshot.ts';
import { type Deflater, encodeSnapshot } from '../graph/encode-snapshot.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { Inflater, SnapshotReader } from '../graph/snapshot-header.ts';
import type { MemoryBudget } from '../memory/memory-budget.ts';
import { type WholeFileOptions, writeWholeFile } from './whole-file.ts';

/** zlib's fastest: the next levels take twice as long for a few per cent. */
const LEVEL = 1;
const MAX_READ_BYTES = 1 << 30;

const deflateInThread = promisify<Uint8Array, { level: number }, Buffer>(deflateRaw);
const deflater: Deflater = { crc32, deflate: (bytes) => deflateInThread(bytes, { level: LEVEL }) };
const inflater: Inflater = {
  crc32,
  inflate: (bytes, length) => inflateRawSync(bytes, { maxOutputLength: length }),
};

export interface WriteSnapshotOptions extends WholeFileOptions {
  /** Called after each block, with the bytes written so far. */
  onProgress?: (writtenBytes: number) => void;
  /** Default true. */
  compress?: boolean;
}

/**
 * Writes `graph` to `path`, replacing a file of that name; returns its size in bytes. Throws UsageError if the place
 * cannot be written or the disk is full, and the signal's reason when aborted; what stood at `path` is then untouched.
 */
export const writeSnapshotFile = (
  path: string,
  graph: HeapGraph,
  options: WriteSnapshotOptions = {},
): Promise<number> => writeWholeFile(path, (file) => writeChunks(file, graph, options), options);

async function writeChunks(
  file: FileHandle,
  graph: HeapGraph,
  { signal, onProgress, compress = true }: WriteSnapshotOptions,
): Promise<number> {
  let written = 0;
  for await (const { bytes, position } of encodeSnapshot(graph, deflater, compress)) {
    signal?.throwIfAborted();
    for (let start = 0; start < bytes.length; ) {
      const left = bytes.length - start;
      const { bytesWritten } = await file.write(bytes, start, left, position + start);
      start += bytesWritten;
    }
    written += bytes.length;
    onProgress?.(written);
  }
  return written;
}

export interface SnapshotFile extends Snapshot {
  readonly path: string;
  readonly byteLength: number;
}

export interface OpenSnapshotFile extends SnapshotFile {
  /** What was not read by then cannot be read any more. */
  close(): void;
}

export interface ReadSnapshotOptions {
  /** Is asked for each column before it is allocated. */
  budget?: MemoryBudget | undefined;
}

/**
 * Reads the header; columns of the graph are read when they are first asked for. Throws UsageError if there is no such file,
 * or it is not a snapshot, cut off or damaged, which may show only when a column is read.
 */
export function openSnapshotFile(
  path: string,
  options: ReadSnapshotOptions = {},
): OpenSnapshotFile {
  const file = openForReading(path);
  try {
    return { ...openWith(file, path, options, openSnapshot), close: () => closeSync(file) };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Reads and checks all of a snapshot, and closes the file. Throws as `openSnapshotFile`, and nothing later. */
export function readWholeSnapshot(path: string, options: ReadSnapshotOptions = {}): SnapshotFile {
  const file = openForReading(path);
  try {
    return openWith(file, path, options, readSnapshot);
  } finally {
    closeSync(file);
  }
}

/** The graph of a snapshot that was read and checked as a whole. */
export const readSnapshotFile = (path: string, options: ReadSnapshotOptions = {}): HeapGraph =>
  readWholeSnapshot(path, options).graph;

function openWith(
  file: number,
  path: string,
  { budget }: ReadSnapshotOptions,
  open: typeof openSnapshot,
): SnapshotFile {
  const byteLength = fstatSync(file).size;
  const reader: SnapshotReader = {
    name: path,
    byteLength,
    read: (into, position) => readFully(file, path, into, position),
  };
  const onAllocate = (bytes: number): void => budget?.require(bytes, `read ${path}`);
  return { ...open(reader, inflater, { onAllocate }), path, byteLength };
}

function openForReading(path: string): number {
  let file: number;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'you may not read it'
          : `the system says ${code}`;
    throw new UsageError(
      { fact: `Cannot read ${path}`, reason, next: 'Check the path.' },
      { cause },
    );
  }
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new UsageError({
    fact: `Cannot read ${path}`,
    reason: 'it is not a regular file',
    next: 'Give a snapshot file: leakscope capture PID -o FILE.lscope',
  });
}

function readFully(file: number, path: string, into: Uint8Array, position: number): number {
  let filled = 0;
  try {
    while (filled < into.length) {
      const wanted = Math.min(into.length - filled, MAX_READ_BYTES);
      const count = readSync(file, into, filled, wanted, position + filled);
      if (count === 0) break;
      filled += count;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    const reason = 'the disk reports an error';
    throw new UsageError(
      { fact: `Cannot read ${path}`, reason, next: 'Copy the file from elsewhere.' },
      { cause: error },
    );
  }
  return filled;
}
