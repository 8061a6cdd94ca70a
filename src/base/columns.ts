// Typed-array columns that grow by doubling, for rows whose number is not known in advance. Hot loops take `array`
// into a local and call `reserve` before they write beyond `length`.

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

export const growableUint8 = (capacity = 1024): Uint8Column =>
  new GrowableColumn((length) => new Uint8Array(length), capacity);
export const growableUint32 = (capacity = 1024): Uint32Column =>
  new GrowableColumn((length) => new Uint32Array(length), capacity);
