// What a process's main thread waits for in the kernel, in words: why code that was put into it does not run.
// Source: /proc/PID/task/TID/syscall (proc(5)), arch/x86/entry/syscalls/syscall_64.tbl; signal(7) on what a stop interrupts.

import { findProcessStat, findProcText } from '../memory/process-status.ts';

const CALLS: Record<number, string> = {
  0: 'reads (read)',
  7: 'waits for input (poll)',
  23: 'sleeps or waits for input (select)',
  35: 'sleeps (nanosleep)',
  43: 'waits for a connection (accept)',
  45: 'waits for input (recvfrom)',
  47: 'waits for input (recvmsg)',
  61: 'waits for a child process (wait4)',
  128: 'waits for a signal (sigtimedwait)',
  219: 'sleeps or waits (restart_syscall)',
  130: 'waits for a signal (sigsuspend)',
  202: 'waits for a lock or a thread (futex)',
  230: 'sleeps (clock_nanosleep)',
  232: 'waits for events (epoll_wait)',
  247: 'waits for a child process (waitid)',
  270: 'sleeps or waits for input (pselect6)',
  271: 'waits for input (ppoll)',
  281: 'waits for events (epoll_pwait)',
  288: 'waits for a connection (accept4)',
  441: 'waits for events (epoll_pwait2)',
};
const EPOLL = [232, 281, 441];

function findCall(pid: number): number | undefined {
  const text = findProcText(`/proc/${pid}/task/${pid}/syscall`);
  const call = Number.parseInt(text ?? '', 10);
  return Number.isInteger(call) && call >= 0 ? call : undefined;
}

/** Whether stopping and continuing it makes its system call return (EINTR). */
export function waitsInEpoll(pid: number): boolean {
  const call = findCall(pid);
  return call !== undefined && EPOLL.includes(call);
}

/** `its main thread sleeps (clock_nanosleep)` */
export function describeMainThread(pid: number): string {
  const call = findCall(pid);
  if (call !== undefined) return `its main thread ${CALLS[call] ?? `is in system call ${call}`}`;
  const state = findProcessStat(pid)?.state;
  return state === 'R'
    ? 'its main thread computes in C code and ran no Python'
    : 'its main thread ran no Python';
}
