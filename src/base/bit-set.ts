// A set of row numbers as bits of a Uint32Array: 1 bit a row where a JS Set needs 40 bytes and ends at 16.7 million.

import { makeStorage } from './columns.ts';

export type BitSet = Uint32Array;

export const makeBitSet = (rowCount: number, isShared = false): BitSet =>
  new Uint32Array(makeStorage(((rowCount + 31) >>> 5) * 4, isShared));

export const hasBit = (bits: BitSet, row: number): boolean =>
  ((bits[row >>> 5] >>> (row & 31)) & 1) === 1;

export function setBit(bits: BitSet, row: number): void {
  bits[row >>> 5] |= 1 << (row & 31);
}

export function countBits32(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return (((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
