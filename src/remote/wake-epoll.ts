// Makes a Python 3.12 or 3.13 that is idle in epoll_wait run one line of Python, without sending a signal: the handler of a
// signal that nobody uses becomes a function of importlib that returns at once, and is marked as due. Stopping and
// continuing the process makes epoll_wait return, Python looks for signals, calls it, and comes by its pending calls.
// Source: Modules/signalmodule.c (_PyErr_CheckSignalsTstate), pycore_signal.h, Lib/importlib/_bootstrap.py.
//
// Not for other waits: the kernel restarts sleep, poll and locks by itself. 3.14 needs no help (arm-debugger-script.ts).

import { findInDict } from '../cpython/dict-entries.ts';
import { interpreterOffset } from '../cpython/field-shifts.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { RemotePython } from './remote-python.ts';
import { addressBytes, int32Bytes } from './target-writer.ts';

/** SIGRTMAX. */
const SIGNAL = 64;
const SIGNALS = 65;
/** struct { int tripped; PyObject *func; } */
const HANDLER_BYTES = 16;
const FUNC = 8;

/** Marks the handler; call it after arming. Returns how to put everything back; undefined if it must not be done here. */
export function wakeEpoll(python: RemotePython): (() => void) | undefined {
  const { target, writer, runtime, interpreter } = python;
  const { memory } = target;
  const { layout, runtimeAddress } = runtime;
  if (!layout.has('_PyRuntimeState.signals.handlers')) return undefined;
  const at = (field: string): Address =>
    runtimeAddress + layout.offset(`_PyRuntimeState.signals.${field}`);
  const handler = at('handlers') + SIGNAL * HANDLER_BYTES;
  const isTripped = (signal: number): boolean =>
    memory.readI32(at('handlers') + signal * HANDLER_BYTES) !== 0;
  const verbose = interpreterOffset(layout, runtime.shifts, 'PyInterpreterState.config.verbose');
  const func = findHarmlessFunction(python);
  if (func === undefined) return undefined;
  let before = 0;
  target.withFrozen(() => {
    const unused = memory.readAddress(handler + FUNC);
    const isUnused = unused !== 0 && unused === memory.readAddress(at('default_handler'));
    // With python -v the function would print its arguments.
    const isQuiet = memory.readI32(interpreter.address + verbose) === 0;
    if (!isUnused || !isQuiet || isTripped(SIGNAL) || memory.readI32(at('is_tripped')) !== 0) {
      return;
    }
    before = unused;
    writer.write(handler + FUNC, addressBytes(func));
    writer.write(handler, int32Bytes(1));
    writer.write(at('is_tripped'), int32Bytes(1));
  });
  if (before === 0) return undefined;
  return () => {
    if (!target.isAlive) return;
    target.withFrozen(() => {
      if (memory.readAddress(handler + FUNC) !== func) return;
      const wasDue = isTripped(SIGNAL);
      writer.write(handler, int32Bytes(0));
      writer.write(handler + FUNC, addressBytes(before));
      const others = Array.from({ length: SIGNALS }, (_, signal) => signal).some(isTripped);
      if (wasDue && !others) writer.write(at('is_tripped'), int32Bytes(0));
    });
  };
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
