// The bytes of a snapshot file without a file: for tests of the format.

import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { UsageError } from '../../src/base/errors.ts';
import { openSnapshot, readSnapshot, type Snapshot } from '../../src/graph/decode-snapshot.ts';
import { encodeSnapshot } from '../../src/graph/encode-snapshot.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import type { Inflater, SnapshotReader } from '../../src/graph/snapshot-header.ts';

const inflater: Inflater = {
  crc32,
  inflate: (bytes, length) => inflateRawSync(bytes, { maxOutputLength: length }),
};

export async function encode(graph: HeapGraph, compress = true): Promise<Buffer> {
  const deflater = {
    crc32,
    deflate: async (bytes: Uint8Array) => deflateRawSync(bytes, { level: 1 }),
  };
  const chunks: Buffer[] = [];
  for await (const { bytes, position } of encodeSnapshot(graph, deflater, compress)) {
    // The beginning comes last.
    if (position === 0) chunks.unshift(Buffer.from(bytes));
    else chunks.push(Buffer.from(bytes));
  }
  return Buffer.concat(chunks);
}

/** `onRead` is told of each range that is read. */
const readerOf = (
  bytes: Uint8Array,
  onRead: (position: number, length: number) => void = () => {},
): SnapshotReader => ({
  name: 'a.lscope',
  byteLength: bytes.length,
  read: (into, position) => {
    onRead(position, into.length);
    const found = bytes.subarray(position, position + into.length);
    into.set(found);
    return found.length;
  },
});

export const decode = (bytes: Uint8Array): HeapGraph =>
  readSnapshot(readerOf(bytes), inflater).graph;

export const openBytes = (
  bytes: Uint8Array,
  onRead?: (position: number, length: number) => void,
  onAllocate?: (byteCount: number) => void,
): Snapshot => openSnapshot(readerOf(bytes, onRead), inflater, { onAllocate });

/** Runs a decoder and expects its result or a UsageError, whose reason is returned; all else that is thrown is a bug. */
export function decodeOrRefuse(bytes: Uint8Array, read: (bytes: Uint8Array) => unknown): string {
  try {
    read(bytes);
    return 'read';
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.text.reason;
  }
}
