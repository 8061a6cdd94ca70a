import { describe, expect, test } from 'vitest';
import { HeaptrackDecoder } from './heaptrack-data.ts';
import type { LossRecord } from './loss-record.ts';

const lines = (version: number, ...rest: string[]): string =>
  [`v 10400 ${version}`, 'X python3 a.py', 'I 1000 5e2990', ...rest, ''].join('\n');

/** One stack main -> make, make inlined into run; 3 blocks of 24 B and one of 0x64, of which some are freed. */
const DATA = [
  's b /app/ext.so',
  's 4 make',
  's 5 run x',
  's b /src/a b.cc',
  's 4 main',
  'i 10 1 2 4 c 3 4 14',
  'i 20 1 5',
  't 2 0',
  't 1 1',
  'a 18 2',
  'a 64 2',
  '+ 0',
  '+ 0',
  '+ 1',
  '+ 0',
  'c a',
  '- 0',
  '- 1',
];

function decode(text: string, chunkSize = text.length): LossRecord[] {
  const decoder = new HeaptrackDecoder();
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += chunkSize) decoder.write(bytes.subarray(i, i + chunkSize));
  const records: LossRecord[] = [];
  decoder.finish((record) => records.push(record));
  return records;
}

describe("what heaptrack's interpreter prints", () => {
  test.each([1, 5, 1000])('is decoded in chunks of %i', (chunkSize) => {
    const [record, ...others] = decode(lines(3, ...DATA), chunkSize);

    expect(others).toEqual([]);
    expect(record).toMatchObject({ kind: 'not-freed', blocks: 2, bytes: 48 });
    expect(
      record.frames.map((frame) => [frame.function, frame.directory, frame.file, frame.line]),
    ).toEqual([
      ['make', '/src', 'a b.cc', 12],
      ['run x', '/src', 'a b.cc', 20],
      ['main', undefined, undefined, undefined],
    ]);
    expect(record.frames[0].object).toBe('/app/ext.so');
  });

  test('has strings without lengths in older versions', () => {
    const older = DATA.map((line) => line.replace(/^s [0-9a-f]+ /, 's '));
    expect(decode(lines(2, ...older))).toEqual(decode(lines(3, ...DATA)));
  });

  test('tells how many blocks lived after each quarter', () => {
    const growing = [...DATA.slice(0, 11)];
    for (let ms = 0; ms <= 1000; ms += 50) growing.push('+ 0', `c ${ms.toString(16)}`);
    const [record] = decode(lines(3, ...growing));
    expect(record.history).toEqual([6, 11, 16, 21]);
  });

  test('of a version that is not known is refused', () => {
    expect(() => decode(lines(9))).toThrow('file version 9');
  });

  test('that is damaged never throws', () => {
    const text = lines(3, ...DATA);
    for (let at = 12; at < text.length; at++) {
      expect(() => decode(text.slice(0, at))).not.toThrow();
      expect(() =>
        decode(`${text.slice(0, at)}\n+ ffff\nt 99 99\ni\na\n${text.slice(at)}`),
      ).not.toThrow();
    }
  });
});
