// What valgrind and heaptrack say about memory that was not given back, in one shape: so many bytes in so many blocks,
// lost in one way, allocated by one call stack.

export interface NativeFrame {
  /** Demangled; undefined where the library has no symbols. */
  readonly function: string | undefined;
  /** Path of the library or program. */
  readonly object: string | undefined;
  readonly directory: string | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;
  /** Address of the instruction as the tool prints it: tells functions without a name apart. */
  readonly instruction: string;
}

/**
 * `definite`: nothing points at the block; `indirect`: only lost blocks do; `possible`: only pointers into its middle.
 * `not-freed`: alive when the program ended, lost or kept.
 */
export type LossKind = 'definite' | 'indirect' | 'possible' | 'not-freed';

export type Quarters = readonly [number, number, number, number];

export interface LossRecord {
  readonly kind: LossKind;
  readonly bytes: number;
  readonly blocks: number;
  /** Of a definite or possible loss: bytes in further blocks that only these blocks lead to. */
  readonly holdsBytes: number;
  /** Blocks alive after each quarter of the run; undefined where the tool looks only once. */
  readonly history?: Quarters;
  /** The function that allocated first. */
  readonly frames: readonly NativeFrame[];
}
