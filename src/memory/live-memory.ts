// Reads single values of a running process through /proc/PID/mem, as they are at that instant: for finding the
// interpreter and for checks while the target stands still. Heaps are copied first (live-copy.ts).
//
// The file stays bound to the address space that it was opened on: after the target ended or ran another program
// (execve), reads fail and never show another process.

import { closeSync, openSync, readSync } from 'node:fs';
import { MemoryReadError } from '../base/errors.ts';
import { PAGE_SIZE } from './memory-image.ts';
import type { Address, MemoryReader } from './memory-reader.ts';

const TWO_32 = 2 ** 32;
/** Where user space ends at the latest: 2^47 on x86-64 (the vsyscall page lies far above), 2^48 on arm64. */
const ADDRESS_END = 2 ** 48;
/** No value or buffer that is read at once is larger; what claims to be is damaged. */
const MAX_READ_BYTES = 2 ** 31;
/** Pages are in the processor's cache when chunks are small. */
const CHUNK_BYTES = 4 << 20;

export class LiveMemory implements MemoryReader {
  readonly pid: number;
  private readonly fd: number;
  private readonly scratch = Buffer.alloc(8);

  /** Opens /proc/PID/mem; throws the system error where that is not permitted (see access.ts). */
  constructor(pid: number) {
    this.pid = pid;
    this.fd = openSync(`/proc/${pid}/mem`, 'r');
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
    if (!isReadableRange(address, byteCount)) return 0;
    let done = 0;
    try {
      while (done < byteCount) {
        const wanted = Math.min(CHUNK_BYTES, byteCount - done);
        const count = readSync(this.fd, target, offset + done, wanted, address + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      if (!isReadFailure(error)) throw error;
    }
    return done;
  }

  close(): void {
    closeSync(this.fd);
  }
}

const isReadableRange = (address: Address, byteCount: number): boolean =>
  Number.isSafeInteger(address) &&
  address >= 0 &&
  byteCount >= 0 &&
  address + byteCount <= ADDRESS_END;

/** EIO: not mapped or not readable; EFAULT: the page behind it is gone; ESRCH, EPERM: the process is. */
function isReadFailure(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'EIO' || code === 'EFAULT' || code === 'ESRCH' || code === 'EPERM';
}
