// The line of a .pyx file that a line of Cython's C file was made from: Cython writes the source above the code, as a
// comment that begins with `/* "module.pyx":12`. Only where the C file is still where it was compiled.

import { readFileSync, statSync } from 'node:fs';

const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** A statement's code is not longer; what is farther above belongs to another one. */
const MAX_DISTANCE_LINES = 400;

/** `module.pyx:12`; undefined if the file is no C file of Cython's, or not there. Reads the whole file. */
export function findCythonSource(
  file: string | undefined,
  line: number | undefined,
): string | undefined {
  if (file === undefined || line === undefined || !/\.(?:c|cpp|cxx|cc)$/.test(file))
    return undefined;
  const lines = readLines(file);
  if (lines === undefined || !/Cython/.test(lines[0])) return undefined;
  for (let i = line - 1; i >= Math.max(0, line - MAX_DISTANCE_LINES); i--) {
    const match = /^\s*\/\* "([^"]+\.(?:pyx|pxd|pxi|py))":(\d+)/.exec(lines[i] ?? '');
    if (match !== null) return `${match[1]}:${match[2]}`;
  }
  return undefined;
}

function readLines(file: string): string[] | undefined {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) return undefined;
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return undefined;
  }
}
