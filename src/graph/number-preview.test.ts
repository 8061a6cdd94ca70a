// Previews of numbers: what is written is what Python's repr shows.

import { expect, test } from 'vitest';
import { growableUint8 } from '../base/columns.ts';
import { appendFloat, appendInteger, findNumberText } from './number-preview.ts';

test.each([
  [1, '1.0'],
  [0.1, '0.1'],
  [1e16, '1e+16'],
  [123456789012345680, '1.2345678901234568e+17'],
  [9007199254740992, '9007199254740992.0'],
  [1e-5, '1e-05'],
  [0.0001, '0.0001'],
  [-0, '-0.0'],
  [5e-324, '5e-324'],
  [1e22, '1e+22'],
  [Number.POSITIVE_INFINITY, 'inf'],
  [Number.NaN, 'nan'],
])('the float %d is shown as %s', (value, repr) => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  const out = growableUint8(0);
  appendFloat(out, bytes.readUInt32LE(0), bytes.readUInt32LE(4));
  expect(findNumberText(out.finish())).toBe(repr);
});

test.each([
  [0, false, '0'],
  [1, true, '-1'],
  [2 ** 30 - 1, false, '1073741823'],
  [2 ** 32 - 1, true, '-4294967295'],
])('the int of the digit %d is shown', (size, isNegative, repr) => {
  const out = growableUint8(0);
  appendInteger(out, size, isNegative);
  expect(findNumberText(out.finish())).toBe(repr);
});

test('text is no number', () => {
  expect(findNumberText(Buffer.from("'12'"))).toBeUndefined();
  expect(findNumberText(new Uint8Array([0xff, 1]))).toBeUndefined();
  expect(findNumberText(new Uint8Array(0))).toBeUndefined();
});
