// Walks the chunks of a heap from its first to its top: turns stretches of memory that malloc got from the kernel into
// rows of chunks. A chunk is in use if the next one says so.
// Source: glibc malloc/malloc.c (struct malloc_chunk, sysmalloc), malloc/arena.c, 2.28 to 2.43.
//
// A header that was not copied or cannot be one ends the walk; it goes on where a chain of plausible headers begins that
// leads to the end. What lies between is a gap and a problem. Memory that something else took from brk looks the same
// behind two fenceposts, and is no problem.

import type { Problems } from '../base/problems.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import {
  BINNED,
  type ChunkRowsBuilder,
  GAP,
  IN_USE,
  MMAPPED,
  NO_ARENA,
  TOP,
} from './chunk-rows.ts';
import { IS_MMAPPED, MIN_CHUNK_BYTES, NON_MAIN_ARENA, PREV_INUSE } from './glibc-layouts.ts';
import { firstWordFrom } from './image-words.ts';

const TWO_32 = 2 ** 32;
const FENCEPOST_BYTES = 16;
/** Chunks behind a place where a broken walk may go on, if they do not lead to the end before. */
const CHAIN_LENGTH = 4096;
/** Of a chain that leads to another damaged place. */
const LEAST_CHAIN_LENGTH = 64;
const LEAST_CHANGES = 8;
/** Headers looked at in all to find places where broken walks go on. */
const MAX_RESUME_STEPS = 30_000_000;
const MAX_CORRUPTION = 64;

/** A stretch of memory with chunks in it, or one that is a chunk by itself. */
export interface Segment {
  /** First byte, and where the first chunk begins. */
  start: Address;
  firstChunk: Address;
  /** Exclusive. */
  end: Address;
  /** Row of the arena; NO_ARENA if the segment is one chunk. */
  arena: number;
  /** Address of the arena's topmost chunk if it lies here, else 0. */
  top: Address;
}

export interface Corruption {
  address: Address;
  what: string;
}

/** What was found broken: the first cases, and how many there were. */
export class CorruptionLog {
  readonly list: Corruption[] = [];
  private readonly problems: Problems;

  constructor(problems: Problems) {
    this.problems = problems;
  }

  /** `kind` as in Problems: `malloc-size-impossible`. */
  add(kind: string, address: Address, what: string): void {
    this.problems.add(kind, address);
    if (this.list.length < MAX_CORRUPTION) this.list.push({ address, what });
  }
}

export interface WalkContext {
  image: MemoryImage;
  rows: ChunkRowsBuilder;
  problems: Problems;
  corruption: CorruptionLog;
  /** Left of MAX_RESUME_STEPS. */
  resumeSteps: number;
}

export const newWalk = (
  image: MemoryImage,
  rows: ChunkRowsBuilder,
  problems: Problems,
  corruption: CorruptionLog,
): WalkContext => ({ image, rows, problems, corruption, resumeSteps: MAX_RESUME_STEPS });

/** Appends the chunks of `segment`, which lies behind all before it. About 15 ns a chunk. */
export function walkSegment(context: WalkContext, segment: Segment): void {
  const { image, rows, problems } = context;
  if (segment.arena === NO_ARENA) {
    appendMmapped(context, segment);
    return;
  }
  if (segment.firstChunk > segment.start) pushGap(context, segment.start, segment);
  let at = segment.firstChunk;
  while (at < segment.end) {
    const stop = walkChunks(context, segment, at);
    at = stop.address;
    if (at >= segment.end) break;
    if (stop.why === 'top') problems.add('malloc-top-half-written', at);
    if (stop.why === 'missing') problems.add('malloc-header-not-copied', at);
    if (stop.why === 'size') {
      context.corruption.add('malloc-size-impossible', at, 'size of chunk impossible');
    }
    // Where a size is damaged and still possible, it is the next chunk that looks impossible.
    const suspect = stop.why === 'size' ? stop.lastBytes : 0;
    const isOver = stop.why === 'end' || stop.why === 'top';
    const next = isOver ? undefined : findResume(context, segment, at - suspect);
    if (next !== undefined && next < at) rows.state[rows.length - 1] = GAP;
    else pushGap(context, at, segment);
    if (next === undefined) {
      if (stop.why === 'missing' || stop.why === 'size') {
        problems.add('malloc-walk-ended-early', at);
      }
      break;
    }
    at = next;
  }
  rows.push(firstWordFrom(image, segment.end), 0, GAP, segment.arena);
}

function appendMmapped({ image, rows }: WalkContext, segment: Segment): void {
  const { start, firstChunk, end } = segment;
  if (firstChunk > start) rows.push(firstWordFrom(image, start), firstChunk - start, GAP, NO_ARENA);
  const word = image.wordAtAddress(firstChunk + 8);
  if (word !== 0) rows.push(word, end - firstChunk, MMAPPED, NO_ARENA);
  rows.push(firstWordFrom(image, end), 0, GAP, NO_ARENA);
}

const pushGap = ({ image, rows }: WalkContext, from: Address, segment: Segment): void => {
  rows.push(firstWordFrom(image, from), 0, GAP, segment.arena);
};

interface Stop {
  address: Address;
  /** `top`: its page was not copied, since a thread was about to write to it for the first time. */
  why: 'end' | 'missing' | 'size' | 'fencepost' | 'top';
  /** Size of the chunk before it; 0 if there was none. */
  lastBytes: number;
}

/** Walks from `from` on until the segment ends or its chunks do. */
function walkChunks(context: WalkContext, segment: Segment, from: Address): Stop {
  const { image, rows, problems, corruption } = context;
  const { halves } = image;
  const { end, top, arena } = segment;
  const forbidden = arena === 0 ? IS_MMAPPED | NON_MAIN_ARENA | 8 : IS_MMAPPED | 8;
  let at = from;
  let word = 0;
  let runEnd = 0;
  let previousRow = -1;
  let previousBytes = 0;
  while (at < end) {
    if (word === 0) {
      word = image.wordAtAddress(at + 8);
      if (word === 0) {
        // Behind a top that was just divided, the new one is not told yet.
        const isTop = top !== 0 && at >= top;
        return { address: at, why: isTop ? 'top' : 'missing', lastBytes: 0 };
      }
      runEnd = image.runEnd(word);
    }
    const lo = halves[2 * word];
    const hi = halves[2 * word + 1];
    let size = hi * TWO_32 + (lo - (lo & 15));
    let isChunk = size >= MIN_CHUNK_BYTES && (lo & forbidden) === 0 && at + size <= end;
    if (at <= top && (at === top ? !isChunk : isChunk && top < at + size)) {
      // A thread stands in malloc: the chunk or the new top behind it has no size yet.
      problems.add('malloc-top-half-written', top);
      size = (at === top ? end : top) - at;
      isChunk = size >= MIN_CHUNK_BYTES;
      if (at === top) previousRow = -1;
    }
    if ((lo & PREV_INUSE) === 0 && previousRow >= 0) {
      const isTold = halves[2 * word - 2] === previousBytes % TWO_32;
      if (isTold || isChunk) rows.state[previousRow] = BINNED;
      if (!isTold && isChunk) {
        corruption.add('malloc-prev-size-differs', at, 'prev_size is not the size before it');
      }
    }
    if (!isChunk) {
      const why = whyEnded(context, segment, at, size);
      return { address: at, why, lastBytes: previousBytes };
    }
    // A top that ends before the heap was just divided, and the new one is not told yet.
    const isTop = top !== 0 && at >= top && at + size === end;
    const row = rows.push(word, size, isTop ? TOP : IN_USE, arena);
    if (row < 0) return { address: end, why: 'end', lastBytes: 0 };
    if (isTop) return { address: at + size, why: 'fencepost', lastBytes: 0 };
    previousRow = row;
    previousBytes = size;
    at += size;
    word += size / 8;
    if (word >= runEnd) word = 0;
  }
  return { address: at, why: 'end', lastBytes: 0 };
}

/** What a header that is no chunk's means. */
function whyEnded(
  { image }: WalkContext,
  { end, top }: Segment,
  at: Address,
  size: number,
): Stop['why'] {
  // A heap that was followed by another one ends with fenceposts of 16 and 0 bytes.
  if (size <= FENCEPOST_BYTES && at + MIN_CHUNK_BYTES >= end && top === 0) return 'end';
  if (size !== FENCEPOST_BYTES) return 'size';
  const next = image.wordAtAddress(at + FENCEPOST_BYTES + 8);
  const isDouble = next !== 0 && (image.halves[2 * next] & ~15) === FENCEPOST_BYTES;
  return isDouble ? 'fencepost' : 'size';
}

/** The first place behind `from` from which a chain of chunks leads to the end; undefined if there is none. */
function findResume(context: WalkContext, segment: Segment, from: Address): Address | undefined {
  const { image } = context;
  for (let at = from + 16; at + MIN_CHUNK_BYTES <= segment.end; at += 16) {
    let word = image.wordAtAddress(at + 8);
    if (word === 0) {
      word = firstWordFrom(image, at + 8);
      if (word >= image.endWord) return undefined;
      // Headers lie in the odd words of a page, so its first one begins with the page.
      at = image.addressOfWord(word);
      if (at >= segment.end) return undefined;
    }
    if (context.resumeSteps <= 0) return undefined;
    if (leadsOn(context, segment, at, CHAIN_LENGTH) !== undefined) return at;
  }
  return undefined;
}

/**
 * Where the chain of chunks that begins at `from` ends: at the top, at the end, at fenceposts, or after `most` chunks. If it
 * leads to what is no chunk or was not copied, it must be long and of many sizes (an array of small numbers looks like
 * chunks of one size); else undefined.
 */
export function leadsOn(
  context: WalkContext,
  { end, top, arena }: Segment,
  from: Address,
  most: number,
): Address | undefined {
  const { image } = context;
  const { halves } = image;
  const forbidden = arena === 0 ? IS_MMAPPED | NON_MAIN_ARENA | 8 : IS_MMAPPED | 8;
  let at = from;
  let previousBytes = 0;
  let changes = 0;
  let steps = 0;
  for (; steps < most && at !== end; steps++) {
    const word = image.wordAtAddress(at + 8);
    if (word === 0) break;
    const lo = halves[2 * word];
    const size = halves[2 * word + 1] * TWO_32 + (lo - (lo & 15));
    if ((lo & forbidden) !== 0) break;
    if ((lo & PREV_INUSE) === 0) {
      if (steps === 0 || halves[2 * word - 2] !== previousBytes % TWO_32) break;
    }
    const isFence = size === FENCEPOST_BYTES && steps > 0;
    if (at === top || isFence) {
      context.resumeSteps -= steps;
      if (isFence) return findFenceEnd(image, at, end);
      return at + size <= end ? at + size : undefined;
    }
    if (size < MIN_CHUNK_BYTES || at + size > end) break;
    if (size !== previousBytes) changes++;
    previousBytes = size;
    at += size;
  }
  context.resumeSteps -= steps + 1;
  const isLong = steps >= LEAST_CHAIN_LENGTH && changes >= LEAST_CHANGES;
  return at === end || steps === most || isLong ? at : undefined;
}

/**
 * Where the fenceposts that begin at `from` end: two of 16 bytes, three if what was left of the top was as small; or, at
 * the end of a thread's heap, one and the head of an empty one.
 */
function findFenceEnd(image: MemoryImage, from: Address, end: Address): Address | undefined {
  let at = from;
  for (let count = 1; count <= 3; count++) {
    at += FENCEPOST_BYTES;
    if (count > 1 && at % PAGE_SIZE === 0) return at;
    const word = image.wordAtAddress(at + 8);
    if (word === 0) return undefined;
    const size = image.halves[2 * word] - (image.halves[2 * word] & 15);
    if (size !== FENCEPOST_BYTES) return count > 1 || at + FENCEPOST_BYTES >= end ? at : undefined;
  }
  return at;
}
