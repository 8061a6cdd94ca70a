// Cells of a column <-> the bytes of one block of a snapshot file, before compression. Numbers are made small (differences of
// what ascends, a common power of two taken out), then written as planes: the lowest byte of every cell, the second byte of
// every cell, and so on. Planes of zeros are left out; the others compress to a third of what whole cells do.
//
// Form and unit hold for a section, the planes for a block. What is no whole number below 2^53 is written as it is ('bytes').

import type { Column, Form } from './snapshot-columns.ts';

/** Cells of a block; the last one of a section has fewer. */
export const BLOCK_CELLS = 1 << 20;
const MAX_UNIT = 4096;

export interface SectionForm {
  form: Form;
  /** Divides every cell. */
  unit: number;
}

/** One block, to be compressed. */
export interface PlainBlock {
  /** Bit i: plane i is there. The first always is, so that a block of many cells has many bytes. */
  planes: number;
  bytes: Uint8Array;
}

/** The form in which `column` can be written, if not the one that is wanted then as it is. */
export function chooseForm(column: Column, wanted: Form): SectionForm {
  if (wanted === 'bytes' || column instanceof Uint8Array) return { form: 'bytes', unit: 1 };
  if (column instanceof Uint32Array) return { form: wanted, unit: 1 };
  let bits = MAX_UNIT;
  let before = 0;
  for (let i = 0; i < column.length; i++) {
    const cell = column[i];
    const isFit = cell >= (wanted === 'differences' ? before : 0) && Number.isSafeInteger(cell);
    if (!isFit || Object.is(cell, -0)) return { form: 'bytes', unit: 1 };
    // Of the low 32 bits: the unit is no larger.
    bits |= cell;
    before = cell;
  }
  return { form: wanted, unit: bits & -bits };
}

export const bytesOf = (column: Column): Uint8Array =>
  new Uint8Array(column.buffer, column.byteOffset, column.byteLength);

/** Bytes of each plane of a block, by its planes. */
export function countPlanes(planes: number): number {
  let count = 0;
  for (let rest = planes; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The cells [start, end) of `column`, at most BLOCK_CELLS of them. */
export function encodeBlock(
  column: Column,
  start: number,
  end: number,
  { form, unit }: SectionForm,
): PlainBlock {
  if (form === 'bytes') return { planes: 1, bytes: bytesOf(column.subarray(start, end)) };
  const low = new Uint32Array(end - start);
  const high = column instanceof Float64Array ? new Uint32Array(end - start) : undefined;
  if (high === undefined) narrowCells(column as Uint32Array, start, form, low);
  else splitCells(column as Float64Array, start, form, unit, low, high);
  const [lowBits, highBits] = [low, high ?? []].map((cells) => {
    let bits = 0;
    for (let i = 0; i < cells.length; i++) bits |= cells[i];
    return bits >>> 0;
  });
  let planes = 1;
  for (let plane = 1; plane < 8; plane++) {
    const bits = plane < 4 ? lowBits : highBits;
    if (((bits >>> ((plane & 3) * 8)) & 0xff) !== 0) planes |= 1 << plane;
  }
  const count = low.length;
  const bytes = new Uint8Array(count * countPlanes(planes));
  let at = 0;
  for (let plane = 0; plane < 8; plane++) {
    if ((planes & (1 << plane)) === 0) continue;
    const cells = plane < 4 ? low : (high as Uint32Array);
    const shift = (plane & 3) * 8;
    for (let i = 0; i < count; i++) bytes[at + i] = cells[i] >>> shift;
    at += count;
  }
  return { planes, bytes };
}

function narrowCells(column: Uint32Array, start: number, form: Form, low: Uint32Array): void {
  const count = low.length;
  if (form === 'differences') {
    let before = 0;
    for (let i = 0; i < count; i++) {
      const cell = column[start + i];
      low[i] = cell - before;
      before = cell;
    }
  } else {
    // The typed array takes them modulo 2^32: NONE becomes 0.
    const addend = form === 'successors' ? 1 : 0;
    for (let i = 0; i < count; i++) low[i] = column[start + i] + addend;
  }
}

function splitCells(
  column: Float64Array,
  start: number,
  form: Form,
  unit: number,
  low: Uint32Array,
  high: Uint32Array,
): void {
  let before = 0;
  for (let i = 0; i < low.length; i++) {
    const cell = column[start + i];
    const value = (cell - before) / unit;
    low[i] = value;
    high[i] = value / 2 ** 32;
    if (form === 'differences') before = cell;
  }
}

/** Fills the cells [start, end) of `into` from the bytes of a block, whose length must fit. */
export function decodeBlock(
  { planes, bytes }: PlainBlock,
  { form, unit }: SectionForm,
  into: Uint32Array | Float64Array,
  start: number,
  end: number,
): void {
  const count = end - start;
  const isWide = into instanceof Float64Array;
  const low = isWide ? new Uint32Array(count) : into.subarray(start, end);
  const high = isWide && planes > 0xf ? new Uint32Array(count) : undefined;
  const lowPlanes = planes & 0xf;
  mergePlanes(bytes, 0, lowPlanes, low);
  if (high !== undefined) mergePlanes(bytes, count * countPlanes(lowPlanes), planes >>> 4, high);
  if (isWide) joinCells(low, high, form, unit, into, start);
  else widenCells(low, form);
}

/** Puts the planes of one 32-bit half together; all usual ones in one pass, which is more than twice as fast. */
function mergePlanes(bytes: Uint8Array, at: number, planes: number, cells: Uint32Array): void {
  const count = cells.length;
  const [second, third] = [at + count, at + 2 * count];
  if (planes === 1) for (let i = 0; i < count; i++) cells[i] = bytes[at + i];
  else if (planes === 3) {
    for (let i = 0; i < count; i++) cells[i] = bytes[at + i] | (bytes[second + i] << 8);
  } else if (planes === 7) {
    for (let i = 0; i < count; i++) {
      cells[i] = bytes[at + i] | (bytes[second + i] << 8) | (bytes[third + i] << 16);
    }
  } else {
    let from = at;
    for (let plane = 0; plane < 4; plane++) {
      if ((planes & (1 << plane)) === 0) continue;
      for (let i = 0; i < count; i++) cells[i] |= bytes[from + i] << (plane * 8);
      from += count;
    }
  }
}

function widenCells(cells: Uint32Array, form: Form): void {
  const count = cells.length;
  if (form === 'differences') for (let i = 1; i < count; i++) cells[i] += cells[i - 1];
  else if (form === 'successors') for (let i = 0; i < count; i++) cells[i]--;
}

function joinCells(
  low: Uint32Array,
  high: Uint32Array | undefined,
  form: Form,
  unit: number,
  into: Float64Array,
  start: number,
): void {
  let before = 0;
  for (let i = 0; i < low.length; i++) {
    const value = (high === undefined ? low[i] : high[i] * 2 ** 32 + low[i]) * unit;
    into[start + i] = before + value;
    if (form === 'differences') before += value;
  }
}
