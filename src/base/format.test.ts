import { describe, expect, test } from 'vitest';
import {
  cutEnd,
  cutMiddle,
  formatBytes,
  formatBytesPerHour,
  formatCount,
  formatCountRate,
  formatDuration,
  formatShare,
  formatSignedBytes,
  formatSignedCount,
  sanitizeText,
} from './format.ts';

describe('counts', () => {
  test.each([
    [0, '0'],
    [999, '999'],
    [1000, '1 000'],
    [41204, '41 204'],
    [1234567, '1 234 567'],
    [-2400, '-2 400'],
    [-0.2, '0'],
  ])('%d is written %s', (count, text) => expect(formatCount(count)).toBe(text));

  test('a sign is written for growth, not for zero', () => {
    expect(formatSignedCount(2400)).toBe('+2 400');
    expect(formatSignedCount(-3)).toBe('-3');
    expect(formatSignedCount(0)).toBe('0');
  });

  test.each([
    [160, '+160/s'],
    [2.25, '+2.3/s'],
    [0.2, '+12/min'],
    [1 / 1200, '+3/h'],
    [1 / 100000, '+1/h'],
    [-20, '-20/s'],
    [0, '0/s'],
  ])('%d a second is written %s', (rate, text) => expect(formatCountRate(rate)).toBe(text));
});

describe('sizes', () => {
  test.each([
    [0, '0 B'],
    [512, '512 B'],
    [7500, '7.5 kB'],
    [18_100_000, '18.1 MB'],
    [412_000_000, '412 MB'],
    [999_600, '1.0 MB'],
    [4.5e9, '4.5 GB'],
    [-1_500, '-1.5 kB'],
  ])('%d bytes are written %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test('the terms of a sum are written in the unit of the sum', () => {
    expect(formatSignedBytes(-100_000, 19_000_000)).toBe('-0.1 MB');
    expect(formatSignedBytes(17_900_000, 19_000_000)).toBe('+17.9 MB');
    expect(formatSignedBytes(-1, 19_000_000)).toBe('0.0 MB');
  });

  test('a rate carries its sign and unit', () => {
    expect(formatBytesPerHour(4.5e9)).toBe('+4.5 GB/h');
  });
});

describe('durations and shares', () => {
  test.each([
    [0.45, '450 ms'],
    [1.5, '1.5 s'],
    [15, '15 s'],
    [90, '90 s'],
    [720, '12 min'],
    [11520, '3 h 12 min'],
    [187200, '2 d 4 h'],
  ])('%d seconds are written %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  test.each([
    [1, '100 %'],
    [0.95, '95 %'],
    [0.9999, '99.99 %'],
    [0.99999, '99.999 %'],
    [0.9999999, '99.999 %'],
    [0.997, '99.7 %'],
    [0.003, '0.3 %'],
    [0, '0 %'],
  ])('a share of %d is written %s', (share, text) => expect(formatShare(share)).toBe(text));
});

describe('foreign text', () => {
  test('control characters and direction overrides become escapes', () => {
    expect(sanitizeText('a\u001b[31mb\nc\u202ed')).toBe('a\\x1b[31mb\\x0ac\\u202ed');
  });

  test('a lone surrogate is replaced, a pair is kept', () => {
    expect(sanitizeText('x\ud83d')).toBe('x\ufffd');
    expect(sanitizeText('x😀')).toBe('x😀');
  });

  test('a cut is shown and never leaves half a character', () => {
    expect(cutEnd('abcdef', 4)).toBe('abc…');
    expect(cutEnd('ab😀def', 4)).toBe('ab…');
    expect(cutMiddle('python -m app.main --port 80', 11)).toBe('pytho…rt 80');
  });
});
