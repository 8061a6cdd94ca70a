// Appends the repr of text and bytes to a column: quotes chosen and characters escaped as Python does. Reads the target's
// memory as 32-bit halves, without making views: this runs once for each str of a heap.
// Source: Objects/unicodeobject.c (unicode_repr), Objects/bytesobject.c (PyBytes_Repr).

import type { Uint8Column } from '../base/columns.ts';

const SINGLE = 0x27;
const DOUBLE = 0x22;
const BACKSLASH = 0x5c;
const encoder = new TextEncoder();

/** Appends `text` as UTF-8. */
export function appendText(out: Uint8Column, text: string): void {
  // A UTF-16 unit is at most three bytes of UTF-8.
  out.reserve(text.length * 3);
  const target = out.array;
  let at = out.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) {
      out.length += encoder.encodeInto(text, target.subarray(out.length)).written;
      return;
    }
    target[at++] = unit;
  }
  out.length = at;
}

/** Characters in memory: the first of `count` begins at the half `first`, each has `kind` bytes (1, 2 or 4). */
export interface TextInMemory {
  halves: Uint32Array;
  first: number;
  kind: number;
  count: number;
}

/** Byte `index` from the half `first` on. */
const byteAt = (halves: Uint32Array, first: number, index: number): number =>
  (halves[first + (index >>> 2)] >>> ((index & 3) * 8)) & 0xff;

function characterAt({ halves, first, kind }: TextInMemory, index: number): number {
  if (kind === 1) return byteAt(halves, first, index);
  if (kind === 4) return halves[first + index];
  return (halves[first + (index >>> 1)] >>> ((index & 1) * 16)) & 0xffff;
}

/** Appends the repr of a str that has `length` characters; says so behind the quote where `text` is only its beginning. */
export function appendReprOfText(out: Uint8Column, text: TextInMemory, length: number): void {
  const { kind, halves, first, count } = text;
  if (kind !== 1) appendCharacters(out, text);
  else if (!appendPlain(out, halves, first, count)) {
    if (isAscii(halves, first, count)) appendEscaped(out, halves, first, 0, count);
    else appendCharacters(out, text);
  }
  if (length > text.count) appendCut(out, length, 'chars', '');
}

function appendCharacters(out: Uint8Column, text: TextInMemory): void {
  const characters: number[] = [];
  for (let i = 0; i < text.count; i++) characters.push(characterAt(text, i));
  const quote = characters.includes(SINGLE) && !characters.includes(DOUBLE) ? DOUBLE : SINGLE;
  let repr = String.fromCharCode(quote);
  for (const character of characters) repr += escapeCharacter(character, quote);
  appendText(out, repr + String.fromCharCode(quote));
}

function isAscii(halves: Uint32Array, first: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (byteAt(halves, first, i) >= 0x80) return false;
  return true;
}

/** Copies ASCII characters that need no escape, in quotes; false, with nothing appended, if one does. */
function appendPlain(out: Uint8Column, halves: Uint32Array, first: number, count: number): boolean {
  out.reserve(count + 2);
  const target = out.array;
  let at = out.length;
  target[at++] = SINGLE;
  let half = 0;
  for (let i = 0; i < count; i++) {
    half = (i & 3) === 0 ? halves[first + (i >>> 2)] : half >>> 8;
    const character = half & 0xff;
    if (character < 0x20 || character > 0x7e || character === SINGLE || character === BACKSLASH) {
      return false;
    }
    target[at++] = character;
  }
  target[at++] = SINGLE;
  out.length = at;
  return true;
}

/** Turns the quote just written into `…'` and adds how long the whole is. */
function appendCut(out: Uint8Column, length: number, unit: string, closing: string): void {
  const quote = String.fromCharCode(out.array[out.length - 1]);
  out.length--;
  appendText(out, `…${quote}${closing} (${length} ${unit})`);
}

/** Unicode's "other" and "separator" categories, which str.isprintable() excludes; the space is printable. */
const NOT_PRINTABLE = /[\p{C}\p{Z}]/u;

function escapeCharacter(character: number, quote: number): string {
  if (character === quote || character === BACKSLASH) return `\\${String.fromCharCode(character)}`;
  if (character === 0x0a) return '\\n';
  if (character === 0x0d) return '\\r';
  if (character === 0x09) return '\\t';
  if (character >= 0x20 && character < 0x7f) return String.fromCharCode(character);
  if (character > 0x10ffff) return '\\U........';
  const text = String.fromCodePoint(character);
  if (character > 0xa0 && !NOT_PRINTABLE.test(text)) return text;
  const hex = character.toString(16);
  if (character <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return character <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

/** Bytes in memory: `count` of them, from byte `start` behind the half `first` on. */
export interface BytesInMemory {
  halves: Uint32Array;
  first: number;
  start: number;
  count: number;
}

/** Appends `opening`, the quoted bytes and `closing`; `length` is that of the whole object. */
export function appendReprOfBytes(
  out: Uint8Column,
  { halves, first, start, count }: BytesInMemory,
  length: number,
  opening: string,
  closing: string,
): void {
  appendText(out, opening);
  appendEscaped(out, halves, first, start, count);
  if (length > count) appendCut(out, length, 'bytes', closing);
  else appendText(out, closing);
}

/** Appends bytes in quotes, those that are no printable ASCII as escapes: without strings, since heaps are full of them. */
function appendEscaped(
  out: Uint8Column,
  halves: Uint32Array,
  first: number,
  start: number,
  count: number,
): void {
  let hasSingle = false;
  let hasDouble = false;
  for (let i = 0; i < count; i++) {
    const byte = byteAt(halves, first, start + i);
    if (byte === SINGLE) hasSingle = true;
    else if (byte === DOUBLE) hasDouble = true;
  }
  const quote = hasSingle && !hasDouble ? DOUBLE : SINGLE;
  out.reserve(count * 4 + 2);
  const target = out.array;
  let at = out.length;
  target[at++] = quote;
  for (let i = 0; i < count; i++) {
    at = writeEscaped(target, at, byteAt(halves, first, start + i), quote);
  }
  target[at++] = quote;
  out.length = at;
}

/** Returns where the next one goes. */
function writeEscaped(target: Uint8Array, at: number, byte: number, quote: number): number {
  if (byte >= 0x20 && byte < 0x7f && byte !== quote && byte !== BACKSLASH) {
    target[at] = byte;
    return at + 1;
  }
  target[at] = BACKSLASH;
  const letter = byte === quote || byte === BACKSLASH ? byte : ESCAPE_LETTERS[byte];
  if (letter !== undefined) {
    target[at + 1] = letter;
    return at + 2;
  }
  target[at + 1] = 0x78;
  target[at + 2] = HEX_DIGITS[byte >>> 4];
  target[at + 3] = HEX_DIGITS[byte & 15];
  return at + 4;
}

/** \t, \n, \r */
const ESCAPE_LETTERS: Readonly<Record<number, number>> = { 9: 0x74, 10: 0x6e, 13: 0x72 };
const HEX_DIGITS = encoder.encode('0123456789abcdef');
