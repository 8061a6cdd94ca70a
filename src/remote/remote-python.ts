// Opens a process for running code in it: its Python is found and checked as for reading, then everything is refused that
// a call from outside could harm. Nothing is written and no signal is sent here.
// Source: Python/pylifecycle.c, Lib/importlib/_bootstrap.py (_thread is always imported), gevent/monkey, eventlet/patcher.

import { UnsupportedError, UsageError } from '../base/errors.ts';
import { findInDict } from '../cpython/dict-entries.ts';
import { findRuntime, type PythonRuntime } from '../cpython/find-runtime.ts';
import type { PythonInterpreter } from '../cpython/interpreters.ts';
import { type LiveTarget, openTarget } from '../memory/freeze.ts';
import { type MappedElf, openMappedElf } from '../memory/mapped-files.ts';
import { findMappings, type Mapping } from '../memory/mappings.ts';
import { openTargetWriter, type TargetWriter } from './target-writer.ts';

export interface RemotePython {
  pid: number;
  target: LiveTarget;
  writer: TargetWriter;
  runtime: PythonRuntime;
  /** Number 0: the one in which code runs. */
  interpreter: PythonInterpreter;
  mappings: readonly Mapping[];
  /** The file that _PyRuntime lies in; undefined if it cannot be opened. */
  elf: MappedElf | undefined;
  /** Whether gevent has replaced the functions of `_thread`. */
  hasGevent: boolean;
  close(): void;
}

/** How errors of this folder begin. */
export const cannotRun = (pid: number, reason: string, next: string): UnsupportedError =>
  new UnsupportedError({ fact: `Cannot run code in process ${pid}`, reason, next });

const COOPERATE = 'Start the program with: leakscope run -- CMD';

/** Throws UsageError for a process without Python, AccessError and UnsupportedError for one that must be left alone. */
export function openRemotePython(
  pid: number,
  openWriter: (pid: number) => TargetWriter = openTargetWriter,
): RemotePython {
  const target = openTarget(pid);
  const opened: MappedElf[] = [];
  let writer: TargetWriter | undefined;
  const close = (): void => {
    for (const elf of opened) elf.close();
    writer?.close();
    target.close();
  };
  try {
    writer = openWriter(pid);
    const mappings = findMappings(pid) ?? [];
    const openElf = (path: string) => {
      const elf = openMappedElf(pid, mappings, path, target.memory);
      if (elf !== undefined) opened.push(elf);
      return elf;
    };
    const found = findRuntime({ memory: target.memory, mappings, openElf });
    if (found.kind === 'not-python') {
      throw new UsageError({
        fact: `Cannot run Python in process ${pid}`,
        reason: found.reason,
        next: 'leakscope ps lists the Python processes.',
      });
    }
    const { runtime } = found;
    const interpreter = runtime.interpreters.find(({ id }) => id === 0);
    if (interpreter === undefined || interpreter.threadsHead === 0) {
      throw cannotRun(pid, 'its main interpreter has no thread', COOPERATE);
    }
    const elf = opened.find((each) => each.path === runtime.file);
    const python = { pid, target, writer, runtime, interpreter, mappings, elf, close };
    return { ...python, hasGevent: checkThreadModule(python) };
  } catch (error) {
    close();
    throw error;
  }
}

/** Whether gevent is there; throws UnsupportedError where somebody else has replaced `_thread.start_new_thread`. */
function checkThreadModule(python: Omit<RemotePython, 'hasGevent'>): boolean {
  const { pid, target, runtime, interpreter } = python;
  const { memory } = target;
  const { layout } = runtime;
  const { modules, builtins } = interpreter;
  if (findInDict(memory, layout, modules, 'gevent.monkey') !== undefined) return true;
  const thread = findInDict(memory, layout, modules, '_thread');
  const length = findInDict(memory, layout, builtins, 'len');
  if (thread === undefined || length === undefined) {
    throw cannotRun(pid, 'its sys.modules could not be read', 'Try again.');
  }
  const dict = memory.readAddress(thread + layout.offset('PyModuleObject.md_dict'));
  const start = findInDict(memory, layout, dict, 'start_new_thread');
  const typeAt = layout.offset('PyObject.ob_type');
  const isBuiltin =
    start !== undefined &&
    memory.readAddress(start + typeAt) === memory.readAddress(length + typeAt);
  if (isBuiltin) return false;
  const culprit =
    findInDict(memory, layout, modules, 'eventlet.patcher') === undefined
      ? 'something'
      : 'eventlet';
  throw cannotRun(
    pid,
    `${culprit} has replaced _thread.start_new_thread, so that leakscope could not start a thread of its own`,
    'Read it from outside: leakscope stacks, show, path, hunt.',
  );
}
