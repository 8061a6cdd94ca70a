// How much memory leakscope itself may take: what `--max-memory` allows, and what the machine and our control group have
// left. A reader that drives its machine out of memory may get the very process killed that it was to explain, so whoever
// is about to allocate much asks here first. Sources: Documentation/filesystems/proc.rst (MemAvailable),
// Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst.
//
// What is counted is the resident set of this process. Not handled: overcommit limits, limits of address space (ulimit -v).

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { UnsupportedError } from '../base/errors.ts';
import { formatBytes } from '../base/format.ts';

/** Room that is kept: the pages of others come and go while we work, and so does what is not asked for here. */
const RESERVE_SHARE = 0.05;
const MAX_RESERVE_BYTES = 256e6;
/** Where the kernel does not tell. */
const UNKNOWN_ROOM_BYTES = 4e9;
/** No group is nested deeper. */
const MAX_GROUPS = 32;

/** Bytes that may still be allocated, and by whose word: completes "and 1.2 GB are left ...". */
export interface MemoryRoom {
  bytes: number;
  of: string;
}

export interface MemoryBudgetOptions {
  /** Bytes that this process may have resident in all; undefined: only the machine limits it. */
  maxBytes?: number | undefined;
  /** For tests. */
  findSystemRooms?: () => MemoryRoom[];
  ownBytes?: () => number;
  collectGarbage?: () => void;
}

export class MemoryBudget {
  private readonly maxBytes: number | undefined;
  private readonly findSystemRooms: () => MemoryRoom[];
  private readonly ownBytes: () => number;
  private readonly collectGarbage: () => void;
  private readonly bytesAtStart: number;

  constructor(options: MemoryBudgetOptions = {}) {
    this.maxBytes = options.maxBytes;
    this.findSystemRooms = options.findSystemRooms ?? findSystemRooms;
    this.ownBytes = options.ownBytes ?? (() => process.memoryUsage.rss());
    this.collectGarbage = options.collectGarbage ?? collectGarbage;
    this.bytesAtStart = this.ownBytes();
  }

  /**
   * Throws UnsupportedError unless `bytes` more fit; `what` completes "Cannot ...", `workBytes` is what the whole work is
   * likely to take. With 0 it tests that what was taken so far fits. Some 0.1 ms.
   */
  require(bytes: number, what: string, workBytes?: number): void {
    let tightest = this.findTightest();
    if (tightest === undefined || bytes <= tightest.bytes) return;
    // What earlier work has left behind may still count as taken.
    this.collectGarbage();
    tightest = this.findTightest() ?? tightest;
    if (bytes <= tightest.bytes) return;
    const need =
      bytes > 0 ? `it needs another ${formatBytes(bytes)}, and` : 'it needs more memory:';
    const left = formatBytes(Math.max(0, tightest.bytes));
    const enough =
      workBytes === undefined
        ? ''
        : ` to about ${formatBytes((this.bytesAtStart + workBytes) / (1 - RESERVE_SHARE))}`;
    const isOurs = this.maxBytes !== undefined && tightest.of.includes('--max-memory');
    throw new UnsupportedError({
      fact: `Cannot ${what}`,
      reason: `${need} ${left} are left ${tightest.of}`,
      next: `${isOurs ? `Raise --max-memory${enough}` : 'Free some memory'}, or work on a machine with more: gcore writes a core file, which can be read elsewhere.`,
    });
  }

  /** Bytes that may still be allocated. */
  left(): number {
    return Math.max(0, this.findTightest()?.bytes ?? UNKNOWN_ROOM_BYTES);
  }

  private findTightest(): MemoryRoom | undefined {
    const rooms = this.findSystemRooms();
    if (this.maxBytes !== undefined) {
      rooms.push({
        bytes: withReserve(this.maxBytes, this.maxBytes) - this.ownBytes(),
        of: `of --max-memory ${formatBytes(this.maxBytes)}`,
      });
    }
    return rooms.reduce<MemoryRoom | undefined>(
      (least, room) => (least === undefined || room.bytes < least.bytes ? room : least),
      undefined,
    );
  }
}

let gc: (() => void) | undefined;

/** Node.js offers its collector only by a flag, which V8 takes at run time, too. */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
  }
  gc();
}

const withReserve = (available: number, total: number): number =>
  available - Math.min(total * RESERVE_SHARE, MAX_RESERVE_BYTES);

function findSystemRooms(): MemoryRoom[] {
  const rooms: MemoryRoom[] = [];
  const machine = findMachineRoom(findText('/proc/meminfo') ?? '');
  if (machine !== undefined) rooms.push({ bytes: machine, of: 'on this machine' });
  const group = findGroupRoom(findText('/proc/self/cgroup') ?? '', findText);
  if (group !== undefined) rooms.push(group);
  return rooms;
}

/** Bytes that the text of /proc/meminfo leaves; undefined on a kernel that does not tell. */
export function findMachineRoom(meminfo: string): number | undefined {
  const field = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? Number.NaN) * 1024;
  const room = withReserve(field('MemAvailable'), field('MemTotal'));
  return Number.isNaN(room) ? undefined : room;
}

/** The tightest of the control groups that the text of /proc/self/cgroup names; undefined where none has a limit. */
export function findGroupRoom(
  membership: string,
  find: (path: string) => string | undefined,
): MemoryRoom | undefined {
  let tightest: MemoryRoom | undefined;
  for (const line of membership.split('\n')) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, controllers, path] = match;
    const isV2 = controllers === '';
    if (!isV2 && !controllers.split(',').includes('memory')) continue;
    const top = isV2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
    let group = path;
    for (let i = 0; i < MAX_GROUPS; i++) {
      const room = findRoomOfGroup(join(top, group), isV2, find);
      if (room !== undefined && (tightest === undefined || room.bytes < tightest.bytes))
        tightest = room;
      if (group === '/') break;
      group = dirname(group);
    }
  }
  return tightest;
}

function findRoomOfGroup(
  folder: string,
  isV2: boolean,
  find: (path: string) => string | undefined,
): MemoryRoom | undefined {
  const names = isV2
    ? { max: 'memory.max', current: 'memory.current', file: /^(?:in)?active_file (\d+)$/gm }
    : {
        max: 'memory.limit_in_bytes',
        current: 'memory.usage_in_bytes',
        file: /^total_(?:in)?active_file (\d+)$/gm,
      };
  const max = Number(find(join(folder, names.max)) ?? Number.NaN);
  const current = Number(find(join(folder, names.current)) ?? Number.NaN);
  // "max", and what version 1 writes for it: about 2^63.
  if (!(max < 2 ** 60) || Number.isNaN(current)) return undefined;
  // Pages of files count as taken, and the kernel drops them when room is needed.
  let files = 0;
  for (const [, bytes] of (find(join(folder, 'memory.stat')) ?? '').matchAll(names.file)) {
    files += Number(bytes);
  }
  return {
    bytes: withReserve(max - current + Math.min(files, current), max),
    of: `in this control group (container), whose limit is ${formatBytes(max)}`,
  };
}

function findText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
