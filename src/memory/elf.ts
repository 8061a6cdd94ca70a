// 64-bit little-endian ELF files: turns a file into segments, sections, symbols by name and the build id, reading only
// what is asked for. Source: the System V ABI (gABI 4.1, chapters 4 and 5) and its x86-64 supplement; elf.h of glibc.
//
// Files are damaged, cut short or replaced while they are read: every offset and count is checked against the file's
// size, and what cannot be read is undefined or empty, never an exception. Not handled: ELF32 and big-endian files
// beyond saying what they are, compressed sections, extended section numbers (over 65 279 sections), relocations. More
// segments than the header can count (PN_XNUM) occur in core files only.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Address } from './memory-reader.ts';

export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;
export const EM_X86_64 = 62;
export const EM_AARCH64 = 183;
export const PT_LOAD = 1;
export const PT_NOTE = 4;

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHT_DYNSYM = 11;
const SHN_UNDEF = 0;
const STT_FUNC = 2;
const STT_TLS = 6;
const STT_GNU_IFUNC = 10;
const NT_GNU_BUILD_ID = 3;
const HEADER_BYTES = 64;
const PHNUM_AT = 56;
const SEGMENT_BYTES = 56;
const SECTION_BYTES = 64;
const SYMBOL_BYTES = 24;
/** Symbol and string tables of debug builds have some 10 MB; larger ones are damaged. */
const MAX_TABLE_BYTES = 512 << 20;
const MAX_NOTE_BYTES = 1 << 20;
/** One call reads less than 2 GiB. */
const MAX_READ_BYTES = 1 << 30;
const SYMBOLS_PER_READ = 1 << 16;
/** In the place of the number of segments: it is in the first section's `sh_info`. */
const PN_XNUM = 0xffff;
/** 16 times the kernel's usual limit of mappings. */
const MAX_SEGMENTS = 1 << 20;

/** Where the bytes of an ELF file are: a file, or a test's buffer. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Fills `target` from `offset` of the source on; returns the number of bytes that there were. */
  read(offset: number, target: Uint8Array): number;
}

/** A program header. Offsets, addresses and sizes in bytes. */
export interface ElfSegment {
  type: number;
  flags: number;
  fileOffset: number;
  /** Before the load bias is added. */
  vaddr: Address;
  fileSizeBytes: number;
  memorySizeBytes: number;
}

export interface ElfSection {
  name: string;
  type: number;
  /** Before the load bias is added; 0 for what is not loaded. */
  vaddr: Address;
  fileOffset: number;
  sizeBytes: number;
  /** Row of the section that this one refers to: a symbol table's strings. */
  link: number;
  entrySizeBytes: number;
}

export interface ElfSymbol {
  /** Before the load bias is added. */
  vaddr: Address;
  sizeBytes: number;
  isFunction: boolean;
}

interface SymbolTable {
  section: ElfSection;
  /** The string table, with a zero in front so that every string is preceded by one. */
  strings: Buffer;
}

export class ElfFile {
  /** EM_X86_64 and so on. */
  readonly machine: number;
  /** ET_EXEC, ET_DYN and so on. */
  readonly type: number;
  /** Of a 32-bit or big-endian file nothing but this is known: no segments, sections or symbols. */
  readonly is64Bit: boolean;
  readonly isLittleEndian: boolean;
  readonly segments: readonly ElfSegment[];
  private readonly source: ByteSource;
  private readonly header: DataView;
  private sectionRows: readonly ElfSection[] | undefined;
  private symbolTables: readonly SymbolTable[] | undefined;

  private constructor(source: ByteSource, header: DataView) {
    this.source = source;
    this.header = header;
    this.is64Bit = header.getUint8(4) === 2;
    this.isLittleEndian = header.getUint8(5) === 1;
    this.type = header.getUint16(16, this.isLittleEndian);
    this.machine = header.getUint16(18, this.isLittleEndian);
    this.segments = this.is64Bit && this.isLittleEndian ? this.readSegments() : [];
  }

  /** undefined if the source does not begin as an ELF file does. Reads the headers only. */
  static fromSource(source: ByteSource): ElfFile | undefined {
    const bytes = new Uint8Array(HEADER_BYTES);
    if (source.read(0, bytes) !== HEADER_BYTES) return undefined;
    if (bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
      return undefined;
    }
    if (bytes[4] !== 1 && bytes[4] !== 2) return undefined;
    return new ElfFile(source, new DataView(bytes.buffer));
  }

  private readSegments(): ElfSegment[] {
    const rows = this.readRows(this.header, 32, 54, PHNUM_AT, SEGMENT_BYTES);
    if (rows === undefined) return [];
    const { view, stride, count } = rows;
    const segments: ElfSegment[] = [];
    for (let at = 0; at < count * stride; at += stride) {
      segments.push({
        type: view.getUint32(at, true),
        flags: view.getUint32(at + 4, true),
        fileOffset: readU64(view, at + 8),
        vaddr: readU64(view, at + 16),
        fileSizeBytes: readU64(view, at + 32),
        memorySizeBytes: readU64(view, at + 40),
      });
    }
    return segments;
  }

  /** All sections; empty where there are none (stripped of them, or the file is cut short). Cached. */
  get sections(): readonly ElfSection[] {
    this.sectionRows ??= this.is64Bit && this.isLittleEndian ? this.readSections() : [];
    return this.sectionRows;
  }

  private readSections(): ElfSection[] {
    const rows = this.readRows(this.header, 40, 58, 60, SECTION_BYTES);
    if (rows === undefined) return [];
    const { view, stride, count } = rows;
    const sections: ElfSection[] = [];
    const nameOffsets: number[] = [];
    for (let at = 0; at < count * stride; at += stride) {
      nameOffsets.push(view.getUint32(at, true));
      sections.push({
        name: '',
        type: view.getUint32(at + 4, true),
        vaddr: readU64(view, at + 16),
        fileOffset: readU64(view, at + 24),
        sizeBytes: readU64(view, at + 32),
        link: view.getUint32(at + 40, true),
        entrySizeBytes: readU64(view, at + 56),
      });
    }
    const names = sections[this.header.getUint16(62, true)];
    const text =
      names === undefined ? undefined : this.readBytes(names.fileOffset, names.sizeBytes);
    if (text === undefined) return sections;
    return sections.map((section, i) => ({ ...section, name: cString(text, nameOffsets[i]) }));
  }

  /** A table that the header describes: where it begins, bytes per row and rows; undefined if it is not all there. */
  private readRows(
    header: DataView,
    offsetAt: number,
    strideAt: number,
    countAt: number,
    leastStride: number,
  ): { view: DataView; stride: number; count: number } | undefined {
    const stride = header.getUint16(strideAt, true);
    const field = header.getUint16(countAt, true);
    const isExtended = countAt === PHNUM_AT && field === PN_XNUM;
    const count = isExtended ? this.readExtendedCount() : field;
    if (stride < leastStride || count === 0 || count > MAX_SEGMENTS) return undefined;
    const bytes = this.readBytes(readU64(header, offsetAt), stride * count);
    if (bytes === undefined) return undefined;
    return { view: new DataView(bytes.buffer, bytes.byteOffset), stride, count };
  }

  private readExtendedCount(): number {
    return this.readBytes(readU64(this.header, 40), SECTION_BYTES)?.readUInt32LE(44) ?? 0;
  }

  /** The first section of this name: `.PyRuntime`. */
  findSection(name: string): ElfSection | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** The contents of a section; undefined for .bss or where the file ends too early. */
  readSection(section: ElfSection): Uint8Array | undefined {
    if (section.type === SHT_NOBITS) return undefined;
    return this.readBytes(section.fileOffset, section.sizeBytes);
  }

  /** One symbol; `findSymbols` is cheaper for several. */
  findSymbol(name: string): ElfSymbol | undefined {
    return this.findSymbols([name]).get(name);
  }

  /**
   * Symbols defined in this file under these names, from .dynsym, else from .symtab; versions (`name@@V`) are not part
   * of a name. One pass over a table: some milliseconds for a libpython with .symtab.
   */
  findSymbols(names: readonly string[]): Map<string, ElfSymbol> {
    const found = new Map<string, ElfSymbol>();
    this.symbolTables ??= this.readSymbolTables();
    for (const table of this.symbolTables) {
      const missing = names.filter((name) => name !== '' && !found.has(name));
      if (missing.length > 0) this.findInTable(table, missing, found);
    }
    return found;
  }

  private readSymbolTables(): SymbolTable[] {
    return [SHT_DYNSYM, SHT_SYMTAB].flatMap((type) => {
      const section = this.sections.find((candidate) => candidate.type === type);
      const strings = section === undefined ? undefined : this.sections[section.link];
      if (section === undefined || strings === undefined) return [];
      const bytes = this.readBytes(strings.fileOffset, strings.sizeBytes);
      return bytes === undefined ? [] : [{ section, strings: bytes }];
    });
  }

  /** Symbols name their string by its offset: the strings are searched once, then offsets are compared. */
  private findInTable(
    { section, strings }: SymbolTable,
    names: readonly string[],
    found: Map<string, ElfSymbol>,
  ): void {
    const nameByOffset = new Map<number, string>();
    for (const name of names) {
      // Linkers let a name share the end of a longer one, so every place where it ends in a zero counts.
      const pattern = Buffer.from(`${name}\0`, 'latin1');
      let at = strings.indexOf(pattern);
      for (; at >= 0; at = strings.indexOf(pattern, at + 1)) nameByOffset.set(at, name);
    }
    if (nameByOffset.size === 0) return;
    this.forEachRow(section, (view, at) => {
      const name = nameByOffset.get(view.getUint32(at, true));
      if (name === undefined || found.has(name)) return;
      const symbol = decodeSymbol(view, at);
      if (symbol !== undefined) found.set(name, symbol);
    });
  }

  /** Calls `visit` for every row of a symbol table that can be read. */
  private forEachRow(section: ElfSection, visit: (view: DataView, at: number) => void): void {
    const stride = section.entrySizeBytes;
    if (stride < SYMBOL_BYTES || stride > 1024) return;
    const total = Math.floor(Math.min(section.sizeBytes, MAX_TABLE_BYTES) / stride);
    for (let first = 0; first < total; first += SYMBOLS_PER_READ) {
      const count = Math.min(SYMBOLS_PER_READ, total - first);
      const bytes = this.readBytes(section.fileOffset + first * stride, count * stride);
      if (bytes === undefined) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (let at = 0; at < count * stride; at += stride) visit(view, at);
    }
  }

  /** Every symbol that is defined here, in no order; `name` gives its text. Those of both tables, so some twice. */
  forEachSymbol(visit: (symbol: ElfSymbol, name: () => string) => void): void {
    this.symbolTables ??= this.readSymbolTables();
    for (const { section, strings } of this.symbolTables) {
      this.forEachRow(section, (view, at) => {
        const symbol = decodeSymbol(view, at);
        if (symbol !== undefined) visit(symbol, () => cString(strings, view.getUint32(at, true)));
      });
    }
  }

  /** Whether it is what `objcopy --only-keep-debug` leaves: the headers of another file without what they describe. */
  get hasNoContents(): boolean {
    return this.findSection('.text')?.type === SHT_NOBITS;
  }

  /** The GNU build id in hexadecimal; undefined if there is none. */
  get buildId(): string | undefined {
    for (const segment of this.segments) {
      if (segment.type !== PT_NOTE || segment.fileSizeBytes > MAX_NOTE_BYTES) continue;
      const bytes = this.readBytes(segment.fileOffset, segment.fileSizeBytes);
      const id = bytes === undefined ? undefined : findBuildIdNote(bytes);
      if (id !== undefined) return id;
    }
    return undefined;
  }

  /** Bytes of the file; undefined unless all of them are there. */
  readBytes(offset: number, byteCount: number): Buffer | undefined {
    if (offset + byteCount > this.source.sizeBytes || byteCount > MAX_TABLE_BYTES) return undefined;
    const bytes = Buffer.alloc(byteCount);
    return this.source.read(offset, bytes) === byteCount ? bytes : undefined;
  }
}

/** An ELF file that stays open for lookups until `close`. */
export interface OpenElf {
  elf: ElfFile;
  close(): void;
}

/** Opens `path`; undefined if it cannot be opened or is no ELF file. */
export function openElfFile(path: string): OpenElf | undefined {
  const fd = tryOpen(path);
  return fd === undefined ? undefined : openElfOf(fd);
}

/** As `openElfFile`, of a descriptor, which belongs to the result (and is closed when there is none). */
export function openElfOf(fd: number): OpenElf | undefined {
  const elf = ElfFile.fromSource(fileSource(fd));
  if (elf === undefined) {
    closeSync(fd);
    return undefined;
  }
  return { elf, close: () => closeSync(fd) };
}

export function bufferSource(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    read(offset, target) {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      return part.length;
    },
  };
}

/** The source does not close the descriptor. */
export function fileSource(fd: number): ByteSource {
  return {
    sizeBytes: fstatSync(fd).size,
    read(offset, target) {
      let done = 0;
      try {
        while (done < target.length) {
          const wanted = Math.min(target.length - done, MAX_READ_BYTES);
          const count = readSync(fd, target, done, wanted, offset + done);
          if (count === 0) break;
          done += count;
        }
      } catch {
        // An I/O error ends the file here, as far as its reader is concerned.
      }
      return done;
    },
  };
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}

function decodeSymbol(view: DataView, at: number): ElfSymbol | undefined {
  const type = view.getUint8(at + 4) & 15;
  // Undefined here (defined in another file), or an offset into thread-local storage, which is no address.
  if (view.getUint16(at + 6, true) === SHN_UNDEF || type === STT_TLS) return undefined;
  return {
    vaddr: readU64(view, at + 8),
    sizeBytes: readU64(view, at + 16),
    isFunction: type === STT_FUNC || type === STT_GNU_IFUNC,
  };
}

/** Notes: name size, description size, type, then both, each padded to 4 bytes. */
function findBuildIdNote(notes: Buffer): string | undefined {
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameBytes = notes.readUInt32LE(at);
    const descriptionBytes = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const description = at + 12 + align4(nameBytes);
    const end = description + align4(descriptionBytes);
    if (end > notes.length) return undefined;
    if (type === NT_GNU_BUILD_ID && notes.toString('latin1', at + 12, at + 15) === 'GNU') {
      return notes.toString('hex', description, description + descriptionBytes);
    }
    at = end;
  }
  return undefined;
}

const align4 = (size: number): number => Math.ceil(size / 4) * 4;

const readU64 = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;

function cString(bytes: Buffer, start: number): string {
  if (start >= bytes.length) return '';
  const end = bytes.indexOf(0, start);
  return bytes.toString('latin1', start, end < 0 ? bytes.length : end);
}
