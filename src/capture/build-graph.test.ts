import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint8, growableUint32, type Uint32Column } from '../base/columns.ts';
import { type FoundObjects, LARGE } from '../cpython/found-objects.ts';
import type { ObjectReader } from '../cpython/object-reader.ts';
import { EdgeKind, type HeapGraph } from '../graph/heap-graph.ts';
import { buildMemoryImage } from '../memory/memory-image.ts';
import { buildGraph, draftGraph } from './build-graph.ts';
import { sortFound } from './sort-found.ts';
import { writePreviews } from './write-previews.ts';

const BASE = 0x7f0000000000;
const PAGES = 3;

/** Row `i`: its place in the heap, in 64-byte steps, and the rows that it refers to. */
interface DrawnRow {
  place: number;
  targets: number[];
}

function uint32Column(values: readonly number[]): Uint32Column {
  const column = growableUint32(1);
  for (const value of values) column.push(value);
  return column;
}

/** What discovery hands over. The pages do not follow each other in the target: each is a run of its own. */
function findRows(rows: readonly DrawnRow[], largeRow = -1): FoundObjects {
  const image = buildMemoryImage(
    Array.from({ length: PAGES }, (_, page) => ({
      address: BASE + page * 0x10000,
      bytes: new Uint8Array(4096),
    })),
  );
  const wordOf = (place: number) => 512 + place * 8;
  const objectBits = makeBitSet(image.endWord);
  for (const { place } of rows) setBit(objectBits, wordOf(place));
  const flags = growableUint8(1);
  const edgeKind = growableUint8(1);
  const firstEdge = uint32Column([0]);
  const edgeTargetWord = growableUint32(1);
  const edgeLabel = growableUint32(1);
  rows.forEach(({ targets }, row) => {
    flags.push(row & 7);
    targets.forEach((target, i) => {
      edgeTargetWord.push(wordOf(rows[target].place));
      edgeKind.push(EdgeKind.item);
      edgeLabel.push(row * 1000 + i);
    });
    firstEdge.push(edgeTargetWord.length);
  });
  const sizes = rows.map((_, row) => (row === largeRow ? LARGE : 100 + row));
  const largeSizes: FoundObjects['largeSizes'] = new Map();
  if (largeRow >= 0) {
    largeSizes.set(wordOf(rows[largeRow].place), { shallow: 2 ** 33, allocated: 2 ** 34 });
  }
  return {
    image,
    objectBits,
    word: uint32Column(rows.map(({ place }) => wordOf(place))),
    typeId: uint32Column(rows.map(() => 0)),
    shallowSize: uint32Column(sizes),
    allocatedSize: uint32Column(sizes),
    largeSizes,
    referenceCount: uint32Column(rows.map((_, row) => row)),
    flags,
    firstEdge,
    edgeTargetWord,
    edgeKind,
    edgeLabel,
    weakSourceWord: growableUint32(1),
    weakTargetWord: growableUint32(1),
    types: [],
    strings: [],
    referencesFollowed: 0,
    referencesLost: 0,
  };
}

/** The preview of each object is the low byte of its word. */
function build(found: FoundObjects): HeapGraph {
  const sorted = sortFound(found, []);
  const previews = writePreviews(
    {} as ObjectReader,
    (_reader, word, _type, out) => out.push((word >>> 3) & 0xff),
    { word: found.word.finish(), typeId: found.typeId.finish(), types: [] },
  );
  const capture = {} as HeapGraph['capture'];
  return buildGraph(draftGraph({ sorted, intern: () => 0, roots: [], capture }), previews);
}

const addressOf = (place: number): number =>
  BASE + Math.floor(place / 64) * 0x10000 + (place % 64) * 64;

/** Rows in any order, behind a beginning in ascending order as pymalloc's blocks have it. */
const drawnRows: fc.Arbitrary<DrawnRow[]> = fc
  .uniqueArray(fc.nat(PAGES * 64 - 1), { minLength: 1, maxLength: 40 })
  .chain((places) =>
    fc.record({
      places: fc.constant(places),
      sorted: fc.nat(places.length),
      targets: fc.array(fc.array(fc.nat(places.length - 1), { maxLength: 4 }), {
        minLength: places.length,
        maxLength: places.length,
      }),
    }),
  )
  .map(({ places, sorted, targets }) => {
    const head = places.slice(0, sorted).sort((a, b) => a - b);
    return [...head, ...places.slice(sorted)].map((place, row) => ({
      place,
      targets: targets[row],
    }));
  });

describe('a graph of found objects', () => {
  test('has everything of each object at its node, whatever the order of discovery', () => {
    fc.assert(
      fc.property(drawnRows, (rows) => {
        const graph = build(findRows(rows));
        const order = [...rows.keys()].sort((a, b) => rows[a].place - rows[b].place);
        const nodeOf = (row: number) => order.indexOf(row);
        expect([...graph.address]).toEqual(order.map((row) => addressOf(rows[row].place)));
        expect([...graph.referenceCount]).toEqual(order);
        expect([...graph.nodeFlags]).toEqual(order.map((row) => row & 7));
        expect([...graph.shallowSize]).toEqual(order.map((row) => 100 + row));
        expect([...graph.previewBytes]).toEqual(order.map((row) => (64 + rows[row].place) & 0xff));
        order.forEach((row, node) => {
          const [first, end] = graph.firstEdge.subarray(node, node + 2);
          expect([...graph.edgeTarget.subarray(first, end)]).toEqual(rows[row].targets.map(nodeOf));
          expect([...graph.edgeLabel.subarray(first, end)]).toEqual(
            rows[row].targets.map((_, i) => row * 1000 + i),
          );
        });
        expect(graph.edgeCount).toBe(graph.firstEdge[rows.length]);
      }),
    );
  });

  test('keeps sizes that need more than 32 bits', () => {
    const rows = [5, 1, 3].map((place) => ({ place, targets: [] }));
    const graph = build(findRows(rows, 0));
    expect([...graph.shallowSize]).toEqual([101, 102, 2 ** 33]);
    expect([...graph.allocatedSize]).toEqual([101, 102, 2 ** 34]);
  });

  test('needs no pages of the image any more', () => {
    const used = findRows([{ place: 1, targets: [] }]);
    used.image.release();
    expect([...build(used).address]).toEqual([addressOf(1)]);
  });
});
