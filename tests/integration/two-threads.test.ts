// Large heaps are decoded by two threads. The graph is the same as that of one thread, in every column, on every Python: of
// a program with objects of all types that stands still. Also when what both find cannot be joined.

import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type CaptureOptions, openCapture } from '../../src/capture/capture-heap.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/oracle/run.py', import.meta.url));

/** As `isContradicted` in decoded-part.ts, if it says yes to whatever it is asked. */
const contradiction = vi.hoisted(() => ({ isAlways: false }));
vi.mock('../../src/cpython/decoded-part.ts', async (load) => {
  const real = await load<typeof import('../../src/cpython/decoded-part.ts')>();
  return {
    ...real,
    isContradicted: (...args: Parameters<typeof real.isContradicted>) =>
      contradiction.isAlways || real.isContradicted(...args),
  };
});

async function capture(pid: number, options: CaptureOptions): Promise<HeapGraph> {
  const live = openCapture(pid);
  try {
    return await live.capture(options);
  } finally {
    live.close();
  }
}

/** With the hash of each column in its place, and without what is of the moment of a capture. */
function digest(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return `${value.byteLength} bytes ${createHash('sha1').update(bytes).digest('hex')}`;
  }
  if (Array.isArray(value)) return value.map(digest);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !MOMENTARY.includes(name));
  return Object.fromEntries(entries.map(([name, each]) => [name, digest(each)]));
}

/** Times, and what the kernel counts. */
const MOMENTARY = ['at', 'pauseMs', 'rssBytes', 'method', 'ledger', 'threads', 'mappings'];

const isShared = ({ edgeTarget }: HeapGraph): boolean =>
  edgeTarget.buffer instanceof SharedArrayBuffer;

describeEachPython('two threads', (python) => {
  let running: RunningPython;
  let alone: HeapGraph;

  beforeAll(async () => {
    running = await startPython(python, PROGRAM, { env: { PYTHONDONTWRITEBYTECODE: '1' } });
    alone = await capture(running.pid, {
      native: true,
      sharedFromBytes: Number.POSITIVE_INFINITY,
    });
  });
  afterAll(() => running?.stop());

  test('make the graph that one thread makes', async () => {
    const graph = await capture(running.pid, { native: true, sharedFromBytes: 0 });
    expect(isShared(alone)).toBe(false);
    expect(isShared(graph)).toBe(true);
    expect(graph.nodeCount).toBeGreaterThan(20_000);
    expect(digest(graph)).toEqual(digest(alone));
  });

  test('make it also where the second half is decoded again by the first', async () => {
    contradiction.isAlways = true;
    try {
      const graph = await capture(running.pid, { native: true, sharedFromBytes: 0 });
      expect(digest(graph)).toEqual(digest(alone));
    } finally {
      contradiction.isAlways = false;
    }
  });
});
