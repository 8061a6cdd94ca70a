// Decodes numpy.ndarray: what it is a view of, its dtype, its data, and the objects in an array of objects; writes its shape
// and dtype as a preview. Source: numpy/_core/include/numpy/ndarraytypes.h (PyArrayObject_fields and the head of
// PyArray_Descr, the same in 1.22 to 2.x; their ABI), multiarray/methods.c (array_sizeof).
//
// Arrays of records may hold objects between numbers: their data is scanned. Not handled: older numpy (another size: its
// arrays are scanned), objects at odd addresses in packed records, objects in memory that no array owns, the size of arrays
// without dimensions.

import type { Uint8Column } from '../base/columns.ts';
import { EdgeKind } from '../graph/heap-graph.ts';
import { makeLabels, ownBufferAt } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { ObjectDecoder, ObjectReader } from './object-reader.ts';
import { appendText } from './preview-text.ts';

/** PyArrayObject_fields, in words. */
const SIZE_BYTES = 96;
const DATA = 2;
const ND = 3;
const DIMENSIONS = 4;
const STRIDES = 5;
const BASE = 6;
const DESCR = 7;
const FLAGS = 8;
const MEM_HANDLER = 11;
/** PyArray_Descr: word of `typeobj`, byte offset of `kind`. */
const DESCR_TYPEOBJ = 2;
const DESCR_KIND = 24;

const NPY_ARRAY_OWNDATA = 4;
/** NPY_MAXDIMS of 2.x. */
const MAX_DIMENSIONS = 64;
const KIND_OBJECT = 'O'.charCodeAt(0);
const KIND_VOID = 'V'.charCodeAt(0);
/** Of an array without dimensions: what most numbers take. */
const ITEM_BYTES = 8;

export function numpyDecoders(): [string, ObjectDecoder][] {
  const labelsOf = makeLabels(['base', 'dtype', 'mem_handler']);
  const decode = (reader: ObjectReader, word: number): void => {
    const [base, dtype, handler] = labelsOf(reader);
    reader.referenceAt(word + BASE, EdgeKind.attribute, base);
    reader.referenceAt(word + DESCR, EdgeKind.attribute, dtype);
    reader.referenceAt(word + MEM_HANDLER, EdgeKind.internal, handler);
    const shape = findShape(reader, word);
    if (shape === undefined) {
      reader.problem('array-shape-not-copied', word);
      return;
    }
    reader.shallowBytes += shape.count * 16;
    if (shape.count > 0) ownBufferAt(reader, word + DIMENSIONS, shape.count * 16);
    if ((reader.halves[(word + FLAGS) * 2] & NPY_ARRAY_OWNDATA) === 0) return;
    reader.shallowBytes += shape.dataBytes;
    ownBufferAt(reader, word + DATA, shape.dataBytes);
    decodeItems(reader, word, shape.dataBytes);
  };
  return [['numpy.ndarray', { structSize: SIZE_BYTES, decode, scans: true }]];
}

interface Shape {
  count: number;
  dimensions: number[];
  /** Of data that the array owns: it is contiguous. */
  dataBytes: number;
}

function findShape(reader: ObjectReader, word: number): Shape | undefined {
  const { halves, image } = reader;
  const count = halves[(word + ND) * 2];
  if (count === 0) return { count, dimensions: [], dataBytes: ITEM_BYTES };
  const first = reader.follow(word + DIMENSIONS);
  const strides = reader.follow(word + STRIDES);
  if (count > MAX_DIMENSIONS || first === 0 || strides === 0) return undefined;
  if (first + count > image.runEnd(first) || strides + count > image.runEnd(strides)) {
    return undefined;
  }
  const dimensions: number[] = [];
  let dataBytes = 0;
  for (let i = 0; i < count; i++) {
    const length = halves[(first + i) * 2 + 1] * 2 ** 32 + halves[(first + i) * 2];
    const stride = halves[(strides + i) * 2 + 1] * 2 ** 32 + halves[(strides + i) * 2];
    dimensions.push(length);
    dataBytes = Math.max(dataBytes, length * stride);
  }
  if (dimensions.includes(0)) dataBytes = 0;
  return { count, dimensions, dataBytes };
}

/** The objects in the data, if it has any. */
function decodeItems(reader: ObjectReader, word: number, dataBytes: number): void {
  const { halves, image } = reader;
  const descr = reader.follow(word + DESCR);
  const first = reader.follow(word + DATA);
  if (descr === 0 || first === 0 || descr + DESCR_KIND / 8 >= image.runEnd(descr)) return;
  const kind = halves[(descr * 8 + DESCR_KIND) / 4] & 0xff;
  const end = Math.min(first + Math.floor(dataBytes / 8), image.runEnd(first));
  if (kind === KIND_VOID) reader.scan(first, end);
  if (kind !== KIND_OBJECT) return;
  for (let at = first; at < end; at++) reader.referenceAt(at, EdgeKind.item, at - first);
}

/** `<ndarray shape=(1000, 3) dtype=float64>` */
export function makeWriteArray(layout: Layout) {
  const tp_name = layout.offset('PyTypeObject.tp_name');
  return (reader: ObjectReader, word: number, _type: unknown, out: Uint8Column): void => {
    if (word + SIZE_BYTES / 8 > reader.image.runEnd(word)) return;
    const shape = findShape(reader, word);
    if (shape === undefined) return;
    const descr = reader.follow(word + DESCR);
    const typeobj = descr === 0 ? 0 : reader.follow(descr + DESCR_TYPEOBJ);
    const name = typeobj === 0 ? undefined : findTypeName(reader, typeobj, tp_name);
    const tail = shape.count === 1 ? ',' : '';
    const dtype = name === undefined ? '' : ` dtype=${name.replace(/^numpy\./, '')}`;
    appendText(out, `<ndarray shape=(${shape.dimensions.join(', ')}${tail})${dtype}>`);
  };
}

function findTypeName(reader: ObjectReader, type: number, tp_name: number): string | undefined {
  const { image, halves } = reader;
  const at = type * 2 + tp_name / 4;
  if (at + 1 >= image.runEnd(type) * 2) return undefined;
  return image.findCString(halves[at + 1] * 2 ** 32 + halves[at], 64);
}
