import { describe, expect, test } from 'vitest';
import type { Mapping } from '../memory/mappings.ts';
import { findAllocator } from './allocators.ts';

const mapped = (...paths: string[]): Mapping[] =>
  paths.map((path, row) => ({
    start: row * 4096,
    end: row * 4096 + 4096,
    readable: true,
    writable: false,
    executable: true,
    isPrivate: true,
    offset: 0,
    device: 'fe:00',
    inode: row + 1,
    path,
    isDeleted: false,
  }));

/** A program that defines these symbols and no others. */
const defining =
  (...names: string[]) =>
  () => ({
    findSymbols: (wanted: readonly string[]) =>
      new Map(wanted.filter((name) => names.includes(name)).map((name) => [name, 1])),
  });

const PYTHON = '/usr/bin/python3.13';
const LIBC = '/usr/lib/x86_64-linux-gnu/libc.so.6';

describe('the allocator behind malloc', () => {
  test.each([
    [LIBC, 'glibc'],
    ['/lib/x86_64-linux-gnu/libc-2.31.so', 'glibc'],
    ['/usr/lib/x86_64-linux-gnu/libjemalloc.so.2', 'jemalloc'],
    ['/usr/lib/libtcmalloc_minimal.so.4.5.9', 'tcmalloc'],
    ['/usr/local/lib/libmimalloc.so.2.1', 'mimalloc'],
    ['/usr/local/lib/libmimalloc-secure.so.2.1', 'mimalloc'],
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/usr/lib/libm.so.6', 'unknown'],
  ])('is told by the library %s: %s', (path, name) => {
    expect(findAllocator(mapped(PYTHON, path), () => undefined).name).toBe(name);
  });

  test('is the preloaded one where libc is mapped, too', () => {
    const mappings = mapped(PYTHON, LIBC, '/opt/libjemalloc.so.2');
    expect(findAllocator(mappings, defining())).toEqual({
      name: 'jemalloc',
      evidence: 'libjemalloc.so.2 is mapped',
    });
  });

  test('is told by the symbols of a program that contains it', () => {
    const find = (...names: string[]) => findAllocator(mapped(PYTHON, LIBC), defining(...names));
    expect(find('malloc', 'mallctl')).toEqual({
      name: 'jemalloc',
      evidence: 'the program defines malloc and mallctl',
    });
    expect(find('malloc', 'tc_malloc').name).toBe('tcmalloc');
    expect(find('malloc', 'mi_malloc').name).toBe('mimalloc');
    expect(find('malloc', '__libc_malloc').name).toBe('glibc');
    expect(find('malloc').name).toBe('unknown');
  });

  test('is not one that a program has beside malloc, as Python 3.13 has mimalloc', () => {
    expect(findAllocator(mapped(PYTHON, LIBC), defining('mi_malloc')).name).toBe('glibc');
  });

  test('is not that of the loader, even if it is started as the program', () => {
    const mappings = mapped('/lib64/ld-linux-x86-64.so.2', PYTHON, LIBC);
    expect(findAllocator(mappings, defining('malloc')).name).toBe('glibc');
  });
});
