// Appends the repr of text and bytes to a column: quotes chosen and characters escaped as Python does.
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
  out.length += encoder.encodeInto(text, out.array.subarray(out.length)).written;
}

/**
 * Appends the repr of a str whose first `count` characters, of `kind` bytes each, lie at byte `start` of `buffer`. Says so
 * behind the quote when the str is longer (`length` characters).
 */
export function appendReprOfText(
  out: Uint8Column,
  buffer: ArrayBufferLike,
  start: number,
  count: number,
  kind: number,
  length: number,
): void {
  if (kind === 1 && appendPlain(out, buffer, start, count)) {
    if (length > count) appendCut(out, length, 'chars', '');
    return;
  }
  const view = new DataView(buffer, start, count * kind);
  const characters: number[] = [];
  for (let i = 0; i < count; i++) {
    if (kind === 1) characters.push(view.getUint8(i));
    else characters.push(kind === 2 ? view.getUint16(i * 2, true) : view.getUint32(i * 4, true));
  }
  const quote = characters.includes(SINGLE) && !characters.includes(DOUBLE) ? DOUBLE : SINGLE;
  let text = String.fromCharCode(quote);
  for (const character of characters) text += escapeCharacter(character, quote);
  appendText(out, text + String.fromCharCode(quote));
  if (length > count) appendCut(out, length, 'chars', '');
}

/** Copies ASCII characters that need no escape, in quotes; false, with nothing appended, if one does. */
function appendPlain(
  out: Uint8Column,
  buffer: ArrayBufferLike,
  start: number,
  count: number,
): boolean {
  const source = new Uint8Array(buffer, start, count);
  out.reserve(count + 2);
  const target = out.array;
  let at = out.length;
  target[at++] = SINGLE;
  for (let i = 0; i < count; i++) {
    const character = source[i];
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

/** Appends `opening`, the quoted bytes and `closing`; `length` is that of the whole object. */
export function appendReprOfBytes(
  out: Uint8Column,
  buffer: ArrayBufferLike,
  start: number,
  count: number,
  length: number,
  opening: string,
  closing: string,
): void {
  const bytes = new Uint8Array(buffer, start, count);
  const quote = bytes.includes(SINGLE) && !bytes.includes(DOUBLE) ? DOUBLE : SINGLE;
  let text = opening + String.fromCharCode(quote);
  for (const byte of bytes) text += byte < 0x7f ? escapeCharacter(byte, quote) : escapeByte(byte);
  appendText(out, text + String.fromCharCode(quote));
  if (length > count) appendCut(out, length, 'bytes', closing);
  else appendText(out, closing);
}

const escapeByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;
