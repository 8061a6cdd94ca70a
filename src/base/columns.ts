// Typed-array columns that grow by doubling, for rows whose number is not known in advance. Hot loops take `array`
// into a local and call `reserve` before they write beyond `length`. Shared ones lie in memory that other threads may see.

type NumberArray = Uint8Array | Uint32Array;

class GrowableColumn<A extends NumberArray> {
  /** The storage; only the first `length` cells are valid. Replaced when it grows. */
  array: A;
  length = 0;
  private readonly allocate: (length: number) => A;

  constructor(allocate: (length: number) => A, capacity: number) {
    this.allocate = allocate;
    this.array = allocate(capacity);
  }

  push(value: number): void {
    if (this.length === this.array.length) this.reserve(1);
    this.array[this.length++] = value;
  }

  /** Makes room for `count` more cells; afterwards `array` may be another object. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.array.length) return;
    const grown = this.allocate(Math.max(needed, Math.ceil(this.array.length * 1.5), 16));
    grown.set(this.array.subarray(0, this.length));
    this.array = grown;
  }

  /** Forgets all cells and releases the storage. */
  clear(): void {
    this.array = this.allocate(0);
    this.length = 0;
  }

  /** The valid cells: a view of the storage. What lies behind them was never touched and takes no memory. */
  finish(): A {
    return this.array.subarray(0, this.length) as A;
  }
}

export type Uint8Column = GrowableColumn<Uint8Array>;
export type Uint32Column = GrowableColumn<Uint32Array>;

export const growableUint8 = (capacity = 1024, isShared = false): Uint8Column =>
  new GrowableColumn((length) => new Uint8Array(makeStorage(length, isShared)), capacity);
export const growableUint32 = (capacity = 1024, isShared = false): Uint32Column =>
  new GrowableColumn((length) => new Uint32Array(makeStorage(length * 4, isShared)), capacity);

/** Zeros, which take memory when they are written to. */
export const makeStorage = (
  byteCount: number,
  isShared: boolean,
): ArrayBuffer | SharedArrayBuffer =>
  isShared ? new SharedArrayBuffer(byteCount) : new ArrayBuffer(byteCount);

/** `target.set(source, at)`; V8 copies shared arrays byte by byte, which takes several times as long. */
export function copyCells<A extends NumberArray>(target: A, source: A, at: number): void {
  for (let i = 0; i < source.length; i++) target[at + i] = source[i];
}

/** `cells.copyWithin(to, start, end)` to a later place; see `copyCells`. */
export function moveCellsUp(cells: NumberArray, to: number, start: number, end: number): void {
  if (!(cells.buffer instanceof SharedArrayBuffer)) cells.copyWithin(to, start, end);
  else if (cells instanceof Uint32Array) moveUint32Up(cells, to - start, start, end);
  else moveUint8Up(cells, to - start, start, end);
}

// One function for arrays of both kinds would be slow.

function moveUint32Up(cells: Uint32Array, distance: number, start: number, end: number): void {
  for (let i = end - 1; i >= start; i--) cells[i + distance] = cells[i];
}

function moveUint8Up(cells: Uint8Array, distance: number, start: number, end: number): void {
  for (let i = end - 1; i >= start; i--) cells[i + distance] = cells[i];
}

/** A column without cells that fills the given storage. */
export function columnOn(array: Uint8Array): Uint8Column;
export function columnOn(array: Uint32Array): Uint32Column;
export function columnOn(array: Uint8Array | Uint32Array): Uint8Column | Uint32Column {
  const column: Uint8Column | Uint32Column =
    array instanceof Uint8Array ? growableUint8(0) : growableUint32(0);
  column.array = array;
  return column;
}
