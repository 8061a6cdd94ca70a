import { readFileSync } from 'node:fs';
import { crc32, deflateRawSync, gunzipSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { buildLargeGraph, richGraphs } from '../../tests/support/random-graph.ts';
import { decode, decodeOrRefuse, encode, openBytes } from '../../tests/support/snapshot-bytes.ts';
import { findNodeAt, type HeapGraph, NONE, typeNameOf } from './heap-graph.ts';
import { FORMAT_VERSION } from './snapshot-header.ts';

const SMALL = `
  root module app -> app
  app: module 64 rc=2 "<module 'app'>" __dict__ -> d
  d: dict 232/256 tracked .x -> t, [k] -> t
  k: str 50 "'käse'"
  t: app.T 48
  weak t -> k
`;

/** Looks at every part of a graph that is read lazily. */
const useAll = (bytes: Uint8Array): HeapGraph => ({ ...openBytes(bytes).graph });

/** The file with another header. */
function forge(bytes: Buffer, change: (json: string) => string): Buffer {
  const position = bytes.readUInt32LE(24);
  const json = change(inflateRawSync(bytes.subarray(position)).toString());
  const header = deflateRawSync(Buffer.from(json));
  const prefix = Buffer.from(bytes.subarray(0, 40));
  prefix.writeUInt32LE(header.length, 12);
  prefix.writeUInt32LE(crc32(header), 16);
  prefix.writeUInt32LE(crc32(prefix.subarray(0, 20)), 20);
  prefix.writeUInt32LE(Buffer.byteLength(json), 32);
  prefix.writeUInt32LE(crc32(prefix.subarray(24, 36)), 36);
  return Buffer.concat([prefix, bytes.subarray(40, position), header]);
}

describe('a snapshot', () => {
  test('is the graph it was made of, read as a whole or column by column', async () => {
    await fc.assert(
      fc.asyncProperty(richGraphs, fc.boolean(), async (graph, compress) => {
        const bytes = await encode(graph, compress);
        expect(decode(bytes)).toEqual(graph);
        expect(useAll(bytes)).toEqual(graph);
      }),
      { numRuns: 60 },
    );
  });

  test('of more than one block per column is, too', async () => {
    const graph = buildLargeGraph(1_200_000, 2);
    const bytes = new Uint8Array(3_000_000).map((_, i) => (i * i) >>> 7);
    const previewStart = graph.previewStart.map((_, node) => Math.min(node * 3, bytes.length));
    previewStart[graph.nodeCount] = bytes.length;
    // Sizes above 2^32, a hole in the addresses, counts that are NONE.
    const large = {
      ...graph,
      previewBytes: bytes,
      previewStart,
      address: graph.address.map((each, node) => (node < 7 ? node * 8 : each)),
      allocatedSize: graph.allocatedSize.map((each, node) => each + (node % 5) * 2 ** 33),
      referenceCount: graph.referenceCount.map((_, node) => (node % 3 === 0 ? NONE : node)),
    };

    const read = decode(await encode(large));

    for (const [name, column] of Object.entries(large)) {
      if (!ArrayBuffer.isView(column)) continue;
      const same = read[name as keyof HeapGraph] as typeof column;
      expect(Buffer.compare(asBytes(same), asBytes(column)), name).toBe(0);
    }
  });

  test('with sizes that are no whole numbers is, too', async () => {
    const { graph } = drawGraph(SMALL);
    const odd = { ...graph, shallowSize: graph.shallowSize.map((each) => each + 0.5) };
    expect(decode(await encode(odd))).toEqual(odd);
  });

  test('is refused at every length shorter than its own', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    for (let length = 0; length < bytes.length; length++) {
      const reason = decodeOrRefuse(bytes.subarray(0, length), openBytes);
      expect(reason).toMatch(length === 0 ? /empty/ : length < 8 ? /not a leakscope/ : /cut off/);
    }
  });

  test('is refused when any bit is another, read as a whole or column by column', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3] ^= 1 << (bit & 7);
      expect(decodeOrRefuse(bytes, decode)).not.toBe('read');
      expect(decodeOrRefuse(bytes, useAll)).not.toBe('read');
      bytes[bit >>> 3] ^= 1 << (bit & 7);
    }
    expect(decodeOrRefuse(bytes, decode)).toBe('read');
  });

  test('is refused when bytes follow, and so are any other bytes', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    expect(decodeOrRefuse(Buffer.concat([bytes, Buffer.alloc(1)]), openBytes)).toMatch(/follow/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, withMagic) => {
        const text = withMagic ? Buffer.concat([bytes.subarray(0, 24), noise]) : noise;
        expect(decodeOrRefuse(text, openBytes)).not.toBe('read');
      }),
    );
  });

  test('of a newer format is refused with both versions', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    bytes.writeUInt32LE(FORMAT_VERSION + 1, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 20)), 20);

    expect(() => decode(bytes)).toThrow(
      /format is version 3, and this leakscope knows versions up to 2\. .*update/,
    );
  });

  test.each<[string, (graph: HeapGraph) => Partial<HeapGraph>]>([
    ['edgeTarget leads nowhere', (graph) => ({ edgeTarget: graph.edgeTarget.map(() => 99) })],
    ['firstEdge does not ascend', (graph) => ({ firstEdge: graph.firstEdge.toReversed() })],
    ['address does not ascend', (graph) => ({ address: graph.address.toReversed() })],
    ['nodeFlags has 3 cells and not 4', (graph) => ({ nodeFlags: graph.nodeFlags.slice(1) })],
    [
      'edgeLabel leads nowhere',
      (graph) => ({ strings: [], rootLabel: graph.rootLabel.map(() => NONE) }),
    ],
    [
      'a dict value has no key',
      (graph) => ({ edgeKind: graph.edgeKind.map((kind) => (kind === 3 ? 2 : kind)) }),
    ],
    ['rootKind is unknown', (graph) => ({ rootKind: graph.rootKind.map(() => 99) })],
    ['typeId leads nowhere', (graph) => ({ typeId: graph.typeId.map(() => 9) })],
  ])('whose checksums fit but that contradicts itself is refused: %s', async (reason, change) => {
    const { graph } = drawGraph(SMALL);
    const bytes = await encode({ ...graph, ...change(graph) });
    expect(decodeOrRefuse(bytes, decode)).toContain(reason);
    expect(decodeOrRefuse(bytes, useAll)).toContain(reason);
  });

  test('whose sums are not those of its objects is refused when it is read as a whole', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    const forged = forge(bytes, (json) => json.replace('"count":[1,', '"count":[2,'));
    expect(decodeOrRefuse(forged, decode)).toMatch(/sums of its types/);
  });

  test.each([
    ['a column', '"length":4', '"length":400000000000'],
    ['nodes', '"nodeCount":4', '"nodeCount":400000000000'],
    ['a block', /"blocks":\[\[\d+/, '"blocks":[[4000000000'],
    ['planes', /,1\]\]/, ',255]]'],
    ['a form', '"form":"values"', '"form":"other"'],
    ['a name', '"name":"typeId"', '"name":"address"'],
  ])('that lies about %s is refused before memory is taken', async (_, from, to) => {
    const bytes = await encode(drawGraph(SMALL).graph);
    const forged = forge(bytes, (json) => {
      expect(json).toMatch(from);
      return json.replace(from, to);
    });
    let allocated = 0;
    const open = (each: Uint8Array) =>
      openBytes(each, undefined, (byteCount) => {
        allocated += byteCount;
      });
    expect(decodeOrRefuse(forged, open)).toMatch(/damaged|cut off/);
    expect(allocated).toBe(0);
  });

  test('with a section that this version does not know is read without it, but checked', async () => {
    const bytes = await encode(drawGraph(SMALL).graph, false);
    const later = forge(bytes, (json) => json.replace('"name":"nodeFlags"', '"name":"inLater"'));
    expect(decodeOrRefuse(later, openBytes)).toMatch(/nodeFlags is missing/);

    const position = bytes.readUInt32LE(24);
    const more = Buffer.concat([bytes.subarray(0, position), Buffer.of(1, 2, 3, 4)]);
    more.writeUInt32LE(position + 4, 24);
    const row = `{"name":"inLater","type":"u8","length":4,"form":"bytes","unit":1,"blocks":[[4,0,${crc32(more.subarray(position))},1]]}`;
    const withMore = forge(Buffer.concat([more, bytes.subarray(position)]), (json) =>
      json.replace(/\]\}$/, `,${row}]}`),
    );
    expect(decode(withMore)).toEqual(drawGraph(SMALL).graph);
    withMore[position] ^= 1;
    expect(decodeOrRefuse(withMore, openBytes)).toBe('read');
    expect(decodeOrRefuse(withMore, decode)).toMatch(/checksum/);
  });
});

describe('what is not needed is not read', () => {
  test('types and their sums come from the header alone, a column from its own blocks', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    const header = bytes.readUInt32LE(24);
    const read: [number, number][] = [];
    const { graph, index } = openBytes(bytes, (position, length) => read.push([position, length]));

    expect(index.typeTotals).toEqual({
      count: graph.types.map(() => 1),
      ...{ shallowSize: [64, 232, 50, 48], allocatedSize: [64, 256, 50, 48] },
    });
    expect(read.every(([position]) => position < 40 || position >= header)).toBe(true);

    read.length = 0;
    expect([graph.typeId[3], graph.typeId[0]]).toEqual([3, 0]);
    const { position, storedLength } = index.sections.find(({ name }) => name === 'typeId')!
      .blocks[0];
    expect(read).toEqual([[position, storedLength]]);
  });

  test('damage in a column is no harm to who does not need it', async () => {
    const bytes = await encode(drawGraph(SMALL).graph);
    const { index } = openBytes(bytes);
    bytes[index.sections.find(({ name }) => name === 'previewBytes')!.blocks[0].position] ^= 1;
    const { graph } = openBytes(bytes);

    expect(typeNameOf(graph, findNodeAt(graph, graph.address[3])!)).toBe('app.T');
    expect(() => graph.previewBytes).toThrow(/checksum/);
    expect(() => graph.previewBytes).toThrow(/checksum/);
  });
});

describe('a file of version 1', () => {
  // tests/files/README.md says how it was made.
  const old = gunzipSync(
    readFileSync(new URL('../../tests/files/version-1.lscope.gz', import.meta.url)),
  );

  test('is read as it was, and is the same when it is written again', async () => {
    const graph = decode(old);
    const sessions = graph.typeId.reduce(
      (count, _, node) => count + (typeNameOf(graph, node) === '__main__.Session' ? 1 : 0),
      0,
    );
    expect({ nodes: graph.nodeCount, edges: graph.edgeCount, sessions }).toEqual({
      ...{ nodes: 11_841, edges: 29_112 },
      sessions: 20,
    });
    expect(graph.native?.facts.allocator).toBe('glibc');
    expect(graph.traces?.facts.maxFrames).toBe(3);
    expect(graph.execution?.facts.threads.length).toBe(1);

    expect(decode(await encode(graph))).toEqual(graph);
  });

  test('is refused when it is cut off and when a bit is another, and so is the same in version 2', async () => {
    for (const bytes of [old, await encode(decode(old))]) {
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
          expect(decodeOrRefuse(bytes.subarray(0, at), decode)).not.toBe('read');
          const flipped = Buffer.from(bytes);
          flipped[at] ^= 1 << bit;
          expect(decodeOrRefuse(flipped, decode)).not.toBe('read');
          expect(decodeOrRefuse(flipped, useAll)).not.toBe('read');
        }),
        { numRuns: 40 },
      );
    }
  });
});

const asBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
