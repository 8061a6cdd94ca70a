// Finds CPython in a process: turns mappings, their ELF files and memory into a PythonRuntime whose version, build and
// interpreters were checked against each other. Nothing is trusted because of a file's name: the executable may be the
// dynamic loader, an application that embeds libpython, or a replaced file.
// Source: Python/pylifecycle.c (_PyRuntime), Include/internal/pycore_runtime.h (section .PyRuntime since 3.10),
// pycore_debug_offsets.h (cookie since 3.13), Doc/c-api/apiabiversion.rst (Py_Version since 3.11).
//
// Refused with UnsupportedError: PyPy, free-threaded and debug builds, 32 bits, versions without a layout.

import { MemoryReadError, UnsupportedError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict, findStrText } from './dict-entries.ts';
import {
  type FieldShift,
  type Interpreters,
  type NotReadable,
  type PythonInterpreter,
  readInterpreters,
} from './interpreters.ts';
import { findSmallInt, findTypeAddress } from './known-objects.ts';
import { findLayout, type Layout } from './layout.ts';
import {
  featuresOf,
  findVersionOfHex,
  findVersionOfText,
  type PythonVersion,
  supportedMinors,
  type VersionFeatures,
} from './version.ts';

const COOKIE = Buffer.from('xdebugpy', 'latin1');
/** The collector's lists and the dicts change while a live target is read: a check that fails is repeated. */
const ATTEMPTS = 25;
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
  memory: MemoryReader;
  mappings: readonly RuntimeMapping[];
  /** The ELF file mapped from `path`; undefined if it is no ELF file or cannot be opened. */
  openElf(path: string): RuntimeElf | undefined;
}

/** What stays the same as long as the process lives. */
export interface RuntimeLocation {
  version: PythonVersion;
  features: VersionFeatures;
  layout: Layout;
  /** Address of _PyRuntime. */
  runtimeAddress: Address;
  /** Address of PyType_Type. */
  typeType: Address;
  /** Path of the ELF file that _PyRuntime lies in, as the mappings name it; empty if it was found by its cookie alone. */
  file: string;
  /** Address of a symbol of that file (.symtab included), for static variables. */
  findSymbol(name: string): Address | undefined;
  /** Ranges of its .data and .bss, ascending. */
  staticRanges: readonly { start: Address; end: Address }[];
  /** `x86-64, shared libpython3.11.so.1.0, GCC 12.2.0` */
  build: string;
  method: readonly string[];
}

export interface PythonRuntime extends RuntimeLocation {
  /** The newest first; at least the main one. */
  interpreters: readonly PythonInterpreter[];
  /** See `interpreterOffset`. */
  shifts: readonly FieldShift[];
  /** int32 words that are not 0 while a collection runs: the collector's lists are then inconsistent. */
  collectingAddresses: readonly Address[];
}

export type RuntimeResult =
  | { kind: 'python'; runtime: PythonRuntime }
  /** No Python was found; `reason` completes "Cannot read process N: ...". */
  | { kind: 'not-python'; reason: string };

interface Candidate {
  address: Address;
  elf: RuntimeElf | undefined;
  /** `symbol _PyRuntime of libpython3.11.so.1.0` */
  how: string;
}

/**
 * The Python in a process. On a live one a few thousand reads; opens ELF files until one has _PyRuntime. Throws
 * UnsupportedError for a Python that cannot be read correctly, never MemoryReadError.
 */
export function findRuntime(inputs: RuntimeInputs): RuntimeResult {
  refuseOtherPythons(inputs);
  const elves = openLikelyElves(inputs);
  const candidates = findCandidates(inputs, elves);
  if (candidates.length === 0) return explainNothingFound(inputs, elves);
  const failures: string[] = [];
  let notReady: NotReadable | undefined;
  for (const candidate of candidates) {
    const result = examine(inputs, candidate);
    if ('runtime' in result) {
      const found = confirm(result.runtime, candidates, candidate);
      return { kind: 'python', runtime: found };
    }
    if (result.kind !== 'mismatch') notReady ??= result;
    failures.push(`${candidate.how}: ${result.failed}`);
  }
  throw notReady === undefined ? cannotRead(failures) : notRunning(notReady);
}

/**
 * The interpreters as they are in `memory`: the same target's frozen copy, after `findRuntime` on the live process.
 * Throws UnsupportedError when they are not readable there.
 */
export function readRuntime(memory: MemoryReader, location: RuntimeLocation): PythonRuntime {
  const { layout, features, runtimeAddress } = location;
  const asExpected = readInterpreters(memory, layout, features, runtimeAddress, false);
  const found =
    'failed' in asExpected && asExpected.kind === 'mismatch'
      ? readInterpreters(memory, layout, features, runtimeAddress, true)
      : asExpected;
  if ('failed' in found) {
    throw found.kind === 'mismatch' ? cannotRead([found.failed]) : notRunning(found);
  }
  return joinRuntime(location, found);
}

function joinRuntime(location: RuntimeLocation, found: Interpreters): PythonRuntime {
  const collecting = location.layout.offset('_gc_runtime_state.collecting');
  const states = new Set(found.interpreters.map((interpreter) => interpreter.gcState));
  return {
    ...location,
    interpreters: found.interpreters,
    shifts: found.shifts,
    collectingAddresses: [...states].map((state) => state + collecting),
    method: [...location.method, ...found.method],
  };
}

// ---- candidates

function openLikelyElves(inputs: RuntimeInputs): RuntimeElf[] {
  const paths = [...new Set(inputs.mappings.map((mapping) => mapping.path))].filter((path) =>
    path.startsWith('/'),
  );
  paths.sort(
    (a, b) => Number(LIKELY_FILE.test(baseName(b))) - Number(LIKELY_FILE.test(baseName(a))),
  );
  const elves: RuntimeElf[] = [];
  for (const path of paths) {
    const elf = inputs.openElf(path);
    if (elf === undefined) continue;
    elves.push(elf);
    if (elf.findSymbol('_PyRuntime') !== undefined) break;
  }
  return elves;
}

function findCandidates(inputs: RuntimeInputs, elves: readonly RuntimeElf[]): Candidate[] {
  const candidates: Candidate[] = [];
  const add = (address: Address | undefined, elf: RuntimeElf | undefined, how: string) => {
    if (address !== undefined && address !== 0) candidates.push({ address, elf, how });
  };
  for (const elf of elves) {
    add(elf.findSymbol('_PyRuntime'), elf, `symbol _PyRuntime of ${baseName(elf.path)}`);
    add(elf.findSection('.PyRuntime')?.address, elf, `section .PyRuntime of ${baseName(elf.path)}`);
  }
  for (const address of findCookies(inputs)) {
    const elf = elves.find((candidate) =>
      dataRangesOf(inputs.mappings, candidate.path).some(
        (range) => address >= range.start && address < range.end,
      ),
    );
    add(address, elf, 'cookie of _Py_DebugOffsets in writable memory');
  }
  return candidates;
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

function findBytes(memory: MemoryReader, address: Address, byteCount: number): Buffer | undefined {
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

// ---- examination

function examine(
  inputs: RuntimeInputs,
  candidate: Candidate,
): { runtime: PythonRuntime } | NotReadable {
  const told = findToldVersion(inputs, candidate);
  if (told?.isFreeThreaded) throw freeThreaded(told.version.text);
  const minors =
    told === undefined ? minorsByName(candidate) : [featuresOf(told.version).minorText];
  const failures: NotReadable[] = [];
  for (const minor of minors) {
    const features = featuresOf(told?.version ?? versionOfMinor(minor));
    const layout = findLayout(minor);
    if (layout === undefined) continue;
    const result = examineAs(inputs, candidate, layout, features, told);
    if ('runtime' in result) return result;
    failures.push(result);
  }
  const notReady = failures.find((failure) => failure.kind !== 'mismatch');
  if (notReady !== undefined && failures.length === 1) return notReady;
  return {
    kind: 'mismatch',
    failed:
      failures.length === 1 ? failures[0].failed : 'the structs are those of no known version',
  };
}

interface ToldVersion {
  version: PythonVersion;
  isFreeThreaded: boolean;
  how: string;
}

/** The version as the interpreter itself states it: in _Py_DebugOffsets or in Py_Version. */
function findToldVersion(inputs: RuntimeInputs, candidate: Candidate): ToldVersion | undefined {
  const { memory } = inputs;
  const start = findBytes(memory, candidate.address, 24);
  if (start?.subarray(0, 8).equals(COOKIE)) {
    const version = findVersionOfHex(start.readUInt32LE(8));
    if (version === undefined) return undefined;
    return { version, isFreeThreaded: start.readUInt32LE(16) !== 0, how: '_Py_DebugOffsets' };
  }
  const symbol = candidate.elf?.findSymbol('Py_Version');
  const bytes = symbol === undefined ? undefined : findBytes(memory, symbol, 8);
  const version = bytes === undefined ? undefined : findVersionOfHex(bytes.readUInt32LE(0));
  if (version === undefined) return undefined;
  return { version, isFreeThreaded: false, how: 'Py_Version' };
}

/** Minor versions to try when the interpreter does not state its own: that of the file's name first. */
function minorsByName(candidate: Candidate): string[] {
  const named = versionOfFileName(candidate.elf?.path ?? '');
  const minors = supportedMinors().filter(
    (minor) => !featuresOf(versionOfMinor(minor)).hasDebugOffsets,
  );
  if (named === undefined) return minors;
  // Throws for a version that has no layout.
  const first = featuresOf(named).minorText;
  return [first, ...minors.filter((minor) => minor !== first)];
}

function versionOfMinor(minor: string): PythonVersion {
  return findVersionOfText(minor) as PythonVersion;
}

function versionOfFileName(path: string): PythonVersion | undefined {
  const match = /^(?:lib)?python([23]\.\d{1,2})/.exec(baseName(path));
  return match === null ? undefined : findVersionOfText(match[1]);
}

function examineAs(
  inputs: RuntimeInputs,
  candidate: Candidate,
  layout: Layout,
  features: VersionFeatures,
  told: ToldVersion | undefined,
): { runtime: PythonRuntime } | NotReadable {
  const { memory } = inputs;
  let found: Interpreters | NotReadable | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const maySearch = attempt >= ATTEMPTS / 2;
    found = readInterpreters(memory, layout, features, candidate.address, maySearch);
    if (!('failed' in found) || found.kind !== 'mismatch') break;
  }
  if (found === undefined || 'failed' in found) return found as NotReadable;
  const main = found.interpreters.find((interpreter) => interpreter.id === 0) as PythonInterpreter;
  const described = describeVersion(memory, layout, main.sysdict, told);
  if ('failed' in described) return described;
  const { version, method } = described;
  if (featuresOf(version).minorText !== features.minorText) {
    return { kind: 'mismatch', failed: `sys.hexversion is that of ${version.text}` };
  }
  refuseDebugBuild(memory, layout, main.sysdict, version);
  const typeType = findTypeType(inputs, candidate, layout, main.sysdict);
  if (typeof typeType !== 'number') return typeType;
  const file = candidate.elf?.path ?? '';
  const location: RuntimeLocation = {
    version,
    features: featuresOf(version),
    layout,
    runtimeAddress: candidate.address,
    typeType,
    file,
    findSymbol: (name) => candidate.elf?.findSymbol(name),
    staticRanges: dataRangesOf(inputs.mappings, file),
    build: describeBuild(inputs, memory, layout, main.sysdict, file),
    method: [`_PyRuntime at 0x${candidate.address.toString(16)} by ${candidate.how}`, ...method],
  };
  return { runtime: joinRuntime(location, found) };
}

/** The exact version, from what the interpreter states and from `sys.hexversion`, which must not contradict each other. */
function describeVersion(
  memory: MemoryReader,
  layout: Layout,
  sysdict: Address,
  told: ToldVersion | undefined,
): { version: PythonVersion; method: string[] } | NotReadable {
  const hexAddress = findInDict(memory, layout, sysdict, 'hexversion');
  const hex = hexAddress === undefined ? undefined : findSmallInt(memory, layout, hexAddress);
  const inSys = hex === undefined ? undefined : findVersionOfHex(hex);
  if (told === undefined) {
    if (inSys === undefined) return { kind: 'mismatch', failed: 'sys.hexversion is no version' };
    return {
      version: inSys,
      method: [`version ${inSys.text} from sys.hexversion`, ...untested(inSys)],
    };
  }
  const { version, how } = told;
  const method = [`version ${version.text} from ${how}`, ...untested(version)];
  // The program can assign sys.hexversion, but not what the interpreter states in its own data.
  if (inSys?.hex !== version.hex) {
    method.push(`sys.hexversion says ${inSys?.text ?? 'nothing readable'}, which was not believed`);
  }
  return { version, method };
}

function untested(version: PythonVersion): string[] {
  const features = featuresOf(version);
  const lines: string[] = [];
  if (!features.testedMicros.includes(version.micro)) {
    lines.push(
      `${version.text} itself was not tested, ${features.testedMicros
        .map((micro) => `${features.minorText}.${micro}`)
        .join(', ')} were; its structs passed every check`,
    );
  }
  if (features.incrementalGc) lines.push('incremental collector (3.14.0 to 3.14.4): not verified');
  return lines;
}

function findTypeType(
  inputs: RuntimeInputs,
  candidate: Candidate,
  layout: Layout,
  sysdict: Address,
): Address | NotReadable {
  const { memory } = inputs;
  const dictType = findTypeAddress(memory, layout, sysdict) ?? 0;
  const typeType = findTypeAddress(memory, layout, dictType) ?? 0;
  const failed = (text: string): NotReadable => ({ kind: 'mismatch', failed: text });
  if (findTypeAddress(memory, layout, typeType) !== typeType || typeType === 0) {
    return failed('the type of dict is not its own type');
  }
  const symbol = candidate.elf?.findSymbol('PyType_Type');
  if (symbol !== undefined && symbol !== typeType) {
    return failed('PyType_Type is not the type of dict');
  }
  return typeType;
}

// ---- what cannot be read

function refuseOtherPythons(inputs: RuntimeInputs): void {
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

function freeThreaded(what: string): UnsupportedError {
  return new UnsupportedError({
    fact: `Cannot read Python ${what}`,
    reason: 'it is a free-threaded build, whose objects have another header and no collector lists',
    next: 'Run the program on the default build of the same version',
  });
}

function refuseDebugBuild(
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

function cannotRead(failures: readonly string[]): UnsupportedError {
  return new UnsupportedError({
    fact: 'Cannot read this Python',
    reason: `its memory does not look as it should (${failures.join('; ')})`,
    next: 'Report this with the output of `leakscope doctor PID`; a build with own patches is not supported',
  });
}

function notRunning(state: NotReadable): UnsupportedError {
  const ends = state.kind === 'finalizing';
  return new UnsupportedError({
    fact: `Python in this process ${ends ? 'is shutting down' : 'is not initialized'}`,
    reason: state.failed,
    next: ends
      ? 'Read the program before it ends'
      : 'Try again when it has started (Py_Initialize must have returned)',
  });
}

function explainNothingFound(inputs: RuntimeInputs, elves: readonly RuntimeElf[]): RuntimeResult {
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

// ---- words

/** Says which other ways agree with the one that won. */
function confirm(
  runtime: PythonRuntime,
  candidates: readonly Candidate[],
  winner: Candidate,
): PythonRuntime {
  const method = [...runtime.method];
  for (const candidate of candidates) {
    if (candidate === winner) continue;
    const agrees = candidate.address === winner.address;
    method.push(
      agrees
        ? `confirmed by ${candidate.how}`
        : `${candidate.how} leads to 0x${candidate.address.toString(16)}, which was not used`,
    );
  }
  return { ...runtime, method };
}

function describeBuild(
  inputs: RuntimeInputs,
  memory: MemoryReader,
  layout: Layout,
  sysdict: Address,
  file: string,
): string {
  const facts = ['x86-64'];
  const name = baseName(file);
  facts.push(/^libpython/.test(name) ? `shared ${name}` : `static ${name || '(unknown file)'}`);
  const version = findInDict(memory, layout, sysdict, 'version');
  const text = version === undefined ? undefined : findStrText(memory, layout, version);
  const compiler = text === undefined ? null : /\[([^\]]*)\]/.exec(text);
  if (compiler !== null) facts.push(compiler[1]);
  if (inputs.mappings.some((mapping) => /\/ld-musl-/.test(mapping.path))) {
    facts.push('musl libc: the accounts of malloc are not available');
  }
  return facts.join(', ');
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
