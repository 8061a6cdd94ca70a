// Snapshot files (`.lscope`): a HeapGraph on disk. The bytes are graph/encoding.ts's; here are files, compression and
// what can go wrong with a disk. A snapshot holds what the process held, secrets included: only its owner may read it.
//
// A file is either written whole or not there: it grows under a temporary name in the same folder, is flushed, and then
// takes its name. After an error or an abort the temporary file is removed.

import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { UsageError } from '../base/errors.ts';
import { decodeSnapshot, encodeSnapshot } from '../graph/encoding.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';

/** zlib's fastest: columns of small numbers shrink to a fifth, and the next levels cost more than the disk saves. */
const LEVEL = 1;
const MAX_READ_BYTES = 1 << 30;

export interface WriteSnapshotOptions {
  signal?: AbortSignal | undefined;
  /** Called after each 4 MiB of columns, with the bytes written so far. */
  onProgress?: (writtenBytes: number) => void;
  /** Default true. */
  compress?: boolean;
}

/**
 * Writes `graph` to `path`, replacing a file of that name; returns its size in bytes. Throws UsageError if the place
 * cannot be written or the disk is full, and the signal's reason when aborted; what stood at `path` is then untouched.
 */
export async function writeSnapshotFile(
  path: string,
  graph: HeapGraph,
  options: WriteSnapshotOptions = {},
): Promise<number> {
  const temporary = join(
    dirname(path),
    `.${basename(path)}.${randomBytes(4).toString('hex')}.partial`,
  );
  let file: FileHandle | undefined;
  let isComplete = false;
  try {
    options.signal?.throwIfAborted();
    file = await open(temporary, 'wx', 0o600);
    const written = await writeChunks(file, graph, options);
    await file.sync();
    await file.close();
    file = undefined;
    options.signal?.throwIfAborted();
    await rename(temporary, path);
    isComplete = true;
    await syncFolder(dirname(path));
    return written;
  } catch (error) {
    throw explainWriteError(error, path);
  } finally {
    await file?.close().catch(ignoreCloseError);
    if (!isComplete) await unlink(temporary).catch(ignoreMissing);
  }
}

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

/** So that the new name survives a crash of the machine. Not every file system allows it, and the data is safe already. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, 'r');
    await handle.sync();
  } catch {
    // See above: a file system without it is no reason to call a complete snapshot a failure.
  } finally {
    await handle?.close().catch(ignoreCloseError);
  }
}

/** The write has failed or succeeded before; a failing close adds nothing. */
const ignoreCloseError = (): void => {};
/** The temporary file may never have been made. */
const ignoreMissing = (): void => {};

const WRITE_REASONS: Readonly<Record<string, [reason: string, next: string]>> = {
  ENOSPC: ['the disk is full', 'Free some space, or write to another disk with -o.'],
  EDQUOT: ['your disk quota is used up', 'Free some space, or write to another disk with -o.'],
  EFBIG: ['the file would be larger than is allowed here', 'Write to another file system with -o.'],
  EACCES: ['you may not write there', 'Choose a folder of your own with -o.'],
  EPERM: ['you may not write there', 'Choose a folder of your own with -o.'],
  EROFS: ['the file system is read-only', 'Choose another folder with -o.'],
  ENOENT: ['there is no such folder', 'Make the folder first, or choose another with -o.'],
  ENOTDIR: ['a part of the path is no folder', 'Choose another path with -o.'],
  EISDIR: ['it is a folder', 'Give the name of a file with -o.'],
  EIO: ['the disk reports an error', 'Choose another disk with -o.'],
};

function explainWriteError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (typeof code !== 'string' || !Object.hasOwn(WRITE_REASONS, code)) return error;
  const [reason, next] = WRITE_REASONS[code];
  return new UsageError({ fact: `Cannot write ${path}`, reason, next }, { cause: error });
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
