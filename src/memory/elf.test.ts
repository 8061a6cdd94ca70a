import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bufferSource, ElfFile, EM_X86_64, ET_DYN, openElfFile, PT_LOAD } from './elf.ts';

const BUILD_ID = 'a7516ae81afc8457cbb59039c47cb6428c978064';

interface TestSymbol {
  /** Offset of the name in STRINGS. */
  name: number;
  value: number;
  section: number;
  type?: number;
}

/** `Runtime` is the end of `_PyRuntime`, as linkers merge them. */
const STRINGS = '\0_PyRuntime\0other\0';
const SECTION_NAMES = '\0.dynsym\0.symtab\0.strtab\0.PyRuntime\0.shstrtab\0';

/** A small library: one loaded segment, one note with a build id, both symbol tables and a section of Python's. */
function buildElf(): Buffer {
  const symbols = (list: TestSymbol[]) =>
    Buffer.concat(
      [{ name: 0, value: 0, section: 0 }, ...list].map(({ name, value, section, type = 1 }) => {
        const bytes = Buffer.alloc(24);
        bytes.writeUInt32LE(name, 0);
        bytes.writeUInt8(0x10 | type, 4);
        bytes.writeUInt16LE(section, 6);
        bytes.writeBigUInt64LE(BigInt(value), 8);
        bytes.writeBigUInt64LE(8n, 16);
        return bytes;
      }),
    );
  const note = Buffer.alloc(16 + 20);
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(20, 4);
  note.writeUInt32LE(3, 8);
  note.write('GNU\0', 12, 'latin1');
  note.write(BUILD_ID, 16, 'hex');
  const dynamic = symbols([
    { name: 1, value: 0x5000, section: 4 },
    { name: 4, value: 0, section: 0 },
    { name: 12, value: 0x40, section: 4, type: 6 },
  ]);
  const all = symbols([
    { name: 1, value: 0x9999, section: 4 },
    { name: 4, value: 0x6000, section: 4, type: 2 },
  ]);
  const parts = [note, dynamic, all, Buffer.from(STRINGS), Buffer.from(SECTION_NAMES)];
  const offsets: number[] = [];
  let end = 64 + 2 * 56;
  for (const part of parts) {
    offsets.push(end);
    end += part.length;
  }
  const header = Buffer.alloc(64 + 2 * 56);
  header.write('7f454c4602010100', 'hex');
  header.writeUInt16LE(ET_DYN, 16);
  header.writeUInt16LE(EM_X86_64, 18);
  header.writeBigUInt64LE(64n, 32);
  header.writeBigUInt64LE(BigInt(end), 40);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(6, 60);
  header.writeUInt16LE(5, 62);
  writeSegment(header, 64, PT_LOAD, 0, 0x1000, 0x2000);
  writeSegment(header, 120, 4, offsets[0], 0x1000 + offsets[0], note.length);
  const nameOf = (name: string) => SECTION_NAMES.indexOf(`\0${name}\0`) + 1;
  const sections = [
    writeSection(0, 0, 0, 0, 0, 0),
    writeSection(nameOf('.dynsym'), 11, offsets[1], dynamic.length, 3, 24),
    writeSection(nameOf('.symtab'), 2, offsets[2], all.length, 3, 24),
    writeSection(nameOf('.strtab'), 3, offsets[3], STRINGS.length, 0, 0),
    writeSection(nameOf('.PyRuntime'), 1, offsets[0], 36, 0, 0, 0x5000),
    writeSection(nameOf('.shstrtab'), 3, offsets[4], SECTION_NAMES.length, 0, 0),
  ];
  return Buffer.concat([header, ...parts, ...sections]);
}

function writeSegment(
  header: Buffer,
  at: number,
  type: number,
  offset: number,
  vaddr: number,
  size: number,
): void {
  header.writeUInt32LE(type, at);
  header.writeBigUInt64LE(BigInt(offset), at + 8);
  header.writeBigUInt64LE(BigInt(vaddr), at + 16);
  header.writeBigUInt64LE(BigInt(size), at + 32);
  header.writeBigUInt64LE(BigInt(size), at + 40);
}

function writeSection(
  name: number,
  type: number,
  offset: number,
  size: number,
  link: number,
  entrySize: number,
  vaddr = 0,
): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(name, 0);
  bytes.writeUInt32LE(type, 4);
  bytes.writeBigUInt64LE(BigInt(vaddr), 16);
  bytes.writeBigUInt64LE(BigInt(offset), 24);
  bytes.writeBigUInt64LE(BigInt(size), 32);
  bytes.writeUInt32LE(link, 40);
  bytes.writeBigUInt64LE(BigInt(entrySize), 56);
  return bytes;
}

const open = (bytes: Uint8Array) => ElfFile.fromSource(bufferSource(bytes));

/** Asks a file for everything that there is to ask. */
function useEverything(elf: ElfFile | undefined): void {
  if (elf === undefined) return;
  elf.findSymbols(['_PyRuntime', 'Runtime', 'other', 'nothing']);
  const section = elf.findSection('.PyRuntime');
  if (section !== undefined) elf.readSection(section);
  void elf.buildId;
}

test('headers, segments, sections and the build id are read', () => {
  const elf = open(buildElf())!;
  expect([elf.is64Bit, elf.isLittleEndian, elf.type, elf.machine]).toEqual([true, true, 3, 62]);
  expect(elf.segments[0]).toMatchObject({ type: PT_LOAD, vaddr: 0x1000, memorySizeBytes: 0x2000 });
  expect(elf.sections.map(({ name }) => name)).toEqual([
    '',
    '.dynsym',
    '.symtab',
    '.strtab',
    '.PyRuntime',
    '.shstrtab',
  ]);
  expect(elf.findSection('.PyRuntime')).toMatchObject({ vaddr: 0x5000, sizeBytes: 36 });
  expect(elf.buildId).toBe(BUILD_ID);
});

test('.dynsym comes before .symtab, and .symtab gives what is local', () => {
  const symbols = open(buildElf())!.findSymbols(['_PyRuntime', 'Runtime', 'other', 'missing']);
  expect(symbols.get('_PyRuntime')).toEqual({ vaddr: 0x5000, sizeBytes: 8, isFunction: false });
  expect(symbols.get('Runtime')).toEqual({ vaddr: 0x6000, sizeBytes: 8, isFunction: true });
  expect(symbols.has('missing')).toBe(false);
});

test('thread-local and undefined symbols are no addresses', () => {
  const elf = open(buildElf())!;
  expect(elf.findSymbol('other')).toBeUndefined();
  expect(elf.findSymbol('')).toBeUndefined();
});

test('a 32-bit file says so and gives nothing else', () => {
  const bytes = buildElf();
  bytes[4] = 1;
  const elf = open(bytes)!;
  expect(elf.is64Bit).toBe(false);
  expect(elf.machine).toBe(EM_X86_64);
  expect([elf.segments, elf.sections, elf.findSymbol('_PyRuntime')]).toEqual([[], [], undefined]);
});

test('what is no ELF file is undefined', () => {
  expect(open(Buffer.alloc(0))).toBeUndefined();
  expect(open(Buffer.from('#!/bin/sh\n'.repeat(20)))).toBeUndefined();
  expect(openElfFile('/nowhere/at/all')).toBeUndefined();
  expect(openElfFile('/proc/self/maps')).toBeUndefined();
});

test('a file cut short at any length neither throws nor hangs', () => {
  const bytes = buildElf();
  for (let length = 0; length < bytes.length; length++)
    useEverything(open(bytes.subarray(0, length)));
});

test('random damage neither throws nor hangs', () => {
  const whole = buildElf();
  const damage = fc.tuple(fc.nat(whole.length - 1), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff));
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 12 }), (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      useEverything(open(bytes));
    }),
    { numRuns: 3000 },
  );
});

test('the running Node is an ELF file with its own symbols', () => {
  const opened = openElfFile(process.execPath)!;
  expect(opened.elf.is64Bit).toBe(true);
  expect(opened.elf.segments.some(({ type }) => type === PT_LOAD)).toBe(true);
  opened.close();
});
