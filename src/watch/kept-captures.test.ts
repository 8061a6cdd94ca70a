import { expect, it } from 'vitest';
import { findSurplus, type KeptCapture } from './kept-captures.ts';

const at = (seconds: number, pid = 1, bytes = 10): KeptCapture => ({
  file: `${pid}-${seconds}`,
  pid,
  atSeconds: seconds,
  bytes,
});
const limits = { count: 4, bytes: 1000 };

it('keeps what has room', () => {
  expect(findSurplus([at(0), at(1), at(2), at(3)], limits)).toBeUndefined();
});

it('gives up the one whose neighbours are closest, never the first or the newest', () => {
  const captures = [at(0), at(100), at(200), at(210), at(220)];
  expect(findSurplus(captures, limits)?.file).toBe('1-210');
});

it('gives up captures of processes that have ended first', () => {
  const captures = [at(0, 1), at(10, 1), at(20, 2), at(21, 2), at(22, 2)];
  expect(findSurplus(captures, limits)?.file).toBe('1-0');
});

it('holds the room on the disk, but keeps the newest whatever it takes', () => {
  expect(findSurplus([at(0, 1, 600), at(5, 1, 600)], limits)?.file).toBe('1-0');
  expect(findSurplus([at(5, 1, 6000)], limits)).toBeUndefined();
});
