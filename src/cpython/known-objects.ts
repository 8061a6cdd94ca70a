// Reads single objects whose type is known, through any MemoryReader: the few ints and strs that say what a target is.
// The objects of the heap are decoded by `decode-*.ts`. Source: Include/cpython/longintrepr.h (3.8 to 3.15).

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import type { Layout } from './layout.ts';

const READY = 1 << 12;
const BYTES_SUBCLASS = 1 << 27;
export const STR_SUBCLASS = 1 << 28;
export const DICT_SUBCLASS = 1 << 29;
const TYPE_SUBCLASS = 1 << 31;
/** A `bytes` or tuple that belongs to a code object has less. */
const MAX_LENGTH = 1 << 24;
const SINGLE_DIGIT = 1;
/** lv_tag since 3.12: digit count * 8, sign in the low 2 bits (0 positive). */
const SINGLE_DIGIT_TAG_SINCE_312 = 1 << 3;

/** The value of an int of at most 30 bits that is not negative; undefined for all others and for what cannot be read. */
export function findSmallInt(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
): number | undefined {
  const isTagged = layout.has('PyLongObject.long_value');
  const sizeOffset = isTagged
    ? layout.offset('PyLongObject.long_value')
    : layout.offset('PyVarObject.ob_size');
  const expected = isTagged ? SINGLE_DIGIT_TAG_SINCE_312 : SINGLE_DIGIT;
  try {
    // Zero has no digit before 3.12 and the sign 1 since; none of what is asked for is zero.
    if (memory.readAddress(address + sizeOffset) !== expected) return undefined;
    const digit = memory.readU32(address + sizeOffset + 8);
    return digit < 2 ** 30 ? digit : undefined;
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/** Type of the object at `address`; undefined if it cannot be read. */
export function findTypeAddress(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
): Address | undefined {
  try {
    return memory.readAddress(address + layout.offset('PyObject.ob_type'));
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/**
 * Whether an object lies at `address`: its type is ready and has a metatype. `subclassFlag` is a bit of the type's
 * tp_flags that must be set (Py_TPFLAGS_DICT_SUBCLASS and the like).
 */
export function isObject(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
  subclassFlag = 0,
): boolean {
  if (address === 0 || address % 8 !== 0) return false;
  const ob_type = layout.offset('PyObject.ob_type');
  const tp_flags = layout.offset('PyTypeObject.tp_flags');
  try {
    const type = memory.readAddress(address + ob_type);
    if (type === 0 || type % 8 !== 0) return false;
    const flags = memory.readU32(type + tp_flags);
    if ((flags & READY) === 0 || (flags & subclassFlag) !== subclassFlag) return false;
    const metatype = memory.readAddress(type + ob_type);
    if (metatype === 0 || metatype % 8 !== 0) return false;
    return (memory.readU32(metatype + tp_flags) & TYPE_SUBCLASS) !== 0;
  } catch (error) {
    if (error instanceof MemoryReadError) return false;
    throw error;
  }
}

/** At most `limit` items of the tuple at `address`; throws MemoryReadError. */
export function readTuple(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
  limit: number,
): Address[] {
  const length = memory.readI64(address + layout.offset('PyVarObject.ob_size'));
  const items: Address[] = [];
  const first = address + layout.offset('PyTupleObject.ob_item');
  for (let i = 0; i < Math.min(length, limit); i++) items.push(memory.readAddress(first + i * 8));
  return items;
}

/** Content of the `bytes` at `address`; undefined if it is none. */
export function findBytesContent(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
): Uint8Array | undefined {
  if (!isObject(memory, layout, address, BYTES_SUBCLASS)) return undefined;
  try {
    const length = memory.readI64(address + layout.offset('PyVarObject.ob_size'));
    if (length < 0 || length > MAX_LENGTH) return undefined;
    return memory.bytesAt(address + layout.offset('PyBytesObject.ob_sval'), length);
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}
