// Snapshot files (`.lscope`): a HeapGraph on disk. The bytes are graph/encoding.ts's; here are files, compression and
// what can go wrong with a disk. A snapshot holds what the process held, secrets included: only its owner may read it.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { UsageError } from '../base/errors.ts';
import { decodeSnapshot, encodeSnapshot } from '../graph/encoding.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { type WholeFileOptions, writeWholeFile } from './whole-file.ts';

/** zlib's fastest: columns of small numbers shrink to a fifth, and the next levels cost more than the disk saves. */
const LEVEL = 1;
const MAX_READ_BYTES = 1 << 30;

export interface WriteSnapshotOptions extends WholeFileOptions {
  /** Called after each 4 MiB of columns, with the bytes written so far. */
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
  const deflate = (bytes: Uint8Array) => deflateRawSync(bytes, { level: LEVEL });
  let written = 0;
  for (const chunk of encodeSnapshot(graph, compress ? deflate : undefined)) {
    signal?.throwIfAborted();
    for (let start = 0; start < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, start, chunk.length - start);
      start += bytesWritten;
    }
    written += chunk.length;
    onProgress?.(written);
  }
  return written;
}

/** Reads a whole snapshot. Throws UsageError if there is no such file, or it is not a snapshot, cut off or damaged. */
export function readSnapshotFile(path: string): HeapGraph {
  const file = openForReading(path);
  try {
    return decodeSnapshot(
      {
        name: path,
        byteLength: fstatSync(file).size,
        read: (into, position) => readFully(file, into, position),
      },
      (bytes, length) => inflateRawSync(bytes, { maxOutputLength: length }),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    const reason = 'the disk reports an error';
    throw new UsageError(
      { fact: `Cannot read ${path}`, reason, next: 'Copy the file from elsewhere.' },
      { cause: error },
    );
  } finally {
    closeSync(file);
  }
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

function readFully(file: number, into: Uint8Array, position: number): number {
  let filled = 0;
  while (filled < into.length) {
    const wanted = Math.min(into.length - filled, MAX_READ_BYTES);
    const count = readSync(file, into, filled, wanted, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}
