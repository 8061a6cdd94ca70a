// Knows the bytes, str and int that fill a block of the C allocator exactly, by their own words alone: turns the words at
// the start of a block, to which perhaps nothing leads, into the type of the object there.
// Source: Objects/bytesobject.c, Objects/unicodeobject.c (PyUnicode_New), Objects/longobject.c (3.8 to 3.15).
//
// These are CPython's types of any size without a collector's header: no list has them. Everything that their structs fix
// is checked, since a false object is worse than a missed one. Not handled: their subclasses, text that is not compact,
// immortal objects, ints of digits of 15 bits.

import { NONE } from '../graph/heap-graph.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Layout } from './layout.ts';
import type { ReferenceCounts } from './object-admission.ts';
import type { TypeInfo } from './object-reader.ts';
import { COMPACT, COMPACT_ASCII, READY, stateKind } from './str-state.ts';

const TWO_32 = 2 ** 32;
const MAX_ITEMS = 2 ** 40;
const DIGIT_BYTES = 4;
const DIGIT_LIMIT = 1 << 30;
const LAST_CHARACTER = 0x10ffff;
/** Of the content: looked at for what cannot be in it. */
const CHECKED_WORDS = 512;

/** Bytes of the object at a word; 0 if there is none. */
type FindSize = (word: number) => number;

export interface WholeObjectOptions {
  image: MemoryImage;
  layout: Layout;
  referenceCounts: ReferenceCounts;
  types: readonly TypeInfo[];
}

/**
 * Returns what finds the typeId of the object at `word` whose last byte is one of the block's last `slackBytes`: the block
 * has `roomBytes` from there on. -1 if there is none. Some ns for what is no object.
 */
export function makeFindWhole(
  options: WholeObjectOptions,
): (word: number, roomBytes: number, slackBytes: number) => number {
  const { image, referenceCounts } = options;
  const { halves } = image;
  const sizes: Record<string, FindSize> = {
    bytes: makeBytesSize(options),
    str: makeStrSize(options),
    int: makeIntSize(options),
  };
  const rows = options.types
    .filter((type) => !type.isHeapType && isKnown(type) && sizes[type.tp_name] !== undefined)
    .map(({ address, typeId, tp_name }) => ({
      lo: address % TWO_32,
      hi: Math.floor(address / TWO_32),
      typeId,
      findSize: sizes[tp_name],
    }));
  return (word, roomBytes, slackBytes) => {
    const i = word * 2;
    for (const { lo, hi, typeId, findSize } of rows) {
      if (halves[i + 2] !== lo || halves[i + 3] !== hi) continue;
      const count = referenceCounts.decode(halves[i], halves[i + 1]);
      if (count === 0 || count === NONE) return -1;
      // Head and first item.
      if (word + 8 > image.runEnd(word)) return -1;
      const size = findSize(word);
      return size !== 0 && size <= roomBytes && size > roomBytes - slackBytes ? typeId : -1;
    }
    return -1;
  };
}

/** Whether the C struct is that of the type's name: another library's type may be called the same. */
const isKnown = ({ decoder, tp_basicsize }: TypeInfo): boolean =>
  decoder?.structSize === tp_basicsize;

function makeBytesSize({ image, layout }: WholeObjectOptions): FindSize {
  const ob_size = layout.word('PyVarObject.ob_size');
  const ob_shash = layout.word('PyBytesObject.ob_shash');
  const ob_sval = layout.offset('PyBytesObject.ob_sval');
  return (word) => {
    const length = signedAt(image, word + ob_size);
    if (!isLength(length) || !isHash(image, word + ob_shash, length)) return 0;
    const end = ob_sval + length;
    return findNumber(image, word, end, 1) ? 0 : end + 1;
  };
}

function makeStrSize({ image, layout }: WholeObjectOptions): FindSize {
  const lengthWord = layout.word('PyASCIIObject.length');
  const hashWord = layout.word('PyASCIIObject.hash');
  const stateWord = layout.word('PyASCIIObject.state');
  const asciiBytes = layout.size('PyASCIIObject');
  const compactBytes = layout.size('PyCompactUnicodeObject');
  const hasReady = layout.has('PyASCIIObject.wstr');
  return (word) => {
    const state = image.halves[(word + stateWord) * 2];
    const kind = stateKind(state);
    const isAscii = (state & COMPACT_ASCII) === COMPACT_ASCII;
    // The same bit says since 3.12 that the object is static.
    if ((state & COMPACT) === 0 || ((state & READY) !== 0) !== hasReady) return 0;
    if (isAscii ? kind !== 1 : kind !== 1 && kind !== 2 && kind !== 4) return 0;
    const length = signedAt(image, word + lengthWord);
    if (!isLength(length) || !isHash(image, word + hashWord, length)) return 0;
    const head = isAscii ? asciiBytes : compactBytes;
    const end = head + length * kind;
    if (findNumber(image, word, end, kind)) return 0;
    const [from, to] = findHalves(image, word, head, end);
    for (let i = from; i < to; i++) {
      const half = image.halves[i];
      if (isAscii ? (half & 0x80808080) !== 0 : kind === 4 && half > LAST_CHARACTER) return 0;
    }
    return end + kind;
  };
}

function makeIntSize({ image, layout, types }: WholeObjectOptions): FindSize {
  const isTagged = layout.has('PyLongObject.long_value.lv_tag');
  const sizeWord = isTagged
    ? layout.word('PyLongObject.long_value.lv_tag')
    : layout.word('PyVarObject.ob_size');
  const head = layout.offset(
    isTagged ? 'PyLongObject.long_value.ob_digit' : 'PyLongObject.ob_digit',
  );
  const int = types.find(({ tp_name, isHeapType }) => tp_name === 'int' && !isHeapType);
  if (int?.tp_itemsize !== DIGIT_BYTES) return () => 0;
  return (word) => {
    const digits = isTagged
      ? countTagged(image, word + sizeWord)
      : Math.abs(signedAt(image, word + sizeWord));
    if (digits === 0 || !isLength(digits)) return 0;
    const end = head + digits * DIGIT_BYTES;
    const last = findNumber(image, word, end - DIGIT_BYTES, DIGIT_BYTES);
    if (last === 0 || (last !== undefined && last >= DIGIT_LIMIT)) return 0;
    const [from, to] = findHalves(image, word, head, end);
    for (let i = from; i < to; i++) if (image.halves[i] >= DIGIT_LIMIT) return 0;
    return end;
  };
}

const isLength = (count: number): boolean => count >= 0 && count <= MAX_ITEMS;

/** Rounded where it is too large for a count. */
function signedAt({ halves }: MemoryImage, word: number): number {
  return halves[2 * word] + TWO_32 * (halves[2 * word + 1] | 0);
}

/** lv_tag: two bits of the sign (0 or 2 where there are digits), one that no int with more than one digit has set. */
function countTagged({ halves }: MemoryImage, word: number): number {
  const lo = halves[2 * word];
  if ((lo & 7) !== 0 && (lo & 7) !== 2) return 0;
  return Math.floor((lo + TWO_32 * halves[2 * word + 1]) / 8);
}

/** -1 before it was asked for; never 0 for what is not empty, but once in 2^64. */
function isHash({ halves }: MemoryImage, word: number, length: number): boolean {
  return length === 0 || halves[2 * word] !== 0 || halves[2 * word + 1] !== 0;
}

/** Halves of the image that the bytes [from, to) of the object at `word` fill, as far as they are looked at. */
function findHalves(image: MemoryImage, word: number, from: number, to: number): [number, number] {
  const end = Math.min(word + CHECKED_WORDS, image.runEnd(word)) * 2;
  return [word * 2 + from / 4, Math.min(word * 2 + Math.floor(to / 4), end)];
}

/** The number in 1 to 4 bytes of the object; undefined if they were not copied: of bulk, or never touched. */
function findNumber(
  image: MemoryImage,
  word: number,
  offset: number,
  byteCount: number,
): number | undefined {
  const first = image.addressOfWord(word) + offset;
  let number = 0;
  for (let i = byteCount - 1; i >= 0; i--) {
    const address = first + i;
    const at = image.wordAtAddress(address);
    if (at === 0) return undefined;
    const half = image.halves[2 * at + (address % 8 < 4 ? 0 : 1)];
    number = number * 256 + ((half >>> ((address % 4) * 8)) & 0xff);
  }
  return number;
}
