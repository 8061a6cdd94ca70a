// Writes single values into a running process through /proc/PID/mem. The only way in which leakscope changes a target; all
// callers are in this folder, hold the target still and have checked what lies at the address. FOLL_FORCE is not relied on:
// only memory that is mapped writable is written. Source: fs/proc/base.c (mem_rw).
//
// A write of up to a few pages is one system call, so that a leakscope that is killed has made all of it or none.

import { closeSync, openSync, writeSync } from 'node:fs';
import { AccessError, MemoryReadError } from '../base/errors.ts';
import type { Address } from '../memory/memory-reader.ts';
import { findProcText, findStatusField } from '../memory/process-status.ts';

/** What arming needs of the memory; replaced in tests, which end leakscope between two writes. */
export interface TargetWriter {
  /** Throws MemoryReadError unless all bytes were written. */
  write(address: Address, bytes: Uint8Array): void;
  close(): void;
}

/** Opens the memory of a process for writing and sends no signal; throws AccessError where the kernel refuses. */
export function openTargetWriter(pid: number): TargetWriter {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/mem`, 'r+');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new AccessError(
      {
        fact: `Cannot run code in process ${pid}`,
        reason: `the kernel does not let leakscope write to its memory (${code})`,
        next: `Run leakscope as root, or start the program with: leakscope run -- CMD`,
      },
      { cause },
    );
  }
  return {
    write: (address, bytes) => {
      let count = 0;
      try {
        // A bigint position would be taken for none: the number is exact below 2^53.
        count = writeSync(fd, bytes, 0, bytes.length, address);
      } catch (cause) {
        throw new MemoryReadError(address, bytes.length, { cause });
      }
      if (count !== bytes.length) throw new MemoryReadError(address + count, bytes.length - count);
    },
    close: () => closeSync(fd),
  };
}

export function int32Bytes(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}

export function addressBytes(value: Address): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** The pid by which a process knows itself: another one in a container. */
export function findInnerPid(pid: number): number {
  const numbers = findStatusField(findProcText(`/proc/${pid}/status`) ?? '', 'NSpid');
  return Number(numbers?.split(/\s+/).at(-1) ?? pid);
}
