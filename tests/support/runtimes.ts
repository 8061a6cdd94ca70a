// The runtime and a copy of a Python that a test has started, without a capture around them.

import { findRuntime, type PythonRuntime } from '../../src/cpython/find-runtime.ts';
import { type LiveTarget, openTarget } from '../../src/memory/freeze.ts';
import { type MappedElf, openMappedElf } from '../../src/memory/mapped-files.ts';
import { findMappings } from '../../src/memory/mappings.ts';

/** Calls `use` while the process and its files are open; symbols it asked for may be asked for again later. */
export function withRuntime<T>(
  pid: number,
  use: (target: LiveTarget, runtime: PythonRuntime) => T,
): T {
  const target = openTarget(pid);
  const elves: MappedElf[] = [];
  try {
    const mappings = findMappings(pid) ?? [];
    const result = findRuntime({
      memory: target.memory,
      mappings,
      openElf: (path) => {
        const elf = openMappedElf(pid, mappings, path, target.memory);
        if (elf !== undefined) elves.push(elf);
        return elf;
      },
    });
    if (result.kind !== 'python') throw new Error(result.reason);
    const symbols = new Map<string, number | undefined>();
    const findSymbol = (name: string) => {
      if (!symbols.has(name)) symbols.set(name, result.runtime.findSymbol(name));
      return symbols.get(name);
    };
    return use(target, { ...result.runtime, findSymbol });
  } finally {
    for (const elf of elves) elf.close();
    target.close();
  }
}
