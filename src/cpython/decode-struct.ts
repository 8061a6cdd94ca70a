// Turns a table of a C struct's PyObject* fields into a decoder: most types of CPython need nothing else. The tables are in
// the decode-*.ts files; this file makes closures of them for one layout, so that nothing is looked up per object.
//
// A field that a version's layout lacks is left out for that version, and so is a whole struct.

import { EdgeKind } from '../graph/heap-graph.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder, ObjectReader, TypeInfo } from './object-reader.ts';

/** PyObject* fields by C name -> the attribute under which Python shows the field; '' if it shows none. */
export type ReferenceFields = Readonly<Record<string, string>>;

export interface StructTable {
  /** `tp_name` of the types whose instances begin with this struct, as they stood in any version. */
  types: readonly string[];
  /** C name of the struct. */
  struct: string;
  /** Strong references of the struct, without `__dict__` (tp_dictoffset) and without weak reference lists. */
  fields: ReferenceFields;
  /** Decodes what fields alone do not say; called after them. */
  also?: (layout: Layout) => DecodeObject;
  /** Bytes that are explained, where that is not the size of the struct: variable-size structs. */
  structSize?: (layout: Layout) => number;
  /** See ObjectDecoder. */
  minimumSize?: (layout: Layout) => number;
  ignoresObSize?: boolean;
  scans?: boolean;
}

/** The decoders of the tables, by tp_name; only of structs that the layout has. */
export function decodersOfTables(
  layout: Layout,
  tables: readonly StructTable[],
): [string, ObjectDecoder][] {
  const decoders: [string, ObjectDecoder][] = [];
  for (const table of tables) {
    if (!layout.hasSize(table.struct)) continue;
    const structSize = table.structSize?.(layout) ?? layout.size(table.struct);
    const decoder: ObjectDecoder = {
      structSize,
      ...(table.minimumSize && { minimumSize: table.minimumSize(layout) }),
      decode: inSequence(
        makeDecodeFields(layout, table.struct, table.fields),
        table.also?.(layout),
      ),
      ignoresObSize: table.ignoresObSize === true,
      scans: table.scans === true,
    };
    for (const type of table.types) decoders.push([type, decoder]);
  }
  return decoders;
}

/** For structs without references. One function, so that types which have nothing else are known by it. */
export function decodeNothing(_reader: ObjectReader, _word: number, _type: TypeInfo): void {}

/** One decoder that calls the given ones, in order. */
export function inSequence(...parts: (DecodeObject | undefined)[]): DecodeObject {
  const decodes = parts
    .filter((part) => part !== undefined)
    .filter((part) => part !== decodeNothing);
  if (decodes.length === 0) return decodeNothing;
  if (decodes.length === 1) return decodes[0];
  if (decodes.length === 2) {
    const [first, second] = decodes;
    return (reader, word, type) => {
      first(reader, word, type);
      second(reader, word, type);
    };
  }
  return (reader, word, type) => {
    for (const decode of decodes) decode(reader, word, type);
  };
}

/** Emits the fields of `struct` that this layout has, in the order of the table. */
export function makeDecodeFields(
  layout: Layout,
  struct: string,
  fields: ReferenceFields,
): DecodeObject {
  const words: number[] = [];
  const kinds: EdgeKind[] = [];
  const names: string[] = [];
  for (const [field, attribute] of Object.entries(fields)) {
    const path = `${struct}.${field}`;
    if (!layout.has(path)) continue;
    words.push(layout.word(path));
    kinds.push(attribute === '' ? EdgeKind.internal : EdgeKind.attribute);
    names.push(attribute === '' ? field : attribute);
  }
  if (words.length === 0) return decodeNothing;
  const labelsOf = makeLabels(names);
  const count = words.length;
  return (reader, word) => {
    const labels = labelsOf(reader);
    for (let i = 0; i < count; i++) reader.referenceAt(word + words[i], kinds[i], labels[i]);
  };
}

/** StringIds of fixed texts, interned once per reader. */
export function makeLabels(texts: readonly string[]): (reader: ObjectReader) => Uint32Array {
  let owner: ObjectReader | undefined;
  let labels: Uint32Array = new Uint32Array(0);
  return (reader) => {
    if (reader !== owner) {
      owner = reader;
      labels = Uint32Array.from(texts, (text) => reader.intern(text));
    }
    return labels;
  };
}

/** Word offset of `Struct.field`; -1 in a version without it. */
export const findWord = (layout: Layout, field: string): number =>
  layout.has(field) ? layout.word(field) : -1;

/** Declares the block that the pointer in `pointerWord` leads to, unless it is null. */
export function ownBufferAt(reader: ObjectReader, pointerWord: number, byteCount: number): void {
  const lo = reader.halves[pointerWord * 2];
  const hi = reader.halves[pointerWord * 2 + 1];
  if (lo !== 0 || hi !== 0) reader.ownBuffer(lo, hi, byteCount);
}

/** A buffer of `unit`-byte cells whose number is in `sizeField`; `isMeasured`: counted by sys.getsizeof. */
export function makeDecodeBuffer(
  layout: Layout,
  pointerField: string,
  sizeField: string,
  unit: number,
  isMeasured: boolean,
): DecodeObject {
  const pointer = layout.word(pointerField);
  const size = layout.word(sizeField);
  return (reader, word) => {
    const halves = reader.halves;
    const at = (word + pointer) * 2;
    if (halves[at] === 0 && halves[at + 1] === 0) return;
    const bytes = halves[(word + size) * 2] * unit;
    if (isMeasured) reader.shallowBytes += bytes;
    reader.ownBuffer(halves[at], halves[at + 1], bytes);
  };
}
