import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineByLnotab, lineSince310, lineSince311 } from './line-tables.ts';

// Instructions in bytes, as `dis` prints them.

test('co_lnotab adds up addresses and signed line increments', () => {
  // 6 bytes of line 10, 4 of line 13, 2 of line 12, then line 212 by two increments.
  const table = Uint8Array.from([6, 3, 4, 0xff, 2, 127, 0, 73]);
  const lines = [0, 5, 6, 9, 10, 11, 12, 999].map((offset) => lineByLnotab(table, 10, offset));
  expect(lines).toEqual([10, 10, 13, 13, 12, 12, 212, 212]);
});

test('the table of 3.10 has ranges, some without a line', () => {
  const table = Uint8Array.from([4, 0, 2, 0x80, 6, 2, 2, 0xff]);
  const lines = [0, 3, 4, 6, 11, 12, 14].map((offset) => lineSince310(table, 20, offset));
  expect(lines).toEqual([20, 20, undefined, 22, 22, 21, undefined]);
});

test('the table of 3.11 has entries of five kinds', () => {
  const entry = (kind: number, units: number, ...rest: number[]) => [
    0x80 | (kind << 3) | (units - 1),
    ...rest,
  ];
  const table = Uint8Array.from([
    ...entry(0, 1, 0x12),
    ...entry(11, 2, 1, 2),
    ...entry(13, 1, 5),
    ...entry(14, 1, 0x40 | 4, 3, 0, 1, 1),
    ...entry(15, 8),
    ...entry(10, 1, 3, 4),
  ]);
  const lines = [0, 1, 2, 5, 6, 8, 10, 25, 26, 28].map((at) => lineSince311(table, 100, at));
  // Deltas: 0, +1, -2, +(4 + 3 * 64) / 2, none, 0.
  expect(lines).toEqual([100, 100, 101, 101, 99, 197, undefined, undefined, 197, undefined]);
});

test('random bytes are read to their end', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 0, max: 5000 }),
      (table, at) => {
        for (const lineAt of [lineByLnotab, lineSince310, lineSince311]) {
          const line = lineAt(table, 1, at);
          expect(line === undefined || Number.isFinite(line)).toBe(true);
        }
      },
    ),
  );
});
