// The process that a watch follows: the same one as long as it lives, and then the one that was started in its place, which
// is known by its arguments, or by a text in them. Process tables are read only while there is none.

import {
  findProcess,
  findProcessStat,
  listProcesses,
  type ProcessStatus,
} from '../memory/process-status.ts';

export interface FollowedProcess {
  pid: number;
  command: readonly string[];
  startTimeTicks: number;
  /** Seconds since the Unix epoch. */
  startedAt: number;
}

/** What the process that takes another's place is known by. */
export type Successor = { name: string } | { command: readonly string[]; uid: number };

const describe = (status: ProcessStatus): FollowedProcess => ({
  pid: status.pid,
  command: status.command,
  startTimeTicks: status.startTimeTicks,
  startedAt: status.processStartedAt,
});

const isLiving = (status: ProcessStatus): boolean =>
  status.state !== 'Z' && !status.isExiting && status.command.length > 0;

/** undefined when there is no such process, or it has ended. */
export function findFollowed(pid: number): FollowedProcess | undefined {
  const status = findProcess(pid);
  return status !== undefined && isLiving(status) ? describe(status) : undefined;
}

/** What to know the successor of a process by that was given by its pid. */
export function successorOf(pid: number): Successor | undefined {
  const status = findProcess(pid);
  return status === undefined ? undefined : { command: status.command, uid: status.uid };
}

/** Whether the process still runs: its pid with the same start time. One small read. */
export function isStillRunning({ pid, startTimeTicks }: FollowedProcess): boolean {
  const stat = findProcessStat(pid);
  return stat?.startTimeTicks === startTimeTicks && stat.state !== 'Z' && !stat.isExiting;
}

/** All processes that fit, the largest first; `isWanted` is asked about those that fit (whether one is a Python, say). */
export function listMatching(
  successor: Successor,
  isWanted: (status: ProcessStatus) => boolean,
): FollowedProcess[] {
  return listProcesses()
    .filter((status) => status.pid !== process.pid && isLiving(status) && fits(status, successor))
    .filter(isWanted)
    .sort((a, b) => b.rssBytes - a.rssBytes)
    .map(describe);
}

function fits(status: ProcessStatus, successor: Successor): boolean {
  if ('name' in successor) return status.command.join(' ').includes(successor.name);
  return status.uid === successor.uid && status.command.join('\0') === successor.command.join('\0');
}
