// The columns of a HeapGraph that a snapshot file has as sections: the types of their cells, and the form in which their
// numbers are small. See snapshot-header.ts for the file, column-blocks.ts for the forms.

/** Per column: the type of its cells. */
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

/** The small parts of a graph, as JSON. Files of version 1 have them in their header. */
export const DOCUMENTS = ['strings', 'nativeFacts', 'traceFacts', 'executionFacts'] as const;
export type DocumentName = (typeof DOCUMENTS)[number];

/** In which form the numbers of a column are written; `bytes`: as they are. */
export type Form = 'bytes' | 'values' | 'successors' | 'differences';
/** Columns whose cells ascend. */
const ASCENDING =
  'address firstEdge weakSource previewStart blockAddress excessNode heldNode firstFrame firstLocal generatorNode futureNode';
/** Columns of which a cell may be NONE. */
const WITH_NONE =
  'referenceCount edgeLabel rootLabel siteFunction nodeTrace frameGenerator generatorCode';

export function formOf(name: string): Form {
  if (ALL_COLUMNS[name] === 'u8') return 'bytes';
  if (ASCENDING.split(' ').includes(name)) return 'differences';
  return WITH_NONE.split(' ').includes(name) ? 'successors' : 'values';
}
