// The threads of a process as far as /proc shows them: names, and for stopped ones the system call in which they wait,
// the stack pointer and the registers that hold arguments. Source: fs/proc/base.c (proc_pid_syscall). Callee-saved registers would need ptrace and are not
// read: a pointer that lives in one of them alone is missed.

import type { Address } from './memory-reader.ts';
import { findProcText, findStatusField, listThreads } from './process-status.ts';

export interface ThreadState {
  tid: number;
  /** Its number as the process itself sees it: another one in a container. */
  innerTid: number;
  /** At most 15 characters, as `threading` sets it since 3.14; else the program's name. Empty if it has ended. */
  name: string;
  /** Present when the kernel showed it: the thread stood still. */
  stackPointer?: Address;
  instructionPointer?: Address;
  /** Number of the system call in which it waits, -1 if it is in none; present when the kernel showed it. */
  systemCall?: number;
  /**
   * Arguments of the system call in which it waits, of a core all general registers; values above 2^53 are rounded (they are
   * no addresses).
   */
  registers: number[];
  /** A core file does not have its stack: frames and pointers on it are not known. */
  lacksStack?: boolean;
}

/** Registers of every thread; for use while the process is stopped. About 20 microseconds a thread. */
export function readThreadStates(pid: number): ThreadState[] {
  return listThreads(pid).map((tid) => {
    const text = findProcText(`/proc/${pid}/task/${tid}/syscall`) ?? '';
    return { tid, innerTid: tid, name: '', ...decodeThreadRegisters(text) };
  });
}

/** Adds names and inner numbers. Apart from the registers because it can be done when the process runs again. */
export function readThreadNames(pid: number, threads: ThreadState[]): void {
  for (const thread of threads) {
    const folder = `/proc/${pid}/task/${thread.tid}`;
    thread.name = findProcText(`${folder}/comm`)?.trimEnd() ?? '';
    const numbers = findStatusField(findProcText(`${folder}/status`) ?? '', 'NSpid');
    thread.innerTid = Number(numbers?.split(/\s+/).at(-1) ?? thread.tid);
  }
}

/** `0 0x3 0x7f… … SP PC` in a system call, `-1 SP PC` outside, `running` when it does not stand still. */
export function decodeThreadRegisters(
  text: string,
): Pick<ThreadState, 'stackPointer' | 'instructionPointer' | 'systemCall' | 'registers'> {
  const [systemCall, ...values] = text.trim().split(' ').map(Number);
  if (values.length < 2 || values.some(Number.isNaN)) return { registers: [] };
  const [stackPointer, instructionPointer] = values.slice(-2);
  return { stackPointer, instructionPointer, systemCall, registers: values.slice(0, -2) };
}
