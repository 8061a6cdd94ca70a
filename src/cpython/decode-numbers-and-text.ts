// Decodes int, str, bytes, float, complex, bool, None: no references, but sizes and buffers of their own.
// Source: Objects/longobject.c, Objects/unicodeobject.c (int and str __sizeof__; 3.8 to 3.15).

import { decodeNothing, ownBufferAt } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder } from './object-reader.ts';
import { COMPACT, COMPACT_ASCII, READY, stateKind } from './str-state.ts';

export function numberAndTextDecoders(layout: Layout): [string, ObjectDecoder][] {
  const isTagged = layout.has('PyLongObject.long_value.lv_tag');
  const int: ObjectDecoder = {
    structSize: layout.offset(
      isTagged ? 'PyLongObject.long_value.ob_digit' : 'PyLongObject.ob_digit',
    ),
    decode: isTagged ? makeDecodeIntSince312(layout) : makeDecodeIntOf38(layout),
    ignoresObSize: true,
    explainsBody: true,
  };
  return [
    ['int', int],
    ['bool', isTagged ? int : { ...int, structSize: layout.size('PyLongObject') }],
    ['str', strDecoder(layout)],
    [
      'bytes',
      {
        structSize: layout.offset('PyBytesObject.ob_sval') + 1,
        decode: decodeNothing,
        explainsBody: true,
      },
    ],
    ['float', { structSize: layout.size('PyFloatObject'), decode: decodeNothing }],
    ['complex', { structSize: layout.size('PyComplexObject'), decode: decodeNothing }],
  ];
}

/** ob_size is the number of digits, negative for negative numbers. */
function makeDecodeIntOf38(layout: Layout): DecodeObject {
  const digits = layout.offset('PyLongObject.ob_digit');
  // 3.11 counts the digit that 0 has room for.
  const fewest = layout.hasSize('_PyInterpreterFrame') ? 1 : 0;
  return (reader, word, type) => {
    const digitCount = Math.abs(reader.halves[(word + 2) * 2] | 0);
    reader.shallowBytes = type.preheaderBytes + digits + 4 * Math.max(digitCount, fewest);
  };
}

/** lv_tag: sign in two bits, one more flag, then the number of digits. */
function makeDecodeIntSince312(layout: Layout): DecodeObject {
  const lv_tag = layout.word('PyLongObject.long_value.lv_tag');
  return (reader, word, type) => {
    const digitCount = reader.halves[(word + lv_tag) * 2] >>> 3;
    reader.shallowBytes =
      type.preheaderBytes + type.tp_basicsize + type.tp_itemsize * Math.max(digitCount, 1);
  };
}

function strDecoder(layout: Layout): ObjectDecoder {
  return {
    structSize: layout.size('PyUnicodeObject'),
    minimumSize: layout.size('PyASCIIObject'),
    decode: makeDecodeStr(layout),
  };
}

/** Compact ASCII: one block. Others may have a UTF-8 copy, until 3.11 a wchar_t copy, and not compact ones their data apart. */
function makeDecodeStr(layout: Layout): DecodeObject {
  const lengthWord = layout.word('PyASCIIObject.length');
  const stateWord = layout.word('PyASCIIObject.state');
  const asciiBytes = layout.size('PyASCIIObject');
  const compactBytes = layout.size('PyCompactUnicodeObject');
  const unicodeBytes = layout.size('PyUnicodeObject');
  const utf8 = layout.word('PyCompactUnicodeObject.utf8');
  const utf8_length = layout.word('PyCompactUnicodeObject.utf8_length');
  const data = layout.word('PyUnicodeObject.data');
  const wstr = layout.has('PyASCIIObject.wstr') ? layout.word('PyASCIIObject.wstr') : -1;
  const wstr_length = layout.has('PyCompactUnicodeObject.wstr_length')
    ? layout.word('PyCompactUnicodeObject.wstr_length')
    : -1;

  return (reader, word, type) => {
    const halves = reader.halves;
    const state = halves[(word + stateWord) * 2];
    const length = halves[(word + lengthWord) * 2] + halves[(word + lengthWord) * 2 + 1] * 2 ** 32;
    const isAscii = (state & COMPACT_ASCII) === COMPACT_ASCII;
    const isCompact = (state & COMPACT) !== 0;
    const kind = stateKind(state);
    let size = isAscii ? asciiBytes + length + 1 : compactBytes + (length + 1) * kind;
    if (
      !isAscii &&
      word + (isCompact ? compactBytes : unicodeBytes) / 8 > reader.image.runEnd(word)
    ) {
      reader.problem('str-cut-off', word);
      return;
    }
    if (!isCompact) {
      size = unicodeBytes;
      const dataAt = (word + data) * 2;
      if (halves[dataAt] !== 0 || halves[dataAt + 1] !== 0) {
        size += (length + 1) * kind;
        reader.ownBuffer(halves[dataAt], halves[dataAt + 1], (length + 1) * kind);
      }
    }
    if (!isAscii) {
      const at = (word + utf8) * 2;
      const dataAt = (word + data) * 2;
      const isShared =
        !isCompact && halves[at] === halves[dataAt] && halves[at + 1] === halves[dataAt + 1];
      if ((halves[at] !== 0 || halves[at + 1] !== 0) && !isShared) {
        const utf8Bytes = halves[(word + utf8_length) * 2] + 1;
        size += utf8Bytes;
        reader.ownBuffer(halves[at], halves[at + 1], utf8Bytes);
      }
    }
    if (wstr >= 0) {
      const at = (word + wstr) * 2;
      if (halves[at] !== 0 || halves[at + 1] !== 0) {
        const wideLength = isAscii ? length : halves[(word + wstr_length) * 2];
        // A str of wchar_t's width may share its characters with the copy.
        const characters = isCompact ? word + compactBytes / 8 : reader.follow(word + data);
        const isShared = (state & READY) !== 0 && reader.follow(word + wstr) === characters;
        if (!isShared) {
          size += (wideLength + 1) * 4;
          ownBufferAt(reader, word + wstr, (wideLength + 1) * 4);
        }
      }
    }
    reader.shallowBytes = type.preheaderBytes + size;
  };
}
