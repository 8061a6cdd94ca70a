// The beginning and the header of a `.lscope` file, of every version of the format, as one index: what is in the file, and
// where each block of each section lies. Little-endian, as the machines that leakscope runs on.
//
//   offset  0  magic, 8 bytes: 'LSCOPE', CR LF (a transfer in text mode is noticed)
//           8  u32 version of the format     12  u32 bytes of the header
//          16  u32 CRC-32 of the header      20  u32 CRC-32 of bytes 0..19
//   version 2:
//          24  u64 position of the header    32  u32 bytes of the header when inflated    36  u32 CRC-32 of bytes 24..35
//          40  blocks, end to end (column-blocks.ts), deflated where that helps; then the header, with which the file ends:
//              deflated JSON (FileHeader), in which each block has its length, planes and CRC-32 of the stored bytes
//   version 1: the header is at 24, as it is, and has the documents in itself; behind it blocks of at most 4 MiB of cells,
//              each with 16 bytes before it: u32 bytes of data, u32 bytes stored, u32 1 = deflated, u32 CRC-32 of these
//
// The first 24 bytes stay as they are in all versions. A reader refuses versions above its own; within a version new
// sections may be added, and a reader passes over those that it does not know. Nothing is believed before its checksum
// fits, and lengths are compared with the file's before anything of that size is allocated.

import { UsageError } from '../base/errors.ts';
import { BLOCK_CELLS, countPlanes } from './column-blocks.ts';
import type { CaptureFacts, TypeRow } from './heap-graph.ts';
import {
  CELL_BYTES,
  type CellType,
  DOCUMENTS,
  type DocumentName,
  type Form,
} from './snapshot-columns.ts';
import { areTypeTotals, type TypeTotals } from './type-totals.ts';

export const FORMAT_VERSION = 2;
export const MAGIC = Uint8Array.of(0x4c, 0x53, 0x43, 0x4f, 0x50, 0x45, 0x0d, 0x0a);
const COMMON_BYTES = 24;
/** Where the blocks begin. */
export const PREFIX_BYTES = 40;
const OLD_BLOCK_BYTES = 4 << 20;
const OLD_BLOCK_HEADER_BYTES = 16;
/** A JS string cannot be longer, and the header becomes one. */
const MAX_HEADER_BYTES = 2 ** 29 - 24;
/** Deflate does not do better than this. */
export const MAX_RATIO = 1040;

/** Random access to the bytes of a snapshot. */
export interface SnapshotReader {
  /** For messages: the file's path. */
  readonly name: string;
  readonly byteLength: number;
  /** Fills `into` with the bytes from `position` on; returns how many there were. */
  read(into: Uint8Array, position: number): number;
}

/** zlib, which the browser has under other names; both synchronous. */
export interface Inflater {
  crc32(bytes: Uint8Array): number;
  /** Raw format. Must not allocate more than `length` bytes for the result. */
  inflate(bytes: Uint8Array, length: number): Uint8Array;
}

export interface BlockFacts {
  position: number;
  storedLength: number;
  /** When inflated. */
  length: number;
  isDeflated: boolean;
  crc: number;
  planes: number;
}

export interface Section {
  name: string;
  type: CellType;
  /** Cells. */
  length: number;
  form: Form;
  unit: number;
  blocks: BlockFacts[];
}

/** What a file says of itself. */
export interface SnapshotIndex {
  version: number;
  nodeCount: number;
  edgeCount: number;
  stringCount: number;
  types: TypeRow[];
  /** Not in files of version 1. */
  typeTotals?: TypeTotals | undefined;
  capture: CaptureFacts;
  sections: Section[];
  /** Of version 1: what newer files have as sections. */
  documents: Partial<Record<DocumentName, unknown>>;
}

/** Stored bytes, 1 = deflated, CRC-32 of the stored bytes, planes; of documents the planes are 1. */
export type BlockRow = [storedLength: number, deflated: 0 | 1, crc: number, planes: number];

export interface FileHeader
  extends Pick<SnapshotIndex, 'nodeCount' | 'edgeCount' | 'stringCount' | 'types' | 'capture'> {
  typeTotals: TypeTotals;
  sections: (Omit<Section, 'blocks'> & { blocks: BlockRow[] })[];
}

interface OldHeader extends Pick<SnapshotIndex, 'nodeCount' | 'edgeCount' | 'types' | 'capture'> {
  sections: Pick<Section, 'name' | 'type' | 'length'>[];
  strings: string[];
  native?: unknown;
  traces?: unknown;
  execution?: unknown;
}

/** Throws UsageError if the bytes are no snapshot, of a newer version, cut off or damaged. Reads no block. */
export function readIndex(reader: SnapshotReader, inflater: Inflater): SnapshotIndex {
  const prefix = readBytes(reader, 0, Math.min(COMMON_BYTES, reader.byteLength));
  if (!MAGIC.every((byte, i) => prefix[i] === byte)) {
    throw new UsageError({
      fact: `Cannot read ${reader.name}`,
      reason: reader.byteLength === 0 ? 'the file is empty' : 'it is not a leakscope snapshot',
      next: 'Make one with: leakscope capture PID -o FILE.lscope',
    });
  }
  if (prefix.length < COMMON_BYTES) throw cutOff(reader);
  const view = new DataView(prefix.buffer);
  if (view.getUint32(20, true) !== inflater.crc32(prefix.subarray(0, 20))) {
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
  const length = view.getUint32(12, true);
  const crc = view.getUint32(16, true);
  if (version === 1) return readOldIndex(reader, inflater, length, crc);
  return readHeader(reader, inflater, length, crc);
}

function readHeader(
  reader: SnapshotReader,
  inflater: Inflater,
  length: number,
  crc: number,
): SnapshotIndex {
  const place = readBytes(reader, COMMON_BYTES, PREFIX_BYTES - COMMON_BYTES);
  const view = new DataView(place.buffer);
  if (view.getUint32(12, true) !== inflater.crc32(place.subarray(0, 12))) {
    throw damaged(reader, 'the checksum of its beginning does not fit');
  }
  const position = view.getUint32(0, true) + 2 ** 32 * view.getUint32(4, true);
  if (position + length > reader.byteLength) throw cutOff(reader);
  if (position + length < reader.byteLength) throw damaged(reader, 'bytes follow its header');
  const stored = readBytes(reader, position, length);
  if (inflater.crc32(stored) !== crc) {
    throw damaged(reader, 'the checksum of its header does not fit');
  }
  const inflatedLength = view.getUint32(8, true);
  if (inflatedLength > Math.min(MAX_HEADER_BYTES, length * MAX_RATIO)) {
    throw damaged(reader, 'its header is too long');
  }
  const text = inflateExactly(reader, inflater, stored, inflatedLength);
  const header = parseJson(reader, text) as Partial<FileHeader>;
  const isWhole =
    hasCommonParts(header) &&
    isCount(header.stringCount) &&
    areTypeTotals(header.typeTotals, header.types);
  if (!isWhole) throw damaged(reader, 'its header lacks a part');
  const { sections, ...rest } = header as FileHeader;
  let end = PREFIX_BYTES;
  const indexed = sections.map((section): Section => {
    const blocks = indexBlocks(reader, section, end);
    for (const { storedLength } of blocks) end += storedLength;
    return { ...section, blocks };
  });
  if (end !== position) throw damaged(reader, 'its blocks do not fill it');
  return { ...rest, version: 2, sections: indexed, documents: {} };
}

const FORMS: readonly string[] = ['bytes', 'values', 'successors', 'differences'];

function indexBlocks(
  reader: SnapshotReader,
  section: FileHeader['sections'][number],
  start: number,
): BlockFacts[] {
  const { name, type, length, form, unit, blocks } = section;
  const cellBytes = CELL_BYTES[type];
  const isValid =
    FORMS.includes(form) &&
    isCount(unit) &&
    Array.isArray(blocks) &&
    (form === 'bytes' || type !== 'u8');
  if (!isValid || blocks.length !== Math.ceil(length / BLOCK_CELLS)) {
    throw damaged(reader, `the section ${name} is not described`);
  }
  let position = start;
  return blocks.map((row, i) => {
    const [storedLength, deflated, crc, planes] = Array.isArray(row) ? row : [];
    const cells = Math.min(BLOCK_CELLS, length - i * BLOCK_CELLS);
    const isPlanes = isCount(planes) && planes % 2 === 1 && planes < 2 ** cellBytes;
    const bytes = cells * (form === 'bytes' ? cellBytes : countPlanes(isPlanes ? planes : 0));
    const isPlausible =
      isPlanes &&
      isCount(storedLength) &&
      isCount(crc) &&
      (deflated === 1
        ? storedLength < bytes && bytes <= storedLength * MAX_RATIO
        : deflated === 0 && storedLength === bytes);
    if (!isPlausible) throw damaged(reader, `a block of ${name} is not described`);
    const block = {
      position,
      storedLength,
      length: bytes,
      isDeflated: deflated === 1,
      crc,
      planes,
    };
    position += storedLength;
    return block;
  });
}

// --- Version 1 ----------------------------------------------------------------------------------------------------------

function readOldIndex(
  reader: SnapshotReader,
  inflater: Inflater,
  length: number,
  crc: number,
): SnapshotIndex {
  if (length > MAX_HEADER_BYTES) throw damaged(reader, 'its header is too long');
  const text = readBytes(reader, COMMON_BYTES, length);
  if (inflater.crc32(text) !== crc)
    throw damaged(reader, 'the checksum of its header does not fit');
  const header = parseJson(reader, text) as Partial<OldHeader>;
  if (!hasCommonParts(header) || !Array.isArray(header.strings)) {
    throw damaged(reader, 'its header lacks a part');
  }
  const { sections, strings, native, traces, execution, ...rest } = header as OldHeader;
  let end = COMMON_BYTES + length;
  const indexed = sections.map((section): Section => {
    const blocks = walkOldBlocks(reader, end, section.length * CELL_BYTES[section.type]);
    const last = blocks.at(-1);
    if (last !== undefined) end = last.position + last.storedLength;
    return { ...section, form: 'bytes', unit: 1, blocks };
  });
  if (end < reader.byteLength) throw damaged(reader, 'bytes follow the last section');
  const documents = { strings, nativeFacts: native, traceFacts: traces, executionFacts: execution };
  return { ...rest, version: 1, stringCount: strings.length, sections: indexed, documents };
}

/** The blocks of a section, each behind its own header. */
function walkOldBlocks(reader: SnapshotReader, start: number, byteLength: number): BlockFacts[] {
  const blocks: BlockFacts[] = [];
  let position = start;
  for (let left = byteLength; left > 0; ) {
    const header = readBytes(reader, position, OLD_BLOCK_HEADER_BYTES);
    const [length, storedLength, method, crc] = new Uint32Array(header.buffer, 0, 4);
    const isPlausible =
      length > 0 &&
      length <= Math.min(OLD_BLOCK_BYTES, left) &&
      storedLength <= length &&
      length <= storedLength * MAX_RATIO &&
      (method === 1 || (method === 0 && storedLength === length));
    if (!isPlausible) throw damaged(reader, `the block at byte ${position} has no valid header`);
    position += OLD_BLOCK_HEADER_BYTES;
    if (position + storedLength > reader.byteLength) throw cutOff(reader);
    blocks.push({ position, storedLength, length, isDeflated: method === 1, crc, planes: 1 });
    position += storedLength;
    left -= length;
  }
  return blocks;
}

// --- Common -------------------------------------------------------------------------------------------------------------

export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

function hasCommonParts(header: Partial<FileHeader | OldHeader>): boolean {
  const { sections, types, capture } = header ?? {};
  return (
    isCount(header?.nodeCount) &&
    isCount(header.edgeCount) &&
    Array.isArray(sections) &&
    sections.every(
      (each) =>
        typeof each?.name === 'string' &&
        Object.hasOwn(CELL_BYTES, each.type) &&
        isCount(each.length),
    ) &&
    new Set(sections.map(({ name }) => name)).size === sections.length &&
    Array.isArray(types) &&
    types.every((type) => typeof type?.name === 'string' && isCount(type.node)) &&
    typeof capture?.at === 'string' &&
    Array.isArray(capture.command) &&
    Array.isArray(capture.problems)
  );
}

export const isDocument = (name: string): name is DocumentName =>
  (DOCUMENTS as readonly string[]).includes(name);

export function parseJson(reader: SnapshotReader, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw damaged(reader, 'what should be JSON is none', cause);
  }
}

/** The data of a block, whose checksum is tested first. */
export function readBlock(
  reader: SnapshotReader,
  inflater: Inflater,
  block: BlockFacts,
): Uint8Array {
  const stored = readBytes(reader, block.position, block.storedLength);
  if (inflater.crc32(stored) !== block.crc) {
    throw damaged(reader, `the checksum of the block at byte ${block.position} does not fit`);
  }
  return block.isDeflated ? inflateExactly(reader, inflater, stored, block.length) : stored;
}

function inflateExactly(
  reader: SnapshotReader,
  inflater: Inflater,
  stored: Uint8Array,
  length: number,
): Uint8Array {
  let data: Uint8Array;
  try {
    data = inflater.inflate(stored, length);
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

export const damaged = (reader: SnapshotReader, detail: string, cause?: unknown): UsageError =>
  new UsageError(
    {
      fact: `Cannot read ${reader.name}`,
      reason: `the snapshot is damaged: ${detail}`,
      next: 'Copy the file again, or capture again.',
    },
    { cause },
  );
