// Reads a running process through /proc/PID/mem, as it is at that instant: for finding the interpreter and for checks
// while the target stands still. Heaps are copied first (live-copy.ts).
//
// The file stays bound to the address space that it was opened on: after the target ended or ran another program
// (execve), reads fail and never show another process.

import { closeSync, openSync, readSync } from 'node:fs';
import { ByteMemory } from './byte-memory.ts';

/** Pages are in the processor's cache when chunks are small. */
const CHUNK_BYTES = 4 << 20;

export type LiveMemory = ByteMemory;

/** Opens /proc/PID/mem; throws the system error where that is not permitted (see access.ts). */
export function openMemory(pid: number): LiveMemory {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  return new ByteMemory(
    (address, target, offset, byteCount) => {
      let done = 0;
      try {
        while (done < byteCount) {
          const wanted = Math.min(CHUNK_BYTES, byteCount - done);
          const count = readSync(fd, target, offset + done, wanted, address + done);
          if (count === 0) break;
          done += count;
        }
      } catch (error) {
        if (!isReadFailure(error)) throw error;
      }
      return done;
    },
    () => closeSync(fd),
  );
}

/** EIO: not mapped or not readable; EFAULT: the page behind it is gone; ESRCH, EPERM: the process is. */
function isReadFailure(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'EIO' || code === 'EFAULT' || code === 'ESRCH' || code === 'EPERM';
}
