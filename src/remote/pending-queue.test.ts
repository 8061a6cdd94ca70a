// The arithmetic of rings, and the line that goes into a process. The queue itself is tested on real Pythons.

import { describe, expect, test } from 'vitest';
import { formatBootstrap, LINE_START } from './bootstrap.ts';
import { spareSlots } from './pending-queue.ts';

describe('spareSlots', () => {
  test('are all slots but the next ones, each once and in bounds', () => {
    for (const [count, distance] of [
      [32, 8],
      [300, 150],
    ]) {
      for (let slot = 0; slot < count; slot++) {
        const slots = spareSlots(slot, count, distance).flatMap(([from, to]) =>
          Array.from({ length: to - from }, (_, i) => from + i),
        );
        expect(new Set(slots).size).toBe(count - distance);
        expect(slots.every((each) => each >= 0 && each < count)).toBe(true);
        const next = Array.from({ length: distance }, (_, i) => (slot + i) % count);
        expect(slots.filter((each) => next.includes(each))).toEqual([]);
      }
    }
  });
});

describe('the line', () => {
  const path = '/dev/shm/leakscope-1uluwzl-2qo0f-1z141z3-01234567/a.py';

  test('fits into the unused slots of the smallest queue', () => {
    for (const hasGevent of [false, true]) {
      const line = formatBootstrap(path, hasGevent);
      expect(line.startsWith(LINE_START)).toBe(true);
      expect(line.length).toBeLessThan((24 * 16) / 2 + 192);
      expect(line).not.toMatch(/[^\n -~]/);
    }
  });
});
