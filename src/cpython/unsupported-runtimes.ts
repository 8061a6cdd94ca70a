// The Pythons that leakscope refuses, and why: turns what was seen into an UnsupportedError or into the finding that there
// is no Python at all. A wrong layout would give wrong numbers, so that doubt ends here.

import { UnsupportedError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict, findStrText } from './dict-entries.ts';
import type { NotReadable } from './interpreters.ts';
import type { Layout } from './layout.ts';
import {
  baseName,
  type RuntimeElf,
  type RuntimeInputs,
  versionOfFileName,
} from './runtime-candidates.ts';
import { featuresOf, type PythonVersion } from './version.ts';

export function refuseOtherPythons(inputs: RuntimeInputs): void {
  for (const { path } of inputs.mappings) {
    const name = baseName(path);
    if (/^(libpypy|pypy)/.test(name)) {
      throw new UnsupportedError({
        fact: 'Cannot read this Python',
        reason: `it is PyPy (${name}), whose objects have no reference counts`,
        next: 'leakscope reads CPython only',
      });
    }
    if (/^libpython3\.\d+t/.test(name)) throw freeThreaded(name);
  }
}

export function freeThreaded(what: string): UnsupportedError {
  return new UnsupportedError({
    fact: `Cannot read Python ${what}`,
    reason: 'it is a free-threaded build, whose objects have another header and no collector lists',
    next: 'Run the program on the default build of the same version',
  });
}

export function refuseDebugBuild(
  memory: MemoryReader,
  layout: Layout,
  sysdict: Address,
  version: PythonVersion,
): void {
  const abiflags = findInDict(memory, layout, sysdict, 'abiflags');
  const flags = abiflags === undefined ? '' : (findStrText(memory, layout, abiflags) ?? '');
  if (flags.includes('t')) throw freeThreaded(version.text);
  const countsReferences = findInDict(memory, layout, sysdict, 'gettotalrefcount') !== undefined;
  if (!flags.includes('d') && !countsReferences) return;
  throw new UnsupportedError({
    fact: `Cannot read Python ${version.text}`,
    reason: 'it is a debug build (Py_DEBUG), whose structs differ',
    next: 'Run the program on a release build of the same version',
  });
}

export function cannotRead(failures: readonly string[]): UnsupportedError {
  return new UnsupportedError({
    fact: 'Cannot read this Python',
    reason: `its memory does not look as it should (${failures.join('; ')})`,
    next: 'Report this with the output of `leakscope doctor PID`; a build with own patches is not supported',
  });
}

export function notRunning(state: NotReadable): UnsupportedError {
  const ends = state.kind === 'finalizing';
  return new UnsupportedError({
    fact: `Python in this process ${ends ? 'is shutting down' : 'is not initialized'}`,
    reason: state.failed,
    next: ends
      ? 'Read the program before it ends'
      : 'Try again when it has started (Py_Initialize must have returned)',
  });
}

export function explainNothingFound(
  inputs: RuntimeInputs,
  elves: readonly RuntimeElf[],
): { kind: 'not-python'; reason: string } {
  if (elves.some((elf) => !elf.is64Bit)) {
    throw new UnsupportedError({
      fact: 'Cannot read this process',
      reason: 'it is a 32-bit program',
      next: 'leakscope reads x86-64 only',
    });
  }
  const old = inputs.mappings
    .map((mapping) => versionOfFileName(mapping.path))
    .find((version) => version !== undefined);
  // Throws with the right words for 2.7 to 3.6, which have no _PyRuntime.
  if (old !== undefined) featuresOf(old);
  if (elves.length === 0) {
    return { kind: 'not-python', reason: 'none of its mapped files could be opened' };
  }
  return { kind: 'not-python', reason: 'no CPython interpreter is mapped into it' };
}
