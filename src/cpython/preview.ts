// Writes the short content of an object as its repr begins, in UTF-8: text and bytes quoted and escaped as Python does,
// numbers, and the name of what has one (function, class, module, code, generator, coroutine). Nothing for other types.
// Source: Objects/unicodeobject.c (unicode_repr), bytesobject.c (PyBytes_Repr), Python/pystrtod.c (repr style), 3.8 to 3.15.
//
// At most 120 characters of content. Which characters above U+00FF are printable is taken from this program's Unicode
// version and not from the target's.

import type { Uint8Column } from '../base/columns.ts';
import { appendFloat, appendInteger, formatFloatRepr } from '../graph/number-preview.ts';
import { makeWriteArray } from './decode-numpy.ts';
import { findWord } from './decode-struct.ts';
import { findInDict, findStrText } from './dict-entries.ts';
import type { Layout } from './layout.ts';
import type { ObjectReader, TypeInfo } from './object-reader.ts';
import { appendReprOfBytes, appendReprOfText, appendText } from './preview-text.ts';
import { COMPACT, COMPACT_ASCII, stateKind } from './str-state.ts';

const MAX_CONTENT = 120;
/** Bits of tp_flags. */
const LONG_SUBCLASS = 1 << 24;
const BYTES_SUBCLASS = 1 << 27;
const UNICODE_SUBCLASS = 1 << 28;
const TYPE_SUBCLASS = 1 << 31;
const HEAPTYPE = 1 << 9;
const DIGIT_BITS = 30;
const MAX_EXACT_DIGITS = 3;

/** Appends the preview of the object at `word` to `out`; nothing for types that have none. */
export type WritePreview = (
  reader: ObjectReader,
  word: number,
  type: TypeInfo,
  out: Uint8Column,
) => void;

export function makePreviewWriter(layout: Layout): WritePreview {
  const writeStr = makeWriteStr(layout);
  const writeInt = makeWriteInt(layout);
  const writeBytes = makeWriteBytes(layout);
  const writeClass = makeWriteClass(layout);
  const byName: Record<string, WritePreview> = {
    float: makeWriteFloat(layout),
    complex: makeWriteComplex(layout),
    bytearray: makeWriteByteArray(layout),
    NoneType: (_reader, _word, _type, out) => appendText(out, 'None'),
    ellipsis: (_reader, _word, _type, out) => appendText(out, 'Ellipsis'),
    NotImplementedType: (_reader, _word, _type, out) => appendText(out, 'NotImplemented'),
    'collections.deque': makeWriteLimit(layout, 'dequeobject.maxlen', 'deque(maxlen=', ')'),
    'functools._lru_cache_wrapper': makeWriteLimit(
      layout,
      'lru_cache_object.maxsize',
      '<functools.lru_cache(maxsize=',
      ')>',
    ),
    'numpy.ndarray': makeWriteArray(layout),
    function: makeWriteFunction(layout),
    method: makeWriteMethod(layout),
    builtin_function_or_method: makeWriteBuiltin(layout),
    code: makeWriteCode(layout),
    module: makeWriteModule(layout),
    generator: makeWriteGenerator(layout, 'generator', 'PyGenObject', 'gi'),
    coroutine: makeWriteGenerator(layout, 'coroutine', 'PyCoroObject', 'cr'),
    async_generator: makeWriteGenerator(layout, 'async_generator', 'PyAsyncGenObject', 'ag'),
  };
  const writerOf = (type: TypeInfo): WritePreview | undefined => {
    const flags = type.tp_flags;
    if ((flags & UNICODE_SUBCLASS) !== 0) return writeStr;
    if ((flags & LONG_SUBCLASS) !== 0) return writeInt;
    if ((flags & BYTES_SUBCLASS) !== 0) return writeBytes;
    if ((flags & TYPE_SUBCLASS) !== 0) return writeClass;
    // Classes of the program have no dot in tp_name; those of C modules have.
    return (flags & HEAPTYPE) === 0 || type.tp_name.includes('.')
      ? byName[type.tp_name]
      : undefined;
  };
  /** By typeId: asking a type again for each of its objects would take longer than writing a number. */
  const writers: (WritePreview | undefined)[] = [];
  const known: (TypeInfo | undefined)[] = [];
  return (reader, word, type, out) => {
    if (known[type.typeId] !== type) {
      known[type.typeId] = type;
      writers[type.typeId] = writerOf(type);
    }
    writers[type.typeId]?.(reader, word, type, out);
  };
}

function makeWriteStr(layout: Layout): WritePreview {
  const lengthWord = layout.word('PyASCIIObject.length');
  const stateWord = layout.word('PyASCIIObject.state');
  const asciiWords = layout.size('PyASCIIObject') / 8;
  const compactWords = layout.size('PyCompactUnicodeObject') / 8;
  const data = layout.word('PyUnicodeObject.data');
  return (reader, word, _type, out) => {
    const { halves, image } = reader;
    const state = halves[(word + stateWord) * 2];
    const length = halves[(word + lengthWord) * 2];
    const isAscii = (state & COMPACT_ASCII) === COMPACT_ASCII;
    const kind = stateKind(state);
    let first = word + (isAscii ? asciiWords : compactWords);
    if ((state & COMPACT) === 0) {
      if (word + data >= image.runEnd(word)) return;
      first = reader.follow(word + data);
    }
    if (first === 0 || (kind !== 1 && kind !== 2 && kind !== 4)) return;
    const count = Math.min(length, MAX_CONTENT);
    if (first * 8 + count * kind > image.runEnd(first) * 8) return;
    appendReprOfText(out, { halves, first: first * 2, kind, count }, length);
  };
}

function makeWriteBytes(layout: Layout): WritePreview {
  const ob_sval = layout.word('PyBytesObject.ob_sval');
  return (reader, word, _type, out) => {
    const { halves, image } = reader;
    const length = halves[(word + 2) * 2];
    const count = Math.min(length, MAX_CONTENT);
    const first = word + ob_sval;
    if (first * 8 + count > image.runEnd(word) * 8) return;
    appendReprOfBytes(out, { halves, first: first * 2, start: 0, count }, length, 'b', '');
  };
}

function makeWriteByteArray(layout: Layout): WritePreview {
  const ob_start = layout.word('PyByteArrayObject.ob_start');
  return (reader, word, _type, out) => {
    const { halves, image } = reader;
    const length = halves[(word + 2) * 2];
    const at = (word + ob_start) * 2;
    const first = length === 0 ? word : image.wordAt(halves[at], halves[at + 1]);
    const count = Math.min(length, MAX_CONTENT);
    const start = halves[at] & 7;
    if (first === 0 || first * 8 + start + count > image.runEnd(first) * 8) return;
    const bytes = { halves, first: first * 2, start, count };
    appendReprOfBytes(out, bytes, length, 'bytearray(b', ')');
  };
}

function makeWriteInt(layout: Layout): WritePreview {
  const isTagged = layout.has('PyLongObject.long_value.lv_tag');
  const digits =
    layout.offset(isTagged ? 'PyLongObject.long_value.ob_digit' : 'PyLongObject.ob_digit') / 4;
  return (reader, word, type, out) => {
    const halves = reader.halves;
    const size = halves[(word + 2) * 2];
    const count = isTagged ? size >>> 3 : Math.abs(size | 0);
    const isNegative = isTagged ? (size & 3) === 2 : (size | 0) < 0;
    const first = word * 2 + digits;
    if (first + count > reader.image.runEnd(word) * 2) return;
    if (type.tp_name === 'bool') {
      appendText(out, count === 0 ? 'False' : 'True');
    } else if (count > MAX_EXACT_DIGITS) {
      appendText(out, `<int, ${count} digits of 2^${DIGIT_BITS}>`);
    } else if (count <= 1) {
      appendInteger(out, count === 0 ? 0 : halves[first], isNegative);
    } else {
      let value = 0n;
      for (let i = count - 1; i >= 0; i--) {
        value = (value << BigInt(DIGIT_BITS)) | BigInt(halves[first + i]);
      }
      appendText(out, isNegative ? `-${value}` : `${value}`);
    }
  };
}

const doubleOf = new DataView(new ArrayBuffer(8));

function readDouble(halves: Uint32Array, word: number): number {
  doubleOf.setUint32(0, halves[word * 2], true);
  doubleOf.setUint32(4, halves[word * 2 + 1], true);
  return doubleOf.getFloat64(0, true);
}

function makeWriteFloat(layout: Layout): WritePreview {
  const ob_fval = layout.word('PyFloatObject.ob_fval');
  return ({ halves }, word, _type, out) => {
    const at = (word + ob_fval) * 2;
    appendFloat(out, halves[at], halves[at + 1]);
  };
}

function makeWriteComplex(layout: Layout): WritePreview {
  const cval = layout.word('PyComplexObject.cval');
  return (reader, word, _type, out) => {
    const real = readDouble(reader.halves, word + cval);
    const imaginary = formatFloatRepr(readDouble(reader.halves, word + cval + 1), false);
    if (Object.is(real, 0)) return appendText(out, `${imaginary}j`);
    const sign = imaginary.startsWith('-') ? '' : '+';
    appendText(out, `(${formatFloatRepr(real, false)}${sign}${imaginary}j)`);
  };
}

const addressAt = (reader: ObjectReader, word: number): number =>
  reader.halves[word * 2] + 2 ** 32 * reader.halves[word * 2 + 1];

/** The str that the word points to. */
function findStrAt(reader: ObjectReader, pointer: number): string | undefined {
  if (pointer >= reader.image.endWord) return undefined;
  return reader.findStr(reader.halves[pointer * 2], reader.halves[pointer * 2 + 1], MAX_CONTENT);
}

type FindPlace = (reader: ObjectReader, codeWord: number) => string | undefined;

/** ` at main.py:31` of the code object at `codeWord`: the last part of its file and its first line. */
function makeFindPlace(layout: Layout): FindPlace {
  const co_filename = layout.word('PyCodeObject.co_filename');
  const co_firstlineno = layout.offset('PyCodeObject.co_firstlineno') / 4;
  const codeWords = Math.floor(layout.size('PyCodeObject') / 8);
  return (reader, codeWord) => {
    if (codeWord === 0 || codeWord + codeWords > reader.image.runEnd(codeWord)) return undefined;
    const file = findStrAt(reader, codeWord + co_filename);
    if (file === undefined) return undefined;
    return `${file.slice(file.lastIndexOf('/') + 1)}:${reader.halves[codeWord * 2 + co_firstlineno]}`;
  };
}

const atPlace = (place: string | undefined): string => (place === undefined ? '' : ` at ${place}`);

/** `app.f at main.py:31` of the function at `word`. */
function makeFindFunctionText(
  layout: Layout,
): (reader: ObjectReader, word: number) => string | undefined {
  const func_qualname = layout.word('PyFunctionObject.func_qualname');
  const func_module = layout.word('PyFunctionObject.func_module');
  const func_code = layout.word('PyFunctionObject.func_code');
  const findPlace = makeFindPlace(layout);
  return (reader, word) => {
    const name = findStrAt(reader, word + func_qualname);
    if (name === undefined) return undefined;
    const module = findStrAt(reader, word + func_module);
    const place = findPlace(reader, reader.follow(word + func_code));
    return `${module === undefined ? '' : `${module}.`}${name}${atPlace(place)}`;
  };
}

function makeWriteFunction(layout: Layout): WritePreview {
  const findText = makeFindFunctionText(layout);
  return (reader, word, _type, out) => {
    const text = findText(reader, word);
    if (text !== undefined) appendText(out, `<function ${text}>`);
  };
}

function makeWriteMethod(layout: Layout): WritePreview {
  const im_func = layout.word('PyMethodObject.im_func');
  const findText = makeFindFunctionText(layout);
  return (reader, word, _type, out) => {
    const func = reader.follow(word + im_func);
    if (func === 0 || reader.findType(func)?.tp_name !== 'function') return;
    const text = findText(reader, func);
    if (text !== undefined) appendText(out, `<method ${text}>`);
  };
}

function makeWriteBuiltin(layout: Layout): WritePreview {
  const m_ml = layout.word('PyCFunctionObject.m_ml');
  const ml_name = layout.word('PyMethodDef.ml_name');
  const m_module = layout.word('PyCFunctionObject.m_module');
  return (reader, word, _type, out) => {
    const definition = reader.follow(word + m_ml);
    if (definition === 0) return;
    const name = reader.image.findCString(addressAt(reader, definition + ml_name), MAX_CONTENT);
    if (name === undefined) return;
    const module = findStrAt(reader, word + m_module);
    appendText(out, `<built-in function ${module === undefined ? '' : `${module}.`}${name}>`);
  };
}

function makeWriteCode(layout: Layout): WritePreview {
  const nameWord = findWord(layout, 'PyCodeObject.co_qualname');
  const co_name = nameWord >= 0 ? nameWord : layout.word('PyCodeObject.co_name');
  const findPlace = makeFindPlace(layout);
  return (reader, word, _type, out) => {
    const name = findStrAt(reader, word + co_name);
    if (name !== undefined) appendText(out, `<code ${name}${atPlace(findPlace(reader, word))}>`);
  };
}

function makeWriteModule(layout: Layout): WritePreview {
  const md_name = layout.word('PyModuleObject.md_name');
  return (reader, word, _type, out) => {
    const name = findStrAt(reader, word + md_name);
    if (name !== undefined) appendText(out, `<module '${name}'>`);
  };
}

/** `module.qualname` of a heap type, tp_name of a static one. */
function makeWriteClass(layout: Layout): WritePreview {
  const tp_flags = layout.word('PyTypeObject.tp_flags');
  const tp_name = layout.word('PyTypeObject.tp_name');
  const tp_dict = layout.word('PyTypeObject.tp_dict');
  const ht_qualname = layout.word('PyHeapTypeObject.ht_qualname');
  const typeWords = layout.size('PyTypeObject') / 8;
  const heapTypeWords = layout.size('PyHeapTypeObject') / 8;
  const findModule = (reader: ObjectReader, word: number): string | undefined => {
    const dict = addressAt(reader, word + tp_dict);
    const module = dict === 0 ? undefined : findInDict(reader.image, layout, dict, '__module__');
    return module === undefined ? undefined : findStrText(reader.image, layout, module);
  };
  return (reader, word, _type, out) => {
    const { halves, image } = reader;
    const end = image.runEnd(word);
    if (word + typeWords > end) return;
    const isHeapType = (halves[(word + tp_flags) * 2] & HEAPTYPE) !== 0;
    if (isHeapType && word + heapTypeWords <= end) {
      const name = findStrAt(reader, word + ht_qualname);
      if (name === undefined) return;
      const module = findModule(reader, word);
      const isBuiltin = module === undefined || module === 'builtins';
      appendText(out, `<class '${isBuiltin ? '' : `${module}.`}${name}'>`);
    } else {
      const name = image.findCString(addressAt(reader, word + tp_name), MAX_CONTENT);
      if (name !== undefined) appendText(out, `<class '${name}'>`);
    }
  };
}

function makeWriteGenerator(
  layout: Layout,
  kind: string,
  struct: string,
  prefix: string,
): WritePreview {
  const qualname = layout.word(`${struct}.${prefix}_qualname`);
  const findCode = makeFindCodeOfGenerator(layout, struct, prefix);
  const findPlace = makeFindPlace(layout);
  return (reader, word, _type, out) => {
    const name = findStrAt(reader, word + qualname);
    if (name === undefined) return;
    appendText(out, `<${kind} ${name}${atPlace(findPlace(reader, findCode(reader, word)))}>`);
  };
}

/** gi_code, or since 3.12 the code of the frame inside, which is tagged since 3.14. */
function makeFindCodeOfGenerator(
  layout: Layout,
  struct: string,
  prefix: string,
): (reader: ObjectReader, word: number) => number {
  const own = findWord(layout, `${struct}.${prefix}_code`);
  if (own >= 0) return (reader, word) => reader.follow(word + own);
  const field = layout.has('_PyInterpreterFrame.f_executable') ? 'f_executable' : 'f_code';
  const code =
    layout.word(`${struct}.${prefix}_iframe`) + layout.word(`_PyInterpreterFrame.${field}`);
  return (reader, word) => {
    const at = (word + code) * 2;
    return reader.image.wordAt((reader.halves[at] & ~3) >>> 0, reader.halves[at + 1]);
  };
}

/** The number that bounds a container; nothing where it has none (-1). */
function makeWriteLimit(
  layout: Layout,
  field: string,
  before: string,
  behind: string,
): WritePreview {
  const limitWord = layout.word(field);
  return (reader, word, _type, out) => {
    const lo = reader.halves[(word + limitWord) * 2];
    if (reader.halves[(word + limitWord) * 2 + 1] === 0) {
      appendText(out, `${before}${lo}${behind}`);
    }
  };
}
