// What a block of C code's memory seems to hold, in words: by the symbol or the type that its first words lead to, the
// magic number of a known format, or its text. For naming blocks that no Python object owns.
//
// A guess by the first 64 bytes, and told as one: blocks without such a mark are `data`.

import type { AddressRange } from '../memory/address-ranges.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

export interface Signature {
  /** `vtable for Big (libbig.so)`, `text`, `zeros`, `data`. */
  text: string;
  /** Path of the library that it names; empty if none. */
  library: string;
}

/** Names what lies at an address in a mapped file: `vtable for Big` of `/usr/lib/libbig.so`. */
export type NameAddress = (address: Address) => { symbol: string; library: string } | undefined;

export interface SignatureInputs {
  image: MemoryImage;
  nameAddress: NameAddress;
  /** Name of the Python type whose type object begins at a word; undefined if there is none. */
  findTypeName: (lo: number, hi: number) => string | undefined;
  /** malloc's own lists: what leads there was written when the block was free. */
  lists: readonly AddressRange[];
}

const READ_BYTES = 64;
const LEAST_TEXT = 12;
const MAX_KNOWN = 1 << 16;
/** Of types whose length is in their third word: bytes per unit of it at most, and what comes on top at most. */
const TEXT_WIDTHS: Record<string, number | undefined> = { bytes: 1, str: 4 };
const TEXT_HEAD_BYTES = 128;
/** Count, type, and something. */
const LEAST_OBJECT_BYTES = 24;

/** First bytes of well-known formats and structures. */
const MAGIC: readonly { bytes: readonly number[]; text: string }[] = [
  { bytes: [0x89, 0x50, 0x4e, 0x47], text: 'PNG image' },
  { bytes: [0xff, 0xd8, 0xff], text: 'JPEG image' },
  { bytes: [0x47, 0x49, 0x46, 0x38], text: 'GIF image' },
  { bytes: [0x1f, 0x8b, 0x08], text: 'gzip data' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], text: 'zstd data' },
  { bytes: [0x50, 0x4b, 0x03, 0x04], text: 'zip data' },
  { bytes: [0x25, 0x50, 0x44, 0x46], text: 'PDF document' },
  { bytes: [0x7f, 0x45, 0x4c, 0x46], text: 'ELF file' },
  { bytes: [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65], text: 'SQLite page' },
  { bytes: [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31], text: 'Arrow data' },
  { bytes: [0x50, 0x41, 0x52, 0x31], text: 'Parquet data' },
  { bytes: [0x30, 0x82], text: 'DER (certificate or key)' },
];

/** Answers for the block at a word with `byteCount` copied bytes. Answers for pointers are kept. */
export function makeSignatureFinder({
  image,
  nameAddress,
  findTypeName,
  lists,
}: SignatureInputs): (word: number, byteCount: number) => Signature {
  const { halves } = image;
  const bytes = new Uint8Array(halves.buffer, halves.byteOffset);
  const known = new Map<number, Signature | undefined>();
  const namePointer = (word: number): Signature | undefined => {
    const lo = halves[2 * word];
    const hi = halves[2 * word + 1];
    if (hi > 0x7fff || (hi === 0 && lo < 0x10000)) return undefined;
    const address = hi * 2 ** 32 + lo;
    if (known.has(address)) return known.get(address);
    const isOfLists = lists.some(({ start, end }) => start <= address && address < end);
    const named = isOfLists ? undefined : nameAddress(address);
    const signature =
      named === undefined ? undefined : { text: describe(named), library: named.library };
    if (known.size < MAX_KNOWN) known.set(address, signature);
    return signature;
  };
  /** Whether an object is in the block, and not the beginning of one that was freed or has moved. */
  const isWhole = (word: number, byteCount: number, type: string): boolean => {
    if (byteCount < LEAST_OBJECT_BYTES) return false;
    if (halves[2 * word] === 0 || halves[2 * word + 1] !== 0) return false;
    const width = TEXT_WIDTHS[type];
    if (width === undefined) return true;
    const length = halves[2 * word + 4] + halves[2 * word + 5] * 2 ** 32;
    return length <= byteCount && length * width + TEXT_HEAD_BYTES >= byteCount;
  };
  return (word, byteCount) => {
    const wordCount = Math.min(byteCount, READ_BYTES) >>> 3;
    const first = wordCount > 0 ? namePointer(word) : undefined;
    if (first !== undefined) return first;
    const type =
      wordCount > 1 ? findTypeName(halves[2 * word + 2], halves[2 * word + 3]) : undefined;
    if (type !== undefined && isWhole(word, byteCount, type)) {
      return { text: `header of a Python ${type}`, library: '' };
    }
    const start = bytes.subarray(word * 8, word * 8 + Math.min(byteCount, READ_BYTES));
    const magic = MAGIC.find((row) => row.bytes.every((byte, i) => start[i] === byte));
    if (magic !== undefined) return { text: magic.text, library: '' };
    // The type of an object that is not there any more tells nothing of what came after it.
    for (let w = word + (type === undefined ? 1 : 2); w < word + wordCount; w++) {
      const later = namePointer(w);
      if (later !== undefined) return { ...later, text: `${later.text} at +${(w - word) * 8}` };
    }
    return { text: describeBytes(start), library: '' };
  };
}

const describe = ({ symbol, library }: { symbol: string; library: string }): string => {
  const name = library.slice(library.lastIndexOf('/') + 1);
  return symbol === '' ? `pointer into ${name}` : `${symbol} (${name})`;
};

function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'unread';
  let printable = 0;
  while (printable < bytes.length && isPrintable(bytes[printable])) printable++;
  if (printable >= Math.min(LEAST_TEXT, bytes.length)) return 'text';
  return bytes.every((byte) => byte === 0) ? 'zeros' : 'data';
}

const isPrintable = (byte: number): boolean =>
  (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d;
