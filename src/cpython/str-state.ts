// The bit field PyASCIIObject.state of GIL builds: interned:2 kind:3 compact:1 ascii:1, then ready:1 (until 3.11) or
// statically_allocated:1. Source: Include/cpython/unicodeobject.h (3.8 to 3.15).

/** Characters follow the struct. */
export const COMPACT = 1 << 5;
/** Compact, and all characters below 128: the struct is a PyASCIIObject. */
export const COMPACT_ASCII = (1 << 5) | (1 << 6);
/** 3.8 to 3.11: the characters are there and not only their wchar_t copy. */
export const READY = 1 << 7;

/** Bytes per character: 1, 2 or 4; 0 in a str of 3.11 or older that only has its wchar_t copy. */
export const stateKind = (state: number): number => (state >>> 2) & 7;
