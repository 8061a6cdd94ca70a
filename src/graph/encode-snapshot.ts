// A HeapGraph as the bytes of a `.lscope` file (format: snapshot-header.ts). Pure: chunks out; the file and compression are
// capture/snapshot-file.ts's.

import { BLOCK_CELLS, chooseForm, encodeBlock, type PlainBlock } from './column-blocks.ts';
import type { HeapGraph } from './heap-graph.ts';
import {
  ALL_COLUMNS,
  type CellType,
  COLUMNS,
  type Column,
  type ColumnName,
  type DocumentName,
  EXECUTION_COLUMNS,
  type ExecutionColumnName,
  formOf,
  NATIVE_COLUMNS,
  type NativeColumnName,
  TRACE_COLUMNS,
  type TraceColumnName,
} from './snapshot-columns.ts';
import {
  type BlockRow,
  type FileHeader,
  FORMAT_VERSION,
  MAGIC,
  PREFIX_BYTES,
} from './snapshot-header.ts';
import { computeTypeTotals } from './type-totals.ts';

/** zlib: raw format, in threads of its own. */
export interface Deflater {
  crc32(bytes: Uint8Array): number;
  deflate(bytes: Uint8Array): Promise<Uint8Array>;
}

/** Bytes of the file, and where they belong. */
export interface PlacedBytes {
  bytes: Uint8Array;
  position: number;
}

/** Blocks that are compressed while an earlier one is written: as many as zlib has threads. */
const AHEAD = 4;

interface NamedColumn {
  name: string;
  type: CellType;
  column: Column;
}

/**
 * The bytes of the file in order, but for its beginning, which comes last: a file that is not complete is no snapshot.
 * Without `compress`, and where it does not help, blocks are stored as they are.
 */
export async function* encodeSnapshot(
  graph: HeapGraph,
  deflater: Deflater,
  compress = true,
): AsyncGenerator<PlacedBytes> {
  let position = PREFIX_BYTES;
  const sections: FileHeader['sections'] = [];
  for (const { name, type, column } of [...columnsOf(graph), ...documentsOf(graph)]) {
    const form = chooseForm(column, formOf(name));
    const blocks: BlockRow[] = [];
    const plain = (function* () {
      for (let start = 0; start < column.length; start += BLOCK_CELLS) {
        yield encodeBlock(column, start, Math.min(start + BLOCK_CELLS, column.length), form);
      }
    })();
    for await (const { bytes, row } of storeAhead(plain, deflater, compress)) {
      yield { bytes, position };
      position += bytes.length;
      blocks.push(row);
    }
    sections.push({ name, type, length: column.length, ...form, blocks });
  }
  const header: FileHeader = {
    nodeCount: graph.nodeCount,
    edgeCount: graph.edgeCount,
    stringCount: graph.strings.length,
    types: [...graph.types],
    typeTotals: computeTypeTotals(graph),
    capture: graph.capture,
    sections,
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = await deflater.deflate(json);
  yield { bytes, position };
  yield { bytes: buildPrefix(bytes, json.length, position, deflater), position: 0 };
}

function columnsOf(graph: HeapGraph): NamedColumn[] {
  const { native, traces, execution } = graph;
  const listed = <Name extends string>(names: object, part: Record<Name, Column> | undefined) =>
    part === undefined
      ? []
      : (Object.keys(names) as Name[]).map((name) => ({
          name,
          type: ALL_COLUMNS[name],
          column: part[name],
        }));
  return [
    ...listed<ColumnName>(COLUMNS, graph),
    ...listed<NativeColumnName>(NATIVE_COLUMNS, native),
    ...listed<TraceColumnName>(TRACE_COLUMNS, traces),
    ...listed<ExecutionColumnName>(EXECUTION_COLUMNS, execution),
  ];
}

function* documentsOf({ strings, native, traces, execution }: HeapGraph): Generator<NamedColumn> {
  const documents: Record<DocumentName, unknown> = {
    strings,
    nativeFacts: native?.facts,
    traceFacts: traces?.facts,
    executionFacts: execution?.facts,
  };
  for (const [name, value] of Object.entries(documents)) {
    if (value === undefined) continue;
    yield { name, type: 'u8', column: new TextEncoder().encode(JSON.stringify(value)) };
  }
}

interface StoredBlock {
  bytes: Uint8Array;
  row: BlockRow;
}

/** The blocks in order; a few are compressed at a time. */
async function* storeAhead(
  blocks: Iterable<PlainBlock>,
  deflater: Deflater,
  compress: boolean,
): AsyncGenerator<StoredBlock> {
  const waiting: Promise<StoredBlock>[] = [];
  for (const block of blocks) {
    const stored = storeBlock(block, deflater, compress);
    // Whoever waits for it is told; nobody may be waiting when it fails.
    stored.catch(() => {});
    waiting.push(stored);
    if (waiting.length === AHEAD) yield (await waiting.shift()) as StoredBlock;
  }
  for (const stored of waiting) yield await stored;
}

async function storeBlock(
  { bytes, planes }: PlainBlock,
  deflater: Deflater,
  compress: boolean,
): Promise<StoredBlock> {
  const deflated = compress ? await deflater.deflate(bytes) : undefined;
  const isDeflated = deflated !== undefined && deflated.length < bytes.length;
  const stored = isDeflated ? deflated : bytes;
  return {
    bytes: stored,
    row: [stored.length, isDeflated ? 1 : 0, deflater.crc32(stored), planes],
  };
}

function buildPrefix(
  header: Uint8Array,
  jsonLength: number,
  position: number,
  { crc32 }: Deflater,
): Uint8Array {
  const prefix = new Uint8Array(PREFIX_BYTES);
  const view = new DataView(prefix.buffer);
  prefix.set(MAGIC);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, header.length, true);
  view.setUint32(16, crc32(header), true);
  view.setUint32(20, crc32(prefix.subarray(0, 20)), true);
  view.setUint32(24, position, true);
  view.setUint32(28, position / 2 ** 32, true);
  view.setUint32(32, jsonLength, true);
  view.setUint32(36, crc32(prefix.subarray(24, 36)), true);
  return prefix;
}
