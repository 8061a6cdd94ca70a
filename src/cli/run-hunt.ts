// Joins the captures over time (capture/hunt.ts) and the verdict (report/verdict.ts) into one hunt of a process.

import { assert } from '../base/assert.ts';
import type { HuntReport } from '../report/schemas.ts';

export interface HuntOptions {
  everySeconds: number;
  /** Captures, at least 2: one round fewer. */
  snapshots: number;
  signal: AbortSignal;
  onProgress(text: string): void;
}

export async function runHunt(_pid: number, _options: HuntOptions): Promise<HuntReport> {
  assert(false, 'hunt is wired to capture/hunt.ts and report/verdict.ts');
}
