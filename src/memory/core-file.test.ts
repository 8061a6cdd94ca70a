import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { buildCore, type CoreParts } from '../../tests/support/built-core.ts';
import { UserError } from '../base/errors.ts';
import { type CoreFile, isCoreFile, openCore, refuseNoCore } from './core-file.ts';
import { CoreLibraries } from './core-libraries.ts';
import { buildCoreMappings } from './core-mappings.ts';
import { makeCoreMemory } from './core-memory.ts';
import { CorePages } from './core-pages.ts';
import { findLostStacks, findSignalName, readCommand } from './core-process.ts';
import type { PageRun } from './memory-image.ts';

const folder = mkdtempSync(join(tmpdir(), 'leakscope-core-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function write(bytes: Uint8Array): string {
  const path = join(folder, `core-${count++}`);
  writeFileSync(path, bytes);
  return path;
}

const page = (fill: number, pages = 1): Uint8Array => new Uint8Array(4096 * pages).fill(fill);

function withCore<T>(parts: CoreParts | Buffer, use: (core: CoreFile) => T): T {
  const core = openCore(write(Buffer.isBuffer(parts) ? parts : buildCore(parts)));
  try {
    return use(core);
  } finally {
    core.close();
  }
}

function readerOf(core: CoreFile) {
  const libraries = new CoreLibraries(core);
  const mappings = buildCoreMappings(core, libraries);
  return { libraries, mappings, memory: makeCoreMemory(core, libraries, mappings) };
}

const heap = { address: 0x10000, bytes: page(7, 2) };

test('segments and notes of a core come out as they were written', () => {
  withCore(
    {
      segments: [heap, { address: 0x40000, bytes: page(0, 0), memoryBytes: 8192, flags: 4 }],
      threads: [
        { tid: 7, registers: { 15: 232, 19: 0x10f00, 16: 0x55, 14: 0x1234 } },
        { tid: 8, registers: { 15: -1, 19: 0x11f00 } },
      ],
      files: [{ start: 0x40000, end: 0x42000, page: 3, path: '/opt/lib x.so (deleted)' }],
      signal: 11,
    },
    (core) => {
      expect(core.segments).toEqual([
        {
          start: 0x10000,
          end: 0x12000,
          dumpedEnd: 0x12000,
          heldEnd: 0x12000,
          fileOffset: expect.any(Number),
          readable: true,
          writable: true,
          executable: false,
        },
        {
          start: 0x40000,
          end: 0x42000,
          dumpedEnd: 0x40000,
          heldEnd: 0x40000,
          fileOffset: expect.any(Number),
          readable: true,
          writable: false,
          executable: false,
        },
      ]);
      const { threads, pid, argumentsText, files } = core.notes;
      expect(
        threads.map(({ tid, stackPointer, systemCall }) => [tid, stackPointer, systemCall]),
      ).toEqual([
        [7, 0x10f00, 232],
        [8, 0x11f00, -1],
      ]);
      expect(threads[0].registers).toContain(0x1234);
      expect(threads[0].instructionPointer).toBe(0x55);
      expect({ pid, argumentsText, signal: findSignalName(core), machine: core.machine }).toEqual({
        pid: 4242,
        argumentsText: 'python app.py',
        signal: 'SIGSEGV',
        machine: 'x86-64',
      });
      expect(files).toEqual([
        { start: 0x40000, end: 0x42000, offset: 0x3000, path: '/opt/lib x.so (deleted)' },
      ]);
      expect(buildCoreMappings(core, new CoreLibraries(core))[1]).toMatchObject({
        path: '/opt/lib x.so',
        isDeleted: true,
        offset: 0x3000,
        isPrivate: true,
      });
    },
  );
});

test('registers of arm64 are where that machine has them', () => {
  withCore(
    {
      machine: 183,
      threads: [{ tid: 1, registers: { 31: 0x7000, 32: 0x8000, 30: 0x9000 } }],
      segments: [heap],
    },
    (core) => {
      const [{ stackPointer, instructionPointer, systemCall, registers }] = core.notes.threads;
      expect([core.machine, stackPointer, instructionPointer, systemCall]).toEqual([
        'arm64',
        0x7000,
        0x8000,
        undefined,
      ]);
      expect(registers[30]).toBe(0x9000);
    },
  );
});

test('more segments than the header can count are counted in the first section', () => {
  const segments = Array.from({ length: 70_000 }, (_, i) => ({
    address: 0x10000 + i * 0x2000,
    bytes: new Uint8Array(0),
    memoryBytes: 4096,
  }));
  withCore({ segments, extended: true }, (core) => {
    expect(core.segments.length).toBe(70_000);
    expect(core.segments[69_999].start).toBe(0x10000 + 69_999 * 0x2000);
  });
});

test('memory is read across segments, and not where the core has none', () => {
  withCore(
    {
      segments: [
        heap,
        { address: 0x12000, bytes: page(9) },
        { address: 0x20000, bytes: page(1), memoryBytes: 8192 },
      ],
    },
    (core) => {
      const { memory } = readerOf(core);
      expect(memory.readU32(0x11ffe)).toBe(0x09090707);
      expect([...memory.bytesAt(0x12ffe, 2)]).toEqual([9, 9]);
      for (const address of [0x13000, 0xffff, 0x21000])
        expect(() => memory.readU8(address)).toThrow('cannot read');
    },
  );
});

test('what was cut off is missing, also where a file has pages of that place', () => {
  const file = write(page(5, 4));
  const bytes = buildCore({
    segments: [heap, { address: 0x40000, bytes: page(3, 4), flags: 6 }],
    files: [{ start: 0x40000, end: 0x44000, page: 0, path: file }],
  });
  withCore(bytes.subarray(0, bytes.length - 2 * 4096 - 100), (core) => {
    expect(core.cutOffBytes).toBe(3 * 4096);
    const { memory } = readerOf(core);
    expect(memory.readU8(0x40fff)).toBe(3);
    expect(() => memory.readU8(0x41000)).toThrow('cannot read');
  });
});

test('zeros below the stack pointer and in memory that is not writable are no pages, others are', () => {
  const stack = new Uint8Array(8 * 4096);
  stack.fill(1, 4096, 4097);
  withCore(
    {
      segments: [
        { address: 0x10000, bytes: page(0, 2) },
        { address: 0x20000, bytes: page(0, 2), flags: 4 },
        { address: 0x30000, bytes: stack },
      ],
      threads: [{ tid: 1, registers: { 19: 0x36100 } }],
    },
    (core) => {
      const { libraries, mappings } = readerOf(core);
      const pages = new CorePages(core, libraries, mappings);
      const runs: PageRun[] = [];
      const counts = { ownPages: 0, filePages: 0, swappedPages: 0 };
      for (const { start, end } of mappings) pages.appendRuns(start, end, false, runs, counts);
      expect(runs).toEqual([
        { address: 0x10000, pageCount: 2 },
        { address: 0x31000, pageCount: 1 },
        { address: 0x36000, pageCount: 2 },
      ]);
      expect(counts.ownPages).toBe(5);
    },
  );
});

test('the stack of a thread that is zeros is lost', () => {
  withCore(
    {
      segments: [
        { address: 0x10000, bytes: page(0, 2) },
        { address: 0x20000, bytes: page(1, 2) },
      ],
    },
    (core) => {
      const { memory } = readerOf(core);
      const threads = [0x10800, 0x20800, 0x99000].map((stackPointer, tid) => ({
        tid,
        innerTid: tid,
        name: '',
        stackPointer,
        registers: [],
      }));
      expect(findLostStacks(threads, memory).map(({ lacksStack }) => lacksStack === true)).toEqual([
        true,
        false,
        true,
      ]);
    },
  );
});

test('the command line is read from the stack, all of it', () => {
  const long = 'x'.repeat(300);
  const stack = Buffer.alloc(2 * 4096);
  const base = 0x50000;
  const texts = Buffer.from(
    ['python', '-m', '', long, 'HOME=/root', 'python'].join('\0').concat('\0'),
  );
  const at = 5000;
  texts.copy(stack, at);
  stack.write('x86_64\0', 4300);
  const env = base + at + texts.indexOf('HOME');
  const auxiliary: [number, number][] = [
    [33, 0x7ff00000],
    [25, base + 4200],
    [15, base + 4300],
    [31, base + at + texts.length - 7],
  ];
  const pointers = [4, base + at, 0, env, 0, ...auxiliary.flat(), 0, 0];
  for (const [i, value] of pointers.entries()) stack.writeBigUInt64LE(BigInt(value), 2048 + i * 8);
  const parts = {
    segments: [{ address: base, bytes: stack }],
    auxiliary,
    argumentsText: 'python -m  xxx',
  };
  withCore(parts, (core) => {
    const { mappings, memory } = readerOf(core);
    expect(readCommand(core, mappings, memory)).toEqual(['python', '-m', '', long]);
  });
  withCore({ ...parts, auxiliary: [] }, (core) => {
    const { mappings, memory } = readerOf(core);
    expect(readCommand(core, mappings, memory)).toEqual(['python', '-m', '', 'xxx']);
  });
});

const refusals: [string, Uint8Array, RegExp, number][] = [
  [
    'another machine',
    buildCore({ machine: 243, segments: [heap] }),
    /machine 243.*x86-64 and arm64/,
    4,
  ],
  [
    '32 bits',
    (() => {
      const core = buildCore({ segments: [heap] });
      core[4] = 1;
      return core;
    })(),
    /32-bit process/,
    4,
  ],
  ['no segment', buildCore({ type: 4 }), /program headers are missing/, 4],
  [
    'headers only',
    buildCore({ segments: [heap] }).subarray(0, 100),
    /program headers are missing/,
    4,
  ],
];
test.each(refusals)('a core is refused: %s', (_, bytes, reason, exitCode) => {
  const path = write(bytes);
  expect(isCoreFile(path)).toBe(true);
  const error = (() => {
    try {
      openCore(path).close();
    } catch (thrown) {
      return thrown;
    }
    return undefined;
  })();
  expect(error).toBeInstanceOf(UserError);
  expect(`${(error as UserError).message}`).toMatch(reason);
  expect((error as UserError).exitCode).toBe(exitCode);
});

test('what is no core is told by its beginning', () => {
  const begins: [string, RegExp][] = [
    ['28b52ffd00', /zstd.*zstd -d/],
    ['04224d1800', /lz4.*coredumpctl dump/],
    ['1f8b0800', /gzip.*gunzip/],
    ['fd377a585a00', /xz/],
  ];
  for (const [hex, text] of begins) {
    const path = write(Buffer.from(hex.padEnd(60, '0'), 'hex'));
    expect(isCoreFile(path)).toBe(false);
    expect(() => refuseNoCore(path)).toThrow(text);
  }
  expect(() => refuseNoCore(process.execPath)).toThrow(/ELF program/);
  for (const path of [
    write(Buffer.from('some text')),
    write(Buffer.alloc(0)),
    '/nowhere',
    folder,
  ]) {
    expect(isCoreFile(path)).toBe(false);
    expect(() => refuseNoCore(path)).not.toThrow();
  }
});

test('damaged headers and notes give an error or less, and never a hang', () => {
  const whole = buildCore({
    segments: [
      heap,
      { address: 0x12000, bytes: page(9) },
      { address: 0x40000, bytes: page(1), memoryBytes: 8192, flags: 5 },
    ],
    threads: [
      { tid: 1, registers: { 19: 0x10f00 } },
      { tid: 2, registers: {} },
    ],
    files: [{ start: 0x40000, end: 0x42000, page: 0, path: process.execPath }],
    auxiliary: [
      [9, 0x40100],
      [25, 0x11000],
      [33, 0x12000],
    ],
  });
  const end = 64 + 4 * 56 + 26_000;
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.nat(end),
          fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
          fc.integer({ min: 1, max: 8 }),
        ),
        { minLength: 1, maxLength: 6 },
      ),
      fc.option(fc.nat(whole.length)),
      (damages, length) => {
        const bytes = Buffer.from(length === null ? whole : whole.subarray(0, length));
        for (const [at, value, run] of damages)
          bytes.fill(value, Math.min(at, bytes.length), Math.min(at + run, bytes.length));
        const path = write(bytes);
        try {
          const core = openCore(path);
          try {
            const { libraries, mappings, memory } = readerOf(core);
            readCommand(core, mappings, memory);
            const pages = new CorePages(core, libraries, mappings);
            for (const mapping of mappings) pages.appendRuns(mapping.start, mapping.end, true, []);
            libraries.close();
          } finally {
            core.close();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
        } finally {
          rmSync(path);
        }
      },
    ),
    { numRuns: 500 },
  );
});
