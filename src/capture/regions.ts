// What the address space of a process is divided into, beside single blocks: the arenas of pymalloc, the memory that
// malloc has of the kernel, the stacks of threads, and what is left of each mapping. Turns mappings and what the
// allocators know into regions that do not overlap.

import { type AddressRange, findRange } from '../memory/address-ranges.ts';
import { isFileMapping, type Mapping } from '../memory/mappings.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { ThreadState } from '../memory/threads.ts';
import type { BlockSpace } from './block-space.ts';
import type { RootRange } from './find-native.ts';

/** A mapping in which threads have their stacks. */
export interface StackMapping {
  mapping: Mapping;
  threads: ThreadState[];
}

/** Below the stack pointer a function may keep values, too (System V ABI, red zone). */
const RED_ZONE_BYTES = 128;

/**
 * The arenas of pymalloc, its pools outside of known ones (of an interpreter that has ended), and the memory of malloc;
 * ascending and joined where they overlap.
 */
export function computeAllocatorRegions(space: BlockSpace): AddressRange[] {
  const { pymalloc, heap, image } = space;
  const { arenaOfPool } = space;
  const lonePools = [...pymalloc.poolWord]
    .filter((_, row) => arenaOfPool[row] < 0)
    .map((word) => image.addressOfWord(word))
    .map((start) => ({ start, end: start + pymalloc.poolBytes }));
  const all = [
    ...lonePools,
    ...pymalloc.arenas,
    ...(heap?.segments ?? []).map(({ start, end }) => ({ start, end })),
  ].sort((a, b) => a.start - b.start);
  const regions: AddressRange[] = [];
  for (const { start, end } of all) {
    const last = regions.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else regions.push({ start, end });
  }
  return regions;
}

/** Calls `visit` for each part of [start, end) that lies in none of the `regions`, which ascend. */
export function forEachGap(
  start: Address,
  end: Address,
  regions: readonly AddressRange[],
  visit: (start: Address, end: Address) => void,
): void {
  let low = 0;
  let high = regions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (regions[middle].end <= start) low = middle + 1;
    else high = middle;
  }
  let next = start;
  for (let i = low; i < regions.length && regions[i].start < end; i++) {
    if (regions[i].start > next) visit(next, regions[i].start);
    next = Math.max(next, regions[i].end);
  }
  if (next < end) visit(next, end);
}

export function findStacks(
  mappings: readonly Mapping[],
  threads: readonly ThreadState[],
): StackMapping[] {
  const stacks = new Map<Mapping, ThreadState[]>();
  for (const thread of threads) {
    const pointer = thread.stackPointer;
    if (pointer === undefined) continue;
    const mapping = findRange(mappings, pointer);
    if (mapping === undefined || isFileMapping(mapping)) continue;
    const known = stacks.get(mapping);
    if (known === undefined) stacks.set(mapping, [thread]);
    else known.push(thread);
  }
  return [...stacks].map(([mapping, own]) => ({ mapping, threads: own }));
}

/**
 * The memory that lies in no block and may hold pointers: what was copied and can be changed, or was until it was made
 * read-only. `changed` are mappings with pages of the process's own; `excluded` are malloc's own lists.
 */
export function findRootRanges(
  mappings: readonly Mapping[],
  stacks: readonly StackMapping[],
  regions: readonly AddressRange[],
  excluded: readonly AddressRange[],
  changed: ReadonlySet<Mapping>,
): RootRange[] {
  const ranges: RootRange[] = [];
  const left = [...regions, ...excluded].sort((a, b) => a.start - b.start);
  for (const [row, mapping] of mappings.entries()) {
    if (!mapping.writable && !changed.has(mapping)) continue;
    const stack = stacks.find((each) => each.mapping === mapping);
    const name = nameOf(mapping, stack, mappings[row - 1]);
    const lowest = Math.min(...(stack?.threads ?? []).map((each) => each.stackPointer ?? 0));
    const start =
      stack === undefined
        ? mapping.start
        : Math.max(mapping.start, Math.floor((lowest - RED_ZONE_BYTES) / 8) * 8);
    forEachGap(start, mapping.end, left, (from, end) => ranges.push({ start: from, end, name }));
  }
  return ranges;
}

/** Anonymous memory directly behind a library's data is the rest of that data (.bss), and is called like it. */
function nameOf(
  mapping: Mapping,
  stack: StackMapping | undefined,
  before: Mapping | undefined,
): string {
  if (stack !== undefined) {
    const [thread] = stack.threads;
    return stack.threads.length === 1
      ? `the stack of thread ${thread.name || thread.tid}`
      : 'stacks of threads';
  }
  if (!mapping.isPrivate) return 'shared memory';
  if (isFileMapping(mapping)) return fileNameOf(mapping);
  if (mapping.path === '[heap]') return 'memory of brk';
  const isRest = before !== undefined && isFileMapping(before) && before.end === mapping.start;
  return isRest && before.writable && before.isPrivate ? fileNameOf(before) : 'anonymous memory';
}

const fileNameOf = ({ path }: Mapping): string => path.slice(path.lastIndexOf('/') + 1);
