// The queue of pending calls of the main interpreter: where it is, whether it is in order, and how one call is put in and
// taken out while the process stands still. A ring of 32 with an index for each end (3.8 to 3.12), a ring of 300 with a count
// (3.13). Each change of the ring is one write, so that a leakscope that dies leaves it as before or as after.
// Source: Python/ceval.c and ceval_gil.c (_push_pending_call, _pop_pending_call), pycore_ceval.h.
//
// Not handled: 3.14 and later, which have a way of their own (arm-debugger-script.ts); locks that are no semaphores.

import { interpreterOffset } from '../cpython/field-shifts.ts';
import type { Address } from '../memory/memory-reader.ts';
import { cannotRun, type RemotePython } from './remote-python.ts';
import { addressBytes, int32Bytes } from './target-writer.ts';

const RING_ENTRIES = 32;
const RING_ENTRY_BYTES = 16;
const MAX_THREADS = 10_000;
/** Bit of PyThreadState.eval_breaker (3.13). */
const CALLS_TO_DO_BIT = 1 << 2;
/** PENDINGCALLSARRAYSIZE and MAXPENDINGCALLSLOOP (3.13). */
const MAX_313 = 300;
const MAXLOOP_313 = 100;
/** A ring has at most this many calls of the program between ours and our text, should the text lie in it. */
const DISTANCE_ENTRIES = 8;

export interface PendingQueue {
  /** Why no call can be added just now; undefined if it can. Throws UnsupportedError if it is no such queue. */
  findObstacle(): string | undefined;
  /** The call that waits, if it is the only one. */
  findOnlyCall(): { slot: number; func: Address; arg: Address } | undefined;
  /** The slot that the next call takes. */
  readSlot(): number;
  /** Slots that are used last, for text. */
  spareRanges(slot: number): { start: Address; end: Address }[];
  put(slot: number, func: Address, arg: Address): void;
  /** Whether the call with this argument is no longer waiting in that slot. */
  isTaken(slot: number, arg: Address): boolean;
  /** Takes the call out again; false if others were put behind it. */
  retract(slot: number): boolean;
}

const NOT_KNOWN = 'Look for a newer leakscope, or start the program with: leakscope run -- CMD';

/** The queue of the main interpreter, seen to be one; throws UnsupportedError. */
export function openPendingQueue(python: RemotePython): PendingQueue {
  const { layout, shifts } = python.runtime;
  const field = 'PyInterpreterState.ceval.pending';
  // Fields that have moved in front of it may have changed what is in it.
  const moved = layout.has(field) && shifts.some((shift) => shift.from <= layout.offset(field));
  if (moved) throw notAsExpected(python, 'the fields before the queue have moved');
  const queue = layout.has('_pending_calls.npending') ? countedRing(python) : plainRing(python);
  queue.findObstacle();
  return queue;
}

const notAsExpected = (python: RemotePython, what: string): Error =>
  cannotRun(
    python.pid,
    `the queue of pending calls of Python ${python.runtime.version.text} is not as expected: ${what}`,
    NOT_KNOWN,
  );

/** 3.8 to 3.12: empty when first == last. */
function plainRing(python: RemotePython): PendingQueue {
  const { target, writer, runtime, interpreter } = python;
  const { memory } = target;
  const { layout } = runtime;
  const inRuntime = layout.has('_PyRuntimeState.ceval.pending');
  const holder = inRuntime ? runtime.runtimeAddress : interpreter.address;
  const struct = inRuntime ? '_PyRuntimeState' : 'PyInterpreterState';
  const ring = holder + layout.offset(`${struct}.ceval.pending`);
  const evalBreaker = holder + layout.offset(`${struct}.ceval.eval_breaker`);
  const recursionLimit = holder + layout.offset(`${struct}.ceval.recursion_limit`);
  const at = (field: string): Address => ring + layout.offset(`_pending_calls.${field}`);
  const slotAddress = (slot: number): Address => at('calls') + slot * RING_ENTRY_BYTES;
  /** Ends and count in one write; what lies between them stays as it is while the target stands still. */
  const writeEnds = (last: number, callsToDo: number): void => {
    const start = at('calls_to_do');
    const bytes = Buffer.from(memory.bytesAt(start, at('last') + 4 - start));
    bytes.writeInt32LE(callsToDo, 0);
    bytes.writeInt32LE(last, at('last') - start);
    writer.write(start, bytes);
  };
  return {
    findObstacle: () => {
      const first = memory.readI32(at('first'));
      const last = memory.readI32(at('last'));
      const callsToDo = memory.readI32(at('calls_to_do'));
      const limit = memory.readI32(recursionLimit);
      const isIndex = (value: number) => value >= 0 && value < RING_ENTRIES;
      if (!isIndex(first) || !isIndex(last)) throw notAsExpected(python, 'its ends');
      if (callsToDo < 0 || callsToDo > 1) throw notAsExpected(python, 'its count');
      if (limit < 1 || limit > 1e9) throw notAsExpected(python, 'the recursion limit beside it');
      const lock = memory.readAddress(at('lock'));
      if (lock === 0 || lock % 4 !== 0) throw notAsExpected(python, 'it has no lock');
      const free = memory.readI32(lock);
      // A sem_t of glibc: 1 is free, 0 is held.
      if (free !== 0 && free !== 1) throw notAsExpected(python, 'its lock is no semaphore');
      if (layout.has('_pending_calls.finishing') && memory.readI32(at('finishing')) !== 0) {
        throw notAsExpected(python, 'the program is ending');
      }
      if (free === 0) return 'its lock is held';
      if (first !== last || callsToDo !== 0) return 'calls of the program are waiting';
      if (layout.has('_pending_calls.busy') && memory.readI32(at('busy')) !== 0) {
        return 'calls of the program are being made';
      }
      return undefined;
    },
    findOnlyCall: () => {
      const slot = memory.readI32(at('first'));
      if (memory.readI32(at('last')) !== (slot + 1) % RING_ENTRIES) return undefined;
      const entry = slotAddress(slot);
      return { slot, func: memory.readAddress(entry), arg: memory.readAddress(entry + 8) };
    },
    readSlot: () => memory.readI32(at('last')),
    spareRanges: (slot) =>
      spareSlots(slot, RING_ENTRIES, DISTANCE_ENTRIES).map(([from, to]) => ({
        start: slotAddress(from),
        end: slotAddress(to),
      })),
    put: (slot, func, arg) => {
      writer.write(slotAddress(slot) + 8, addressBytes(arg));
      writer.write(slotAddress(slot), addressBytes(func));
      writer.write(evalBreaker, int32Bytes(1));
      writeEnds((slot + 1) % RING_ENTRIES, 1);
    },
    isTaken: (slot, arg) =>
      memory.readI32(at('first')) !== slot || memory.readAddress(slotAddress(slot) + 8) !== arg,
    retract: (slot) => {
      if (memory.readI32(memory.readAddress(at('lock'))) !== 1) return false;
      if (memory.readI32(at('last')) !== (slot + 1) % RING_ENTRIES) return false;
      // The interpreter sees for itself that eval_breaker is no longer needed.
      writeEnds(slot, 0);
      return true;
    },
  };
}

/** 3.13: `npending` counts, and every thread has an eval_breaker of its own. */
function countedRing(python: RemotePython): PendingQueue {
  const { target, writer, runtime, interpreter } = python;
  const { memory } = target;
  const { layout } = runtime;
  const ring = interpreter.address + layout.offset('PyInterpreterState.ceval.pending');
  const at = (field: string): Address => ring + layout.offset(`_pending_calls.${field}`);
  const entryBytes = layout.size('_pending_call');
  const slotAddress = (slot: number): Address => at('calls') + slot * entryBytes;
  const headMutex = runtime.runtimeAddress + layout.offset('_PyRuntimeState.interpreters.mutex');
  checkDebugOffsets(python);
  const writeEnds = (next: number, npending: number, zeroSlot?: number): void => {
    const start = at('npending');
    const bytes = Buffer.from(memory.bytesAt(start, at('next') + 4 - start));
    bytes.writeInt32LE(npending, 0);
    bytes.writeInt32LE(next, at('next') - start);
    if (zeroSlot !== undefined) {
      const from = slotAddress(zeroSlot) - start;
      bytes.fill(0, from, from + entryBytes);
    }
    writer.write(start, bytes);
  };
  return {
    findObstacle: () => {
      const count = memory.readI32(at('npending'));
      const first = memory.readI32(at('first'));
      const next = memory.readI32(at('next'));
      if (memory.readI32(at('max')) !== MAX_313 || memory.readI32(at('maxloop')) !== MAXLOOP_313) {
        throw notAsExpected(python, 'its size');
      }
      const isIndex = (value: number) => value >= 0 && value < MAX_313;
      if (!isIndex(first) || !isIndex(next)) throw notAsExpected(python, 'its ends');
      if (count < 0 || count > MAX_313) throw notAsExpected(python, 'its count');
      if (memory.readU8(at('mutex')) !== 0) return 'its lock is held';
      if (memory.readU8(headMutex) !== 0) return 'the list of threads is being changed';
      if (count !== 0 || first !== next) return 'calls of the program are waiting';
      if (memory.readAddress(at('handling_thread')) !== 0) {
        return 'calls of the program are being made';
      }
      return undefined;
    },
    findOnlyCall: () => {
      if (memory.readI32(at('npending')) !== 1) return undefined;
      const slot = memory.readI32(at('first'));
      const field = (name: string): Address =>
        memory.readAddress(slotAddress(slot) + layout.offset(`_pending_call.${name}`));
      return { slot, func: field('func'), arg: field('arg') };
    },
    readSlot: () => memory.readI32(at('next')),
    spareRanges: (slot) =>
      spareSlots(slot, MAX_313, MAX_313 / 2).map(([from, to]) => ({
        start: slotAddress(from),
        end: slotAddress(to),
      })),
    put: (slot, func, arg) => {
      const breakers = readEvalBreakers(python);
      const entry = slotAddress(slot);
      writer.write(entry + layout.offset('_pending_call.arg'), addressBytes(arg));
      writer.write(entry + layout.offset('_pending_call.func'), addressBytes(func));
      writer.write(entry + layout.offset('_pending_call.flags'), int32Bytes(0));
      for (const { address, low } of breakers) {
        writer.write(address, int32Bytes(low | CALLS_TO_DO_BIT));
      }
      writeEnds((slot + 1) % MAX_313, 1);
    },
    isTaken: (slot, arg) =>
      memory.readAddress(slotAddress(slot) + layout.offset('_pending_call.arg')) !== arg,
    retract: (slot) => {
      if (memory.readU8(at('mutex')) !== 0 || memory.readI32(at('npending')) !== 1) return false;
      if (memory.readI32(at('next')) !== (slot + 1) % MAX_313) return false;
      writeEnds(slot, 0, slot);
      return true;
    },
  };
}

/** What the interpreter states about itself (3.13) must agree with the layout wherever both know a field near the queue. */
function checkDebugOffsets(python: RemotePython): void {
  const { target, runtime } = python;
  const { layout, runtimeAddress } = runtime;
  const pairs = {
    'interpreter_state.id': 'PyInterpreterState.id',
    'interpreter_state.threads_head': 'PyInterpreterState.threads.head',
    'thread_state.next': 'PyThreadState.next',
    'thread_state.interp': 'PyThreadState.interp',
    'runtime_state.interpreters_head': '_PyRuntimeState.interpreters.head',
  };
  for (const [told, known] of Object.entries(pairs)) {
    const value = target.memory.readI64(runtimeAddress + layout.offset(`_Py_DebugOffsets.${told}`));
    if (value !== layout.offset(known)) throw notAsExpected(python, `${known} has moved`);
  }
}

/** Low halves of each thread's eval_breaker (the upper bits are a version that is not ours to change). */
function readEvalBreakers(python: RemotePython): { address: Address; low: number }[] {
  const { layout } = python.runtime;
  return listThreadStates(python).map((thread) => {
    const address = thread + layout.offset('PyThreadState.eval_breaker');
    return { address, low: python.target.memory.readI32(address) };
  });
}

/** Thread states of the main interpreter, as they are while the process stands still. Throws UnsupportedError. */
export function listThreadStates(python: RemotePython): Address[] {
  const { target, runtime, interpreter } = python;
  const { memory } = target;
  const { layout } = runtime;
  const threads: Address[] = [];
  const offset = interpreterOffset(layout, runtime.shifts, 'PyInterpreterState.threads.head');
  const head = interpreter.address + offset;
  let thread = memory.readAddress(head);
  while (thread !== 0) {
    const owner = memory.readAddress(thread + layout.offset('PyThreadState.interp'));
    if (owner !== interpreter.address || threads.length === MAX_THREADS) {
      throw notAsExpected(python, 'the list of threads');
    }
    threads.push(thread);
    thread = memory.readAddress(thread + layout.offset('PyThreadState.next'));
  }
  return threads;
}

/** Slots [from, to) that are at least `distance` ahead of `slot`, in one or two pieces. */
export function spareSlots(slot: number, count: number, distance: number): [number, number][] {
  const from = slot + distance;
  const to = slot + count;
  if (from >= count) return [[from - count, to - count]];
  return [
    [from, count],
    [0, slot],
  ];
}
