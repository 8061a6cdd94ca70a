// Texts, bytes and floats beside what Python's repr prints for them (taken from Python 3.13).

import { expect, test } from 'vitest';
import { growableUint8 } from '../base/columns.ts';
import { appendReprOfBytes, appendReprOfText } from './preview-text.ts';

/** Bytes as they lie in an image. */
function halvesOf(bytes: Uint8Array): Uint32Array {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

function reprOfLatin1(text: string, length = text.length): string {
  const bytes = Buffer.from(text, 'latin1');
  const out = growableUint8();
  const inMemory = { halves: halvesOf(bytes), first: 0, kind: 1, count: bytes.length };
  appendReprOfText(out, inMemory, length);
  return Buffer.from(out.finish()).toString();
}

test.each([
  ['plain', "'plain'"],
  ['', "''"],
  ["it's", '"it\'s"'],
  ['say "hi"', `'say "hi"'`],
  ['both \' and "', `'both \\' and "'`],
  ['tab\tnew\nback\\slash\r', "'tab\\tnew\\nback\\\\slash\\r'"],
  ['\x00\x7f', "'\\x00\\x7f'"],
  ['\xa0\xad\xff', "'\\xa0\\xad\u00ff'"],
])('the text %j is shown as Python shows it', (text, repr) => {
  expect(reprOfLatin1(text)).toBe(repr);
});

test('a long text is cut and its length told', () => {
  expect(reprOfLatin1('aaaa', 12000)).toBe("'aaaa…' (12000 chars)");
});

test('wide characters are shown unless Python escapes them', () => {
  const units = Uint16Array.from([0x416, 0x2028, 0x4e2d, 0xd800]);
  const out = growableUint8();
  const halves = halvesOf(new Uint8Array(units.buffer));
  appendReprOfText(out, { halves, first: 0, kind: 2, count: units.length }, units.length);
  expect(Buffer.from(out.finish()).toString()).toBe("'Ж\\u2028中\\ud800'");
});

test('bytes are shown as Python shows them', () => {
  const halves = halvesOf(Uint8Array.from([1, 0, 255, 10, 39, 97]));
  const out = growableUint8();
  appendReprOfBytes(out, { halves, first: 0, start: 1, count: 5 }, 900, 'bytearray(b', ')');
  expect(Buffer.from(out.finish()).toString()).toBe(`bytearray(b"\\x00\\xff\\n'a…") (900 bytes)`);
});
