// The decoders on memory images built in code: what they emit, what they say of damaged memory, and that no memory makes
// them throw, loop or emit without end. The same decoders on real Pythons: tests/integration/objects-oracle.test.ts.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { growableUint8 } from '../base/columns.ts';
import { Problems } from '../base/problems.ts';
import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import { buildMemoryImage, type MemoryImage } from '../memory/memory-image.ts';
import { decodersByTypeName, TABLES } from './decoders.ts';
import { findStrText } from './dict-entries.ts';
import { makeDecodeInstanceDict } from './instance-dict.ts';
import { findLayout, type Layout } from './layout.ts';
import type { ObjectReader, TypeInfo } from './object-reader.ts';
import { makePreviewWriter } from './preview.ts';
import { supportedMinors } from './version.ts';

const BASE = 0x7f00_0000_0000;
const PAGE = 4096;

/** Memory under construction: cells of 8 bytes, objects placed one after the other. */
class Memory {
  readonly bytes = new Uint8Array(16 * PAGE);
  private readonly view = new DataView(this.bytes.buffer);
  private next = 64;
  readonly layout: Layout;

  constructor(layout: Layout) {
    this.layout = layout;
  }

  place(byteCount: number): number {
    const address = BASE + this.next;
    this.next += Math.ceil(byteCount / 16) * 16;
    return address;
  }

  set(address: number, value: number): void {
    this.view.setBigUint64(address - BASE, BigInt.asUintN(64, BigInt(value)), true);
  }

  setByte(address: number, value: number): void {
    this.view.setUint8(address - BASE, value);
  }

  /** An object of `struct` with the given fields; its type pointer is left empty. */
  object(struct: string, fields: Record<string, number>, extraBytes = 0): number {
    const address = this.place(this.layout.size(struct) + extraBytes);
    this.set(address, 1);
    for (const [field, value] of Object.entries(fields)) {
      this.set(address + this.layout.offset(`${struct}.${field}`), value);
    }
    return address;
  }

  /** A compact ASCII str. */
  str(text: string): number {
    const { layout } = this;
    const address = this.object('PyASCIIObject', { length: text.length }, text.length + 1);
    this.set(
      address + layout.offset('PyASCIIObject.state'),
      (1 << 2) | (1 << 5) | (1 << 6) | (1 << 7),
    );
    const data = address + layout.size('PyASCIIObject');
    for (let i = 0; i < text.length; i++) this.setByte(data + i, text.charCodeAt(i));
    return address;
  }

  /** Pointers side by side. */
  array(values: readonly number[]): number {
    const address = this.place(values.length * 8);
    values.forEach((value, i) => {
      this.set(address + i * 8, value);
    });
    return address;
  }
}

interface SeenEdge {
  to: number;
  kind: number;
  label: number;
}

/** Takes every pointer into the image for an object, and records what a decoder says. */
class StubReader implements ObjectReader {
  readonly image: MemoryImage;
  readonly halves: Uint32Array;
  readonly layout: Layout;
  readonly problems = new Problems();
  shallowBytes = 0;
  ownedBytes = 0;
  partial = false;
  readonly edges: SeenEdge[] = [];
  readonly strings: string[] = [];
  scannedWords = 0;
  /** What findType returns; random by address where a test wants that. */
  typeAt: (word: number) => TypeInfo | undefined = () => undefined;

  constructor(memory: Memory) {
    this.image = buildMemoryImage([{ address: BASE, bytes: memory.bytes }]);
    this.halves = this.image.halves;
    this.layout = memory.layout;
  }

  reference(lo: number, hi: number, kind: EdgeKind, label: number): boolean {
    if (lo === 0 && hi === 0) return false;
    this.edges.push({ to: hi * 2 ** 32 + lo, kind, label });
    return true;
  }

  referenceAt(word: number, kind: EdgeKind, label: number): boolean {
    return this.reference(this.halves[word * 2], this.halves[word * 2 + 1], kind, label);
  }

  weakReference(): void {}

  ownBuffer(_lo: number, _hi: number, byteCount: number): void {
    this.ownedBytes += byteCount;
  }

  scan(startWord: number, endWord: number): void {
    this.scannedWords += endWord - startWord;
  }

  intern(text: string): number {
    const known = this.strings.indexOf(text);
    return known >= 0 ? known : this.strings.push(text) - 1;
  }

  internStr(lo: number, hi: number): number {
    const text = this.findStr(lo, hi);
    return text === undefined ? NONE : this.intern(text);
  }

  findStr(lo: number, hi: number, limit = 256): string | undefined {
    return findStrText(this.image, this.layout, hi * 2 ** 32 + lo)?.slice(0, limit);
  }

  findType(word: number): TypeInfo | undefined {
    return this.typeAt(word);
  }

  follow(word: number): number {
    const lo = this.halves[word * 2];
    return (lo & 7) === 0 ? this.image.wordAt(lo, this.halves[word * 2 + 1]) : 0;
  }

  problem(kind: string, word: number): void {
    this.partial = true;
    this.problems.add(kind, word);
  }

  get problemKinds(): string[] {
    return this.problems.list().map((problem) => problem.kind);
  }

  /** `kind label -> address` of each edge, labels of names as text. */
  get seen(): string[] {
    return this.edges.map(({ to, kind, label }) => {
      const name = Object.entries(EdgeKind).find(([, value]) => value === kind)?.[0];
      const text =
        label === NONE ? '' : kind === EdgeKind.item ? ` ${label}` : ` ${this.strings[label]}`;
      return `${name}${text} -> ${(to - BASE).toString(16)}`;
    });
  }
}

const typeInfo = (word: number, more: Partial<TypeInfo> = {}): TypeInfo => ({
  typeId: 0,
  address: 0,
  word,
  name: '',
  tp_name: '',
  tp_basicsize: 0,
  tp_itemsize: 0,
  tp_flags: 0,
  tp_dictoffset: 0,
  tp_weaklistoffset: 0,
  base: undefined,
  isHeapType: false,
  isGc: true,
  preheaderBytes: 16,
  decode: () => {},
  slots: [],
  unexplained: [],
  decoder: undefined,
  minimumBytes: 0,
  minimumWords: 0,
  plainBytes: 0,
  countedItemBytes: 0,
  isScanned: false,
  hasStruct: true,
  hasMore: true,
  ...more,
});

function decode(memory: Memory, tp_name: string, address: number): StubReader {
  const reader = new StubReader(memory);
  const word = reader.image.wordAtAddress(address);
  decodersByTypeName(memory.layout).get(tp_name)?.decode(reader, word, typeInfo(word, { tp_name }));
  return reader;
}

describe.each(supportedMinors())('decoders of Python %s', (minor) => {
  const layout = findLayout(minor) as Layout;

  test('a list emits its items with their index and owns what it has allocated', () => {
    const memory = new Memory(layout);
    const items = memory.array([BASE + 0x100, 0, BASE + 0x200, BASE + 0x300]);
    const list = memory.object('PyListObject', { ob_item: items, allocated: 4 });
    memory.set(list + 16, 3);
    const reader = decode(memory, 'list', list);
    expect(reader.seen).toEqual(['item 0 -> 100', 'item 2 -> 200']);
    expect(reader.ownedBytes).toBe(32);
    expect(reader.problemKinds).toEqual([]);
  });

  test('a list longer than what was copied emits what is there and says so', () => {
    const memory = new Memory(layout);
    const end = BASE + memory.bytes.length;
    memory.set(end - 16, BASE + 0x100);
    memory.set(end - 8, BASE + 0x200);
    const list = memory.object('PyListObject', { ob_item: end - 16, allocated: 1_000_000 });
    memory.set(list + 16, 1_000_000);
    const reader = decode(memory, 'list', list);
    expect(reader.seen).toEqual(['item 0 -> 100', 'item 1 -> 200']);
    expect(reader.problemKinds).toEqual(['list-items-not-copied']);
  });

  test('a tuple emits its items', () => {
    const memory = new Memory(layout);
    const tuple = memory.place(64);
    memory.set(tuple + 16, 2);
    memory.set(tuple + layout.offset('PyTupleObject.ob_item'), BASE + 0x100);
    memory.set(tuple + layout.offset('PyTupleObject.ob_item') + 8, BASE + 0x200);
    expect(decode(memory, 'tuple', tuple).seen).toEqual(['item 0 -> 100', 'item 1 -> 200']);
  });

  test('a set leaves out empty slots and what was removed', () => {
    const memory = new Memory(layout);
    const set = memory.object('PySetObject', { mask: 7, used: 1, fill: 2 });
    const smalltable = set + layout.offset('PySetObject.smalltable');
    memory.set(set + layout.offset('PySetObject.table'), smalltable);
    memory.set(smalltable + 16, BASE + 0x100);
    memory.set(smalltable + 24, 17);
    memory.set(smalltable + 32, BASE + 0x900);
    memory.set(smalltable + 40, -1);
    const reader = decode(memory, 'set', set);
    expect(reader.seen).toEqual(['setItem -> 100']);
    expect(reader.ownedBytes).toBe(0);
  });

  test('a dict of any objects emits each key and then its value', () => {
    const memory = new Memory(layout);
    const dict = memory.object('PyDictObject', { ma_used: 2, ma_keys: generalKeys(memory) });
    const reader = decode(memory, 'dict', dict);
    expect(reader.seen).toEqual([
      'dictKey -> 100',
      'dictValue -> 200',
      'dictKey -> 500',
      'dictValue -> 600',
    ]);
    expect(reader.problemKinds).toEqual([]);
  });

  test('a dict with another number of entries than it says is a problem', () => {
    const memory = new Memory(layout);
    const dict = memory.object('PyDictObject', { ma_used: 3, ma_keys: generalKeys(memory) });
    expect(decode(memory, 'dict', dict).problemKinds).toEqual(['dict-count-differs']);
  });

  test('a dict that shares its keys names its values', () => {
    const memory = new Memory(layout);
    const keys = splitKeys(memory, ['first', 'second']);
    const values = valuesOf(memory, [BASE + 0x100, BASE + 0x200]);
    const dict = memory.object('PyDictObject', { ma_used: 2, ma_keys: keys, ma_values: values });
    const reader = decode(memory, 'dict', dict);
    expect(reader.seen).toEqual(['namedValue first -> 100', 'namedValue second -> 200']);
    expect(reader.problemKinds).toEqual([]);
  });

  test('an empty dict whose keys were not copied is no problem', () => {
    const memory = new Memory(layout);
    const dict = memory.object('PyDictObject', { ma_used: 0, ma_keys: 0x1000 });
    expect(decode(memory, 'dict', dict).problemKinds).toEqual([]);
  });

  test('a damaged deque whose blocks form a ring ends', () => {
    const memory = new Memory(layout);
    const block = memory.object('BLOCK', {});
    memory.set(block + layout.offset('BLOCK.rightlink'), block);
    const deque = memory.object('dequeobject', { leftblock: block, leftindex: 0 });
    memory.set(deque + 16, 2 ** 31);
    const reader = decode(memory, 'collections.deque', deque);
    expect(reader.problemKinds).toEqual(['deque-block-not-copied']);
  });

  test('a compact str is measured and shown', () => {
    const memory = new Memory(layout);
    const str = memory.str("it's");
    const reader = new StubReader(memory);
    const word = reader.image.wordAtAddress(str);
    const type = typeInfo(word, { tp_flags: 1 << 28, preheaderBytes: 0 });
    decodersByTypeName(layout).get('str')?.decode(reader, word, type);
    expect(reader.shallowBytes).toBe(layout.size('PyASCIIObject') + 5);
    const out = growableUint8();
    makePreviewWriter(layout)(reader, word, type, out);
    expect(Buffer.from(out.finish()).toString()).toBe('"it\'s"');
  });

  test('no memory makes a decoder throw, loop or emit without end', () => {
    const decoders = decodersByTypeName(layout);
    const decodeInstanceDict = makeDecodeInstanceDict(layout);
    const writePreview = makePreviewWriter(layout);
    const random = randomNumbers(0x5eed);
    for (let round = 0; round < 3; round++) {
      const memory = new Memory(layout);
      fillWithNonsense(memory, random);
      const reader = new StubReader(memory);
      const types = [...decoders.keys()].map((tp_name) => typeInfo(0, { tp_name }));
      reader.typeAt = (word) => types[word % types.length];
      const first = reader.image.wordAtAddress(BASE);
      for (const [tp_name, decoder] of decoders) {
        for (let i = 0; i < 8; i++) {
          const size = decoder.minimumSize ?? decoder.structSize;
          const word = first + (random() % ((memory.bytes.length - size) >>> 3));
          const flags = random() | (i % 2 === 0 ? 1 << (24 + (random() % 8)) : 0);
          const type = typeInfo(first + (random() % 4096), {
            tp_name,
            tp_flags: flags,
            tp_dictoffset: i % 3 === 0 ? -8 : 16,
            tp_basicsize: size,
            tp_itemsize: 8,
          });
          decoder.decode(reader, word, type);
          decodeInstanceDict(reader, word, type);
          writePreview(reader, word, type, growableUint8());
          expect(reader.edges.length).toBeLessThan(200_000);
          reader.edges.length = 0;
        }
      }
    }
  });
});

test('every field of the decoder tables is a field of that struct in some version', () => {
  const offsets = new Set<string>();
  for (const minor of supportedMinors()) {
    const url = new URL(`../../layouts/cpython-${minor}-x86_64.json`, import.meta.url);
    const file = JSON.parse(readFileSync(url, 'utf8')) as { offsets: Record<string, number> };
    for (const field of Object.keys(file.offsets)) offsets.add(field);
  }
  const unknown = TABLES.flatMap(({ struct, fields }) =>
    Object.keys(fields)
      .map((field) => `${struct}.${field}`)
      .filter((field) => !offsets.has(field)),
  );
  expect(unknown).toEqual([]);
});

/** Keys of three entries of which the second was removed. */
function generalKeys(memory: Memory): number {
  const { layout } = memory;
  const header = layout.offset('PyDictKeysObject.dk_indices');
  const keys = memory.place(header + 8 + 5 * 24);
  memory.set(keys, 1);
  memory.set(keys + layout.offset('PyDictKeysObject.dk_nentries'), 3);
  setTableSize(memory, keys, 0);
  const entries = keys + header + 8;
  memory.set(entries + 8, BASE + 0x100);
  memory.set(entries + 16, BASE + 0x200);
  memory.set(entries + 48 + 8, BASE + 0x500);
  memory.set(entries + 48 + 16, BASE + 0x600);
  return keys;
}

/** Table of 8 slots. `kind`: dk_kind, where there is one. */
function setTableSize(memory: Memory, keys: number, kind: number): void {
  const { layout } = memory;
  if (layout.has('PyDictKeysObject.dk_size')) {
    memory.set(keys + layout.offset('PyDictKeysObject.dk_size'), 8);
    return;
  }
  memory.setByte(keys + layout.offset('PyDictKeysObject.dk_log2_size'), 3);
  memory.setByte(keys + layout.offset('PyDictKeysObject.dk_log2_index_bytes'), 3);
  memory.setByte(keys + layout.offset('PyDictKeysObject.dk_kind'), kind);
}

function splitKeys(memory: Memory, names: readonly string[]): number {
  const { layout } = memory;
  const addresses = names.map((name) => memory.str(name));
  const header = layout.offset('PyDictKeysObject.dk_indices');
  const keys = memory.place(header + 8 + 5 * 24);
  memory.set(keys, 2);
  memory.set(keys + layout.offset('PyDictKeysObject.dk_nentries'), names.length);
  setTableSize(memory, keys, 2);
  const hasHashes = !layout.hasSize('PyDictUnicodeEntry');
  addresses.forEach((address, i) => {
    memory.set(keys + header + 8 + (hasHashes ? i * 24 + 8 : i * 16), address);
  });
  return keys;
}

/** A values array where ma_values may point. */
function valuesOf(memory: Memory, values: readonly number[]): number {
  const { layout } = memory;
  const header = layout.has('PyDictValues.values') ? layout.offset('PyDictValues.values') : 0;
  const address = memory.place(64) + 16;
  values.forEach((value, i) => {
    memory.set(address + header + i * 8, value);
  });
  return address;
}

/** A small linear congruential generator: the same numbers in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 4;
  };
}

/** Pointers into the image, small and large numbers, and noise. */
function fillWithNonsense(memory: Memory, random: () => number): void {
  for (let offset = 0; offset < memory.bytes.length; offset += 8) {
    const choice = random() % 8;
    const value =
      choice < 4
        ? BASE + (random() % (memory.bytes.length / 8)) * 8
        : choice < 6
          ? random() % 64
          : choice === 6
            ? random() * 2 ** 20
            : 0;
    memory.set(BASE + offset, value);
  }
}
