// Walks the threads of all interpreters and the frames that they run now, innermost first.
// Source: Include/cpython/pystate.h (struct _ts), Python/pystate.c; frames in frames.ts.
//
// Not handled: greenlets that are not running (their frames are reached from the greenlet objects only).

import { MemoryReadError } from '../base/errors.ts';
import type { Problems } from '../base/problems.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { type CodeReader, makeCodeReader } from './code-reader.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { type Frame, findFrameObject, findFrameSince311 } from './frames.ts';

const MAX_THREADS = 1 << 16;
const MAX_FRAMES = 100_000;
/** glibc, x86-64: struct pthread {tcbhead_t of 704 bytes; list_t of 16; pid_t tid}, in all versions since 2.4. */
const PTHREAD_TID = 720;

export interface PythonThread {
  /** Of the PyThreadState. */
  address: Address;
  interpreterId: number;
  /** What `threading.get_ident()` returns: the address of the C library's thread descriptor. */
  threadId: Address;
  /** Number of the thread in /proc/PID/task; 0 if unknown. */
  nativeId: number;
  /** The innermost first; empty for a thread that runs no Python now. */
  frames: readonly Frame[];
  /** Frames of which the rest could not be followed. */
  isCutOff: boolean;
}

/** All threads of all interpreters. Problems: `thread-list-damaged`, `frame-chain-damaged`. */
export function readThreads(
  memory: MemoryReader,
  runtime: PythonRuntime,
  problems: Problems,
  reader: CodeReader = makeCodeReader(memory, runtime),
): PythonThread[] {
  const threads: PythonThread[] = [];
  const { layout } = runtime;
  const seen = new Set<Address>();
  for (const interpreter of runtime.interpreters) {
    let at = interpreter.threadsHead;
    while (at !== 0) {
      if (seen.has(at) || seen.size === MAX_THREADS) break;
      seen.add(at);
      try {
        const owner = memory.readAddress(at + layout.offset('PyThreadState.interp'));
        if (owner !== interpreter.address) {
          problems.add('thread-list-damaged', at);
          break;
        }
        threads.push(readThread(reader, runtime, at, interpreter.id, problems));
        at = memory.readAddress(at + layout.offset('PyThreadState.next'));
      } catch (error) {
        if (!(error instanceof MemoryReadError)) throw error;
        problems.add('thread-list-damaged', at);
        break;
      }
    }
  }
  return threads;
}

function readThread(
  reader: CodeReader,
  runtime: PythonRuntime,
  address: Address,
  interpreterId: number,
  problems: Problems,
): PythonThread {
  const { memory, layout } = reader;
  const threadId = memory.readAddress(address + layout.offset('PyThreadState.thread_id'));
  const frames: Frame[] = [];
  const isComplete =
    runtime.features.frames === 'objects'
      ? readFrameObjects(reader, address, frames)
      : readFramesSince311(reader, address, frames);
  if (!isComplete) problems.add('frame-chain-damaged', address);
  return {
    address,
    interpreterId,
    threadId,
    nativeId: findNativeId(reader, address, threadId),
    frames,
    isCutOff: !isComplete,
  };
}

function findNativeId(reader: CodeReader, thread: Address, threadId: Address): number {
  const { memory, layout } = reader;
  if (layout.has('PyThreadState.native_thread_id')) {
    return memory.readU32(thread + layout.offset('PyThreadState.native_thread_id'));
  }
  try {
    return threadId === 0 ? 0 : memory.readU32(threadId + PTHREAD_TID);
  } catch (error) {
    if (error instanceof MemoryReadError) return 0;
    throw error;
  }
}

/** Returns whether the chain was followed to its end. */
function readFrameObjects(reader: CodeReader, thread: Address, frames: Frame[]): boolean {
  const { memory, layout } = reader;
  let at = memory.readAddress(thread + layout.offset('PyThreadState.frame'));
  while (at !== 0) {
    const frame = frames.length < MAX_FRAMES ? findFrameObject(reader, at) : undefined;
    if (frame === undefined) return false;
    frames.push(frame);
    at = memory.readAddress(at + layout.offset('PyFrameObject.f_back'));
  }
  return true;
}

function readFramesSince311(reader: CodeReader, thread: Address, frames: Frame[]): boolean {
  const { memory, layout } = reader;
  let at = findCurrentFrame(reader, thread);
  for (let count = 0; at !== 0; count++) {
    if (count === MAX_FRAMES) return false;
    const frame = findFrameSince311(reader, at);
    // The interpreter's own frames between Python and C have no code object, or the one of a trampoline.
    if (frame !== undefined && !isTrampoline(frame)) frames.push(frame);
    try {
      at = memory.readAddress(at + layout.offset('_PyInterpreterFrame.previous'));
    } catch (error) {
      if (error instanceof MemoryReadError) return false;
      throw error;
    }
  }
  return true;
}

function findCurrentFrame(reader: CodeReader, thread: Address): Address {
  const { memory, layout, features } = reader;
  if (features.frames === 'current_frame') {
    return memory.readAddress(thread + layout.offset('PyThreadState.current_frame'));
  }
  const cframe = memory.readAddress(thread + layout.offset('PyThreadState.cframe'));
  if (cframe === 0) return 0;
  try {
    return memory.readAddress(cframe + layout.offset('_PyCFrame.current_frame'));
  } catch (error) {
    // It lies on the thread's C stack, which the copy may lack.
    if (error instanceof MemoryReadError) return 0;
    throw error;
  }
}

/** 3.12: a code object without a function, named `<interpreter trampoline>`. */
const isTrampoline = (frame: Frame): boolean => frame.code.co_name === '<interpreter trampoline>';
