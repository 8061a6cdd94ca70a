// FNV-1a, 32 bits (Fowler, Noll, Vo): for fingerprints and signatures, where the value must be the same in every run and
// on every machine. Not for untrusted keys of a hash table.

const FNV_PRIME = 0x01000193;
export const HASH_START = 0x811c9dc5;

/** Continues `hash` with the UTF-16 code units of `text`. */
export function hashText(text: string, hash: number = HASH_START): number {
  let h = hash;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    h = Math.imul(h ^ (unit & 0xff), FNV_PRIME);
    h = Math.imul(h ^ (unit >>> 8), FNV_PRIME);
  }
  return h >>> 0;
}

/** Continues `hash` with bytes [start, end) of `bytes`. */
export function hashBytes(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let h = hash;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i], FNV_PRIME);
  return h >>> 0;
}

/** Continues `hash` with a whole number below 2^53; spreads better than FNV where few bits differ (MurmurHash3's steps). */
export function hashNumber(number: number, hash: number): number {
  let h = hash ^ Math.imul((number / 2 ** 32) | 0, 0xcc9e2d51);
  h = Math.imul(h ^ (number >>> 0), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
