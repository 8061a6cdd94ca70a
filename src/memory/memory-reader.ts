// Reading single values from an address space, wherever its bytes are: a live process or a core file (`ByteMemory`), or a
// frozen copy (`MemoryImage`). For code that reads little: hot loops work on `MemoryImage.halves`.

/** A virtual address of the target in bytes: an exact integer below 2^48. */
export type Address = number;

/** All `read…` and `bytesAt` throw MemoryReadError where the bytes cannot be had; `find…` return undefined. */
export interface MemoryReader {
  readU8(address: Address): number;
  readU16(address: Address): number;
  readU32(address: Address): number;
  readI32(address: Address): number;
  /** A pointer. Values of 2^53 and above, which no pointer has, come out rounded. */
  readAddress(address: Address): Address;
  /** A signed 64-bit integer, exact within 2^53. */
  readI64(address: Address): number;
  /** `byteCount` bytes; whether they are a view or a copy is the implementation's choice. */
  bytesAt(address: Address, byteCount: number): Uint8Array;
  /** A zero-terminated string of at most `limit` bytes, as Latin-1. */
  findCString(address: Address, limit?: number): string | undefined;
}
