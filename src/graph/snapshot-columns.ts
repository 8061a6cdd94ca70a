// The columns of a HeapGraph that a snapshot file has as sections, with the types of their cells. See encoding.ts.

/** Per column: its type, and whether its length is that of nodes, of edges or of its own. */
export const COLUMNS = {
  address: 'f64',
  typeId: 'u32',
  shallowSize: 'f64',
  allocatedSize: 'f64',
  referenceCount: 'u32',
  nodeFlags: 'u8',
  firstEdge: 'u32',
  edgeTarget: 'u32',
  edgeKind: 'u8',
  edgeLabel: 'u32',
  weakSource: 'u32',
  weakTarget: 'u32',
  rootNode: 'u32',
  rootKind: 'u8',
  rootLabel: 'u32',
  previewBytes: 'u8',
  previewStart: 'u32',
} as const;
/** There if the capture looked at the memory outside of Python objects. */
export const NATIVE_COLUMNS = {
  blockAddress: 'f64',
  blockSize: 'f64',
  blockGroup: 'u32',
  excessNode: 'u32',
  excessCount: 'u32',
  heldNode: 'u32',
  heldGroup: 'u32',
} as const;
/** There if tracemalloc was on. */
export const TRACE_COLUMNS = {
  traceAddress: 'f64',
  traceSize: 'f64',
  traceDomain: 'u32',
  traceTraceback: 'u32',
  firstFrame: 'u32',
  frameSite: 'u32',
  siteFile: 'u32',
  siteLine: 'u32',
  siteFunction: 'u32',
  nodeTrace: 'u32',
} as const;
/** Not in the files of older releases. */
export const EXECUTION_COLUMNS = {
  frameCode: 'u32',
  frameLine: 'u32',
  frameGenerator: 'u32',
  firstLocal: 'u32',
  localName: 'u32',
  localNode: 'u32',
  generatorNode: 'u32',
  generatorState: 'u8',
  generatorCode: 'u32',
  generatorLine: 'u32',
  futureNode: 'u32',
  futureState: 'u8',
  futureIsTask: 'u8',
} as const;
export const ALL_COLUMNS: Record<string, CellType> = {
  ...COLUMNS,
  ...NATIVE_COLUMNS,
  ...TRACE_COLUMNS,
  ...EXECUTION_COLUMNS,
};
export type ExecutionColumnName = keyof typeof EXECUTION_COLUMNS;
export type TraceColumnName = keyof typeof TRACE_COLUMNS;
export type NativeColumnName = keyof typeof NATIVE_COLUMNS;
export type ColumnName = keyof typeof COLUMNS;
export type Column = Uint8Array | Uint32Array | Float64Array;

export const CELL_BYTES = { u8: 1, u32: 4, f64: 8 } as const;
export type CellType = keyof typeof CELL_BYTES;
