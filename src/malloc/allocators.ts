// Which allocator stands behind malloc in a process: turns mappings and the symbols of the program into a name with the
// evidence for it. Other allocators come as a library (linked or preloaded), or linked into the program, which then
// defines malloc itself. Source: symbol names of jemalloc 5, gperftools 2 and tcmalloc, mimalloc 2, musl 1.2.
//
// KNOWN IMPRECISION: a library that an extension module loads for itself counts as the process's allocator. Symbols of a
// prefix (je_malloc alone, as in Rust) do not replace malloc and are no evidence.

import type { MappedElf } from '../memory/mapped-files.ts';
import type { Mapping } from '../memory/mappings.ts';

export type AllocatorName = 'glibc' | 'jemalloc' | 'tcmalloc' | 'mimalloc' | 'musl' | 'unknown';

export interface FoundAllocator {
  name: AllocatorName;
  /** `libjemalloc.so.2 is mapped`, `the program defines malloc and mallctl`. */
  evidence: string;
}

const libraries: readonly { name: AllocatorName; pattern: RegExp }[] = [
  { name: 'jemalloc', pattern: /^libjemalloc[._-].*so|^libjemalloc\.so/ },
  { name: 'tcmalloc', pattern: /^libtcmalloc(_[a-z_]+)?\.so/ },
  { name: 'mimalloc', pattern: /^libmimalloc([._-].*)?\.so/ },
  { name: 'musl', pattern: /^(ld-musl-.*|libc\.musl-.*)\.so/ },
];
const GLIBC = /^libc([.-].*)?\.so/;
const LOADER = /\/ld[-.][^/]*$/;

/** Functions that only this allocator has; counted only where `malloc` is defined beside them. */
const symbols: readonly { name: AllocatorName; symbols: readonly string[] }[] = [
  { name: 'jemalloc', symbols: ['mallctl', 'malloc_stats_print', 'je_mallctl', 'je_malloc'] },
  {
    name: 'tcmalloc',
    symbols: ['tc_malloc', 'MallocExtension_GetNumericProperty', 'TCMallocInternalMalloc'],
  },
  { name: 'mimalloc', symbols: ['mi_malloc', 'mi_heap_new'] },
  // A program that contains glibc.
  { name: 'glibc', symbols: ['__libc_malloc', '__malloc_hook', 'malloc_info'] },
];

/**
 * `programPath`: of the program as the mappings name it; by default the file that is mapped lowest. `openElf` gives the
 * file behind a mapped path, or undefined where it is not to be had; the caller closes it.
 */
export function findAllocator(
  mappings: readonly Mapping[],
  openElf: (path: string) => Pick<MappedElf, 'findSymbols'> | undefined,
  programPath = mappings.find(({ inode }) => inode !== 0)?.path,
): FoundAllocator {
  const files = new Map<string, string>();
  for (const { path, inode, executable } of mappings) {
    if (inode !== 0 && executable) files.set(path, path.slice(path.lastIndexOf('/') + 1));
  }
  for (const { name, pattern } of libraries) {
    for (const file of files.values()) {
      if (name !== 'musl' && pattern.test(file)) return { name, evidence: `${file} is mapped` };
    }
  }
  const inProgram = programPath === undefined ? undefined : findInProgram(programPath, openElf);
  if (inProgram !== undefined) return inProgram;
  for (const file of files.values()) {
    if (libraries.some(({ name, pattern }) => name === 'musl' && pattern.test(file))) {
      return { name: 'musl', evidence: `${file} is mapped` };
    }
  }
  for (const file of files.values()) {
    if (GLIBC.test(file)) return { name: 'glibc', evidence: `${file} is mapped` };
  }
  return { name: 'unknown', evidence: 'no allocator is known by the names of the mapped files' };
}

function findInProgram(
  path: string,
  openElf: (path: string) => Pick<MappedElf, 'findSymbols'> | undefined,
): FoundAllocator | undefined {
  // A loader that was started as the program has a malloc for itself.
  const elf = LOADER.test(path) ? undefined : openElf(path);
  if (elf === undefined) return undefined;
  const found = elf.findSymbols(['malloc', ...symbols.flatMap((row) => row.symbols)]);
  if (!found.has('malloc')) return undefined;
  for (const row of symbols) {
    const symbol = row.symbols.find((each) => found.has(each));
    if (symbol !== undefined) {
      return { name: row.name, evidence: `the program defines malloc and ${symbol}` };
    }
  }
  return { name: 'unknown', evidence: 'the program defines malloc itself' };
}
