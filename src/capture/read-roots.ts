// Names what is alive by itself: local variables of running frames, modules, and what interpreters and threads hold in C
// structs. Turns what `cpython` reads into the roots of a graph, in the order in which a path should prefer them.

import { basename } from 'node:path';
import { MemoryReadError } from '../base/errors.ts';
import type { Problems } from '../base/problems.ts';
import type { CodeReader } from '../cpython/code-reader.ts';
import { findStrText, forEachDictEntry } from '../cpython/dict-entries.ts';
import type { PythonRuntime } from '../cpython/find-runtime.ts';
import type { Frame } from '../cpython/frames.ts';
import {
  type HeldReference,
  readHeldReferences,
  readStaticTypeStates,
} from '../cpython/held-references.ts';
import { type PythonThread, readThreads } from '../cpython/threads.ts';
import { RootKind } from '../graph/heap-graph.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';

export interface NamedRoot {
  address: Address;
  kind: RootKind;
  label: string;
  /** Whether it is a reference of its own that the object's count includes; false if an edge of the graph is the same. */
  isCounted: boolean;
}

export interface NamedRoots {
  roots: NamedRoot[];
  /** Dicts whose entries own no references (interned strings up to 3.11). */
  weakDicts: Address[];
  /** What locals are of. */
  threads: PythonThread[];
}

/**
 * All roots that can be named; `threadNames` maps native thread ids to what the kernel calls them, `mainThreadId` is the
 * pid as the target sees it.
 */
export function readRoots(
  memory: MemoryReader,
  runtime: PythonRuntime,
  problems: Problems,
  threadNames: ReadonlyMap<number, string>,
  mainThreadId: number,
  codeReader: CodeReader,
): NamedRoots {
  const roots: NamedRoot[] = [];
  for (const interpreter of runtime.interpreters) {
    pushModules(memory, runtime, interpreter.modules, roots);
  }
  const threads = readThreads(memory, runtime, problems, codeReader);
  const nameByThread = new Map(
    threads.map((thread) => [
      thread.address,
      threadNames.get(thread.nativeId) ?? `${thread.nativeId}`,
    ]),
  );
  for (const thread of threads) {
    const isMain = thread.nativeId === mainThreadId;
    pushThread(thread, isMain ? undefined : nameByThread.get(thread.address), roots);
  }
  const weakDicts: Address[] = [];
  for (const held of readHeldReferences(memory, runtime, threads)) {
    if (held.isWeakDict) weakDicts.push(held.address);
    roots.push({
      address: held.address,
      kind: ROOT_KINDS[held.kind],
      label:
        held.thread === 0 ? held.name : `${held.name} of thread ${nameByThread.get(held.thread)}`,
      isCounted: true,
    });
  }
  for (const state of readStaticTypeStates(memory, runtime)) {
    for (const name of ['tp_dict', 'tp_subclasses'] as const) {
      if (state[name] === 0) continue;
      roots.push({ address: state[name], kind: RootKind.type, label: name, isCounted: true });
    }
  }
  return { roots, weakDicts, threads };
}

const ROOT_KINDS: Record<HeldReference['kind'], RootKind> = {
  interpreter: RootKind.interpreter,
  collector: RootKind.interpreter,
  atexit: RootKind.interpreter,
  thread: RootKind.thread,
  interned: RootKind.interned,
};

/** The entries of `sys.modules`; the dict's own edges are the references. */
function pushModules(
  memory: MemoryReader,
  runtime: PythonRuntime,
  modules: Address,
  roots: NamedRoot[],
): void {
  try {
    forEachDictEntry(memory, runtime.layout, modules, (key, value) => {
      const label = findStrText(memory, runtime.layout, key) ?? '?';
      roots.push({ address: value, kind: RootKind.module, label, isCounted: false });
    });
  } catch (error) {
    // The dict was being resized: its entries are still found through it, without their names.
    if (!(error instanceof MemoryReadError)) throw error;
  }
}

function pushThread(
  thread: PythonThread,
  threadName: string | undefined,
  roots: NamedRoot[],
): void {
  for (const frame of thread.frames) {
    const place = `${frame.code.co_name} (${basename(frame.code.co_filename)}:${frame.line})`;
    const where = threadName === undefined ? place : `${place} in thread ${threadName}`;
    const isCounted = ownsItsReferences(frame);
    for (const variable of frame.variables) {
      const label = `local '${variable.name}' of ${where}`;
      roots.push({ address: variable.address, kind: RootKind.local, label, isCounted });
    }
    for (const address of frame.stack) {
      if (address === 0) continue;
      const label = `value in use by ${where}`;
      roots.push({
        address,
        kind: RootKind.thread,
        label,
        isCounted: isCounted && frame.stackIsExact,
      });
    }
    for (const address of [frame.frameObject, frame.func, frame.f_locals, frame.code.address]) {
      if (address === 0) continue;
      roots.push({ address, kind: RootKind.thread, label: `frame ${where}`, isCounted });
    }
  }
}

/** A frame object and a generator hold their variables themselves: those edges are in the graph. */
const ownsItsReferences = (frame: Frame): boolean =>
  frame.generator === 0 && frame.address !== frame.frameObject;
