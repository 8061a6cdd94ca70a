// Traces for tests, written as rows: what was allocated where.

import { PairIndex } from '../../src/base/pair-index.ts';
import type { AllocationTraces } from '../../src/graph/allocation-traces.ts';

export interface DrawnTrace {
  size: number;
  /** `a.py:1 b.py:2`, the innermost frame first. */
  at: string;
  domain?: number;
}

/** Each trace's block has 16 bytes more than the address before. Equal tracebacks are one. */
export function drawTraces(rows: readonly DrawnTrace[]): AllocationTraces {
  const files: string[] = [];
  const sites = new PairIndex();
  const [siteFile, siteLine, firstFrame, frameSite]: number[][] = [[], [], [0], []];
  const tracebacks = new Map<string, number>();
  const tracebackOf = (text: string): number => {
    const known = tracebacks.get(text);
    if (known !== undefined) return known;
    for (const frame of text.split(' ')) {
      const at = frame.lastIndexOf(':');
      const [file, line] = [frame.slice(0, at), Number(frame.slice(at + 1))];
      if (!files.includes(file)) files.push(file);
      const site = sites.add(files.indexOf(file), line);
      if (site === siteFile.length) {
        siteFile.push(files.indexOf(file));
        siteLine.push(line);
      }
      frameSite.push(site);
    }
    firstFrame.push(frameSite.length);
    tracebacks.set(text, tracebacks.size);
    return tracebacks.size - 1;
  };
  return {
    traceAddress: Float64Array.from(rows, (_, i) => 0x1000 + 16 * i),
    traceSize: Float64Array.from(rows, ({ size }) => size),
    traceDomain: Uint32Array.from(rows, ({ domain = 0 }) => domain),
    traceTraceback: Uint32Array.from(rows, ({ at }) => tracebackOf(at)),
    firstFrame: Uint32Array.from(firstFrame),
    frameSite: Uint32Array.from(frameSite),
    siteFile: Uint32Array.from(siteFile),
    siteLine: Uint32Array.from(siteLine),
    siteFunction: new Uint32Array(siteFile.length).fill(0xffffffff),
    facts: {
      maxFrames: 10,
      tracedBytes: rows.reduce((sum, { size }) => sum + size, 0),
      tracerBytes: rows.length * 64,
      files,
      functions: [],
    },
  };
}
