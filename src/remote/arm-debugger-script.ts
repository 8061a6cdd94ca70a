// Makes a Python 3.14 or later run a script, by the interface that it has for the purpose (PEP 768): the path of a file and
// a flag in the state of one thread. Offsets come from the interpreter's own _Py_DebugOffsets.
//
// A script that waits must not outlive leakscope: a thread that waits in C code looks for scripts before it looks for
// signals, so that the KeyboardInterrupt of the next Ctrl-C would be raised in the script, and lost with it.
// Source: Doc/howto/remote_debugging.rst, pycore_debug_offsets.h, Python/ceval_gil.c (_PyRunRemoteDebugger), 3.14 and 3.15.

import { UserError } from '../base/errors.ts';
import { interpreterOffset } from '../cpython/field-shifts.ts';
import type { Address } from '../memory/memory-reader.ts';
import { findProcText } from '../memory/process-status.ts';
import { type Armed, type ArmOptions, tries } from './arm-pending-call.ts';
import { isOfDeadOwner } from './channel-folder.ts';
import { listThreadStates } from './pending-queue.ts';
import { cannotRun, type RemotePython } from './remote-python.ts';
import { int32Bytes } from './target-writer.ts';
import type { UndoGuard } from './undo-guard.ts';

/** _PY_EVAL_PLEASE_STOP_BIT of PyThreadState.eval_breaker. */
const PLEASE_STOP_BIT = 1 << 5;
const MAX_OFFSET = 1 << 20;

interface DebuggerSupport {
  eval_breaker: number;
  remote_debugger_support: number;
  remote_debugging_enabled: number;
  debugger_pending_call: number;
  debugger_script_path: number;
  debugger_script_path_size: number;
}

/** Throws UnsupportedError unless this interpreter takes scripts; writes nothing. */
export function checkRemoteDebugging(python: RemotePython): void {
  const { target, interpreter } = python;
  const support = readDebuggerSupport(python);
  const enabled = target.memory.readI32(interpreter.address + support.remote_debugging_enabled);
  if (enabled !== 1) throw disabled(python);
}

/** Threads that could run the script: the main one first. Their states, for `armDebuggerScript`. */
export function listScriptThreads(python: RemotePython): Address[] {
  const { target, runtime, interpreter } = python;
  const { memory } = target;
  let threads: Address[] = [];
  target.withFrozen(() => {
    threads = listThreadStates(python);
  });
  const field = '_Py_DebugOffsets.interpreter_state.threads_main';
  const offset = memory.readI64(runtime.runtimeAddress + runtime.layout.offset(field));
  const main = memory.readAddress(interpreter.address + offset);
  return [...threads.filter((each) => each === main), ...threads.filter((each) => each !== main)];
}

export interface ScriptPlace {
  /** The state of a thread. */
  thread: Address;
  /** Which it is, in words. */
  where: string;
  /** Takes the script back when leakscope is killed. */
  guard: UndoGuard;
}

/** Asks one thread to run the file `path` (as the target sees it). Throws UnsupportedError; then nothing was written. */
export async function armDebuggerScript(
  python: RemotePython,
  path: string,
  { thread, where, guard }: ScriptPlace,
  options: ArmOptions,
): Promise<Armed> {
  const support = readDebuggerSupport(python);
  const { memory } = python.target;
  const script = Buffer.from(`${path}\0`, 'utf8');
  if (script.length > support.debugger_script_path_size) {
    throw cannotRun(python.pid, 'the path of the script is too long for it', 'This is a bug.');
  }
  const base = thread + support.remote_debugger_support;
  const pending = base + support.debugger_pending_call;
  const pathAt = base + support.debugger_script_path;
  const isThere = () => !isListLocked(python) && listThreadStates(python).includes(thread);
  const waiting = Buffer.concat([int32Bytes(1), script]);
  let isArmed = false;
  const place = () => {
    if (!isThere()) return;
    const isLeftover = isOfDeadOwner(memory.findCString(pathAt, script.length + 64) ?? '');
    if (memory.readI32(pending) !== 0 && !isLeftover) return;
    // The path lies behind the flag: both are looked at, since the memory may be another thread's by then.
    guard.arm([{ seenAt: pending, swapped: waiting, address: pending, original: int32Bytes(0) }]);
    const evalBreaker = thread + support.eval_breaker;
    python.writer.write(pathAt, script);
    python.writer.write(evalBreaker, int32Bytes(memory.readI32(evalBreaker) | PLEASE_STOP_BIT));
    // The last write decides: a leakscope that dies before it has changed nothing that anybody looks at.
    python.writer.write(pending, int32Bytes(1));
    isArmed = true;
  };
  for await (const _ of tries(options)) {
    try {
      python.target.withFrozen(place);
    } catch (error) {
      if (!isArmed || !(error instanceof UserError)) throw error;
    }
    if (isArmed) break;
  }
  if (!isArmed) {
    throw cannotRun(
      python.pid,
      'the script of another debugger is waiting in it, or its thread has ended',
      'Try again later.',
    );
  }
  const zeros = new Uint8Array(script.length);
  const frozen = (use: () => void) => {
    // The state of a thread that has ended is no longer ours to look at.
    if (python.target.isAlive) python.target.withFrozen(() => isThere() && use());
  };
  const isOurs = () => Buffer.from(memory.bytesAt(pathAt, script.length)).equals(script);
  return {
    where,
    isTaken: () => memory.readI32(pending) === 0,
    disarm: () => {
      let isTaken = true;
      frozen(() => {
        if (!isOurs()) return;
        isTaken = memory.readI32(pending) === 0;
        // The flag in eval_breaker may stay: the interpreter looks, finds nothing and clears it.
        writeBoth(python, pending, pathAt, zeros);
      });
      return isTaken;
    },
    clean: () => frozen(() => isOurs() && python.writer.write(pathAt, zeros)),
  };
}

function writeBoth(python: RemotePython, pending: Address, path: Address, zeros: Uint8Array): void {
  python.writer.write(pending, int32Bytes(0));
  python.writer.write(path, zeros);
}

const isListLocked = ({ target, runtime }: RemotePython): boolean =>
  target.memory.readU8(
    runtime.runtimeAddress + runtime.layout.offset('_PyRuntimeState.interpreters.mutex'),
  ) !== 0;

function readDebuggerSupport(python: RemotePython): DebuggerSupport {
  const { target, runtime } = python;
  const { layout } = runtime;
  const told = (field: string): number => {
    const name = `_Py_DebugOffsets.${field}`;
    return target.memory.readI64(runtime.runtimeAddress + layout.offset(name));
  };
  const field = (name: keyof DebuggerSupport): number => told(`debugger_support.${name}`);
  const support: DebuggerSupport = {
    eval_breaker: field('eval_breaker'),
    remote_debugger_support: field('remote_debugger_support'),
    remote_debugging_enabled: field('remote_debugging_enabled'),
    debugger_pending_call: field('debugger_pending_call'),
    debugger_script_path: field('debugger_script_path'),
    debugger_script_path_size: field('debugger_script_path_size'),
  };
  const isAsExpected =
    support.debugger_pending_call === 0 &&
    support.debugger_script_path === 4 &&
    support.debugger_script_path_size === 512 &&
    support.eval_breaker === layout.offset('PyThreadState.eval_breaker') &&
    support.remote_debugger_support % 4 === 0 &&
    support.remote_debugger_support < layout.size('_PyThreadStateImpl') &&
    support.remote_debugging_enabled < MAX_OFFSET &&
    told('thread_state.next') === layout.offset('PyThreadState.next') &&
    told('thread_state.interp') === layout.offset('PyThreadState.interp') &&
    told('interpreter_state.threads_head') ===
      interpreterOffset(layout, runtime.shifts, 'PyInterpreterState.threads.head');
  if (!isAsExpected) {
    throw cannotRun(
      python.pid,
      `the debugger support of Python ${runtime.version.text} is not as expected`,
      'Look for a newer leakscope, or start the program with: leakscope run -- CMD',
    );
  }
  return support;
}

function disabled(python: RemotePython): Error {
  const { pid } = python;
  const command = findProcText(`/proc/${pid}/cmdline`) ?? '';
  const environment = findProcText(`/proc/${pid}/environ`) ?? '';
  const how = /\0-X\0?disable[-_]remote[-_]debug/.test(command)
    ? 'with -X disable_remote_debug'
    : /(^|\0)PYTHON_DISABLE_REMOTE_DEBUG=./.test(environment)
      ? 'with the variable PYTHON_DISABLE_REMOTE_DEBUG'
      : 'at build time (--without-remote-debug) or at start';
  return cannotRun(
    pid,
    `remote debugging was switched off ${how}`,
    'Start the program without that, or with: leakscope run -- CMD',
  );
}
