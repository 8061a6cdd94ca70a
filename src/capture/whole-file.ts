// Files that are either written whole or not there: a file grows under a temporary name in the folder of its destination,
// is flushed, and then takes its name. After an error or an abort the temporary file is removed, and what stood at the
// destination is untouched. What can go wrong with a disk becomes a UsageError here.

import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ErrorText, UsageError } from '../base/errors.ts';

export interface WholeFileOptions {
  /** Its reason is thrown when it is aborted before the file has its name. */
  signal?: AbortSignal | undefined;
  /** Runs a function should the process end before the file is complete; returns how to take that back. */
  atExit?: ((cleanup: () => void) => () => void) | undefined;
}

/**
 * Writes to `path` what `write` writes, replacing a file of that name; only its owner may read it. Throws UsageError if
 * the place cannot be written, is no regular file, or the disk is full.
 */
export async function writeWholeFile<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
  { signal, atExit }: WholeFileOptions = {},
): Promise<T> {
  let temporary: string | undefined;
  let file: FileHandle | undefined;
  let forget: (() => void) | undefined;
  try {
    signal?.throwIfAborted();
    const destination = await findDestination(path);
    const name = join(dirname(destination), `.leakscope-${randomBytes(6).toString('hex')}.partial`);
    file = await open(name, 'wx', 0o600);
    temporary = name;
    forget = atExit?.(() => rmSync(name, { force: true }));
    const result = await write(file);
    await file.sync();
    await file.close();
    file = undefined;
    signal?.throwIfAborted();
    await rename(temporary, destination);
    temporary = undefined;
    await syncFolder(dirname(destination));
    return result;
  } catch (error) {
    const reason = explainFileError(error);
    if (reason === undefined) throw error;
    throw new UsageError({ fact: `Cannot write ${path}`, ...reason }, { cause: error });
  } finally {
    await file?.close().catch(ignoreCloseError);
    if (temporary !== undefined) await unlink(temporary).catch(ignoreMissing);
    forget?.();
  }
}

/** The file that a name stands for. A rename would replace a device or a link by a file. */
async function findDestination(path: string): Promise<string> {
  const destination = await realpath(path).catch(() => path);
  const found = await stat(destination).catch(() => undefined);
  if (found === undefined || found.isFile() || found.isDirectory()) return destination;
  throw new UsageError({
    fact: `Cannot write ${path}`,
    reason: 'it is no regular file',
    next: 'Choose another name with -o.',
  });
}

/** So that the new name survives a crash of the machine. Not every file system allows it, and the data is safe already. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, 'r');
    await handle.sync();
  } catch {
    // See above: a file system without it is no reason to call a complete file a failure.
  } finally {
    await handle?.close().catch(ignoreCloseError);
  }
}

/** The write has failed or succeeded before; a failing close adds nothing. */
const ignoreCloseError = (): void => {};
/** Somebody else has removed it. */
const ignoreMissing = (): void => {};

const WRITE_REASONS: Readonly<Record<string, [reason: string, next: string]>> = {
  ENOSPC: ['the disk is full', 'Free some space, or write to another disk.'],
  EDQUOT: ['your disk quota is used up', 'Free some space, or write to another disk.'],
  EFBIG: ['the file would be larger than is allowed here', 'Write to another file system.'],
  EACCES: ['you may not write there', 'Choose a folder of your own.'],
  EPERM: ['you may not write there', 'Choose a folder of your own.'],
  EROFS: ['the file system is read-only', 'Choose another folder.'],
  ENOENT: ['there is no such folder', 'Make the folder first, or choose another.'],
  ENOTDIR: ['a part of the path is no folder', 'Choose another path.'],
  EISDIR: ['it is a folder', 'Give the name of a file.'],
  ENAMETOOLONG: ['its name is too long', 'Choose a shorter name.'],
  EIO: ['the disk reports an error', 'Choose another disk.'],
};

/** Why a file could not be written, and what to do; undefined if that is not what the error says. */
export function explainFileError(error: unknown): Omit<ErrorText, 'fact'> | undefined {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof code !== 'string') return undefined;
  if (Object.hasOwn(WRITE_REASONS, code)) {
    const [reason, next] = WRITE_REASONS[code];
    return { reason, next };
  }
  if (syscall === undefined) return undefined;
  return { reason: `the system says ${code}`, next: 'Write to another place.' };
}
