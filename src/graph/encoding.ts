// A HeapGraph as bytes and back: the contents of a `.lscope` file. Pure: chunks out, a reader in; files are
// capture/snapshot-file.ts's. Little-endian, as the machines that leakscope runs on.
//
//   offset  0  magic, 8 bytes: 'LSCOPE', CR LF (a transfer in text mode is noticed)
//           8  u32 version of the format     12  u32 bytes of the header
//          16  u32 CRC-32 of the header      20  u32 CRC-32 of bytes 0..19
//          24  header, JSON (FileHeader): the section table and the small parts of the graph
//              then the sections in the table's order, each as blocks of at most 4 MiB:
//           0  u32 bytes of data   4  u32 bytes stored   8  u32 0 = as they are, 1 = deflated
//          12  u32 CRC-32 of the stored bytes            16  the stored bytes
//
// Version history: 1 (first). The first 24 bytes stay as they are in all versions. A reader refuses versions above its own; new sections may be added within a version, and a
// reader skips those that it does not know.
//
// Nothing of a file is believed before its checksum fits, lengths are compared with the file's before anything of that
// size is allocated, and the decoded columns are checked against each other: a damaged or made-up file is a UsageError.

import { UsageError } from '../base/errors.ts';
import type { GraphTraces, TracerFacts } from './allocation-traces.ts';
import { isExecutionFacts, isNativeFacts, isTracerFacts } from './check-facts.ts';
import { checkGraph } from './check-graph.ts';
import { computeCrc32 } from './crc32.ts';
import type { Execution, ExecutionFacts } from './execution.ts';
import type { CaptureFacts, HeapGraph, TypeRow } from './heap-graph.ts';
import type { NativeFacts, NativeHeap } from './native-heap.ts';
import {
  ALL_COLUMNS,
  CELL_BYTES,
  type CellType,
  COLUMNS,
  type Column,
  type ColumnName,
  EXECUTION_COLUMNS,
  type ExecutionColumnName,
  NATIVE_COLUMNS,
  type NativeColumnName,
  TRACE_COLUMNS,
  type TraceColumnName,
} from './snapshot-columns.ts';

export const FORMAT_VERSION = 1;
const MAGIC = Uint8Array.of(0x4c, 0x53, 0x43, 0x4f, 0x50, 0x45, 0x0d, 0x0a);
const PREFIX_BYTES = 24;
const BLOCK_BYTES = 4 << 20;
const BLOCK_HEADER_BYTES = 16;
/** A JS string cannot be longer, and the header becomes one. */
const MAX_HEADER_BYTES = 2 ** 29 - 24;
/** Deflate does not do better than this. */
const MAX_RATIO = 1040;

interface Section {
  name: string;
  type: CellType;
  /** Cells. */
  length: number;
}

interface FileHeader {
  sections: Section[];
  nodeCount: number;
  edgeCount: number;
  types: TypeRow[];
  strings: readonly string[];
  native?: NativeFacts | undefined;
  traces?: TracerFacts | undefined;
  execution?: ExecutionFacts | undefined;
  capture: CaptureFacts;
}

/** Random access to the bytes of a snapshot. */
export interface SnapshotReader {
  /** For messages: the file's path. */
  readonly name: string;
  readonly byteLength: number;
  /** Fills `into` with the bytes from `position` on; returns how many there were. */
  read(into: Uint8Array, position: number): number;
}

/** `deflate` and `inflate` in zlib's raw format; both synchronous. */
export type Deflate = (bytes: Uint8Array) => Uint8Array;
/** Must not allocate more than `length` bytes for the result. */
export type Inflate = (bytes: Uint8Array, length: number) => Uint8Array;

/**
 * The bytes of the file, in order, in chunks of at most 4 MiB and a few bytes (the header may be longer). Without
 * `deflate`, or where it does not help, blocks are stored as they are. A chunk is only valid until the next is taken.
 */
export function* encodeSnapshot(graph: HeapGraph, deflate?: Deflate): Generator<Uint8Array> {
  const columns: [string, Column][] = (Object.keys(COLUMNS) as ColumnName[]).map((name) => [
    name,
    graph[name],
  ]);
  const { native, traces, execution } = graph;
  if (native !== undefined) {
    for (const name of Object.keys(NATIVE_COLUMNS) as NativeColumnName[]) {
      columns.push([name, native[name]]);
    }
  }
  if (traces !== undefined) {
    for (const name of Object.keys(TRACE_COLUMNS) as TraceColumnName[]) {
      columns.push([name, traces[name]]);
    }
  }
  if (execution !== undefined) {
    for (const name of Object.keys(EXECUTION_COLUMNS) as ExecutionColumnName[]) {
      columns.push([name, execution[name]]);
    }
  }
  const header: FileHeader = {
    sections: columns.map(([name, { length }]) => ({ name, type: ALL_COLUMNS[name], length })),
    nodeCount: graph.nodeCount,
    edgeCount: graph.edgeCount,
    types: [...graph.types],
    strings: graph.strings,
    native: native?.facts,
    traces: traces?.facts,
    execution: execution?.facts,
    capture: graph.capture,
  };
  const headerBytes = new TextEncoder().encode(JSON.stringify(header));
  const prefix = new Uint8Array(PREFIX_BYTES);
  const view = new DataView(prefix.buffer);
  prefix.set(MAGIC);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, headerBytes.length, true);
  view.setUint32(16, computeCrc32(headerBytes), true);
  view.setUint32(20, computeCrc32(prefix.subarray(0, 20)), true);
  yield prefix;
  yield headerBytes;
  for (const [, column] of columns) yield* encodeColumn(column, deflate);
}

function* encodeColumn(column: Column, deflate: Deflate | undefined): Generator<Uint8Array> {
  const bytes = bytesOf(column);
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const data = bytes.subarray(start, Math.min(start + BLOCK_BYTES, bytes.length));
    const deflated = deflate?.(data);
    const isDeflated = deflated !== undefined && deflated.length < data.length;
    const stored = isDeflated ? deflated : data;
    const header = new Uint32Array([
      data.length,
      stored.length,
      isDeflated ? 1 : 0,
      computeCrc32(stored),
    ]);
    yield bytesOf(header);
    yield stored;
  }
}

const bytesOf = (column: Column): Uint8Array =>
  new Uint8Array(column.buffer, column.byteOffset, column.byteLength);

/** Throws UsageError if the bytes are no snapshot, of a newer version, cut off or damaged. */
export function decodeSnapshot(reader: SnapshotReader, inflate: Inflate): HeapGraph {
  const { header, end } = decodeHeader(reader);
  const columns = new Map<string, Column>();
  let position = end;
  for (const section of header.sections) {
    if (!Object.hasOwn(ALL_COLUMNS, section.name)) {
      position = skipColumn(reader, position, section.length * CELL_BYTES[section.type]);
      continue;
    }
    if (columns.has(section.name)) throw damaged(reader, `the section ${section.name} comes twice`);
    const column = allocateColumn(section, reader);
    position = decodeColumn(reader, position, bytesOf(column), inflate);
    columns.set(section.name, column);
  }
  if (position !== reader.byteLength) throw damaged(reader, 'bytes follow the last section');
  /** The columns of one part of the graph, under their names. */
  const part = <P>(names: object): P =>
    Object.fromEntries(
      Object.keys(names).map((name) => {
        const column = columns.get(name);
        if (column === undefined) throw damaged(reader, `the section ${name} is missing`);
        return [name, column];
      }),
    ) as P;
  const { native, traces, execution } = header;
  const graph: HeapGraph = {
    nodeCount: header.nodeCount,
    edgeCount: header.edgeCount,
    ...part<Pick<HeapGraph, ColumnName>>(COLUMNS),
    types: header.types,
    strings: header.strings,
    ...(native === undefined
      ? {}
      : { native: { ...part<Pick<NativeHeap, NativeColumnName>>(NATIVE_COLUMNS), facts: native } }),
    ...(traces === undefined
      ? {}
      : { traces: { ...part<Pick<GraphTraces, TraceColumnName>>(TRACE_COLUMNS), facts: traces } }),
    ...(execution === undefined
      ? {}
      : {
          execution: {
            ...part<Pick<Execution, ExecutionColumnName>>(EXECUTION_COLUMNS),
            facts: execution,
          },
        }),
    capture: header.capture,
  };
  const contradiction = checkGraph(graph);
  if (contradiction !== undefined) throw damaged(reader, contradiction);
  return graph;
}

function decodeHeader(reader: SnapshotReader): { header: FileHeader; end: number } {
  const prefix = readBytes(reader, 0, Math.min(PREFIX_BYTES, reader.byteLength));
  if (!MAGIC.every((byte, i) => prefix[i] === byte)) {
    throw new UsageError({
      fact: `Cannot read ${reader.name}`,
      reason: reader.byteLength === 0 ? 'the file is empty' : 'it is not a leakscope snapshot',
      next: 'Make one with: leakscope capture PID -o FILE.lscope',
    });
  }
  if (prefix.length < PREFIX_BYTES) throw cutOff(reader);
  const view = new DataView(prefix.buffer);
  if (view.getUint32(20, true) !== computeCrc32(prefix.subarray(0, 20))) {
    throw damaged(reader, 'the checksum of its beginning does not fit');
  }
  const version = view.getUint32(8, true);
  if (version > FORMAT_VERSION) {
    throw new UsageError({
      fact: `Cannot read ${reader.name}`,
      reason: `its format is version ${version}, and this leakscope knows versions up to ${FORMAT_VERSION}`,
      next: 'Read it with the leakscope that wrote it, or update this one.',
    });
  }
  const headerBytes = view.getUint32(12, true);
  const end = PREFIX_BYTES + headerBytes;
  if (headerBytes > MAX_HEADER_BYTES) throw damaged(reader, 'its header is too long');
  const text = readBytes(reader, PREFIX_BYTES, headerBytes);
  if (computeCrc32(text) !== view.getUint32(16, true)) {
    throw damaged(reader, 'the checksum of its header does not fit');
  }
  return { header: parseHeader(reader, text), end };
}

function parseHeader(reader: SnapshotReader, bytes: Uint8Array): FileHeader {
  let header: Partial<FileHeader>;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw damaged(reader, 'its header is not JSON', cause);
  }
  const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  const isWhole =
    isCount(header.nodeCount) &&
    isCount(header.edgeCount) &&
    Array.isArray(header.sections) &&
    header.sections.every(
      (each) => Object.hasOwn(CELL_BYTES, each?.type) && isCount(each.length),
    ) &&
    Array.isArray(header.types) &&
    header.types.every((type) => typeof type?.name === 'string' && isCount(type.node)) &&
    Array.isArray(header.strings) &&
    header.strings.every((text) => typeof text === 'string') &&
    typeof header.capture?.at === 'string' &&
    Array.isArray(header.capture.command) &&
    Array.isArray(header.capture.problems) &&
    isNativeFacts(header.native) &&
    isTracerFacts(header.traces) &&
    isExecutionFacts(header.execution);
  if (!isWhole) throw damaged(reader, 'its header lacks a part');
  return header as FileHeader;
}

function allocateColumn({ name, type, length }: Section, reader: SnapshotReader): Column {
  if (type !== ALL_COLUMNS[name]) {
    throw damaged(reader, `the section ${name} has cells of another type`);
  }
  // Before the allocation: the file is too short to hold that much.
  if (length * CELL_BYTES[type] > reader.byteLength * MAX_RATIO) throw cutOff(reader);
  try {
    if (type === 'u8') return new Uint8Array(length);
    return type === 'u32' ? new Uint32Array(length) : new Float64Array(length);
  } catch (cause) {
    throw new UsageError(
      {
        fact: `Cannot read ${reader.name}`,
        reason: `${length} cells of ${name} do not fit into memory`,
        next: 'Read it on a machine with more memory.',
      },
      { cause },
    );
  }
}

/** Fills `into` from the blocks at `position`; returns the position behind them. */
function decodeColumn(
  reader: SnapshotReader,
  start: number,
  into: Uint8Array,
  inflate: Inflate,
): number {
  let position = start;
  for (let filled = 0; filled < into.length; ) {
    const { length, storedLength, method, crc } = readBlockHeader(reader, position);
    position += BLOCK_HEADER_BYTES;
    if (length > into.length - filled) throw damaged(reader, 'a block is longer than its section');
    const stored = readBytes(reader, position, storedLength);
    if (computeCrc32(stored) !== crc) {
      throw damaged(reader, `the checksum of the block at byte ${position} does not fit`);
    }
    into.set(method === 0 ? stored : inflateBlock(reader, stored, length, inflate), filled);
    filled += length;
    position += storedLength;
  }
  return position;
}

/** Passes over the blocks of a section that this version does not know. */
function skipColumn(reader: SnapshotReader, start: number, byteLength: number): number {
  let position = start;
  for (let left = byteLength; left > 0; ) {
    const { length, storedLength } = readBlockHeader(reader, position);
    position += BLOCK_HEADER_BYTES + storedLength;
    left -= length;
  }
  return position;
}

function readBlockHeader(reader: SnapshotReader, position: number) {
  const header = readBytes(reader, position, BLOCK_HEADER_BYTES);
  const [length, storedLength, method, crc] = new Uint32Array(header.buffer, 0, 4);
  const isPlausible =
    length > 0 &&
    length <= BLOCK_BYTES &&
    storedLength <= length &&
    (method === 1 || (method === 0 && storedLength === length));
  if (!isPlausible) throw damaged(reader, `the block at byte ${position} has no valid header`);
  return { length, storedLength, method, crc };
}

function inflateBlock(
  reader: SnapshotReader,
  stored: Uint8Array,
  length: number,
  inflate: Inflate,
): Uint8Array {
  let data: Uint8Array;
  try {
    data = inflate(stored, length);
  } catch (cause) {
    throw damaged(reader, 'a block cannot be decompressed', cause);
  }
  if (data.length !== length) throw damaged(reader, 'a block has another length than it says');
  return data;
}

/** Exactly these bytes; a UsageError if the file ends before. */
function readBytes(reader: SnapshotReader, position: number, length: number): Uint8Array {
  if (position + length > reader.byteLength) throw cutOff(reader);
  const bytes = new Uint8Array(length);
  if (reader.read(bytes, position) !== length) throw cutOff(reader);
  return bytes;
}

const cutOff = (reader: SnapshotReader): UsageError =>
  new UsageError({
    fact: `Cannot read ${reader.name}`,
    reason: `the snapshot is cut off: it ends after ${reader.byteLength} bytes`,
    next: 'Copy the file again, or capture again.',
  });

const damaged = (reader: SnapshotReader, detail: string, cause?: unknown): UsageError =>
  new UsageError(
    {
      fact: `Cannot read ${reader.name}`,
      reason: `the snapshot is damaged: ${detail}`,
      next: 'Copy the file again, or capture again.',
    },
    { cause },
  );
