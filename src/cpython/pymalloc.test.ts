import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Problems } from '../base/problems.ts';
import { buildMemoryImage } from '../memory/memory-image.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { findLayout } from './layout.ts';
import { blockSizeAt, findBlockStart, forEachLiveBlock, readPymalloc } from './pymalloc.ts';
import { featuresOf, findVersionOfText } from './version.ts';

const POOL = 16384;
const ARENAS = 0x7f1000000000;
const STATICS = 0x600000;
const TABLE = 0x7f2000000000;

interface PoolContent {
  szidx: number;
  /** Blocks that were ever used. */
  carved: number;
  /** Rows of the free ones, in the order of the free list. */
  free?: readonly number[];
}

/** Bytes of a pool at `address` as Objects/obmalloc.c would leave it. */
function makePool(address: number, { szidx, carved, free = [] }: PoolContent, arenaindex = 0) {
  const bytes = new Uint8Array(POOL);
  const view = new DataView(bytes.buffer);
  const size = (szidx + 1) * 16;
  const blockAt = (row: number) => 48 + row * size;
  const pointer = (row: number | undefined) =>
    row === undefined ? 0n : BigInt(address + blockAt(row));
  view.setUint32(0, carved - free.length, true);
  view.setBigUint64(8, pointer(free[0]), true);
  view.setUint32(32, arenaindex, true);
  view.setUint32(36, szidx, true);
  view.setUint32(40, blockAt(carved), true);
  view.setUint32(44, POOL - size, true);
  for (const [i, row] of free.entries()) {
    view.setBigUint64(blockAt(row), pointer(free[i + 1]), true);
  }
  return { bytes, view };
}

/** A 3.11 whose arena table is found by symbols, by search (`stripped`) or not at all. */
function read(
  pieces: readonly { address: number; bytes: Uint8Array }[],
  {
    table = 'symbols',
    poolsCarved = 4,
  }: { table?: 'symbols' | 'search' | 'none'; poolsCarved?: number } = {},
) {
  const entry = new Uint8Array(4096);
  const entryView = new DataView(entry.buffer);
  entryView.setBigUint64(0, BigInt(ARENAS), true);
  entryView.setBigUint64(8, BigInt(ARENAS + poolsCarved * POOL), true);
  entryView.setUint32(16, 64 - poolsCarved, true);
  entryView.setUint32(20, 64, true);
  const statics = new Uint8Array(4096);
  const staticsView = new DataView(statics.buffer);
  if (table !== 'none') staticsView.setBigUint64(0x100, BigInt(TABLE), true);
  staticsView.setUint32(0x108, 16, true);
  const image = buildMemoryImage([
    { address: STATICS, bytes: statics },
    { address: TABLE, bytes: entry },
    ...pieces,
  ]);
  const symbols: Record<string, number> =
    table === 'symbols' ? { arenas: STATICS + 0x100, maxarenas: STATICS + 0x108 } : {};
  const runtime = {
    layout: findLayout('3.11'),
    features: featuresOf(findVersionOfText('3.11.7')!),
    findSymbol: (name: string) => symbols[name],
    staticRanges: [{ start: STATICS, end: STATICS + 4096 }],
    interpreters: [],
  } as unknown as PythonRuntime;
  const problems = new Problems();
  const pymalloc = readPymalloc(image, runtime, problems);
  const blocks: number[] = [];
  forEachLiveBlock(image, pymalloc, (word) => blocks.push(image.addressOfWord(word)));
  return { image, pymalloc, problems: problems.list(), blocks };
}

const poolAt = (row: number) => ARENAS + row * POOL;
const piece = (row: number, content: PoolContent) => ({
  address: poolAt(row),
  bytes: makePool(poolAt(row), content).bytes,
});

test('live blocks are those ever used that are not on the free list', () => {
  const { pymalloc, blocks, problems } = read(
    [
      piece(0, { szidx: 3, carved: 6, free: [4, 1] }),
      piece(1, { szidx: 31, carved: 31 }),
      piece(2, { szidx: 0, carved: 3, free: [2, 0, 1] }),
    ],
    { poolsCarved: 3 },
  );
  expect(problems).toEqual([]);
  expect(blocks.slice(0, 4)).toEqual([0, 2, 3, 5].map((row) => poolAt(0) + 48 + row * 64));
  expect(blocks).toHaveLength(4 + 31);
  expect(pymalloc.totals).toMatchObject({
    arenas: 1,
    arenaBytes: 1 << 20,
    usedPools: 2,
    freePools: 61,
    liveBlocks: 35,
    liveBytes: 4 * 64 + 31 * 512,
  });
  const { liveBytes, freeBlockBytes, freePoolBytes, overheadBytes } = pymalloc.totals;
  expect(liveBytes + freeBlockBytes + freePoolBytes + overheadBytes).toBe(1 << 20);
});

test('an address inside of a block leads to its start, one outside to none', () => {
  const { image, pymalloc } = read([piece(0, { szidx: 3, carved: 6, free: [4, 1] })], {
    poolsCarved: 1,
  });
  const start = (offset: number) => {
    const word = findBlockStart(pymalloc, image.wordAtAddress(poolAt(0) + offset));
    return word === 0 ? 0 : image.addressOfWord(word) - poolAt(0);
  };
  expect([47, 48, 111, 48 + 2 * 64 + 63].map(start)).toEqual([0, 48, 48, 48 + 128]);
  expect([48 + 64, 48 + 4 * 64 + 8, 48 + 6 * 64, POOL - 8].map(start)).toEqual([0, 0, 0, 0]);
  expect(blockSizeAt(pymalloc, image.wordAtAddress(poolAt(0) + 60))).toBe(64);
  expect(blockSizeAt(pymalloc, image.wordAtAddress(TABLE))).toBe(0);
});

test('without symbols the table is the one that knows all pools', () => {
  const pools = [0, 2, 3].map((row) => piece(row, { szidx: row, carved: 10, free: [3] }));
  const { pymalloc, problems } = read([...pools, piece(1, { szidx: 5, carved: 1, free: [0] })], {
    table: 'search',
  });
  expect(problems).toEqual([]);
  expect(pymalloc.method[0]).toMatch(/by a search .* 1 arenas, 3 used pools, 0 more/);
  expect(pymalloc.totals).toMatchObject({ usedPools: 3, freePools: 60 });
});

test('without any table pools are known by their headers', () => {
  const { pymalloc, blocks } = read([piece(0, { szidx: 7, carved: 9 })], { table: 'none' });
  expect(pymalloc.method[0]).toMatch(/^no arena table: 1 pools/);
  expect(blocks).toHaveLength(9);
});

test('a pool that no arena knows is read and counted', () => {
  const { pymalloc, problems } = read(
    [piece(0, { szidx: 7, carved: 9 }), piece(40, { szidx: 7, carved: 5 })],
    { poolsCarved: 1 },
  );
  expect(pymalloc.totals.liveBlocks).toBe(14);
  expect(problems).toEqual([{ kind: 'pool-outside-arenas', count: 1, examples: [poolAt(40)] }]);
});

test.each([
  ['leaves the pool', (view: DataView) => view.setBigUint64(48 + 4 * 64, BigInt(poolAt(1)), true)],
  [
    'runs in a circle',
    (view: DataView) => view.setBigUint64(48 + 64, BigInt(poolAt(0) + 48 + 4 * 64), true),
  ],
  [
    'leads between blocks',
    (view: DataView) => view.setBigUint64(48 + 4 * 64, BigInt(poolAt(0) + 48 + 72), true),
  ],
])('a free list that %s ends and is counted', (_what, damage) => {
  const { bytes, view } = makePool(poolAt(0), { szidx: 3, carved: 8, free: [4, 1, 5] });
  damage(view);
  const { problems, blocks } = read([{ address: poolAt(0), bytes }], { poolsCarved: 1 });
  expect(problems).toEqual([{ kind: 'pool-count-differs', count: 1, examples: [poolAt(0)] }]);
  expect(blocks.length).toBeGreaterThan(4);
});

test('a damaged header and a pool that was not copied are counted', () => {
  const { bytes, view } = makePool(poolAt(0), { szidx: 3, carved: 8 });
  view.setUint32(44, 12, true);
  const { problems, blocks } = read([{ address: poolAt(0), bytes }], { poolsCarved: 2 });
  expect(problems.map((problem) => problem.kind)).toEqual([
    'pool-header-damaged',
    'pool-not-copied',
  ]);
  expect(blocks).toEqual([]);
});

test('any bytes are read without an error or an endless loop', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: POOL / 4 - 1 }), fc.nat()), { maxLength: 40 }),
      fc.array(fc.nat({ max: 60 }), { maxLength: 10 }),
      (writes, free) => {
        const rows = [...new Set(free)];
        const { bytes, view } = makePool(poolAt(0), { szidx: 3, carved: 61, free: rows });
        for (const [at, value] of writes) view.setUint32(at * 4, value, true);
        const { pymalloc, blocks } = read([{ address: poolAt(0), bytes }], { poolsCarved: 1 });
        expect(blocks.length).toBe(pymalloc.totals.liveBlocks);
      },
    ),
    { numRuns: 200 },
  );
});
