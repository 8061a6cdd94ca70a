// How much memory leakscope itself may take: what `--max-memory` allows, and what the machine and our control group have
// left. A reader that drives its machine out of memory may get the very process killed that it was to explain, so whoever
// is about to allocate much asks here first. Source: Documentation/filesystems/proc.rst (MemAvailable).
//
// What is counted is the resident set of this process. Not handled: overcommit limits, limits of address space (ulimit -v).

import { UnsupportedError } from '../base/errors.ts';
import { formatBytes } from '../base/format.ts';
import { collectGarbage } from '../threads/collect-garbage.ts';
import { type FindText, findFileText, findGroupUsage, listMemoryGroups } from './control-groups.ts';

/** Room that is kept: the pages of others come and go while we work, and so does what is not asked for here. */
const RESERVE_SHARE = 0.05;
const MAX_RESERVE_BYTES = 256e6;
/** Where the kernel does not tell. */
const UNKNOWN_ROOM_BYTES = 4e9;

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

  /** Whether `bytes` more fit: for what can be done with less. */
  hasRoom(bytes: number): boolean {
    const tightest = this.findTightest();
    return tightest === undefined || bytes <= tightest.bytes;
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

const withReserve = (available: number, total: number): number =>
  available - Math.min(total * RESERVE_SHARE, MAX_RESERVE_BYTES);

function findSystemRooms(): MemoryRoom[] {
  const rooms: MemoryRoom[] = [];
  const machine = findMachineRoom(findFileText('/proc/meminfo') ?? '');
  if (machine !== undefined) rooms.push({ bytes: machine, of: 'on this machine' });
  const group = findGroupRoom(findFileText('/proc/self/cgroup') ?? '', findFileText);
  if (group !== undefined) rooms.push(group);
  return rooms;
}

/** Bytes that the text of /proc/meminfo leaves; undefined on a kernel that does not tell. */
export function findMachineRoom(meminfo: string): number | undefined {
  const machine = findMachineBytes(meminfo);
  return machine === undefined
    ? undefined
    : withReserve(machine.availableBytes, machine.totalBytes);
}

/** What the machine has in all, and what it could still give out; undefined on a kernel that does not tell. */
export function findMachineBytes(
  meminfo: string,
): { totalBytes: number; availableBytes: number } | undefined {
  const field = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? Number.NaN) * 1024;
  const [totalBytes, availableBytes] = [field('MemTotal'), field('MemAvailable')];
  return Number.isNaN(totalBytes + availableBytes) ? undefined : { totalBytes, availableBytes };
}

/** The tightest of the control groups that the text of /proc/self/cgroup names; undefined where none has a limit. */
export function findGroupRoom(membership: string, find: FindText): MemoryRoom | undefined {
  let tightest: MemoryRoom | undefined;
  for (const group of listMemoryGroups(membership)) {
    const usage = findGroupUsage(group, find);
    if (usage?.maxBytes === undefined) continue;
    const { maxBytes, currentBytes, fileBytes } = usage;
    // Pages of files count as taken, and the kernel drops them when room is needed.
    const bytes = withReserve(maxBytes - currentBytes + fileBytes, maxBytes);
    if (tightest !== undefined && tightest.bytes <= bytes) continue;
    tightest = {
      bytes,
      of: `in this control group (container), whose limit is ${formatBytes(maxBytes)}`,
    };
  }
  return tightest;
}
