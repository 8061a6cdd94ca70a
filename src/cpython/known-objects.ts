// Reads single objects whose type is known, through any MemoryReader: the few ints and strs that say what a target is.
// The objects of the heap are decoded by `decode-*.ts`. Source: Include/cpython/longintrepr.h (3.8 to 3.15).

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import type { Layout } from './layout.ts';

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
