import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { richGraphs } from '../../tests/support/random-graph.ts';
import { UsageError } from '../base/errors.ts';
import { computeCrc32 } from './crc32.ts';
import { decodeSnapshot, encodeSnapshot, FORMAT_VERSION } from './encoding.ts';
import type { HeapGraph } from './heap-graph.ts';

const deflate = (bytes: Uint8Array) => deflateRawSync(bytes, { level: 1 });
const inflate = (bytes: Uint8Array, length: number) =>
  inflateRawSync(bytes, { maxOutputLength: length });

const encode = (graph: HeapGraph, compress = true): Uint8Array =>
  Buffer.concat([...encodeSnapshot(graph, compress ? deflate : undefined)].map((c) => c.slice()));

const decode = (bytes: Uint8Array): HeapGraph =>
  decodeSnapshot(
    {
      name: 'a.lscope',
      byteLength: bytes.length,
      read: (into, position) => {
        const found = bytes.subarray(position, position + into.length);
        into.set(found);
        return found.length;
      },
    },
    inflate,
  );

const SMALL = `
  root module app -> app
  app: module 64 rc=2 "<module 'app'>" __dict__ -> d
  d: dict 232/256 tracked .x -> t, [k] -> t
  k: str 50 "'käse'"
  t: app.T 48
  weak t -> k
`;

/** Runs the decoder and expects the graph or a UsageError; everything else that is thrown is a bug. */
function decodeOrRefuse(bytes: Uint8Array): string {
  try {
    decode(bytes);
    return 'read';
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.text.reason;
  }
}

describe('a snapshot', () => {
  test('is the graph it was made of', () => {
    fc.assert(
      fc.property(richGraphs, fc.boolean(), (graph, compress) => {
        expect(decode(encode(graph, compress))).toEqual(graph);
      }),
      { numRuns: 60 },
    );
  });

  test('of more than one block per column is, too', () => {
    const { graph } = drawGraph('root native -> a');
    const bytes = new Uint8Array(9_000_000).map((_, i) => (i * i) >>> 7);
    const large = { ...graph, previewBytes: bytes, previewStart: Uint32Array.of(0, bytes.length) };

    expect(Buffer.compare(decode(encode(large)).previewBytes, bytes)).toBe(0);
  });

  test('is refused at every length shorter than its own', () => {
    const bytes = encode(drawGraph(SMALL).graph);
    for (let length = 0; length < bytes.length; length++) {
      const reason = decodeOrRefuse(bytes.subarray(0, length));
      expect(reason).toMatch(length === 0 ? /empty/ : length < 8 ? /not a leakscope/ : /cut off/);
    }
  });

  test('is refused when any bit is another', () => {
    const bytes = encode(drawGraph(SMALL).graph);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3] ^= 1 << (bit & 7);
      expect(decodeOrRefuse(bytes)).not.toBe('read');
      bytes[bit >>> 3] ^= 1 << (bit & 7);
    }
    expect(decodeOrRefuse(bytes)).toBe('read');
  });

  test('is refused when bytes follow, and so are any other bytes', () => {
    const bytes = encode(drawGraph(SMALL).graph);
    expect(decodeOrRefuse(Buffer.concat([bytes, Buffer.alloc(1)]))).toMatch(/follow/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, withMagic) => {
        const text = withMagic ? Buffer.concat([bytes.subarray(0, 24), noise]) : noise;
        expect(decodeOrRefuse(text)).not.toBe('read');
      }),
    );
  });

  test('of a newer format is refused with both versions', () => {
    const bytes = encode(drawGraph(SMALL).graph);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(8, FORMAT_VERSION + 1, true);
    view.setUint32(20, computeCrc32(bytes.subarray(0, 20)), true);

    expect(() => decode(bytes)).toThrow(
      /format is version 2, and this leakscope knows versions up to 1\. .*update/,
    );
  });

  test.each<[string, (graph: HeapGraph) => Partial<HeapGraph>]>([
    ['edgeTarget leads nowhere', (graph) => ({ edgeTarget: graph.edgeTarget.map(() => 99) })],
    ['firstEdge does not ascend', (graph) => ({ firstEdge: graph.firstEdge.toReversed() })],
    ['address does not ascend', (graph) => ({ address: graph.address.toReversed() })],
    ['nodeFlags has 3 cells and not 4', (graph) => ({ nodeFlags: graph.nodeFlags.slice(1) })],
    [
      'edgeLabel leads nowhere',
      (graph) => ({ strings: [], rootLabel: graph.rootLabel.map(() => 2 ** 32 - 1) }),
    ],
    [
      'a dict value has no key',
      (graph) => ({ edgeKind: graph.edgeKind.map((kind) => (kind === 3 ? 2 : kind)) }),
    ],
    ['typeId leads nowhere', () => ({ types: [] })],
  ])('whose checksums fit but that contradicts itself is refused: %s', (reason, change) => {
    const { graph } = drawGraph(SMALL);
    expect(() => decode(encode({ ...graph, ...change(graph) }))).toThrow(reason);
  });

  test('that claims to be huge is refused before memory is taken', () => {
    const { graph } = drawGraph(SMALL);
    const [prefix, header] = [...encodeSnapshot(graph)].map((chunk) => chunk.slice());
    const text = new TextDecoder().decode(header).replace('"length":4', '"length":400000000000');
    const forged = new TextEncoder().encode(text);
    const view = new DataView(prefix.buffer);
    view.setUint32(12, forged.length, true);
    view.setUint32(16, computeCrc32(forged), true);
    view.setUint32(20, computeCrc32(prefix.subarray(0, 20)), true);

    expect(() => decode(Buffer.concat([prefix, forged]))).toThrow(/cut off/);
  });
});

test('the checksum is that of zlib', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(computeCrc32(bytes)).toBe(crc32(bytes));
    }),
  );
});
