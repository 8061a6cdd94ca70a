// Puts every resident byte of a process into one account: turns the marks of blocks, what the allocators hold free, and the
// residency of mappings into a Ledger, whose sum is held against the kernel's resident set of the same moment.
//
// Blocks are counted one by one, by their resident pages. What an allocator has of the kernel beyond its blocks, and what
// is left of anonymous mappings, are remainders. Pages of zeros that were only read are in no account (find-zero-pages.ts).

import type { Pymalloc } from '../cpython/pymalloc.ts';
import {
  ACCOUNTS,
  type Account,
  type ArenaFacts,
  type Ledger,
  type LedgerCheck,
  type MappingFacts,
  type ThreadFacts,
} from '../graph/native-heap.ts';
import { BINNED, FASTBIN, GAP, TCACHE, TOP } from '../malloc/chunk-rows.ts';
import type { MallocHeap } from '../malloc/malloc-heap.ts';
import { computeTrim } from '../malloc/trim.ts';
import type { AddressRange } from '../memory/address-ranges.ts';
import type { MappingResidency } from '../memory/copy-layout.ts';
import { isFileMapping, isSharedMemory } from '../memory/mappings.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { BlockSpace } from './block-space.ts';
import { type BlockMarks, Mark } from './mark-blocks.ts';
import { forEachGap, type StackMapping } from './regions.ts';
import type { ResidentRanges } from './resident-ranges.ts';

export interface LedgerInputs {
  space: BlockSpace;
  marks: BlockMarks;
  resident: ResidentRanges;
  residency: readonly MappingResidency[];
  stacks: readonly StackMapping[];
  /** Memory of pymalloc and malloc, ascending. */
  regions: readonly AddressRange[];
  rssBytes: number;
  /** Bytes of objects that lie in memory of an allocator that is not known. */
  foreignObjectBytes: number;
}

export interface BuiltLedger {
  ledger: Ledger;
  threads: ThreadFacts[];
  mappings: MappingFacts[];
  arenas: ArenaFacts[];
}

type Accounts = Record<Account, number>;

export function buildLedger(inputs: LedgerInputs): BuiltLedger {
  const accounts = Object.fromEntries(ACCOUNTS.map((name) => [name, 0])) as Accounts;
  const arenas: ArenaFacts[] = [];
  const pools = addPymalloc(inputs, accounts, arenas);
  const checks = [...pools, ...addMalloc(inputs, accounts, arenas)];
  const { threads, mappings } = addMappings(inputs, accounts);
  const sum = ACCOUNTS.reduce((total, name) => total + accounts[name], 0);
  const ledger: Ledger = {
    rssBytes: inputs.rssBytes,
    accounts,
    residueBytes: inputs.rssBytes - sum,
    remainders: ['pymallocOverhead', 'mallocOverhead', 'otherAnonymous'],
    checks,
  };
  return { ledger, threads, mappings, arenas };
}

const accountOf = (marks: BlockMarks, start: number): Account => {
  const mark = marks.markOf(start);
  return accountOfMark(mark, isHeldByC(mark) && marks.holdsObject(start));
};

const isHeldByC = (mark: number): boolean => mark >= Mark.retained || mark === Mark.owned;

function accountOfMark(mark: number, holdsObject: boolean): Account {
  if (isHeldByC(mark)) {
    // Held by C code alone, but alive.
    if (holdsObject) return 'pythonObjects';
    return mark === Mark.owned ? 'nativeOwned' : 'nativeReachable';
  }
  switch (mark) {
    case Mark.object:
      return 'pythonObjects';
    case Mark.buffer:
    case Mark.known:
      return 'pythonBuffers';
    case Mark.leaked:
    case Mark.garbage:
      return 'unreachableObjects';
    default:
      return 'nativeUnreachable';
  }
}

// ---- pymalloc

function addPymalloc(
  { space, marks, resident }: LedgerInputs,
  accounts: Accounts,
  arenas: ArenaFacts[],
): LedgerCheck[] {
  const { pymalloc } = space;
  let liveBytes = 0;
  const liveByArena = new Float64Array(pymalloc.arenas.length);
  const { arenaOfPool } = space;
  /** Two cells per mark: with an object, if that matters, and without. */
  const bytesByMark = new Float64Array(512);
  space.forEachPoolBlock((start, bytes, pool) => {
    const mark = marks.markOf(start);
    bytesByMark[2 * mark + (isHeldByC(mark) && marks.holdsObject(start) ? 1 : 0)] += bytes;
    liveBytes += bytes;
    const arena = arenaOfPool[pool];
    if (arena >= 0) liveByArena[arena] += bytes;
  });
  for (let cell = 0; cell < bytesByMark.length; cell++) {
    accounts[accountOfMark(cell >>> 1, (cell & 1) === 1)] += bytesByMark[cell];
  }
  let residentBytes = 0;
  const rows = ['dense', 'sparse'].map((name) => newArena('pymalloc', name));
  for (const [row, { start, end }] of pymalloc.arenas.entries()) {
    const own = resident.countBytes(start, end);
    residentBytes += own;
    const arena = rows[isSparse(liveByArena[row], own) ? 1 : 0];
    arena.count++;
    arena.residentBytes += own;
    arena.usedBytes += liveByArena[row];
    arena.stuckBytes += Math.max(0, own - liveByArena[row]);
  }
  arenas.push(...rows.filter(({ count }) => count > 0));
  const { usedPools, usedPoolBytes } = countUsedPools(pymalloc, space, resident);
  const headers = usedPools * POOL_HEADER_BYTES;
  accounts.pymallocFreeBlocks += Math.max(0, usedPoolBytes - headers - liveBytes);
  accounts.pymallocFreePools += Math.max(0, residentBytes - usedPoolBytes);
  accounts.pymallocOverhead += headers;
  const { totals } = pymalloc;
  return [
    { name: 'pymalloc: bytes in live blocks', expected: totals.liveBytes, found: liveBytes },
    { name: 'pymalloc: used pools', expected: totals.usedPools, found: usedPools },
  ];
}

const POOL_HEADER_BYTES = 48;

/** Whether most of an arena is free. */
export const isSparse = (usedBytes: number, residentBytes: number): boolean =>
  residentBytes > 0 && usedBytes * 2 < residentBytes;

const newArena = (allocator: ArenaFacts['allocator'], name: string): ArenaFacts => ({
  allocator,
  name,
  count: 0,
  residentBytes: 0,
  usedBytes: 0,
  trimmableBytes: 0,
  trimmableTopBytes: 0,
  stuckBytes: 0,
  topBytes: 0,
});

function countUsedPools(
  { poolWord, poolBytes }: Pymalloc,
  { image }: BlockSpace,
  resident: ResidentRanges,
): { usedPools: number; usedPoolBytes: number } {
  let usedPoolBytes = 0;
  for (let row = 0; row < poolWord.length; row++) {
    const address = image.addressOfWord(poolWord[row]);
    usedPoolBytes += resident.countBytes(address, address + poolBytes);
  }
  return { usedPools: poolWord.length, usedPoolBytes };
}

// ---- malloc

function addMalloc(inputs: LedgerInputs, accounts: Accounts, arenas: ArenaFacts[]): LedgerCheck[] {
  const { space, marks, resident } = inputs;
  const { heap, image } = space;
  if (heap === undefined) {
    accounts.pythonObjects += inputs.foreignObjectBytes;
    return [];
  }
  const used = new Float64Array(heap.arenas.length + 1);
  /** In the caches of threads: free for the program, and not for malloc_trim. */
  const cached = new Float64Array(heap.arenas.length + 1);
  const { length, headerWord, state, sizeUnits, arena } = heap.rows;
  for (let row = 0; row < length; row++) {
    const kind = state[row];
    if (kind === BINNED || kind === TOP || kind === FASTBIN) continue;
    const bytes = sizeUnits[row] * 16;
    // A gap is overhead, and what lies in pools was counted there.
    if (bytes === 0 || kind === GAP || space.isInPool(headerWord[row] + 1)) continue;
    const address = image.addressOfWord(headerWord[row]) - 8;
    const own = resident.countBytes(address, address + bytes);
    if (kind === TCACHE) cached[Math.min(arena[row], heap.arenas.length)] += own;
    else {
      accounts[accountOf(marks, headerWord[row] + 1)] += own;
      used[Math.min(arena[row], heap.arenas.length)] += own;
    }
  }
  const trim = computeTrim(heap, image, (from, end) => resident.countBytes(from, end));
  arenas.push(...buildMallocArenas(heap, inputs, used, cached, trim));
  const cachedBytes = cached.reduce((sum, bytes) => sum + bytes, 0);
  accounts.mallocTrimmable += trim.releasedBytes;
  accounts.mallocStuck += cachedBytes;
  for (const each of trim.arenas) {
    accounts.mallocTop += each.topBytes;
    accounts.mallocStuck += each.stuckBytes;
  }
  let residentBytes = 0;
  for (const { start, end } of heap.segments) residentBytes += resident.countBytes(start, end);
  const known =
    used.reduce((sum, bytes) => sum + bytes, 0) +
    cachedBytes +
    trim.releasedBytes +
    trim.arenas.reduce((sum, each) => sum + each.topBytes + each.stuckBytes, 0);
  accounts.mallocOverhead += Math.max(0, residentBytes - known);
  return heap.checks;
}

function buildMallocArenas(
  heap: MallocHeap,
  { space: { image }, resident }: LedgerInputs,
  used: Float64Array,
  cached: Float64Array,
  trim: ReturnType<typeof computeTrim>,
): ArenaFacts[] {
  const residentBytes = new Float64Array(heap.arenas.length + 1);
  for (const { arena, start, end } of heap.segments) {
    residentBytes[Math.min(arena, heap.arenas.length)] += resident.countBytes(start, end);
  }
  const top = countTops(heap, image, resident);
  const rows = heap.arenas.map((arena, row) => ({
    ...newArena('malloc', arena.isMain ? 'main' : `thread ${row}`),
    count: 1,
    residentBytes: residentBytes[row],
    usedBytes: used[row],
    trimmableBytes: trim.arenas[row].releasedBytes,
    trimmableTopBytes: Math.max(0, top[row] - trim.arenas[row].topBytes),
    stuckBytes: trim.arenas[row].stuckBytes + cached[row],
    topBytes: trim.arenas[row].topBytes,
  }));
  rows.push({
    ...newArena('malloc', 'mmapped'),
    count: heap.mmapped.chunks,
    residentBytes: residentBytes[heap.arenas.length],
    usedBytes: used[heap.arenas.length],
  });
  return rows;
}

/** Per arena: resident bytes of its topmost chunk. */
function countTops(heap: MallocHeap, image: MemoryImage, resident: ResidentRanges): Float64Array {
  const bytes = new Float64Array(heap.arenas.length);
  const { length, state, headerWord, sizeUnits, arena } = heap.rows;
  for (let row = 0; row < length; row++) {
    if (state[row] !== TOP || arena[row] >= bytes.length) continue;
    const start = image.addressOfWord(headerWord[row]) - 8;
    bytes[arena[row]] += resident.countBytes(start, start + sizeUnits[row] * 16);
  }
  return bytes;
}

// ---- what no allocator has

function addMappings(
  { resident, residency, stacks, regions, space, foreignObjectBytes }: LedgerInputs,
  accounts: Accounts,
): { threads: ThreadFacts[]; mappings: MappingFacts[] } {
  const threads: ThreadFacts[] = [];
  const rows = new Map<string, MappingFacts>();
  const add = (name: string, account: Account, bytes: number) => {
    accounts[account] += bytes;
    const row = rows.get(name);
    if (row === undefined) rows.set(name, { name, account, count: 1, bytes });
    else {
      row.count++;
      row.bytes += bytes;
    }
  };
  for (const { mapping, ownPages, filePages, swappedPages } of residency) {
    const pages = ownPages + filePages;
    const stack = stacks.find((each) => each.mapping === mapping);
    if (isSharedMemory(mapping)) add(mapping.path || '[shared]', 'shared', pages * PAGE_SIZE);
    else if (isFileMapping(mapping) || mapping.path === '[vdso]') {
      add(mapping.path, 'fileBacked', pages * PAGE_SIZE);
    } else {
      // Swapped pages of copied memory were read, and are resident since.
      let left =
        (pages + swappedPages) * PAGE_SIZE - resident.countZeros(mapping.start, mapping.end);
      forEachOverlap(mapping.start, mapping.end, regions, (start, end) => {
        left -= resident.countBytes(start, end);
      });
      const account =
        stack === undefined && mapping.path !== '[stack]' ? 'otherAnonymous' : 'threadStacks';
      // Not one row with other anonymous memory: what is a stack does not leak by itself.
      const name = mapping.path || (stack === undefined ? '[anonymous]' : '[stacks of threads]');
      add(name, account, left);
      for (const thread of stack?.threads ?? []) {
        threads.push({
          tid: thread.tid,
          name: thread.name,
          stackBytes: left / (stack?.threads.length ?? 1),
        });
      }
    }
  }
  if (space.heap === undefined) accounts.otherAnonymous -= foreignObjectBytes;
  return { threads, mappings: [...rows.values()].sort((a, b) => b.bytes - a.bytes) };
}

function forEachOverlap(
  start: number,
  end: number,
  regions: readonly AddressRange[],
  visit: (start: number, end: number) => void,
): void {
  let next = start;
  forEachGap(start, end, regions, (gapStart, gapEnd) => {
    if (gapStart > next) visit(next, gapStart);
    next = gapEnd;
  });
  if (next < end) visit(next, end);
}
