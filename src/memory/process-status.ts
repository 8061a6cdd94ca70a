// What the kernel says about a process in /proc/PID: stat, status, statm, cmdline, task. Source: proc(5) and
// Documentation/filesystems/proc.rst. A process that has vanished, or that /proc hides, is `undefined` everywhere.
//
// Not handled: a /proc of another pid namespace (`procNumbersAreOurs` finds that out).

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { PAGE_SIZE } from './memory-image.ts';

/** USER_HZ, the unit of /proc/PID/stat's times: 100 on every architecture that Node supports. */
const CLOCK_TICKS_PER_SECOND = 100;

/** In the flags of /proc/PID/stat. Source: Linux include/linux/sched.h. */
const PF_EXITING = 0x4;

/** Letters of /proc/PID/stat: T is stopped by a signal, t is held by a debugger, Z has ended, D cannot be interrupted. */
export type ProcessState = 'R' | 'S' | 'D' | 'T' | 't' | 'Z' | 'X' | 'I' | (string & {});

export interface ProcessStat {
  pid: number;
  /** The kernel's name of the thread: at most 15 characters. */
  name: string;
  state: ProcessState;
  /** It ends: its memory is given back, or was; reads of it fail. The state does not say so yet. */
  isExiting: boolean;
  parentPid: number;
  threadCount: number;
  /** When it began, in clock ticks since boot: with the pid it names one process for good. */
  startTimeTicks: number;
}

export interface ProcessStatus extends ProcessStat {
  /** Effective user. */
  uid: number;
  /** Process (thread group) that this pid belongs to: differs from `pid` when that is a thread's. */
  processId: number;
  /** The debugger that holds it, 0 if none. */
  tracerPid: number;
  /** The pid in each pid namespace, from ours inward: [4242, 7] in a container. */
  namespacePids: number[];
  /** Resident set in bytes as the kernel counts it (may lag by some pages per CPU). 0 for kernel threads. */
  rssBytes: number;
  /** Arguments; empty for kernel threads and zombies. */
  command: string[];
  /** Seconds since the Unix epoch. */
  processStartedAt: number;
}

/** The text of a file in /proc; undefined if it is gone or not ours to read. */
export function findProcText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** Fields of /proc/PID/stat; undefined if the text is none. The name may contain spaces and parentheses. */
export function decodeProcessStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  // Fields are numbered from 1 in proc(5); the first behind the name is field 3.
  const startTimeTicks = Number(fields[22 - 3]);
  if (!Number.isFinite(startTimeTicks)) return undefined;
  return {
    pid: Number.parseInt(text, 10),
    name: text.slice(open + 1, close),
    state: fields[0],
    isExiting: (Number(fields[9 - 3]) & PF_EXITING) !== 0,
    parentPid: Number(fields[4 - 3]),
    threadCount: Number(fields[20 - 3]),
    startTimeTicks,
  };
}

/** /proc/PID/stat of a process; undefined if it is gone. */
export function findProcessStat(pid: number): ProcessStat | undefined {
  const text = findProcText(`/proc/${pid}/stat`);
  return text === undefined ? undefined : decodeProcessStat(text);
}

/** /proc/PID/task/TID/stat of one thread; undefined if it is gone. */
export function findThreadStat(pid: number, tid: number): ProcessStat | undefined {
  const text = findProcText(`/proc/${pid}/task/${tid}/stat`);
  return text === undefined ? undefined : decodeProcessStat(text);
}

/** Everything about one process; undefined if it is gone. */
export function findProcess(pid: number): ProcessStatus | undefined {
  const stat = findProcessStat(pid);
  const status = findProcText(`/proc/${pid}/status`);
  if (stat === undefined || status === undefined) return undefined;
  return {
    ...stat,
    uid: Number(findStatusField(status, 'Uid')?.split(/\s+/)[1] ?? -1),
    processId: Number(findStatusField(status, 'Tgid') ?? pid),
    tracerPid: Number(findStatusField(status, 'TracerPid') ?? 0),
    namespacePids: (findStatusField(status, 'NSpid') ?? `${pid}`).split(/\s+/).map(Number),
    rssBytes: findRssBytes(pid) ?? 0,
    command: findCommand(pid) ?? [],
    processStartedAt: bootTimeSeconds() + stat.startTimeTicks / CLOCK_TICKS_PER_SECOND,
  };
}

/** The value of one `Name:\tvalue` line of a /proc/PID/status text. */
export function findStatusField(status: string, name: string): string | undefined {
  const start = status.startsWith(`${name}:`) ? 0 : status.indexOf(`\n${name}:`) + 1;
  if (start === 0 && !status.startsWith(`${name}:`)) return undefined;
  const end = status.indexOf('\n', start);
  return status.slice(start + name.length + 1, end < 0 ? undefined : end).trim();
}

/** Resident set in bytes: pages of /proc/PID/statm. */
export function findRssBytes(pid: number): number | undefined {
  const text = findProcText(`/proc/${pid}/statm`);
  if (text === undefined) return undefined;
  const pages = Number(text.split(' ')[1]);
  return Number.isFinite(pages) ? pages * PAGE_SIZE : undefined;
}

/** Proportional set in bytes: shared pages are divided by the number of processes that share them. Slow: 30 ms per GB. */
export function findPssBytes(pid: number): number | undefined {
  const kilobytes = /^Pss: +(\d+) kB$/m.exec(findProcText(`/proc/${pid}/smaps_rollup`) ?? '');
  return kilobytes === null ? undefined : Number(kilobytes[1]) * 1024;
}

/** Arguments of a process as UTF-8 (invalid bytes replaced). */
function findCommand(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return text === '' ? [] : text.replace(/\0$/, '').split('\0');
  } catch {
    return undefined;
  }
}

/** Ids of a process's threads, ascending; empty if it is gone. */
export function listThreads(pid: number): number[] {
  return listNumbers(`/proc/${pid}/task`);
}

/** All processes that /proc shows, in order of pid. A few file reads each: about 0.1 ms per process. */
export function listProcesses(): ProcessStatus[] {
  const processes: ProcessStatus[] = [];
  for (const pid of listNumbers('/proc')) {
    const process = findProcess(pid);
    if (process !== undefined) processes.push(process);
  }
  return processes;
}

/** Pids of the direct children of `pid`, ascending. Reads the stat file of every process. */
export function childrenOf(pid: number): number[] {
  return listNumbers('/proc').filter((other) => findProcessStat(other)?.parentPid === pid);
}

/** Whether the numbers in /proc are the ones that signals go to: false with the /proc of another pid namespace. */
export function procNumbersAreOurs(): boolean {
  try {
    return Number(readlinkSync('/proc/self')) === process.pid;
  } catch {
    return false;
  }
}

function listNumbers(folder: string): number[] {
  try {
    const numbers = readdirSync(folder).map(Number).filter(Number.isInteger);
    return numbers.sort((a, b) => a - b);
  } catch {
    return [];
  }
}

function bootTimeSeconds(): number {
  const text = findProcText('/proc/stat') ?? '';
  return Number(/^btime (\d+)$/m.exec(text)?.[1] ?? 0);
}
