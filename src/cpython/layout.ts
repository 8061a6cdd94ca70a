// Struct offsets of one CPython version and build, by their C names, from the generated files in `layouts/`
// (`npm run layouts` makes them from debug information). Offsets are bytes from the start of the struct.

import { readFileSync } from 'node:fs';
import { assert } from '../base/assert.ts';

interface LayoutFile {
  /** `3.11` */
  version: string;
  architecture: 'x86_64';
  /** What the numbers were read from: `python 3.11.7, DWARF of libpython3.11.so.1.0`. */
  source: string;
  /** `PyDictObject` -> size in bytes. */
  sizes: Record<string, number>;
  /** `PyDictObject.ma_keys` -> offset in bytes; nested structs with dots: `PyInterpreterState.gc.generations`. */
  offsets: Record<string, number>;
}

export class Layout {
  readonly version: string;
  readonly source: string;
  private readonly file: LayoutFile;
  private readonly fieldsByStruct = new Map<string, { name: string; offset: number }[]>();

  constructor(file: LayoutFile) {
    this.file = file;
    this.version = file.version;
    this.source = file.source;
  }

  /** Whether this version has the field. */
  has(field: string): boolean {
    return this.file.offsets[field] !== undefined;
  }

  /** Offset of `Struct.field` in bytes; a missing one is a bug: ask `has` first where versions differ. */
  offset(field: string): number {
    const offset = this.file.offsets[field];
    assert(offset !== undefined, `layout ${this.version} has ${field}`);
    return offset;
  }

  /** Offset of `Struct.field` in 8-byte words. */
  word(field: string): number {
    const offset = this.offset(field);
    assert(offset % 8 === 0, `${field} is aligned to 8`);
    return offset / 8;
  }

  /** Bytes [start, end) of `Struct.field` within its struct, up to the next field that is no part of it. */
  range(field: string): { start: number; end: number } {
    const struct = field.slice(0, field.indexOf('.'));
    const start = this.offset(field);
    const next = this.fieldsOf(struct).find(
      ({ name, offset }) => offset > start && !name.startsWith(`${field}.`),
    );
    return { start, end: next?.offset ?? this.size(struct) };
  }

  /** Name of the innermost part of `Struct.field` at `offset` bytes of the struct; undefined inside of an array. */
  nameAt(field: string, offset: number): string | undefined {
    return this.fieldsOf(field.slice(0, field.indexOf('.'))).findLast(
      (part) =>
        part.offset === offset && (part.name === field || part.name.startsWith(`${field}.`)),
    )?.name;
  }

  /** Fields of a struct and their parts, ascending by offset, the outer before the inner. */
  private fieldsOf(struct: string): readonly { name: string; offset: number }[] {
    let fields = this.fieldsByStruct.get(struct);
    if (fields === undefined) {
      fields = Object.entries(this.file.offsets)
        .filter(([name]) => name.startsWith(`${struct}.`))
        .map(([name, offset]) => ({ name, offset }))
        .sort((a, b) => a.offset - b.offset || a.name.length - b.name.length);
      this.fieldsByStruct.set(struct, fields);
    }
    return fields;
  }

  hasSize(struct: string): boolean {
    return this.file.sizes[struct] !== undefined;
  }

  /** Size of a struct in bytes. */
  size(struct: string): number {
    const size = this.file.sizes[struct];
    assert(size !== undefined, `layout ${this.version} has the size of ${struct}`);
    return size;
  }
}

/** The layout of `minor` ("3.11"); undefined if this leakscope has none. */
export function findLayout(minor: string): Layout | undefined {
  const url = new URL(`../../layouts/cpython-${minor}-x86_64.json`, import.meta.url);
  try {
    return new Layout(JSON.parse(readFileSync(url, 'utf8')) as LayoutFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
