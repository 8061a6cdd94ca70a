// Whether a process is a Python that leakscope can read, asked without stopping it: opens its memory, looks for the
// runtime, closes everything. For `ps`, `doctor` and for telling a wrapper's pid from its Python's.

import { UserError } from '../base/errors.ts';
import { findRuntime } from '../cpython/find-runtime.ts';
import { openLiveMemory } from '../memory/access.ts';
import type { LiveMemory } from '../memory/live-memory.ts';
import { type MappedElf, openMappedElf } from '../memory/mapped-files.ts';
import { findMappings, type Mapping } from '../memory/mappings.ts';
import type { ProcessStatus } from '../memory/process-status.ts';

export type PythonProbe =
  | { kind: 'python'; version: string; build: string; method: readonly string[] }
  | { kind: 'not-python'; reason: string }
  /** A Python that cannot be read, or a process that leakscope may not look into. */
  | { kind: 'refused'; error: UserError };

/** A few milliseconds; longer where large ELF files have to be searched. Never throws for what the process is. */
export function probePython(pid: number): PythonProbe {
  const mappings = findMappings(pid);
  const opened: MappedElf[] = [];
  let memory: LiveMemory | undefined;
  try {
    memory = openLiveMemory(pid);
    const reader = memory;
    if (mappings === undefined || mappings.length === 0) {
      return {
        kind: 'not-python',
        reason: 'it has no memory of its own: a kernel thread, or it has ended',
      };
    }
    const result = findRuntime({
      memory: reader,
      mappings,
      openElf: (path) => {
        const elf = openMappedElf(pid, mappings, path, reader);
        if (elf !== undefined) opened.push(elf);
        return elf;
      },
    });
    if (result.kind === 'not-python') return result;
    const { version, build, method } = result.runtime;
    return { kind: 'python', version: version.text, build, method };
  } catch (error) {
    if (error instanceof UserError) return { kind: 'refused', error };
    throw error;
  } finally {
    for (const elf of opened) elf.close();
    memory?.close();
  }
}

const PYTHON_NAME = /python|pypy|uwsgi/i;

/**
 * Whether it is worth probing, by the names of its program and of its mapped files: cheap enough for every process. A
 * program that has Python linked into itself under another name is missed.
 */
export function looksLikePython(
  process: ProcessStatus,
  mappings: readonly Mapping[] | undefined,
): boolean {
  if (mappings !== undefined && mappings.length > 0) {
    return mappings.some((mapping) => PYTHON_NAME.test(baseName(mapping.path)));
  }
  return PYTHON_NAME.test(process.name) || PYTHON_NAME.test(baseName(process.command[0] ?? ''));
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
