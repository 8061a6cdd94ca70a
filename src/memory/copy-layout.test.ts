import fc from 'fast-check';
import { expect, test } from 'vitest';
import { subtractRanges } from './address-ranges.ts';
import { computeCopyLayout } from './copy-layout.ts';
import { decodeMappings } from './mappings.ts';
import { PAGE_SIZE } from './memory-image.ts';

const layOut = (text: string, isElf = true) =>
  computeCopyLayout(decodeMappings(text), undefined, () => isElf);

test('writable private memory and the read-only data of libraries are copied', () => {
  const { runs } = layOut(`00400000-00401000 r--p 00000000 fe:00 5 /lib/a.so
00401000-00402000 r-xp 00001000 fe:00 5 /lib/a.so
00402000-00403000 r--p 00002000 fe:00 5 /lib/a.so
00403000-00405000 rw-p 00003000 fe:00 5 /lib/a.so
01000000-01010000 rw-p 00000000 00:00 0 [heap]
02000000-02001000 ---p 00000000 00:00 0
`);
  expect(runs.map(({ address, pageCount }) => [address, pageCount])).toEqual([
    [0x400000, 1],
    [0x402000, 1],
    [0x403000, 2],
    [0x1000000, 16],
  ]);
});

test('shared memory is copied where it is small: C code may keep pointers there', () => {
  const { runs } = layOut(`01000000-01010000 rw-s 00000000 00:01 7 /dev/shm/small
02000000-03000000 rw-s 00000000 00:01 8 /dev/shm/large
04000000-04010000 rw-s 00000000 fe:00 9 /var/lib/data
`);
  expect(runs.map(({ address, pageCount }) => [address, pageCount])).toEqual([[0x1000000, 16]]);
});

test('devices and the pages of the kernel are not', () => {
  const { runs } = layOut(`
02000000-02010000 rw-p 00000000 00:05 8 /dev/nvidia0
03000000-03001000 r--p 00000000 00:00 0 [vvar]
04000000-04001000 r--p 00000000 00:00 0 [vvar_vclock]
`);
  expect(runs).toEqual([]);
});

test('read-only data that is no library is left out', () => {
  const text = '01000000-01010000 r--p 00000000 fe:00 7 /usr/lib/locale/locale-archive\n';
  expect(layOut(text, false).runs).toEqual([]);
  expect(layOut(text, true).runs).toHaveLength(1);
});

test('a mapping beyond 64 GiB is named and not looked through', () => {
  const { runs, leftOut } = layOut('10000000000-30000000000 rw-p 00000000 00:00 0\n');
  expect(runs).toEqual([]);
  expect(leftOut[0].reason).toContain('64 GiB');
});

test('runs are split below what one read takes', () => {
  const { runs, pageCount } = layOut('10000000000-100c0000000 rw-p 00000000 00:00 0\n');
  expect(pageCount).toBe((3 * 2 ** 30) / PAGE_SIZE);
  expect(runs.map((run) => run.pageCount)).toEqual([2 ** 18, 2 ** 18, 2 ** 18]);
});

test('what is skipped are whole pages inside the range, nothing else', () => {
  const page = fc.integer({ min: 0, max: 60 });
  const anyRange = fc
    .tuple(page, page, fc.integer({ min: -20, max: 20 }), fc.integer({ min: -20, max: 20 }))
    .map(([a, b, before, behind]) => ({
      start: Math.max(0, Math.min(a, b) * PAGE_SIZE + before),
      end: Math.max(a, b) * PAGE_SIZE + behind,
    }));
  fc.assert(
    fc.property(fc.array(anyRange, { maxLength: 6 }), (ranges) => {
      const skip = ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
      const whole = { start: 10 * PAGE_SIZE, end: 50 * PAGE_SIZE };
      const left = subtractRanges(whole, skip);
      for (let number = 10; number < 50; number++) {
        const start = number * PAGE_SIZE;
        const end = start + PAGE_SIZE;
        const isSkipped = skip.some((range) => range.start <= start && range.end >= end);
        const isLeft = left.some((range) => range.start <= start && range.end >= end);
        // A page that two ranges cover only together may be kept.
        if (isSkipped) expect(isLeft).toBe(false);
        if (!skip.some((range) => range.start < end && range.end > start))
          expect(isLeft).toBe(true);
      }
      for (let i = 1; i < left.length; i++) {
        expect(left[i].start).toBeGreaterThanOrEqual(left[i - 1].end);
      }
    }),
  );
});
