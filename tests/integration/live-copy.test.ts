// A copy against the process that it was made of: which pages it has, that they are equal, and that it cost the target
// neither memory nor more time than the bytes need.

import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type LiveTarget, openTarget } from '../../src/memory/freeze.ts';
import { copyLive } from '../../src/memory/live-copy.ts';
import { PAGE_SIZE } from '../../src/memory/memory-image.ts';
import { findRssBytes, listThreads } from '../../src/memory/process-status.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const PATTERNS = fileURLToPath(new URL('../programs/page_patterns.py', import.meta.url));
const PAGES = 2048;
const EVERY = 8;

interface Patterns {
  pid: number;
  sparse: number;
  shared: number;
  mapped: number;
  /** Pages of which the one with index 3 is a guard; null before Linux 6.13. */
  guarded: number | null;
  word: number;
  typeType: number;
}

describeEachPython('a copy of a live process', (python) => {
  let running: RunningPython<Patterns>;
  let target: LiveTarget;

  beforeEach(async () => {
    running = await startPython<Patterns>(python, PATTERNS);
    target = openTarget(running.ready.pid);
  });

  afterEach(async () => {
    target.close();
    await running.stop();
  });

  test('has the pages that were written to and no others, and makes none in the target', () => {
    const { sparse, pid } = running.ready;
    const before = findRssBytes(pid)!;
    const copy = copyLive(target);
    for (let page = 0; page < PAGES; page++) {
      const address = sparse + page * PAGE_SIZE;
      if (page % EVERY === 0) {
        expect(copy.image.readU8(address)).toBe(1 + ((page / EVERY) % 250));
      } else expect(copy.image.wordAtAddress(address)).toBe(0);
    }
    // The target handles the stop itself: a few pages of its stack and C library.
    expect(findRssBytes(pid)! - before).toBeLessThan(64 * 4096);
    expect(copy.rssBytes).toBeGreaterThan(copy.copiedBytes * 0.9);
    expect(copy.unreadableBytes).toBe(0);
    expect(copy.leftOut).toEqual([]);
  });

  test('tells what of each mapping is resident, and the sum is the resident set', () => {
    const { residency, rssBytes } = copyLive(target);
    const pages = residency.reduce((sum, row) => sum + row.ownPages + row.filePages, 0);
    // Pages of zeros that were only read are in the page table, but in no resident set.
    expect(Math.abs(pages * PAGE_SIZE - rssBytes)).toBeLessThanOrEqual(2 * PAGE_SIZE);
    const { sparse, shared } = running.ready;
    const at = (address: number) =>
      residency.find(({ mapping }) => mapping.start <= address && address < mapping.end);
    // Beside it there may be other anonymous memory, which the kernel joins with it.
    expect(at(sparse)?.ownPages).toBeGreaterThanOrEqual(PAGES / EVERY);
    expect(at(sparse)?.filePages).toBe(0);
    expect(at(shared)?.filePages).toBe(1);
  });

  test('has small shared memory, and leaves out what a mapped data file still has', () => {
    const { shared, mapped } = running.ready;
    const { image } = copyLive(target);
    expect(image.readU8(shared)).toBe(1);
    expect(image.readU8(mapped + 5 * PAGE_SIZE)).toBe(7);
    expect(image.wordAtAddress(mapped + 6 * PAGE_SIZE)).toBe(0);
  });

  test('goes on behind a guard page, as the stacks of threads have', ({ skip }) => {
    const { guarded } = running.ready;
    if (guarded === null) return skip('this kernel has no guard regions');
    const { image, unreadableBytes } = copyLive(target);
    const present = [2, 3, 4, 15].map((page) =>
      image.wordAtAddress(guarded + page * PAGE_SIZE) === 0 ? 'missing' : 'copied',
    );
    expect(present).toEqual(['copied', 'missing', 'copied', 'copied']);
    expect(unreadableBytes).toBe(0);
  });

  test('has the static types with their names, which lie in read-only data', () => {
    const { typeType, word } = running.ready;
    const { image } = copyLive(target);
    const tp_name = image.readAddress(typeType + 24);
    expect(image.findCString(tp_name)).toBe('type');
    expect(image.findCString(word)).toBe('leakscope reads this');
  });

  test('is equal to the target, byte for byte', () => {
    const { image, mappings } = copyLive(target);
    const differing = new Set<string>();
    image.runs.forEach((run, i) => {
      const live = target.memory.bytesAt(run.address, run.pageCount * PAGE_SIZE);
      const copied = image.bytesOfRun(i);
      for (let page = 0; page < run.pageCount; page++) {
        const part = [page * PAGE_SIZE, (page + 1) * PAGE_SIZE] as const;
        if (Buffer.compare(live.subarray(...part), copied.subarray(...part)) === 0) continue;
        const address = run.address + part[0];
        const mapping = mappings.find(({ start, end }) => start <= address && address < end);
        differing.add(`${address.toString(16)} ${mapping?.writable} ${mapping?.path}`);
      }
    });
    // Waking from the read on stdin writes to the stack and to thread-local data.
    expect(differing.size).toBeLessThanOrEqual(3);
    expect([...differing].filter((each) => each.includes(' false '))).toEqual([]);
  });

  test('names the threads with their stack pointers, which lie in writable memory', () => {
    const { threads, mappings } = copyLive(target);
    expect(threads.map(({ tid }) => tid)).toEqual(listThreads(running.ready.pid));
    const [main] = threads;
    const stack = mappings.find(({ path }) => path === '[stack]')!;
    expect(main.stackPointer).toBeGreaterThan(stack.start);
    expect(main.stackPointer).toBeLessThan(stack.end);
    expect(main.name).not.toBe('');
  });

  test('leaves out what is to be skipped', () => {
    const { sparse } = running.ready;
    const whole = copyLive(target);
    const copy = copyLive(target, {
      findSkipped: () => [{ start: sparse, end: sparse + PAGES * PAGE_SIZE }],
    });
    expect(copy.image.wordAtAddress(sparse)).toBe(0);
    const less = whole.copiedBytes - copy.copiedBytes;
    expect(Math.abs(less - (PAGES / EVERY) * PAGE_SIZE)).toBeLessThan(32 * PAGE_SIZE);
  });

  test('waits for a moment that the caller finds good', () => {
    let asked = 0;
    const copy = copyLive(target, { check: () => ++asked === 4 });
    expect(copy).toMatchObject({ tries: 4, checkPassed: true });
    expect(copy.totalPauseMs).toBeGreaterThan(copy.pauseMs);
  });

  test('is made all the same when no moment is good, and says so', () => {
    let asked = 0;
    const copy = copyLive(target, {
      check: () => {
        asked++;
        return false;
      },
    });
    expect(copy).toMatchObject({ tries: 100, checkPassed: false });
    expect(asked).toBe(100);
    expect(copy.image.findCString(running.ready.word)).toBe('leakscope reads this');
  });
});
