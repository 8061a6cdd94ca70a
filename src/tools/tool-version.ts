// Whether valgrind or heaptrack is there, and new enough: asked once before a program is started.

import { spawnSync } from 'node:child_process';
import { UnsupportedError } from '../base/errors.ts';
import { findExecutable } from './find-program.ts';

export interface ToolNeeds {
  /** Program, and Debian's package. */
  readonly name: string;
  /** Oldest release that has the options we need, and why. */
  readonly oldest: readonly [number, number];
  readonly because: string;
}

export interface FoundTool {
  readonly path: string;
  /** `3.19.0` */
  readonly version: string;
}

const TIMEOUT_MS = 20_000;

/** Throws UnsupportedError if it is missing, too old, or does not say what it is. */
export function findTool(needs: ToolNeeds): FoundTool {
  const path = findExecutable(needs.name);
  if (path === undefined) {
    throw new UnsupportedError({
      fact: `${needs.name} is not installed`,
      reason: 'it is not on PATH',
      next: `Install it: apt-get install ${needs.name}`,
    });
  }
  const { stdout, error } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const match = /\b(\d+)\.(\d+)(?:\.\d+)?/.exec(stdout ?? '');
  if (match === null) {
    throw new UnsupportedError({
      fact: `${path} cannot be used`,
      reason: error?.message ?? `${needs.name} --version does not print a version`,
      next: `Install Debian's: apt-get install --reinstall ${needs.name}`,
    });
  }
  const [first, second] = [Number(match[1]), Number(match[2])];
  if (first < needs.oldest[0] || (first === needs.oldest[0] && second < needs.oldest[1])) {
    throw new UnsupportedError({
      fact: `${needs.name} ${match[0]} is too old`,
      reason: `${needs.because} came with ${needs.oldest.join('.')}`,
      next: `Install ${needs.name} ${needs.oldest.join('.')} or later and put it first on PATH.`,
    });
  }
  return { path, version: match[0] };
}
