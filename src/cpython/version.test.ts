import { expect, test } from 'vitest';
import { UnsupportedError } from '../base/errors.ts';
import { featuresOf, findVersionOfHex, findVersionOfText, supportedMinors } from './version.ts';

test('a version is the same from its hex and from its text', () => {
  for (const [hex, text] of [
    [0x03080df0, '3.8.13'],
    [0x030b07f0, '3.11.7'],
    [0x030e00c2, '3.14.0rc2'],
    [0x030f00a1, '3.15.0a1'],
    [0x030d12f0, '3.13.18'],
  ] as const) {
    expect(findVersionOfHex(hex)?.text).toBe(text);
    expect(findVersionOfText(text)).toEqual(findVersionOfHex(hex));
  }
});

test('what sys.version and file names begin with is a version', () => {
  expect(findVersionOfText('3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]')?.hex).toBe(
    0x030b02f0,
  );
  expect(findVersionOfText('3.9')?.text).toBe('3.9.0');
  expect(findVersionOfText('python')).toBeUndefined();
});

test('numbers that are no version are told apart', () => {
  for (const hex of [0, 0xffffffff, 0x030b0700, 0x090b07f0, 2 ** 40, -1, 1.5]) {
    expect(findVersionOfHex(hex)).toBeUndefined();
  }
});

test('each supported version has its algorithms', () => {
  const of = (text: string) => featuresOf(findVersionOfText(text)!);
  expect(supportedMinors()).toHaveLength(8);
  expect(of('3.8.18')).toMatchObject({ gcInRuntime: true, poolBytes: 4096, frames: 'objects' });
  expect(of('3.10.13')).toMatchObject({
    poolBytes: 16384,
    lineTable: 'since310',
    immortal: 'none',
  });
  expect(of('3.12.1')).toMatchObject({ obmalloc: 'inline', frames: 'cframe', immortal: 'low32' });
  expect(of('3.13.0')).toMatchObject({ obmalloc: 'pointer', hasDebugOffsets: true });
  expect(of('3.14.4')).toMatchObject({ incrementalGc: true, hasTaggedStackRefs: true });
  expect(of('3.14.5')).toMatchObject({ incrementalGc: false, immortal: 'since314' });
  expect(of('3.15.0rc1').minorText).toBe('3.15');
});

test('a version that nobody taught to it is refused, never taken for the nearest', () => {
  for (const text of ['2.7.18', '3.7.16', '3.16.0', '4.0.0', '3.15.0a4', '3.14.0b1']) {
    expect(() => featuresOf(findVersionOfText(text)!), text).toThrow(UnsupportedError);
  }
});
