// Single values, bytes and strings out of memory that is had piece by piece: turns one function that fills a buffer from
// an address on into a MemoryReader. For a running process and for a core file; heaps are copied first.

import { MemoryReadError } from '../base/errors.ts';
import { PAGE_SIZE } from './memory-image.ts';
import type { Address, MemoryReader } from './memory-reader.ts';

const TWO_32 = 2 ** 32;
/** Where user space ends at the latest: 2^47 on x86-64 (the vsyscall page lies far above), 2^48 on arm64. */
const ADDRESS_END = 2 ** 48;
/** No value or buffer that is read at once is larger; what claims to be is damaged. */
const MAX_READ_BYTES = 2 ** 31;

/** Fills `target` [offset, offset + byteCount) from `address` on; returns the number of bytes before the first that cannot be had. */
export type FillBytes = (
  address: Address,
  target: Uint8Array,
  offset: number,
  byteCount: number,
) => number;

export class ByteMemory implements MemoryReader {
  private readonly fill: FillBytes;
  private readonly release: () => void;
  private readonly scratch = Buffer.alloc(8);

  constructor(fill: FillBytes, release: () => void) {
    this.fill = fill;
    this.release = release;
  }

  readU8(address: Address): number {
    this.readInto(address, this.scratch, 0, 1);
    return this.scratch[0];
  }

  readU16(address: Address): number {
    this.readInto(address, this.scratch, 0, 2);
    return this.scratch.readUInt16LE(0);
  }

  readU32(address: Address): number {
    this.readInto(address, this.scratch, 0, 4);
    return this.scratch.readUInt32LE(0);
  }

  readI32(address: Address): number {
    return this.readU32(address) | 0;
  }

  readAddress(address: Address): Address {
    this.readInto(address, this.scratch, 0, 8);
    return this.scratch.readUInt32LE(0) + TWO_32 * this.scratch.readUInt32LE(4);
  }

  readI64(address: Address): number {
    this.readInto(address, this.scratch, 0, 8);
    return this.scratch.readUInt32LE(0) + TWO_32 * this.scratch.readInt32LE(4);
  }

  /** A copy. */
  bytesAt(address: Address, byteCount: number): Uint8Array {
    if (!isReadableRange(address, byteCount) || byteCount > MAX_READ_BYTES) {
      throw new MemoryReadError(address, byteCount);
    }
    const bytes = new Uint8Array(byteCount);
    this.readInto(address, bytes, 0, byteCount);
    return bytes;
  }

  /** A zero-terminated string of at most `limit` bytes; undefined if its first byte cannot be read. */
  findCString(address: Address, limit = 512): string | undefined {
    const parts: Buffer[] = [];
    let done = 0;
    while (done < limit) {
      // Not beyond a page at once: the next one may not exist.
      const count = Math.min(limit - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
      const bytes = Buffer.alloc(count);
      try {
        this.readInto(address + done, bytes, 0, count);
      } catch (error) {
        if (!(error instanceof MemoryReadError)) throw error;
        return done === 0 ? undefined : Buffer.concat(parts).toString('latin1');
      }
      const length = bytes.indexOf(0);
      parts.push(length < 0 ? bytes : bytes.subarray(0, length));
      if (length >= 0) break;
      done += count;
    }
    return Buffer.concat(parts).toString('latin1');
  }

  /** Fills `target` [offset, offset + byteCount) from `address` on; throws MemoryReadError unless all could be read. */
  readInto(address: Address, target: Uint8Array, offset: number, byteCount: number): void {
    const done = this.readAvailable(address, target, offset, byteCount);
    if (done !== byteCount) throw new MemoryReadError(address + done, byteCount - done);
  }

  /** As `readInto`, as far as it goes: returns the number of bytes read before the first unreadable page. */
  readAvailable(address: Address, target: Uint8Array, offset: number, byteCount: number): number {
    return isReadableRange(address, byteCount) ? this.fill(address, target, offset, byteCount) : 0;
  }

  close(): void {
    this.release();
  }
}

const isReadableRange = (address: Address, byteCount: number): boolean =>
  Number.isSafeInteger(address) &&
  address >= 0 &&
  byteCount >= 0 &&
  address + byteCount <= ADDRESS_END;
