// What a view is to the database: columns with types, and for each capture how many rows there are and a function that gives
// the cells of a column by row. From these functions to the vectors of DuckDB's chunks.
//
// Columns are made when a query names them, and read in chunks. Text that repeats is written as codes of an enumeration,
// which is ten times as fast; views show it as text.

import bindings, { type Vector } from '@duckdb/node-bindings';
import type { SqlCapture } from './sql-capture.ts';

export type ColumnType = 'address' | 'whole' | 'real' | 'flag' | 'time' | 'text' | 'choice';

/** undefined: NULL. Texts may be bytes of UTF-8; choices are rows of `choices`; times are milliseconds since 1970. */
export type Cell = number | boolean | string | Uint8Array | undefined;
export type ReadCell = (row: number) => Cell;

export interface ViewColumn {
  name: string;
  type: ColumnType;
  /** In a few words, with its unit. */
  about: string;
  /** May take long: it is called when a query needs the column. */
  open(capture: SqlCapture): ReadCell;
  /** Of type 'choice'. */
  choices?(capture: SqlCapture): readonly string[];
}

export interface View {
  name: string;
  about: string;
  columns: readonly ViewColumn[];
  countRows(capture: SqlCapture): number;
}

/** The first column of every view. */
export const CAPTURE_COLUMN: ViewColumn = {
  name: 'capture',
  type: 'whole',
  about: 'which capture, from 1 in the order of the command line',
  open: ({ number }) => {
    return () => number;
  },
};

/** Bytes of a string that lie in the vector itself; longer ones are allocated by DuckDB. */
const INLINE_BYTES = 12;
const STRING_BYTES = 16;
const MICROS = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Writes the cells of rows [start, start + count); `codeBytes`: of a choice. */
export function writeVector(
  vector: Vector,
  type: ColumnType,
  read: ReadCell,
  start: number,
  count: number,
  codeBytes: number,
): void {
  const valid = new Uint8Array(Math.ceil(count / 64) * 8).fill(0xff);
  const nullCount =
    type === 'text'
      ? writeTexts(vector, read, start, count, valid)
      : writeNumbers(vector, read, start, makeCells(type, count, codeBytes), valid);
  if (nullCount === 0) return;
  bindings.vector_ensure_validity_writable(vector);
  bindings.copy_data_to_vector_validity(vector, 0, valid.buffer, 0, valid.length);
}

interface Cells {
  count: number;
  bytes: ArrayBuffer;
  set(row: number, cell: number): void;
}

function makeCells(type: ColumnType, count: number, codeBytes: number): Cells {
  const plain = (cells: Uint8Array | Uint16Array | Uint32Array | Float64Array): Cells => ({
    count,
    bytes: cells.buffer as ArrayBuffer,
    set: (row, cell) => {
      cells[row] = cell;
    },
  });
  if (type === 'real') return plain(new Float64Array(count));
  if (type === 'flag' || (type === 'choice' && codeBytes === 1))
    return plain(new Uint8Array(count));
  if (type === 'choice')
    return plain(codeBytes === 2 ? new Uint16Array(count) : new Uint32Array(count));
  const halves = new Uint32Array(count * 2);
  const scale = type === 'time' ? MICROS : 1;
  return {
    count,
    bytes: halves.buffer,
    set: (row, cell) => {
      const value = cell * scale;
      // Of a negative number: two's complement, since typed arrays take numbers modulo 2^32.
      halves[2 * row] = value;
      halves[2 * row + 1] = Math.floor(value / 2 ** 32);
    },
  };
}

/** Returns how many are NULL, and unmarks these in `valid`. */
function writeNumbers(
  vector: Vector,
  read: ReadCell,
  start: number,
  { count, bytes, set }: Cells,
  valid: Uint8Array,
): number {
  let nullCount = 0;
  for (let i = 0; i < count; i++) {
    const cell = read(start + i);
    if (cell === undefined) {
      valid[i >>> 3] &= ~(1 << (i & 7));
      nullCount++;
    } else set(i, cell as number);
  }
  bindings.copy_data_to_vector(vector, 0, bytes, 0, bytes.byteLength);
  return nullCount;
}

function writeTexts(
  vector: Vector,
  read: ReadCell,
  start: number,
  count: number,
  valid: Uint8Array,
): number {
  const inline = new Uint8Array(count * STRING_BYTES);
  const lengths = new DataView(inline.buffer);
  const long: [row: number, bytes: Uint8Array][] = [];
  let nullCount = 0;
  for (let i = 0; i < count; i++) {
    const cell = read(start + i);
    if (cell === undefined) {
      valid[i >>> 3] &= ~(1 << (i & 7));
      nullCount++;
      continue;
    }
    const bytes = cell instanceof Uint8Array ? wellFormed(cell) : encoder.encode(cell as string);
    if (bytes.length > INLINE_BYTES) long.push([i, bytes]);
    else {
      lengths.setUint32(i * STRING_BYTES, bytes.length, true);
      inline.set(bytes, i * STRING_BYTES + 4);
    }
  }
  bindings.copy_data_to_vector(vector, 0, inline.buffer, 0, inline.length);
  for (const [row, bytes] of long) bindings.vector_assign_string_element_len(vector, row, bytes);
  return nullCount;
}

/** DuckDB takes text to be UTF-8 without a look at it. */
function wellFormed(bytes: Uint8Array): Uint8Array {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] >= 0x80) return encoder.encode(decoder.decode(bytes));
  }
  return bytes;
}
