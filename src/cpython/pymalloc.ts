// Enumerates the blocks that pymalloc has given out: turns a frozen target into its pools, with one bit for each live
// block, so that any address in a pool leads to its block in constant time. All interpreters.
// Source: Objects/obmalloc.c, Include/internal/pycore_obmalloc.h (3.8 to 3.15): pools of 4 KiB (3.8, 3.9) or 16 KiB.
//
// A pool in use is recognised by its header (size class, offsets and count agree) and its free list; arena tables give
// the bounds and the free pools, and pools outside of them are taken all the same and counted (`pool-outside-arenas`).
// Not handled: mimalloc (recognised), arena allocators set with PyObject_SetArenaAllocator that do not align pools.

import { type BitSet, hasBit, makeBitSet } from '../base/bit-set.ts';
import { growableUint32, type Uint32Column } from '../base/columns.ts';
import type { Problems } from '../base/problems.ts';
import { type MemoryImage, PAGE_SIZE, pageOfWord } from '../memory/memory-image.ts';
import { readArenaTables, type SeenPool } from './arena-table.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { type Allocator, findObjectAllocator } from './object-allocator.ts';

const PAGE_WORDS = PAGE_SIZE / 8;
const TWO_32 = 2 ** 32;
/** sizeof(struct pool_header), rounded to the alignment of 16. */
const POOL_HEADER_BYTES = 48;
const POOL_HEADER_WORDS = POOL_HEADER_BYTES / 8;
const SIZE_CLASSES = 32;
const ALIGNMENT = 16;
const MAX_ARENA_INDEX = 1 << 20;
/** PYTHONMALLOC=debug: 16 bytes before the data, 8 bytes behind it. */
const DEBUG_EXTRA_BYTES = 24;

export interface PymallocTotals {
  arenas: number;
  arenaBytes: number;
  /** Of them, bytes in pages that were copied: what is not resident costs nothing. */
  residentBytes: number;
  /** Pools with at least one live block. */
  usedPools: number;
  /** Pools in arenas without a live block, those that were never used included. */
  freePools: number;
  freePoolBytes: number;
  liveBlocks: number;
  liveBytes: number;
  /** Blocks in used pools that are not given out, those never used included. */
  freeBlockBytes: number;
  /** Pool headers, what is left behind a pool's last block, and what alignment takes from arenas. */
  overheadBytes: number;
}

export interface Pymalloc {
  allocator: Allocator;
  poolBytes: number;
  /** Words from the start of a block to the data in it: 2 when the allocator writes debug heads, else 0. */
  dataOffsetWords: number;
  /** One row per used pool: word of its header, bytes of its blocks, word behind the last block that was ever used. */
  poolWord: Uint32Array;
  blockBytes: Uint32Array;
  endWord: Uint32Array;
  /** Bit `word >>> 1` is set for each word at which a live block starts. */
  liveBlocks: BitSet;
  /** Row of the pool + 1 per page of the image; 0 = no used pool. */
  poolByPage: Uint32Array;
  /** Ascending; where no table was found, one per pool in use. */
  arenas: readonly { start: number; end: number }[];
  totals: PymallocTotals;
  /** Blocks above 512 bytes that malloc gave out on pymalloc's behalf; undefined where no counter is found. */
  rawAllocatedBlocks: number | undefined;
  method: string[];
}

interface PoolRows {
  word: Uint32Column;
  blockBytes: Uint32Column;
  endWord: Uint32Column;
  poolByPage: Uint32Array;
  image: MemoryImage;
  poolBytes: number;
  problems: Problems;
}

/** Finds all pools and marks their live blocks. About 10 ns per block; 8 bytes per KiB of image. */
export function readPymalloc(
  image: MemoryImage,
  runtime: PythonRuntime,
  problems: Problems,
): Pymalloc {
  const { poolBytes } = runtime.features;
  const rows: PoolRows = {
    word: growableUint32(),
    blockBytes: growableUint32(),
    endWord: growableUint32(),
    poolByPage: new Uint32Array(Math.ceil(image.endWord / PAGE_WORDS)),
    image,
    poolBytes,
    problems,
  };
  const tables = readArenaTables(image, runtime, () => seePools(image, poolBytes));
  let freePools = 0;
  let arenaBytes = 0;
  let residentBytes = 0;
  for (const arena of tables.arenas) {
    for (let pool = arena.poolsStart; pool < arena.carvedEnd; pool += poolBytes) {
      addTablePool(rows, pool);
    }
    freePools += arena.freePoolCount;
    arenaBytes += arenaBytesOf(arena.poolCount * poolBytes, runtime.features.arenaBytes);
    residentBytes += copiedBytes(image, arena.poolsStart, arena.poolCount * poolBytes);
  }
  const poolsInTables = rows.word.length;
  const outside = addOutsidePools(rows);
  const liveBlocks = makeBitSet(Math.ceil(image.endWord / 2));
  const counts = markLiveBlocks(rows, liveBlocks);
  if (tables.badEntries > 0) problems.add('arena-entry-implausible', 0, tables.badEntries);
  const hasTable = tables.method !== '';
  if (!hasTable) {
    arenaBytes = outside.arenaCount * runtime.features.arenaBytes;
    residentBytes = rows.word.length * poolBytes;
    freePools = Math.max(0, arenaBytes / poolBytes - rows.word.length);
  } else if (outside.pools > 0)
    problems.add('pool-outside-arenas', outside.firstAddress, outside.pools);
  const usedPools = rows.word.length;
  const pymalloc: Pymalloc = {
    allocator: 'pymalloc',
    poolBytes,
    dataOffsetWords: 0,
    poolWord: rows.word.finish(),
    blockBytes: rows.blockBytes.finish(),
    endWord: rows.endWord.finish(),
    liveBlocks,
    poolByPage: rows.poolByPage,
    arenas: findArenaRanges(rows, tables.arenas, runtime.features.arenaBytes),
    totals: {
      arenas: hasTable ? tables.arenas.length : outside.arenaCount,
      arenaBytes,
      residentBytes,
      usedPools,
      freePools,
      freePoolBytes: freePools * poolBytes,
      ...counts,
      overheadBytes: Math.max(
        0,
        arenaBytes - freePools * poolBytes - counts.liveBytes - counts.freeBlockBytes,
      ),
    },
    rawAllocatedBlocks: tables.rawAllocatedBlocks,
    method: [
      hasTable
        ? `${tables.method}: ${tables.arenas.length} arenas, ${poolsInTables} used pools, ${outside.pools} more by their headers`
        : `no arena table: ${outside.pools} pools by their headers alone`,
    ],
  };
  const found = findObjectAllocator(image, runtime, (word) => findBlockStart(pymalloc, word) !== 0);
  if (found !== undefined) {
    Object.assign(pymalloc, found);
    pymalloc.method.push(`allocator ${found.allocator}, by the block of sys.__dict__`);
  }
  return pymalloc;
}

function findArenaRanges(
  { image, word, poolBytes }: PoolRows,
  arenas: readonly { start: number; poolCount: number }[],
  usualBytes: number,
): { start: number; end: number }[] {
  const ranges = arenas.map(({ start, poolCount }) => ({
    start,
    end: start + arenaBytesOf(poolCount * poolBytes, usualBytes),
  }));
  if (arenas.length > 0) return ranges.sort((a, b) => a.start - b.start);
  for (let row = 0; row < word.length; row++) {
    const start = image.addressOfWord(word.array[row]);
    ranges.push({ start, end: start + poolBytes });
  }
  return ranges.sort((a, b) => a.start - b.start);
}

/** Of the pages from `start` on, those that are in the image. */
function copiedBytes(image: MemoryImage, start: number, sizeBytes: number): number {
  let bytes = 0;
  for (let address = start; address < start + sizeBytes; address += PAGE_SIZE) {
    if (image.wordAtAddress(address) !== 0) bytes += PAGE_SIZE;
  }
  return bytes;
}

const arenaBytesOf = (poolsBytes: number, usual: number): number =>
  poolsBytes <= usual ? usual : 2 ** Math.ceil(Math.log2(poolsBytes));

// ---- pools

/**
 * Block size of the used pool whose header is at `word`; 0 if it is none, -1 if it is an empty pool. `reachesBytes` of the
 * pool were copied.
 */
function blockBytesOfPool(
  halves: Uint32Array,
  word: number,
  poolBytes: number,
  reachesBytes: number,
): number {
  const at = word * 2;
  const szidx = halves[at + 9];
  if (szidx >= SIZE_CLASSES) return 0;
  const blockBytes = (szidx + 1) * ALIGNMENT;
  const maxnextoffset = halves[at + 11];
  if (maxnextoffset !== poolBytes - blockBytes) return 0;
  const nextoffset = halves[at + 10];
  // A new pool gives out its first block at once: `nextoffset` is never below the second one.
  if (nextoffset < POOL_HEADER_BYTES + blockBytes || nextoffset > poolBytes) return 0;
  if ((nextoffset - POOL_HEADER_BYTES) % blockBytes !== 0) return 0;
  const count = halves[at];
  if (count > (nextoffset - POOL_HEADER_BYTES) / blockBytes) return 0;
  if (halves[at + 8] > MAX_ARENA_INDEX) return 0;
  if (reachesBytes < nextoffset - blockBytes + 8) return 0;
  return count === 0 ? -1 : blockBytes;
}

function addTablePool(rows: PoolRows, address: number): void {
  const { image, problems, poolBytes } = rows;
  const word = image.wordAtAddress(address);
  if (word === 0) {
    problems.add('pool-not-copied', address);
    return;
  }
  const reaches = (image.runEnd(word) - word) * 8;
  const blockBytes = blockBytesOfPool(image.halves, word, poolBytes, reaches);
  if (blockBytes === 0) problems.add('pool-header-damaged', address);
  else if (blockBytes > 0) addPool(rows, word, blockBytes);
}

function addPool(rows: PoolRows, word: number, blockBytes: number): void {
  const nextoffset = rows.image.halves[word * 2 + 10];
  rows.word.push(word);
  rows.blockBytes.push(blockBytes);
  rows.endWord.push(word + nextoffset / 8);
  const row = rows.word.length;
  // The end of the last block may lie in a page that was never touched: what follows in the image is of another place.
  const end = Math.min(word + nextoffset / 8, rows.image.runEnd(word));
  const lastPage = pageOfWord(end - 1);
  for (let page = pageOfWord(word); page <= lastPage; page++) {
    rows.poolByPage[page] = row;
  }
}

/** Calls `visit` for every place of the image where the header of a used pool lies, with a free list inside of the pool. */
function forEachPoolHeader(
  image: MemoryImage,
  poolBytes: number,
  visit: (word: number, address: number, blockBytes: number) => void,
): void {
  const halves = image.halves;
  for (const run of image.runs) {
    const runBytes = run.pageCount * PAGE_SIZE;
    const first = Math.ceil(run.address / poolBytes) * poolBytes;
    const firstWord = image.wordAtAddress(run.address);
    const end = image.runEnd(firstWord);
    for (let address = first; address < run.address + runBytes; address += poolBytes) {
      const word = firstWord + (address - run.address) / 8;
      const blockBytes = blockBytesOfPool(halves, word, poolBytes, (end - word) * 8);
      if (blockBytes <= 0) continue;
      const isFull = halves[word * 2 + 2] === 0 && halves[word * 2 + 3] === 0;
      const offset = halves[word * 2 + 2] - (address % TWO_32);
      const isInside = offset >= POOL_HEADER_BYTES && offset < poolBytes;
      const sameHigh = halves[word * 2 + 3] === Math.floor(address / TWO_32);
      if (isFull || (isInside && sameHigh)) visit(word, address, blockBytes);
    }
  }
}

function seePools(image: MemoryImage, poolBytes: number): SeenPool[] {
  const pools: SeenPool[] = [];
  forEachPoolHeader(image, poolBytes, (word, address) => {
    pools.push({ address, arenaIndex: image.halves[word * 2 + 8] });
  });
  return pools;
}

function addOutsidePools(rows: PoolRows): {
  pools: number;
  firstAddress: number;
  arenaCount: number;
} {
  const { image, poolByPage } = rows;
  const indices = new Set<number>();
  let pools = 0;
  let firstAddress = 0;
  forEachPoolHeader(image, rows.poolBytes, (word, address, blockBytes) => {
    if (poolByPage[pageOfWord(word)] !== 0) return;
    addPool(rows, word, blockBytes);
    indices.add(image.halves[word * 2 + 8]);
    if (pools++ === 0) firstAddress = address;
  });
  return { pools, firstAddress, arenaCount: indices.size };
}

// ---- blocks

function markLiveBlocks(
  rows: PoolRows,
  bits: BitSet,
): { liveBlocks: number; liveBytes: number; freeBlockBytes: number } {
  const { image, poolBytes, problems } = rows;
  let liveBlocks = 0;
  let liveBytes = 0;
  let freeBlockBytes = 0;
  const words = rows.word.array;
  const sizes = rows.blockBytes.array;
  const ends = rows.endWord.array;
  for (let row = 0; row < rows.word.length; row++) {
    const word = words[row];
    const blockBytes = sizes[row];
    const blockWords = blockBytes / 8;
    for (let block = word + POOL_HEADER_WORDS; block < ends[row]; block += blockWords) {
      bits[block >>> 6] |= 1 << ((block >>> 1) & 31);
    }
    const carved = (ends[row] - word - POOL_HEADER_WORDS) / blockWords;
    const live = carved - unmarkFreeBlocks(image, word, blockBytes, bits);
    if (live !== image.halves[word * 2]) {
      problems.add('pool-count-differs', image.addressOfWord(word));
    }
    liveBlocks += live;
    liveBytes += live * blockBytes;
    const capacity = Math.floor((poolBytes - POOL_HEADER_BYTES) / blockBytes);
    freeBlockBytes += (capacity - live) * blockBytes;
  }
  return { liveBlocks, liveBytes, freeBlockBytes };
}

/** Clears the bits of the blocks on the pool's free list; returns how many. Stops at the first link that leads elsewhere. */
function unmarkFreeBlocks(
  image: MemoryImage,
  pool: number,
  blockBytes: number,
  bits: BitSet,
): number {
  const halves = image.halves;
  const poolLo = poolLowAddress(image, pool);
  const nextoffset = halves[pool * 2 + 10];
  let free = 0;
  let lo = halves[pool * 2 + 2];
  let hi = halves[pool * 2 + 3];
  while (lo !== 0 || hi !== 0) {
    const offset = (lo - poolLo) >>> 0;
    if (offset < POOL_HEADER_BYTES || offset >= nextoffset) break;
    if ((offset - POOL_HEADER_BYTES) % blockBytes !== 0) break;
    const block = pool + offset / 8;
    const bit = 1 << ((block >>> 1) & 31);
    // A block that was met before: the list runs in a circle.
    if ((bits[block >>> 6] & bit) === 0) break;
    bits[block >>> 6] &= ~bit;
    free++;
    lo = halves[block * 2];
    hi = halves[block * 2 + 1];
  }
  return free;
}

const poolLowAddress = (image: MemoryImage, pool: number): number =>
  image.addressOfWord(pool) % TWO_32;

/** Rows of the used pools in ascending order of address. */
export const poolsInOrder = ({ poolWord }: Pick<Pymalloc, 'poolWord'>): Uint32Array =>
  Uint32Array.from(poolWord.keys()).sort((a, b) => poolWord[a] - poolWord[b]);

/**
 * Calls `visit` for each live block with the word of its data, the bytes that the data may take (with debug heads: that
 * were asked for) and the row of its pool, all in ascending order of address; only for those in the pools `rows`, if they are given.
 */
export function forEachLiveBlock(
  image: MemoryImage,
  pymalloc: Pymalloc,
  visit: (word: number, sizeBytes: number, poolRow: number) => void,
  rows = poolsInOrder(pymalloc),
): void {
  const { poolWord, blockBytes, endWord, liveBlocks, dataOffsetWords } = pymalloc;
  for (const row of rows) {
    const sizeBytes = blockBytes[row];
    const blockWords = sizeBytes / 8;
    const end = endWord[row];
    for (let block = poolWord[row] + POOL_HEADER_WORDS; block < end; block += blockWords) {
      if (((liveBlocks[block >>> 6] >>> ((block >>> 1) & 31)) & 1) === 0) continue;
      if (dataOffsetWords === 0) visit(block, sizeBytes, row);
      else visit(block + dataOffsetWords, debugSizeBytes(image.halves, block, sizeBytes), row);
    }
  }
}

/** The size that was asked for, big-endian in the first word of a debug block. */
function debugSizeBytes(halves: Uint32Array, block: number, blockBytes: number): number {
  const swapped = halves[block * 2 + 1];
  const asked =
    ((swapped >>> 24) |
      ((swapped >>> 8) & 0xff00) |
      ((swapped << 8) & 0xff0000) |
      (swapped << 24)) >>>
    0;
  return Math.min(asked, blockBytes - DEBUG_EXTRA_BYTES);
}

/** Word at which the block around `word` starts, if that lies in a live block of a used pool; else 0. O(1). */
export function findBlockStart(pymalloc: Pymalloc, word: number): number {
  const row = pymalloc.poolByPage[pageOfWord(word)] - 1;
  if (row < 0) return 0;
  const first = pymalloc.poolWord[row] + POOL_HEADER_WORDS;
  if (word < first || word >= pymalloc.endWord[row]) return 0;
  const blockWords = pymalloc.blockBytes[row] / 8;
  const start = word - ((word - first) % blockWords);
  return hasBit(pymalloc.liveBlocks, start >>> 1) ? start : 0;
}

/** Bytes of the blocks of the pool that `word` lies in; 0 if it lies in no used pool. O(1). */
export function blockSizeAt(pymalloc: Pymalloc, word: number): number {
  const row = pymalloc.poolByPage[pageOfWord(word)] - 1;
  return row < 0 ? 0 : pymalloc.blockBytes[row];
}
