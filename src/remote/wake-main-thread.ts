// Makes the main thread of a Python 3.12 or later that waits in C code run one line of Python, so that it comes by what was
// put into it. For that moment the handler of a signal becomes a function of importlib that returns at once.
// Source: Modules/signalmodule.c (_PyErr_CheckSignalsTstate), pycore_signal.h, Lib/importlib/_bootstrap.py, signal(7).
//
// An idle epoll_wait needs no signal: it returns when the process is stopped and continued, and Python then looks for
// handlers that are due (`prepareEpollWaker`: signal 64, which nobody uses). Every other wait is restarted by the kernel and ends
// only by a signal that is caught (`prepareInterrupt`: SIGINT, only if the user asks for it). A guard process puts everything
// back if leakscope is killed meanwhile.

import { findInDict } from '../cpython/dict-entries.ts';
import { interpreterOffset } from '../cpython/field-shifts.ts';
import type { LiveMemory } from '../memory/live-memory.ts';
import type { Address } from '../memory/memory-reader.ts';
import { findProcText, findStatusField } from '../memory/process-status.ts';
import type { RemotePython } from './remote-python.ts';
import { addressBytes, int32Bytes } from './target-writer.ts';
import { type PutBack, UndoGuard } from './undo-guard.ts';

const SIGINT = 2;
const SIGRTMAX = 64;
const SIGNALS = 65;
/** struct { int tripped; PyObject *func; } */
const HANDLER_BYTES = 16;
const FUNC = 8;
const NO_WAKEUP_FD = -1;

/** Puts back what was changed; synchronous, for exits as well. */
export type Undo = () => void;

/** Changes the handler of one signal; its guard process starts meanwhile. */
export interface Waker {
  /** undefined if it must not be done in this process now. Throws AccessError if it cannot be done safely. */
  swap(): Undo | undefined;
  /** Ends the guard; it puts back what an Undo has not. */
  close(): void;
}

/** Marks an unused handler as due; swap it after arming. undefined where Python is older. */
export const prepareEpollWaker = (python: RemotePython): Waker | undefined =>
  prepareWaker(python, SIGRTMAX, (signals) => {
    // Of the default action: no program counts on it.
    if (signals.readFunc(SIGRTMAX) !== signals.defaultHandler()) return false;
    return !signals.isAnyDue();
  });

/**
 * Makes SIGINT harmless for a moment; the caller then sends it and undoes this. Until then a real Ctrl-C is lost. undefined
 * if Python does not handle SIGINT in this process: it must not be sent then.
 */
export const prepareInterrupt = (python: RemotePython): Waker | undefined =>
  isCaught(python.pid)
    ? prepareWaker(python, SIGINT, (signals) => {
        const func = signals.readFunc(SIGINT);
        const others = [signals.defaultHandler(), signals.ignoreHandler()];
        return func !== 0 && !others.includes(func) && !signals.isAnyDue();
      })
    : undefined;

/** Why a main thread cannot be woken by `prepareInterrupt` in this process; undefined if it can. */
export function whyNoInterrupt(python: RemotePython): string | undefined {
  const { layout } = python.runtime;
  if (!layout.has('_PyRuntimeState.signals.handlers')) {
    return 'before Python 3.12 the SIGINT of a nudge may reach a handler of the program itself';
  }
  const ignored = 'SIGINT is ignored there, or handled by C code';
  if (!isCaught(python.pid)) return ignored;
  const signals = findSignals(python);
  if (signals === undefined) return 'Python runs with -v there, or its importlib was not found';
  const func = signals.readFunc(SIGINT);
  const isOurs = func !== 0 && ![signals.defaultHandler(), signals.ignoreHandler()].includes(func);
  return isOurs ? undefined : ignored;
}

function prepareWaker(
  python: RemotePython,
  signal: number,
  mayChange: (signals: Signals) => boolean,
): Waker | undefined {
  const signals = findSignals(python);
  if (signals === undefined) return undefined;
  const guard = UndoGuard.start(python.target, signal);
  return {
    swap: () =>
      swapHandler(python, signals, { signal, guard, mayChange: () => mayChange(signals) }),
    close: () => guard.close(),
  };
}

interface Signals {
  handler(signal: number): Address;
  readFunc(signal: number): Address;
  defaultHandler(): Address;
  ignoreHandler(): Address;
  isTripped(signal: number): boolean;
  isAnyDue(): boolean;
  isTrippedAddress: Address;
  wakeupFd: Address;
  /** What handlers become. */
  harmless: Address;
}

function findSignals(python: RemotePython): Signals | undefined {
  const { target, runtime, interpreter } = python;
  const { memory } = target;
  const { layout, runtimeAddress, shifts } = runtime;
  if (!layout.has('_PyRuntimeState.signals.handlers')) return undefined;
  const verbose = interpreterOffset(layout, shifts, 'PyInterpreterState.config.verbose');
  // With python -v the function would print its arguments.
  if (memory.readI32(interpreter.address + verbose) !== 0) return undefined;
  const harmless = findHarmlessFunction(python);
  if (harmless === undefined) return undefined;
  const at = (field: string): Address =>
    runtimeAddress + layout.offset(`_PyRuntimeState.signals.${field}`);
  const handler = (signal: number): Address => at('handlers') + signal * HANDLER_BYTES;
  return {
    handler,
    readFunc: (signal) => memory.readAddress(handler(signal) + FUNC),
    defaultHandler: () => memory.readAddress(at('default_handler')),
    ignoreHandler: () => memory.readAddress(at('ignore_handler')),
    isTripped: (signal) => memory.readI32(handler(signal)) !== 0,
    isAnyDue: () => memory.readI32(at('is_tripped')) !== 0,
    isTrippedAddress: at('is_tripped'),
    wakeupFd: at('wakeup.fd'),
    harmless,
  };
}

/**
 * Swaps it while the process stands still and `mayChange`; signal 64 is marked as due at once. A guard puts everything back
 * if leakscope dies meanwhile, or cannot do it. Throws AccessError if there can be no guard; nothing is changed then.
 */
function swapHandler(
  python: RemotePython,
  signals: Signals,
  { signal, guard, mayChange }: { signal: number; guard: UndoGuard; mayChange(): boolean },
): Undo | undefined {
  const { target, writer } = python;
  const { memory } = target;
  const handler = signals.handler(signal);
  let values: PutBack[] | undefined;
  const swap = (): void => {
    if (!mayChange() || signals.isTripped(signal)) return;
    const planned = planPutBack(signals, signal, memory);
    guard.arm(planned);
    values = planned;
    writer.write(handler + FUNC, addressBytes(signals.harmless));
    // An event loop would run the program's own handler for what arrives there.
    if (signal === SIGINT) writer.write(signals.wakeupFd, int32Bytes(NO_WAKEUP_FD));
    else {
      writer.write(handler, int32Bytes(1));
      writer.write(signals.isTrippedAddress, int32Bytes(1));
    }
  };
  try {
    guard.waitUntilReady();
    target.withFrozen(swap);
  } catch (error) {
    // Somebody else may have continued the process after values were changed: the guard puts them back.
    guard.close();
    throw error;
  }
  if (values === undefined) {
    guard.close();
    return undefined;
  }
  const toPutBack = values;
  return () => {
    try {
      if (target.isAlive) target.withFrozen(() => putBack(python, signals, signal, toPutBack));
      guard.disarm();
    } finally {
      guard.close();
    }
  };
}

/** In this order: a handler that is put back while it is due would be called, as by a real Ctrl-C. */
function planPutBack(signals: Signals, signal: number, memory: LiveMemory): PutBack[] {
  const handler = signals.handler(signal);
  const isSwapped = { seenAt: handler + FUNC, swapped: addressBytes(signals.harmless) };
  const noWakeupFd = int32Bytes(NO_WAKEUP_FD);
  const at = signals.wakeupFd;
  const wakeupFd = { address: at, original: int32Bytes(memory.readI32(at)) };
  return [
    { ...isSwapped, address: handler, original: int32Bytes(0) },
    ...(signal === SIGINT ? [{ seenAt: at, swapped: noWakeupFd, ...wakeupFd }] : []),
    // Last: while it is there, whoever dies meanwhile has not put back everything.
    { ...isSwapped, address: handler + FUNC, original: addressBytes(signals.readFunc(signal)) },
  ];
}

/** Call it while the process stands still. */
function putBack(
  { target, writer }: RemotePython,
  signals: Signals,
  signal: number,
  values: readonly PutBack[],
): void {
  const wasDue = signals.isTripped(signal);
  for (const { seenAt, swapped, address, original } of values) {
    const seen = target.memory.bytesAt(seenAt, swapped.length);
    if (Buffer.compare(seen, swapped) === 0) writer.write(address, original);
  }
  const all = Array.from({ length: SIGNALS }, (_, each) => each);
  if (wasDue && !all.some((each) => signals.isTripped(each))) {
    writer.write(signals.isTrippedAddress, int32Bytes(0));
  }
}

function isCaught(pid: number): boolean {
  const caught = findStatusField(findProcText(`/proc/${pid}/status`) ?? '', 'SigCgt') ?? '0';
  return ((BigInt(`0x${caught}`) >> BigInt(SIGINT - 1)) & 1n) === 1n;
}

/** importlib._bootstrap._verbose_message: Python code that returns at once unless Python is verbose. */
function findHarmlessFunction(python: RemotePython): Address | undefined {
  const { target, runtime, interpreter } = python;
  const { memory } = target;
  const { layout } = runtime;
  const module = findInDict(memory, layout, interpreter.modules, '_frozen_importlib');
  if (module === undefined) return undefined;
  const dict = memory.readAddress(module + layout.offset('PyModuleObject.md_dict'));
  const func = findInDict(memory, layout, dict, '_verbose_message');
  if (func === undefined) return undefined;
  const type = memory.readAddress(func + layout.offset('PyObject.ob_type'));
  const name = memory.readAddress(type + layout.offset('PyTypeObject.tp_name'));
  return memory.findCString(name) === 'function' ? func : undefined;
}
