import { expect, test } from 'vitest';
import { compileGlob } from './fnmatch.ts';

const fits = (pattern: string, text: string): boolean => compileGlob(pattern)(text);

test('stars and question marks stand for what fnmatch lets them', () => {
  expect(fits('*/app/*.py', '/srv/app/web/views.py')).toBe(true);
  expect(fits('*/app/*.py', '/srv/app/web/views.pyc')).toBe(false);
  expect(fits('?.py', 'a.py')).toBe(true);
  expect(fits('?.py', 'ab.py')).toBe(false);
  expect(fits('*', '')).toBe(true);
  expect(fits('*', 'a\nb')).toBe(true);
  expect(fits('', 'a')).toBe(false);
});

test('sets have ranges and may be inverse', () => {
  expect(fits('v[0-9].py', 'v7.py')).toBe(true);
  expect(fits('v[!0-9].py', 'v7.py')).toBe(false);
  expect(fits('v[!0-9].py', 'vx.py')).toBe(true);
  expect(fits('[]]', ']')).toBe(true);
  expect(fits('[!]]', ']')).toBe(false);
  expect(fits('[a^-]', '^')).toBe(true);
  expect(fits('[a^-]', '-')).toBe(true);
  expect(fits('[b-a]', 'a')).toBe(false);
  expect(fits('a[b', 'a[b')).toBe(true);
});

test('everything else is itself', () => {
  const text = '<frozen importlib._bootstrap>(+|$^{}\\/)';
  expect(fits(text, text)).toBe(true);
  expect(fits('a.py', 'axpy')).toBe(false);
});

test('many stars take no longer than a few', () => {
  const begin = performance.now();
  expect(fits(`${'*'.repeat(5000)}b`, 'a'.repeat(5000))).toBe(false);
  expect(performance.now() - begin).toBeLessThan(2000);
});
