import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PairIndex } from './pair-index.ts';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const small = fc.integer({ min: 0, max: 3 });

test('pairs get the rows that a Map would give them', () => {
  const pairs = fc.array(fc.tuple(fc.oneof(u32, small), fc.oneof(u32, small)), { maxLength: 400 });
  fc.assert(
    fc.property(pairs, fc.integer({ min: 0, max: 64 }), (rows, expectedCount) => {
      const index = new PairIndex(expectedCount);
      const known = new Map<string, number>();
      for (const [a, b] of rows) {
        const key = `${a},${b}`;
        expect(index.find(a, b)).toBe(known.get(key) ?? -1);
        if (!known.has(key)) known.set(key, known.size);
        expect(index.add(a, b)).toBe(known.get(key));
      }
      expect(index.length).toBe(known.size);
    }),
  );
});

test('pairs in order, as addresses are, do not crowd', () => {
  const index = new PairIndex();
  const begin = performance.now();
  for (let i = 0; i < 300_000; i++) index.add(i * 16, 0x7f3a);
  let wrong = 0;
  for (let i = 0; i < 300_000; i++) if (index.find(i * 16, 0x7f3a) !== i) wrong++;
  expect(wrong).toBe(0);
  expect(index.find(8, 0x7f3a)).toBe(-1);
  // Quadratic time would be hours.
  expect(performance.now() - begin).toBeLessThan(20_000);
});
