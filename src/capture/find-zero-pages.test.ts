import { expect, test } from 'vitest';
import { MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import { findZeroPages } from './find-zero-pages.ts';

const BASE = 0x7f0000000000;
const at = (page: number): number => BASE + page * PAGE_SIZE;

/** Pages 0 to 3 of which 2 has content; pages 4 and 5 were not copied. */
function makeImage(): MemoryImage {
  const image = new MemoryImage([{ address: BASE, pageCount: 4 }]);
  image.bytesOfRun(0)[2 * PAGE_SIZE + 100] = 1;
  return image;
}

const common = [
  { address: at(3), pageCount: 3 },
  { address: at(1), pageCount: 2 },
];

test('pages without content that are nobody’s own are the page of zeros', () => {
  expect(findZeroPages(makeImage(), common, 10)).toEqual([
    { address: at(1), pageCount: 1 },
    { address: at(3), pageCount: 3 },
  ]);
});

test('no more than the resident set leaves out', () => {
  expect(findZeroPages(makeImage(), common, 2)).toEqual([
    { address: at(1), pageCount: 1 },
    { address: at(3), pageCount: 1 },
  ]);
  expect(findZeroPages(makeImage(), common, -3)).toEqual([]);
});
