// Lines of the source files of a running process, as it sees them: through /proc/PID/root, so that a container's files are
// found. A file that was changed after the process began is not what it runs, and is not shown.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { findProcess } from '../memory/process-status.ts';

const MAX_FILE_BYTES = 4 << 20;
const MAX_FILES = 200;
/** The start time is computed from the clock's idea of when the machine booted, which may be corrected meanwhile. */
const CLOCK_SLACK_SECONDS = 5;

/** A function that finds lines (from 1), stripped; undefined for what cannot be read, and if the process is another one. */
export function makeSourceFinder(process: {
  pid: number;
  processStartedAt: number;
}): (file: string, line: number) => string | undefined {
  const { pid, processStartedAt } = process;
  const found = findProcess(pid)?.processStartedAt ?? 0;
  const isSame = processStartedAt !== 0 && Math.abs(found - processStartedAt) < CLOCK_SLACK_SECONDS;
  const known = new Map<string, readonly string[]>();
  return (file, line) => {
    if (!isSame || line < 1 || file.startsWith('<') || file.includes('\0')) return undefined;
    let lines = known.get(file);
    if (lines === undefined) {
      if (known.size >= MAX_FILES) return undefined;
      const base = file.startsWith('/') ? `/proc/${pid}/root` : `/proc/${pid}/cwd/`;
      lines = readLines(base + file, processStartedAt + CLOCK_SLACK_SECONDS);
      known.set(file, lines);
    }
    const text = lines[line - 1]?.trim();
    return text === '' ? undefined : text;
  };
}

function readLines(path: string, changedBefore: number): string[] {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  try {
    const { size, mtimeMs, ctimeMs } = fstatSync(file);
    const isOld = Math.max(mtimeMs, ctimeMs) / 1000 < changedBefore;
    if (!fstatSync(file).isFile() || size > MAX_FILE_BYTES || !isOld) return [];
    const bytes = Buffer.alloc(size);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, size, 0)).split(/\r?\n/);
  } catch {
    return [];
  } finally {
    closeSync(file);
  }
}
