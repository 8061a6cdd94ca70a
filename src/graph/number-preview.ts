// How previews of numbers are kept: a mark that no UTF-8 text begins with, and the number's bytes. They become text when
// somebody reads them: making digits of every number of a heap took longer than reading it.
//
// Formats a float as Python's repr does: the shortest digits that read back as the same number, with an exponent below
// 1e-4 and from 1e16 on. Source: Python/pystrtod.c (format_float_short with 'r'), Objects/complexobject.c.

import type { Uint8Column } from '../base/columns.ts';

/** The eight bytes of a double follow. */
const FLOAT_MARK = 0xff;
/** The four bytes of an absolute value follow. */
const POSITIVE_MARK = 0xfe;
const NEGATIVE_MARK = 0xfd;

/** Appends the preview of the float whose eight bytes are these two halves. */
export function appendFloat(out: Uint8Column, lo: number, hi: number): void {
  out.reserve(9);
  const bytes = out.array;
  const at = out.length;
  bytes[at] = FLOAT_MARK;
  writeHalf(bytes, at + 1, lo);
  writeHalf(bytes, at + 5, hi);
  out.length = at + 9;
}

/** Appends the preview of an int whose absolute value is below 2^32. */
export function appendInteger(out: Uint8Column, size: number, isNegative: boolean): void {
  out.reserve(5);
  const at = out.length;
  out.array[at] = isNegative ? NEGATIVE_MARK : POSITIVE_MARK;
  writeHalf(out.array, at + 1, size);
  out.length = at + 5;
}

function writeHalf(bytes: Uint8Array, at: number, half: number): void {
  bytes[at] = half;
  bytes[at + 1] = half >>> 8;
  bytes[at + 2] = half >>> 16;
  bytes[at + 3] = half >>> 24;
}

/** The text of a number's preview; undefined if the bytes are no number. */
export function findNumberText(preview: Uint8Array): string | undefined {
  const view = new DataView(preview.buffer, preview.byteOffset, preview.byteLength);
  const [mark] = preview;
  if (mark === FLOAT_MARK && preview.length === 9) {
    return formatFloatRepr(view.getFloat64(1, true), true);
  }
  if ((mark === POSITIVE_MARK || mark === NEGATIVE_MARK) && preview.length === 5) {
    return `${mark === NEGATIVE_MARK ? '-' : ''}${view.getUint32(1, true)}`;
  }
  return undefined;
}

/** `1.0`, `1e+16`, `inf`; without `.0` where `addDotZero` is false (parts of a complex number). */
export function formatFloatRepr(value: number, addDotZero: boolean): string {
  const size = Math.abs(value);
  // In this range JavaScript writes a float as Python does, but for `.0`: nearly all floats of a heap take this way.
  if (size >= 1e-4 && size < 1e16) {
    return addDotZero && Number.isInteger(value) ? `${value}.0` : `${value}`;
  }
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  // JavaScript's shortest digits are the same; its exponent begins elsewhere and has no leading zero.
  const [mantissa, exponentText] = Math.abs(value).toExponential().split('e');
  const exponent = Number(exponentText);
  const digits = mantissa.replace('.', '');
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  if (fraction !== '') return `${sign}${whole}.${fraction}`;
  return sign + whole + (addDotZero ? '.0' : '');
}
