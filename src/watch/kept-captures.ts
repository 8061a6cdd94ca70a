// The snapshot files that a watch has written, and which of them go when there are too many or they take too much of the
// disk. Only files of this run are ever removed. Of each process the first and the newest stay as long as possible, and of
// the others those that are farthest apart: a hunt needs captures over a long time.

import { stat, unlink } from 'node:fs/promises';

export interface KeptCapture {
  file: string;
  pid: number;
  /** Seconds since the Unix epoch. */
  atSeconds: number;
  bytes: number;
}

export interface KeepLimits {
  count: number;
  bytes: number;
}

export class KeptCaptures {
  private readonly limits: KeepLimits;
  private captures: KeptCapture[] = [];

  constructor(limits: KeepLimits) {
    this.limits = limits;
  }

  /** Takes in a file that was just written, and removes what has no room any more; returns the names of the removed. */
  async add(capture: Omit<KeptCapture, 'bytes'>): Promise<string[]> {
    const { size } = await stat(capture.file);
    this.captures.push({ ...capture, bytes: size });
    const removed: string[] = [];
    for (;;) {
      const surplus = findSurplus(this.captures, this.limits);
      if (surplus === undefined) return removed;
      await unlink(surplus.file).catch(ignoreMissing);
      this.captures = this.captures.filter((each) => each !== surplus);
      removed.push(surplus.file);
    }
  }

  /** Of one process, the oldest first. */
  filesOf(pid: number): string[] {
    return this.captures.filter((each) => each.pid === pid).map((each) => each.file);
  }
}

/** The user may have moved it elsewhere. */
const ignoreMissing = (): void => {};

/** The capture that is missed least; undefined while all have room. The newest is never one. */
export function findSurplus(
  captures: readonly KeptCapture[],
  limits: KeepLimits,
): KeptCapture | undefined {
  const bytes = captures.reduce((sum, each) => sum + each.bytes, 0);
  if (captures.length <= limits.count && bytes <= limits.bytes) return undefined;
  const newest = captures.at(-1);
  const earlier = captures.filter((each) => each.pid !== newest?.pid);
  // What is left of a process that has ended goes first, its oldest captures before its last ones.
  if (earlier.length > 0) return earlier[0];
  let surplus: KeptCapture | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 1; i < captures.length - 1; i++) {
    const gap = captures[i + 1].atSeconds - captures[i - 1].atSeconds;
    if (gap < least) {
      least = gap;
      surplus = captures[i];
    }
  }
  return surplus ?? (captures.length > 1 ? captures[0] : undefined);
}
