// Where in a process _PyRuntime may lie: by its symbol, by its ELF section, by the cookie that it begins with. Nothing is
// trusted because of a file's name: the executable may be the dynamic loader, an application that embeds libpython, or a
// file that was replaced. Source: Include/internal/pycore_runtime.h (section .PyRuntime since 3.10),
// pycore_debug_offsets.h (cookie since 3.13).

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findVersionOfHex, findVersionOfText, type PythonVersion } from './version.ts';

export const COOKIE = Buffer.from('xdebugpy', 'latin1');
const MAX_SCAN_BYTES = 64 << 20;
const LIKELY_FILE = /python|uwsgi|gunicorn/i;

/** One line of /proc/PID/maps, as far as it is needed here. */
export interface RuntimeMapping {
  start: Address;
  end: Address;
  readable: boolean;
  writable: boolean;
  /** Empty for anonymous memory. */
  path: string;
}

/** An ELF file that is mapped into the target; all addresses are the target's (load bias added). */
export interface RuntimeElf {
  path: string;
  is64Bit: boolean;
  /** From .dynsym, else from .symtab. */
  findSymbol(name: string): Address | undefined;
  findSection(name: string): { address: Address; sizeBytes: number } | undefined;
}

export interface RuntimeInputs {
  /** `x86-64`, `arm64`; by default that of leakscope: a process is read on the machine that it runs on. */
  machine?: string;
  memory: MemoryReader;
  mappings: readonly RuntimeMapping[];
  /** The ELF file mapped from `path`; undefined if it is no ELF file or cannot be opened. */
  openElf(path: string): RuntimeElf | undefined;
}

export interface Candidate {
  address: Address;
  elf: RuntimeElf | undefined;
  /** `symbol _PyRuntime of libpython3.11.so.1.0` */
  how: string;
}

export function likelyPathsFirst(inputs: RuntimeInputs): string[] {
  const paths = [...new Set(inputs.mappings.map((mapping) => mapping.path))].filter((path) =>
    path.startsWith('/'),
  );
  const isLikely = (path: string) => LIKELY_FILE.test(baseName(path));
  return [...paths.filter(isLikely), ...paths.filter((path) => !isLikely(path))];
}

export function candidatesOfElf(elf: RuntimeElf): Candidate[] {
  const name = baseName(elf.path);
  const candidates: Candidate[] = [];
  const symbol = elf.findSymbol('_PyRuntime');
  if (symbol !== undefined) {
    candidates.push({ address: symbol, elf, how: `symbol _PyRuntime of ${name}` });
  }
  const section = elf.findSection('.PyRuntime');
  if (section !== undefined) {
    candidates.push({ address: section.address, elf, how: `section .PyRuntime of ${name}` });
  }
  return candidates;
}

export function candidatesByCookie(
  inputs: RuntimeInputs,
  elves: readonly RuntimeElf[],
): Candidate[] {
  return findCookies(inputs).map((address) => ({
    address,
    elf: elves.find((elf) =>
      dataRangesOf(inputs.mappings, elf.path).some(
        (range) => address >= range.start && address < range.end,
      ),
    ),
    how: 'cookie of _Py_DebugOffsets in writable memory',
  }));
}

/** Where `xdebugpy` lies at a multiple of 8 in data segments, followed by a plausible version. */
function findCookies(inputs: RuntimeInputs): Address[] {
  const found: Address[] = [];
  for (const mapping of inputs.mappings) {
    if (!mapping.writable || !mapping.readable || !mapping.path.startsWith('/')) continue;
    const byteCount = Math.min(mapping.end - mapping.start, MAX_SCAN_BYTES);
    const bytes = findBytes(inputs.memory, mapping.start, byteCount);
    if (bytes === undefined) continue;
    for (let at = bytes.indexOf(COOKIE); at >= 0; at = bytes.indexOf(COOKIE, at + 8)) {
      if (at % 8 !== 0 || at + 16 > bytes.length) continue;
      if (findVersionOfHex(bytes.readUInt32LE(at + 8)) !== undefined)
        found.push(mapping.start + at);
    }
  }
  return found;
}

export function findBytes(
  memory: MemoryReader,
  address: Address,
  byteCount: number,
): Buffer | undefined {
  try {
    const bytes = memory.bytesAt(address, byteCount);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/** The writable mappings of the file `path`, each with the anonymous one that follows it (.bss). */
export function dataRangesOf(
  mappings: readonly RuntimeMapping[],
  path: string,
): { start: Address; end: Address }[] {
  const ranges: { start: Address; end: Address }[] = [];
  for (const mapping of mappings) {
    const last = ranges.at(-1);
    if (!mapping.writable || last === undefined || last.end !== mapping.start) {
      if (mapping.writable && mapping.path === path) {
        ranges.push({ start: mapping.start, end: mapping.end });
      }
    } else if (mapping.path === path || mapping.path === '') last.end = mapping.end;
  }
  return ranges;
}

/** `python3.9` and `libpython3.9.so.1.0` name a version. */
export function versionOfFileName(path: string): PythonVersion | undefined {
  const match = /^(?:lib)?python([23]\.\d{1,2})/.exec(baseName(path));
  return match === null ? undefined : findVersionOfText(match[1]);
}

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
