// Which allocator gives out Python's objects: tells pymalloc, its debug variants, plain malloc and mimalloc by the block of
// `sys.__dict__`, which every interpreter has. Source: Objects/obmalloc.c (debug heads), Include/internal/mimalloc (segments).

import type { MemoryImage } from '../memory/memory-image.ts';
import type { PythonRuntime } from './find-runtime.ts';

/** PYTHONMALLOC=debug: size (8), api id (1), 7 bytes 0xFD before the data. */
const DEBUG_HEAD_WORDS = 2;
const MIMALLOC_SEGMENT_BYTES = 2 ** 25;
const MAX_THREADS = 1 << 16;

export type Allocator = 'pymalloc' | 'pymalloc_debug' | 'malloc' | 'malloc_debug' | 'mimalloc';

export interface FoundObjectAllocator {
  allocator: Allocator;
  /** Words from the start of a block to the data in it: 2 when the allocator writes debug heads, else 0. */
  dataOffsetWords: number;
}

/** By the block of `sys.__dict__`: is it in a pool, and does a debug head stand before it? undefined without that dict. */
export function findObjectAllocator(
  image: MemoryImage,
  runtime: PythonRuntime,
  isInPool: (word: number) => boolean,
): FoundObjectAllocator | undefined {
  const main = runtime.interpreters.find((interpreter) => interpreter.id === 0);
  const dict = main === undefined ? 0 : image.wordAtAddress(main.sysdict);
  if (main === undefined || dict === 0) return undefined;
  const GC_HEAD_WORDS = 2;
  const isDebug = hasDebugHead(image.halves, dict - GC_HEAD_WORDS - DEBUG_HEAD_WORDS);
  const dataOffsetWords = isDebug ? DEBUG_HEAD_WORDS : 0;
  if (isInPool(dict)) {
    return { allocator: isDebug ? 'pymalloc_debug' : 'pymalloc', dataOffsetWords };
  }
  if (isInMimallocSegment(image, runtime, main.sysdict, main.threadsHead)) {
    return { allocator: 'mimalloc', dataOffsetWords };
  }
  return { allocator: isDebug ? 'malloc_debug' : 'malloc', dataOffsetWords };
}

function hasDebugHead(halves: Uint32Array, block: number): boolean {
  const lo = halves[block * 2 + 2];
  const id = lo & 0xff;
  const isApi = id === 0x6f || id === 0x6d || id === 0x72;
  return isApi && lo >>> 8 === 0xfdfdfd && halves[block * 2 + 3] === 0xfdfdfdfd;
}

/** A segment of 32 MiB whose head names one of the threads as its owner. */
function isInMimallocSegment(
  image: MemoryImage,
  runtime: PythonRuntime,
  address: number,
  newestThread: number,
): boolean {
  const { layout } = runtime;
  if (!layout.has('mi_segment_s.thread_id')) return false;
  const segment = Math.floor(address / MIMALLOC_SEGMENT_BYTES) * MIMALLOC_SEGMENT_BYTES;
  const owner = segment + layout.offset('mi_segment_s.thread_id');
  if (!image.has(owner, 8)) return false;
  const next = layout.offset('PyThreadState.next');
  const thread_id = layout.offset('PyThreadState.thread_id');
  let thread = newestThread;
  for (let i = 0; i < MAX_THREADS && thread !== 0 && image.has(thread, thread_id + 8); i++) {
    if (image.readAddress(thread + thread_id) === image.readAddress(owner)) return true;
    thread = image.readAddress(thread + next);
  }
  return false;
}
