// What the first word of a PyObject says: its reference count, that it is immortal, or that no living object is there.
// Source: Include/object.h and Include/refcount.h of 3.8 to 3.15, GIL builds.

import { NONE } from '../graph/heap-graph.ts';
import type { ReferenceCounts } from './object-admission.ts';
import type { VersionFeatures } from './version.ts';

/** 3.8 to 3.11: a signed 64-bit count. No object has 2^32 references; pointers and sizes of buffers are larger. */
const counts64: ReferenceCounts = {
  decode: (lo, hi) => (hi === 0 && lo < 0x7fffffff ? lo : 0),
};

/** 3.12 and 3.13: immortal when the lower half is negative; the upper half is not used. */
const countsSince312: ReferenceCounts = {
  decode: (lo, hi) => (hi !== 0 ? 0 : lo >= 0x80000000 ? NONE : lo),
};

/**
 * 3.14: u32 ob_refcnt, u16 ob_overflow, u16 ob_flags. Free lists put a pointer here, whose upper half is larger than
 * any flags that exist.
 */
const countsSince314: ReferenceCounts = {
  decode: (lo, hi) => {
    if ((hi & 0xffff) !== 0 || hi >>> 16 > 0xff) return 0;
    return lo >= 0x80000000 ? NONE : lo;
  },
};

export const referenceCountsOf = (features: VersionFeatures): ReferenceCounts =>
  features.immortal === 'none'
    ? counts64
    : features.immortal === 'low32'
      ? countsSince312
      : countsSince314;
