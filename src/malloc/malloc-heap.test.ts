// A glibc heap built in code, for tests: turns a list of chunks into the pages of libc's data and of the heap, as one of
// glibc's layouts has them, and the mappings. The tests beside it check that what is drawn is read back.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Problems } from '../base/problems.ts';
import type { Mapping } from '../memory/mappings.ts';
import { buildMemoryImage, type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import {
  BINNED,
  chunkContaining,
  FASTBIN,
  GAP,
  IN_USE,
  MMAPPED,
  TCACHE,
  TOP,
} from './chunk-rows.ts';
import { mallocParLayouts, mallocStateLayouts, tcacheLayouts } from './glibc-layouts.ts';
import {
  addressOfChunk,
  endWordOfChunk,
  findChunkAtAddress,
  firstWordOfChunk,
  forEachChunk,
  type MallocHeap,
  readMallocHeap,
  userBytesOf,
} from './malloc-heap.ts';
import { computeTrim } from './trim.ts';

const HEAP = 0x555500000000;
const LIBC = 0x7f0000000000;
const MAPPED = 0x7f1000000000;
const ARENA = LIBC + 0xc60;

type Kind = 'used' | 'free' | 'tcache' | 'fastbin';

interface DrawnChunk {
  sizeBytes: number;
  kind: Kind;
}

interface Drawing {
  chunks: readonly DrawnChunk[];
  topBytes?: number;
  /** Row of each table of layouts. */
  version?: { state: number; par: number; tcache: number };
  isMangled?: boolean;
  /** User pointers of mapped chunks, less where their mapping begins. */
  mapped?: readonly { offset: number; mappingBytes: number }[];
}

interface Drawn {
  bytes: { address: number; bytes: Buffer }[];
  mappings: Mapping[];
  /** Of the headers, in the order of the drawing. */
  addresses: number[];
  top: number;
  end: number;
}

const IN_2_36 = { state: 0, par: 1, tcache: 1 };
const IN_2_43 = { state: 1, par: 2, tcache: 2 };
const IN_2_31 = { state: 0, par: 0, tcache: 1 };

function mapping(start: number, bytes: number, path: string, inode = 0): Mapping {
  const file = { offset: 0, device: '00:00', inode, path, isDeleted: false };
  const rights = { readable: true, writable: true, executable: false, isPrivate: true };
  return { start, end: start + bytes, ...rights, ...file };
}

function draw({
  chunks,
  topBytes = 0x2000,
  version = IN_2_36,
  isMangled = true,
  mapped = [],
}: Drawing): Drawn {
  const state = mallocStateLayouts[version.state];
  const par = mallocParLayouts[version.par];
  const cache = tcacheLayouts[version.tcache];
  const cacheBytes = Math.ceil((cache.sizeBytes + 8) / 16) * 16;
  const all = [{ sizeBytes: cacheBytes, kind: 'used' as Kind }, ...chunks];
  const used = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const end = HEAP + Math.ceil((used + topBytes) / PAGE_SIZE) * PAGE_SIZE;
  const top = HEAP + used;
  const heap = Buffer.alloc(end - HEAP);
  const libc = Buffer.alloc(2 * PAGE_SIZE);
  const put = (address: number, value: number) => {
    const [bytes, base] = address < LIBC ? [heap, HEAP] : [libc, LIBC];
    bytes.writeBigUInt64LE(BigInt(value), address - base);
  };
  const mangle = (position: number, pointer: number) =>
    isMangled ? Number(BigInt(pointer) ^ (BigInt(position) >> 12n)) : pointer;

  for (let bin = 0; bin < 127; bin++) {
    const at = ARENA + state.bins + 16 * bin;
    put(at, at - 16);
    put(at + 8, at - 16);
  }
  put(ARENA + state.top, top);
  put(ARENA + state.next, ARENA);
  put(ARENA + state.system_mem, end - HEAP);
  put(ARENA + state.max_system_mem, end - HEAP);
  const mp = LIBC + 0x300;
  put(mp + par.trim_threshold, 1 << 17);
  put(mp + par.mmap_threshold, 1 << 17);
  put(mp + par.arena_test, 8);
  const mappedBytes = mapped.reduce((sum, { mappingBytes }) => sum + mappingBytes, 0);
  libc.writeUInt32LE(mapped.length, mp - LIBC + par.n_mmaps);
  libc.writeUInt32LE(65536, mp - LIBC + par.n_mmaps_max);
  libc.writeUInt32LE(mapped.length, mp - LIBC + par.max_n_mmaps);
  put(mp + par.mmapped_mem, mappedBytes);
  put(mp + par.max_mmapped_mem, mappedBytes);
  put(mp + par.sbrk_base, HEAP);
  put(mp + par.tcache_bins, 64);
  put(mp + par.tcache_max_bytes, 1033);
  put(mp + par.tcache_count, 7);

  const addresses: number[] = [];
  let at = HEAP;
  let previousIsFree = false;
  const unsorted = ARENA + state.bins - 16;
  const free: number[] = [];
  const cached = new Map<number, number[]>();
  for (const { sizeBytes, kind } of all) {
    put(at + 8, sizeBytes | (previousIsFree ? 0 : 1));
    previousIsFree = kind === 'free';
    if (kind === 'free') {
      put(at + sizeBytes, sizeBytes);
      free.push(at);
    }
    if (kind === 'tcache') {
      const bin = sizeBytes / 16 - 2;
      cached.set(bin, [...(cached.get(bin) ?? []), at + 16]);
    }
    if (kind === 'fastbin') {
      const head = ARENA + state.fastbinsY + 8 * (sizeBytes / 16 - 2);
      put(at + 16, mangle(at + 16, Number(libc.readBigUInt64LE(head - LIBC))));
      put(head, at);
    }
    addresses.push(at);
    at += sizeBytes;
  }
  put(top + 8, (end - top) | (previousIsFree ? 0 : 1));
  const ring = [unsorted, ...free];
  ring.forEach((chunk, row) => {
    put(chunk + 16, ring[(row + 1) % ring.length]);
    put(chunk + 24, ring[(row + ring.length - 1) % ring.length]);
  });
  for (let bin = 0; bin < cache.bins; bin++) {
    const users = cached.get(bin) ?? [];
    const count = cache.counts === 'chunks' ? users.length : 7 - users.length;
    heap.writeUIntLE(count, 16 + bin * cache.countBytes, cache.countBytes);
    users.forEach((user, row) => {
      if (row === 0) put(HEAP + 16 + cache.entries + 8 * bin, user);
      put(user, mangle(user, users[row + 1] ?? 0));
    });
  }
  const area = Buffer.alloc(mappedBytes);
  let start = 0;
  for (const { offset, mappingBytes } of mapped) {
    const short = par.mmappedSizeIsShort ? 16 : 0;
    // What memalign leaves behind.
    area.writeBigUInt64LE(BigInt(mappingBytes - short + 2), start + 8);
    area.writeBigUInt64LE(BigInt(offset - 16), start + offset - 16);
    area.writeBigUInt64LE(BigInt(mappingBytes - offset + 16 - short + 2), start + offset - 8);
    start += mappingBytes;
  }
  return {
    bytes: [
      { address: HEAP, bytes: heap },
      { address: LIBC, bytes: libc },
      { address: MAPPED, bytes: area },
    ],
    mappings: [
      mapping(HEAP, end - HEAP, '[heap]'),
      mapping(LIBC, libc.length, '/usr/lib/x86_64-linux-gnu/libc.so.6', 42),
      mapping(MAPPED, area.length, ''),
    ],
    addresses: addresses.slice(1),
    top,
    end,
  };
}

function read(drawn: Drawn): { image: MemoryImage; heap: MallocHeap; problems: Problems } {
  const image = buildMemoryImage(drawn.bytes);
  const problems = new Problems();
  const heap = readMallocHeap(image, drawn.mappings, problems);
  if (heap === undefined) throw new Error('no heap was found');
  return { image, heap, problems };
}

const stateOf: Record<Kind, number> = {
  used: IN_USE,
  free: BINNED,
  tcache: TCACHE,
  fastbin: FASTBIN,
};

/** Chunks with their addresses, in order, the tcache's own and the top left out. */
function readBack(image: MemoryImage, heap: MallocHeap): [number, number, number][] {
  const chunks: [number, number, number][] = [];
  forEachChunk(heap, (row, _word, userBytes, state) => {
    const address = addressOfChunk(heap, image, row) - 16;
    if (state !== TOP && state !== MMAPPED && address !== HEAP) {
      chunks.push([address, userBytes + 8, state]);
    }
  });
  return chunks;
}

const expected = (drawn: Drawn, chunks: readonly DrawnChunk[]): [number, number, number][] =>
  chunks.map(({ sizeBytes, kind }, row) => [drawn.addresses[row], sizeBytes, stateOf[kind]]);

const SOME: DrawnChunk[] = [
  { sizeBytes: 0x40, kind: 'used' },
  { sizeBytes: 0x40, kind: 'tcache' },
  { sizeBytes: 0x40, kind: 'tcache' },
  { sizeBytes: 0x500, kind: 'free' },
  { sizeBytes: 0x20, kind: 'used' },
  { sizeBytes: 0x6010, kind: 'free' },
  { sizeBytes: 0x30, kind: 'tcache' },
  { sizeBytes: 0x9000, kind: 'used' },
  { sizeBytes: 0x20, kind: 'used' },
];
const WITH_FASTBINS: DrawnChunk[] = [
  ...SOME,
  { sizeBytes: 0x20, kind: 'fastbin' },
  { sizeBytes: 0x20, kind: 'fastbin' },
  { sizeBytes: 0x80, kind: 'fastbin' },
  { sizeBytes: 0x50, kind: 'used' },
];

describe('a heap that is in order', () => {
  test.each([
    {
      name: '2.28',
      version: { state: 0, par: 0, tcache: 0 },
      isMangled: false,
      chunks: WITH_FASTBINS,
    },
    { name: '2.31', version: IN_2_31, isMangled: false, chunks: WITH_FASTBINS },
    { name: '2.36', version: IN_2_36, isMangled: true, chunks: WITH_FASTBINS },
    {
      name: '2.42',
      version: { state: 0, par: 1, tcache: 2 },
      isMangled: true,
      chunks: WITH_FASTBINS,
    },
    { name: '2.43', version: IN_2_43, isMangled: true, chunks: SOME },
  ])('is read chunk by chunk as glibc $name has it', ({ version, isMangled, chunks }) => {
    const drawn = draw({ chunks, version, isMangled });
    const { image, heap, problems } = read(drawn);
    expect(readBack(image, heap)).toEqual(expected(drawn, chunks));
    expect(heap.checks.filter((check) => check.expected !== check.found)).toEqual([]);
    expect(problems.list()).toEqual([]);
    expect(heap.method).toEqual([
      mallocStateLayouts[version.state].name,
      mallocParLayouts[version.par].name,
      tcacheLayouts[version.tcache].name,
      isMangled ? 'mangled lists' : 'plain lists',
    ]);
    expect(heap.arenas[0].totals.topBytes).toBe(drawn.end - drawn.top);
  });

  const kinds = fc.constantFrom<Kind>('used', 'used', 'tcache', 'free');
  const units = fc.oneof(fc.integer({ min: 2, max: 60 }), fc.integer({ min: 2, max: 2000 }));

  test('leads each word to the chunk that has it, whatever the chunks are', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(units, kinds), { maxLength: 60 }), (list) => {
        const chunks = list.map(([unit, kind], row) => ({
          sizeBytes: unit * 16,
          // Free neighbours would have been joined, and tcaches hold small chunks.
          kind:
            (kind === 'free' && (list[row - 1]?.[1] === 'free' || row === list.length - 1)) ||
            (kind === 'tcache' && unit > 65)
              ? ('used' as Kind)
              : kind,
        }));
        const lessOften = chunks.map((chunk, row) =>
          chunks.slice(0, row).filter((each) => each.sizeBytes === chunk.sizeBytes).length > 6 &&
          chunk.kind === 'tcache'
            ? { ...chunk, kind: 'used' as Kind }
            : chunk,
        );
        const drawn = draw({ chunks: lessOften });
        const { image, heap } = read(drawn);
        expect(readBack(image, heap)).toEqual(expected(drawn, lessOften));
        const { headerWord, sizeUnits, state, length } = heap.rows;
        let row = 0;
        for (let word = 0; word < image.endWord; word++) {
          while (row + 1 < length && headerWord[row + 1] <= word) row++;
          const isInside =
            word > headerWord[row] &&
            state[row] !== GAP &&
            word < headerWord[row] + sizeUnits[row] * 2;
          expect(chunkContaining(heap.index, word)).toBe(isInside ? row : -1);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('has mapped chunks, those that memalign moved among them', () => {
    for (const version of [IN_2_36, IN_2_43]) {
      const mapped = [
        { offset: 16, mappingBytes: 0x30000 },
        { offset: 0x40, mappingBytes: 0x21000 },
        { offset: 0x3000, mappingBytes: 0x41000 },
        { offset: 16, mappingBytes: 0x22000 },
      ];
      const { image, heap } = read(draw({ chunks: SOME, version, mapped }));
      const found: number[][] = [];
      forEachChunk(heap, (row, _word, userBytes, state) => {
        if (state === MMAPPED) found.push([addressOfChunk(heap, image, row), userBytes]);
      });
      const less = version === IN_2_43 ? 8 : 0;
      expect(found).toEqual([
        [MAPPED + 16, 0x30000 - 16 - less],
        [MAPPED + 0x30000 + 0x40, 0x21000 - 0x40 - less],
        [MAPPED + 0x51000 + 0x3000, 0x41000 - 0x3000 - less],
        [MAPPED + 0x92000 + 16, 0x22000 - 16 - less],
      ]);
      expect(heap.checks.filter((check) => check.expected !== check.found)).toEqual([]);
    }
  });

  test('is trimmed as glibc would: whole pages in free chunks that are resident, and the top', () => {
    const drawn = draw({ chunks: SOME, topBytes: 0x5000 });
    const whole = computeTrim(read(drawn).heap, read(drawn).image);
    // The free chunk of 0x6010 bytes, less the page of its header and what lies behind the last whole page.
    const [chunk] = drawn.addresses.slice(5, 6);
    const from = Math.ceil((chunk + 48) / PAGE_SIZE) * PAGE_SIZE;
    const to = Math.floor((chunk + 0x6010) / PAGE_SIZE) * PAGE_SIZE;
    const topArea = drawn.end - drawn.top - 33;
    const topBytes = topArea - (topArea % PAGE_SIZE);
    expect(whole.releasedBytes).toBe(to - from + topBytes);
    expect([...whole.ranges.address]).toEqual([from, drawn.end - topBytes]);

    // A page in the middle that was given back already counts no more.
    const [heapBytes] = drawn.bytes;
    const hole = from + PAGE_SIZE;
    const parts = [
      { address: HEAP, bytes: heapBytes.bytes.subarray(0, hole - HEAP) },
      { address: hole + PAGE_SIZE, bytes: heapBytes.bytes.subarray(hole + PAGE_SIZE - HEAP) },
      ...drawn.bytes.slice(1),
    ];
    const holed = read({ ...drawn, bytes: parts });
    expect(computeTrim(holed.heap, holed.image).releasedBytes).toBe(
      whole.releasedBytes - PAGE_SIZE,
    );
    expect(readBack(holed.image, holed.heap)).toEqual(expected(drawn, SOME));
  });
});

describe('a heap that is damaged', () => {
  const chunks = Array.from({ length: 300 }, (_, row) => ({
    sizeBytes: 0x40 + 16 * (row % 50),
    kind: 'used' as Kind,
  }));

  test('is read on behind an impossible size, which is told', () => {
    const drawn = draw({ chunks });
    const [{ bytes }] = drawn.bytes;
    bytes.writeBigUInt64LE(0xfffffffn * 16n, drawn.addresses[100] + 8 - HEAP);
    const { image, heap, problems } = read(drawn);
    expect(heap.corruption.map(({ address }) => address)).toEqual([drawn.addresses[100]]);
    expect(problems.list().map(({ kind }) => kind)).toContain('malloc-size-impossible');
    const found = new Set(readBack(image, heap).map(([address]) => address));
    expect(drawn.addresses.filter((address) => !found.has(address))).toEqual([
      drawn.addresses[100],
    ]);
    expect(chunkContaining(heap.index, image.wordAtAddress(drawn.addresses[100] + 32))).toBe(-1);
  });

  test('is read on behind a page that was not copied', () => {
    const drawn = draw({ chunks });
    const [{ bytes }] = drawn.bytes;
    const hole = HEAP + 5 * PAGE_SIZE;
    const parts = [
      { address: HEAP, bytes: bytes.subarray(0, hole - HEAP) },
      { address: hole + PAGE_SIZE, bytes: bytes.subarray(hole + PAGE_SIZE - HEAP) },
      ...drawn.bytes.slice(1),
    ];
    const { image, heap, problems } = read({ ...drawn, bytes: parts });
    expect(problems.list()).toEqual([
      { kind: 'malloc-header-not-copied', count: 1, examples: [expect.any(Number)] },
    ]);
    const found = new Set(readBack(image, heap).map(([address]) => address));
    const lost = drawn.addresses.filter((address) => !found.has(address));
    expect(lost.every((address) => address >= hole - 16 && address < hole + PAGE_SIZE)).toBe(true);
    expect(lost.length).toBeGreaterThan(3);
  });

  test('has its top where a thread was about to write the size of it', () => {
    const drawn = draw({ chunks });
    drawn.bytes[0].bytes.writeBigUInt64LE(0n, drawn.top + 8 - HEAP);
    const { image, heap, problems } = read(drawn);
    expect(readBack(image, heap)).toEqual(expected(drawn, chunks));
    expect(heap.arenas[0].totals.topBytes).toBe(drawn.end - drawn.top);
    expect(problems.list().map(({ kind }) => kind)).toEqual(['malloc-top-half-written']);
  });

  test('never makes the reader throw, hang or invent chunks', () => {
    const start = performance.now();
    const drawn = draw({
      chunks: WITH_FASTBINS.concat(chunks),
      mapped: [{ offset: 16, mappingBytes: 0x4000 }],
    });
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(63)), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(damage, fc.nat(2), (flips, region) => {
        const pieces = drawn.bytes.map(({ address, bytes }) => ({
          address,
          bytes: Buffer.from(bytes),
        }));
        const { bytes } = pieces[region];
        for (const [place, bit] of flips) {
          const at = (place * 8) % bytes.length;
          bytes[at + (bit >> 3)] ^= 1 << (bit & 7);
        }
        const image = buildMemoryImage(pieces);
        const heap = readMallocHeap(image, drawn.mappings, new Problems());
        if (heap === undefined) return;
        computeTrim(heap, image);
        expect(heap.rows.length).toBeLessThan(2 * (WITH_FASTBINS.length + chunks.length));
        for (let row = 0; row < heap.rows.length; row++) {
          expect(heap.rows.headerWord[row]).toBeLessThan(heap.rows.headerWord[row + 1]);
          expect(userBytesOf(heap, row)).toBeLessThan(1 << 20);
        }
      }),
      { numRuns: 300 },
    );
    expect(performance.now() - start).toBeLessThan(20_000);
  });
});

describe('addresses', () => {
  test('lead to a chunk where its memory was never touched', () => {
    // The header is the last word of a page, as it is when a block begins with a page.
    const first = PAGE_SIZE - 0x290 - 16;
    const chunks: DrawnChunk[] = [
      { sizeBytes: first, kind: 'used' },
      { sizeBytes: 0x5000, kind: 'used' },
      { sizeBytes: 0x20, kind: 'used' },
    ];
    const drawn = draw({ chunks });
    const user = drawn.addresses[1] + 16;
    expect(user % PAGE_SIZE).toBe(0);
    const [{ bytes }] = drawn.bytes;
    const parts = [
      { address: HEAP, bytes: bytes.subarray(0, user - HEAP) },
      { address: user + 3 * PAGE_SIZE, bytes: bytes.subarray(user + 3 * PAGE_SIZE - HEAP) },
      ...drawn.bytes.slice(1),
    ];
    const { image, heap } = read({ ...drawn, bytes: parts });
    const row = findChunkAtAddress(heap, image, user);
    expect(addressOfChunk(heap, image, row)).toBe(user);
    expect(userBytesOf(heap, row)).toBe(0x5000 - 8);
    expect(findChunkAtAddress(heap, image, user + 0x2ff8)).toBe(row);
    expect(findChunkAtAddress(heap, image, user + 0x3000)).toBe(row);
    // Of its content, only the pages that were copied, up to the size field of the next chunk.
    const contentWord = firstWordOfChunk(heap, row);
    expect(image.addressOfWord(contentWord)).toBe(user + 0x3000);
    expect((endWordOfChunk(heap, row) - contentWord) * 8).toBe(0x2000 - 8);
    expect(findChunkAtAddress(heap, image, user - 8)).toBe(-1);
    expect(findChunkAtAddress(heap, image, HEAP - 8)).toBe(-1);
    expect(findChunkAtAddress(heap, image, drawn.end + 64)).toBe(-1);
  });
});

test('a process without glibc has no heap of glibc', () => {
  const image = buildMemoryImage([{ address: LIBC, bytes: Buffer.alloc(PAGE_SIZE, 7) }]);
  const mappings = [mapping(LIBC, PAGE_SIZE, '/usr/lib/libc.so.6', 42)];
  expect(readMallocHeap(image, mappings, new Problems())).toBeUndefined();
});
