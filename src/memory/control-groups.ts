// The control groups (containers) that a process is in, and what they allow: versions 1 and 2, from the group itself to the
// top. Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroups(7).
//
// A group is looked for under /sys/fs/cgroup by the path that /proc shows: what our own cgroup namespace hides is not found.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** No group is nested deeper. */
const MAX_GROUPS = 32;
/** From here on it is what version 1 writes for "no limit": about 2^63. */
const NO_LIMIT_BYTES = 2 ** 60;

export interface MemoryGroup {
  /** The group's folder in the file system of groups. */
  folder: string;
  isV2: boolean;
}

/** What one group has and may have, in bytes. */
export interface GroupUsage {
  /** undefined: no limit. */
  maxBytes: number | undefined;
  currentBytes: number;
  /** Pages of files in `currentBytes`, which the kernel drops when room is needed. */
  fileBytes: number;
}

/** How often a group met one of its limits, since it was made. */
export interface GroupEvents {
  /** Was slowed down at `memory.high`; of version 1: met its limit. */
  high: number;
  /** Processes killed for want of memory; 0 where the kernel does not count them. */
  oomKills: number;
}

export type FindText = (path: string) => string | undefined;

/** The text of a file without white space at its ends; undefined if it is not there or not ours to read. */
export function findFileText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Groups that limit memory, the innermost first, from the text of /proc/PID/cgroup. */
export function listMemoryGroups(membership: string): MemoryGroup[] {
  const groups: MemoryGroup[] = [];
  for (const line of membership.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, controllers, path] = match;
    const isV2 = controllers === '';
    if (!isV2 && !controllers.split(',').includes('memory')) continue;
    const top = isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    let group = path;
    for (let i = 0; i < MAX_GROUPS; i++) {
      groups.push({ folder: join(top, group), isV2 });
      if (group === '/') break;
      group = dirname(group);
    }
  }
  return groups;
}

/** undefined where the group does not tell (the top of version 2, or no such folder). Three small reads. */
export function findGroupUsage(
  { folder, isV2 }: MemoryGroup,
  find: FindText = findFileText,
): GroupUsage | undefined {
  const names = isV2
    ? { max: 'memory.max', current: 'memory.current', file: /^(?:in)?active_file (\d+)$/gm }
    : {
        max: 'memory.limit_in_bytes',
        current: 'memory.usage_in_bytes',
        file: /^total_(?:in)?active_file (\d+)$/gm,
      };
  const currentBytes = Number(find(join(folder, names.current)) ?? Number.NaN);
  if (Number.isNaN(currentBytes)) return undefined;
  const max = Number(find(join(folder, names.max)) ?? Number.NaN);
  let fileBytes = 0;
  for (const [, bytes] of (find(join(folder, 'memory.stat')) ?? '').matchAll(names.file)) {
    fileBytes += Number(bytes);
  }
  return {
    // "max" is no number.
    maxBytes: max < NO_LIMIT_BYTES ? max : undefined,
    currentBytes,
    fileBytes: Math.min(fileBytes, currentBytes),
  };
}

/** undefined where the group does not count them. */
export function findGroupEvents(
  { folder, isV2 }: MemoryGroup,
  find: FindText = findFileText,
): GroupEvents | undefined {
  const text = find(join(folder, isV2 ? 'memory.events' : 'memory.oom_control'));
  if (text === undefined) return undefined;
  const field = (name: string): number | undefined => {
    const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text);
    return match === null ? undefined : Number(match[1]);
  };
  const high = isV2 ? field('high') : Number(find(join(folder, 'memory.failcnt')) ?? Number.NaN);
  if (high === undefined || Number.isNaN(high)) return undefined;
  return { high, oomKills: field('oom_kill') ?? 0 };
}
