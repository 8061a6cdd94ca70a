// What the kernel says that a process has in memory now, as far as it costs next to nothing: /proc/PID/status, and the control
// groups that limit it. Sources: Documentation/filesystems/proc.rst (RssAnon, RssFile, RssShmem, VmSwap).
//
// A sample is four to ten small reads, some 0.1 ms. The proportional set is not part of it (30 ms per GB: findPssBytes).

import {
  findFileText,
  findGroupEvents,
  findGroupUsage,
  type GroupEvents,
  listMemoryGroups,
  type MemoryGroup,
} from './control-groups.ts';
import { findMachineBytes } from './memory-budget.ts';
import { findProcText, findStatusField } from './process-status.ts';

export interface MemoryUsage {
  rssBytes: number;
  /** Of the resident set: memory of its own, pages of files, shared memory. They sum up to it. */
  anonymousBytes: number;
  fileBytes: number;
  sharedBytes: number;
  /** Its own memory that was swapped out; not resident. */
  swapBytes: number;
  threads: number;
}

/** The tightest limit above a process: that of a control group, or what the machine has. */
export interface MemoryLimit {
  of: 'control group' | 'machine';
  maxBytes: number;
  /** Taken by everything below the limit, less the pages of files that the kernel can drop. */
  usedBytes: number;
}

/** undefined when the process has ended. */
export function findMemoryUsage(pid: number): MemoryUsage | undefined {
  const status = findProcText(`/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const bytes = (name: string): number =>
    Number.parseInt(findStatusField(status, name) ?? '0', 10) * 1024;
  // A process that has ended and was not waited for has no memory, and no such lines.
  if (findStatusField(status, 'VmRSS') === undefined) return undefined;
  const [anonymousBytes, fileBytes, sharedBytes] = ['RssAnon', 'RssFile', 'RssShmem'].map(bytes);
  return {
    rssBytes: anonymousBytes + fileBytes + sharedBytes,
    anonymousBytes,
    fileBytes,
    sharedBytes,
    swapBytes: bytes('VmSwap'),
    threads: Number(findStatusField(status, 'Threads') ?? 0),
  };
}

/** The groups of one process that have a limit or count its events; they are looked up once. */
export class LimitReader {
  private readonly limiting: MemoryGroup[];
  private readonly innermost: MemoryGroup | undefined;

  constructor(pid: number) {
    const groups = listMemoryGroups(findFileText(`/proc/${pid}/cgroup`) ?? '');
    this.limiting = groups.filter((group) => findGroupUsage(group)?.maxBytes !== undefined);
    this.innermost = groups[0];
  }

  /** The one with the least room; undefined where nobody tells. */
  findLimit(): MemoryLimit | undefined {
    let tightest: MemoryLimit | undefined = findMachineLimit();
    for (const group of this.limiting) {
      const usage = findGroupUsage(group);
      if (usage?.maxBytes === undefined) continue;
      const { maxBytes } = usage;
      const usedBytes = usage.currentBytes - usage.fileBytes;
      if (tightest === undefined || maxBytes - usedBytes < tightest.maxBytes - tightest.usedBytes) {
        tightest = { of: 'control group', maxBytes, usedBytes };
      }
    }
    return tightest;
  }

  /** Of the process's own group. */
  findEvents(): GroupEvents | undefined {
    return this.innermost === undefined ? undefined : findGroupEvents(this.innermost);
  }
}

function findMachineLimit(): MemoryLimit | undefined {
  const machine = findMachineBytes(findFileText('/proc/meminfo') ?? '');
  if (machine === undefined) return undefined;
  const { totalBytes, availableBytes } = machine;
  return { of: 'machine', maxBytes: totalBytes, usedBytes: totalBytes - availableBytes };
}
