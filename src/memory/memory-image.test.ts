import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryReadError } from '../base/errors.ts';
import {
  allocateImageStorage,
  buildMemoryImage,
  MemoryImage,
  PAGE_SIZE,
  type PageRun,
} from './memory-image.ts';

/** Runs with gaps of 0 to 5 pages, from anywhere in the address space, some across a GiB boundary. */
const anyRuns = fc
  .tuple(
    fc.integer({ min: 1, max: 2 ** 35 - 4096 }),
    fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 1, max: 6 })), {
      minLength: 1,
      maxLength: 20,
    }),
    fc.boolean(),
  )
  .map(([firstPage, pieces, nearBoundary]) => {
    let page = nearBoundary ? Math.ceil(firstPage / 2 ** 18) * 2 ** 18 - 3 : firstPage;
    return pieces.map(([gap, pageCount]): PageRun => {
      const run = { address: (page + gap) * PAGE_SIZE, pageCount };
      page += gap + pageCount;
      return run;
    });
  });

test('every copied address becomes a word and back, and holds what was put there', () => {
  fc.assert(
    fc.property(anyRuns, (runs) => {
      const image = new MemoryImage(runs);
      runs.forEach((_, i) => {
        image.bytesOfRun(i).fill(i + 1);
      });
      runs.forEach((run, i) => {
        for (let offset = 0; offset < run.pageCount * PAGE_SIZE; offset += 1000) {
          const address = run.address + offset - (offset % 8);
          const word = image.wordAtAddress(address);
          expect(word).toBeGreaterThan(0);
          expect(image.addressOfWord(word)).toBe(address);
          expect(image.readU8(address)).toBe(i + 1);
          expect(image.wordAt(address % 2 ** 32, Math.floor(address / 2 ** 32))).toBe(word);
        }
      });
    }),
  );
});

test('a run ends where the next page of the target was not copied', () => {
  fc.assert(
    fc.property(anyRuns, (runs) => {
      const image = new MemoryImage(runs);
      const copied = new Set(
        runs.flatMap((run) =>
          Array.from({ length: run.pageCount }, (_, i) => run.address / PAGE_SIZE + i),
        ),
      );
      for (const page of copied) {
        const address = page * PAGE_SIZE;
        let next = page;
        while (copied.has(next)) next++;
        const word = image.wordAtAddress(address);
        expect(image.runEnd(word)).toBe(word + ((next - page) * PAGE_SIZE) / 8);
        expect(image.has(address, (next - page) * PAGE_SIZE)).toBe(true);
        expect(image.has(address, (next - page) * PAGE_SIZE + 1)).toBe(false);
        expect(copied.has(next) || image.wordAtAddress(next * PAGE_SIZE) === 0).toBe(true);
      }
    }),
  );
});

test('values are read as little-endian numbers, also across two runs that touch', () => {
  const image = new MemoryImage([
    { address: 0x7000_0000_0000, pageCount: 1 },
    { address: 0x7000_0000_1000, pageCount: 1 },
  ]);
  const bytes = Buffer.alloc(2 * PAGE_SIZE);
  bytes.writeBigUInt64LE(0x7fff_1234_5678n, 16);
  bytes.writeBigInt64LE(-5n, 24);
  bytes.writeUInt32LE(0xdeadbeef, PAGE_SIZE - 2);
  bytes.write('hello', PAGE_SIZE + 100, 'latin1');
  image.bytesOfRun(0).set(bytes.subarray(0, PAGE_SIZE));
  image.bytesOfRun(1).set(bytes.subarray(PAGE_SIZE));
  expect(image.readAddress(0x7000_0000_0010)).toBe(0x7fff_1234_5678);
  expect(image.readI64(0x7000_0000_0018)).toBe(-5);
  expect(image.readI32(0x7000_0000_0018)).toBe(-5);
  expect(image.readU32(0x7000_0000_0ffe)).toBe(0xdeadbeef);
  expect(image.findCString(0x7000_0000_1064)).toBe('hello');
  expect(image.sizeBytes).toBe(2 * PAGE_SIZE);
});

test('reading where nothing was copied throws, at a gap, at both ends and far away', () => {
  const image = buildMemoryImage([{ address: 0x10000, bytes: Uint8Array.of(1, 2, 3) }]);
  for (const address of [0, 0xffff, 0x10ffd, 0x11000, 2 ** 47, 2 ** 48, 2 ** 52, -8]) {
    expect(() => image.readU32(address), `at ${address}`).toThrow(MemoryReadError);
  }
  expect(image.findCString(0x11000)).toBeUndefined();
  expect(image.wordAtAddress(2 ** 50)).toBe(0);
});

test('a string stops at its limit and at the end of what was copied', () => {
  const image = buildMemoryImage([{ address: 0x10000, bytes: new Uint8Array(PAGE_SIZE).fill(97) }]);
  expect(image.findCString(0x10000, 3)).toBe('aaa');
  expect(image.findCString(0x10ffe)).toBe('aa');
});

test('pieces in any order, sharing a page, make one image', () => {
  const image = buildMemoryImage([
    { address: 0x20ffe, bytes: Uint8Array.of(1, 2, 3, 4) },
    { address: 0x20000, bytes: Uint8Array.of(9) },
  ]);
  expect(image.readU8(0x20000)).toBe(9);
  expect(image.readU32(0x20ffe)).toBe(0x04030201);
});

test('storage that was filled before gives the same image', () => {
  const storage = allocateImageStorage(10);
  storage.fill(7, 1024, 3 * 1024);
  const image = new MemoryImage([{ address: 0x50000, pageCount: 2 }], storage);
  expect(image.readU32(0x51ffc)).toBe(7);
  expect(image.endWord).toBe((3 * PAGE_SIZE) / 8);
  expect(image.halves.length).toBe(3 * 1024);
});

test('an image of a hundred thousand single pages is built and searched in well under a second', () => {
  const runs = Array.from({ length: 100_000 }, (_, i) => ({
    address: 0x7f00_0000_0000 + i * 2 * PAGE_SIZE,
    pageCount: 1,
  }));
  const begin = performance.now();
  const image = new MemoryImage(runs);
  for (let i = 0; i < runs.length; i++) {
    if (image.addressOfWord(image.wordAtAddress(runs[i].address)) !== runs[i].address) {
      throw new Error(`row ${i}`);
    }
  }
  expect(performance.now() - begin).toBeLessThan(3000);
});
