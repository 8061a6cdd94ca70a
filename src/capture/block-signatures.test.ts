import { expect, test } from 'vitest';
import { buildMemoryImage } from '../memory/memory-image.ts';
import { makeSignatureFinder } from './block-signatures.ts';

const BASE = 0x7f0000000000;
const BYTES_TYPE = 0x7f1000000000;
const LIST_HEAD = 0x7f2000000040;
const VTABLE = 0x7f3000000000;

/** What a block of `sizeBytes` that begins with these words seems to hold. */
function nameBlock(sizeBytes: number, words: readonly number[]): string {
  const page = Buffer.alloc(4096);
  for (const [i, word] of words.entries()) page.writeBigUInt64LE(BigInt(word), i * 8);
  const image = buildMemoryImage([{ address: BASE, bytes: page }]);
  const findSignature = makeSignatureFinder({
    image,
    nameAddress: (address) => {
      if (address === VTABLE) return { symbol: 'vtable for Box', library: '/lib/libbox.so' };
      return address === BASE ? undefined : { symbol: 'other', library: '/lib/libc.so.6' };
    },
    findTypeName: (lo, hi) => (hi * 2 ** 32 + lo === BYTES_TYPE ? 'bytes' : undefined),
    lists: [{ start: LIST_HEAD - 64, end: LIST_HEAD + 64 }],
  });
  return findSignature(image.wordAtAddress(BASE), sizeBytes).text;
}

test('a block is named by what its first word leads to', () => {
  expect(nameBlock(48, [VTABLE, 1, 2])).toBe('vtable for Box (libbox.so)');
});

test('a Python object that fills its block is told', () => {
  expect(nameBlock(544, [1, BYTES_TYPE, 500])).toBe('header of a Python bytes');
});

test('what is left of an object that was freed, or was longer or shorter, names nothing', () => {
  expect(nameBlock(544, [0, BYTES_TYPE, 500])).toBe('data');
  expect(nameBlock(544, [1, BYTES_TYPE, 8000])).toBe('data');
  expect(nameBlock(2000, [1, BYTES_TYPE, 20])).toBe('data');
  expect(nameBlock(16, [1, BYTES_TYPE])).toBe('data');
});

test('links of malloc’s lists of free chunks name nothing', () => {
  expect(nameBlock(320, [LIST_HEAD, LIST_HEAD])).toBe('data');
  expect(nameBlock(320, [])).toBe('zeros');
});
