// Finds CPython in a process: turns mappings, their ELF files and memory into a PythonRuntime whose version, build and
// interpreters were checked against each other. Where it looks: runtime-candidates.ts; what it refuses:
// unsupported-runtimes.ts. Source: Python/pylifecycle.c (_PyRuntime), Include/internal/pycore_debug_offsets.h (3.13),
// Include/patchlevel.h, Doc/c-api/apiabiversion.rst (Py_Version since 3.11).

import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict, findStrText } from './dict-entries.ts';
import type { FieldShift } from './field-shifts.ts';
import {
  type Interpreters,
  type NotReadable,
  type PythonInterpreter,
  readInterpreters,
} from './interpreters.ts';
import { findSmallInt, findTypeAddress } from './known-objects.ts';
import { findLayout, type Layout } from './layout.ts';
import {
  baseName,
  type Candidate,
  COOKIE,
  candidatesByCookie,
  candidatesOfElf,
  dataRangesOf,
  findBytes,
  likelyPathsFirst,
  type RuntimeElf,
  type RuntimeInputs,
  versionOfFileName,
} from './runtime-candidates.ts';
import {
  cannotRead,
  explainNothingFound,
  freeThreaded,
  notRunning,
  refuseDebugBuild,
  refuseOtherPythons,
} from './unsupported-runtimes.ts';
import {
  featuresOf,
  findVersionOfHex,
  findVersionOfText,
  type PythonVersion,
  supportedMinors,
  type VersionFeatures,
} from './version.ts';

/** The collector's lists and the dicts change while a live target is read: a check that fails is repeated. */
const ATTEMPTS = 25;

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

/**
 * The Python in a process. On a live one a few thousand reads; opens ELF files until one has _PyRuntime. Throws
 * UnsupportedError for a Python that cannot be read correctly, never MemoryReadError.
 */
export function findRuntime(inputs: RuntimeInputs): RuntimeResult {
  refuseOtherPythons(inputs);
  const elves: RuntimeElf[] = [];
  const search: Search = { inputs, tried: new Set(), failures: [], notReady: undefined };
  for (const path of likelyPathsFirst(inputs)) {
    const elf = inputs.openElf(path);
    if (elf === undefined) continue;
    elves.push(elf);
    const candidates = candidatesOfElf(elf);
    const runtime = tryCandidates(search, candidates);
    if (runtime === undefined) continue;
    if (runtime.features.hasDebugOffsets) candidates.push(...candidatesByCookie(inputs, elves));
    return { kind: 'python', runtime: withConfirmations(runtime, candidates) };
  }
  const byCookie = candidatesByCookie(inputs, elves);
  const runtime = tryCandidates(search, byCookie);
  if (runtime !== undefined) return { kind: 'python', runtime };
  if (search.notReady !== undefined) throw notRunning(search.notReady);
  if (search.failures.length > 0) throw cannotRead(search.failures);
  return explainNothingFound(inputs, elves);
}

interface Search {
  inputs: RuntimeInputs;
  tried: Set<Address>;
  failures: string[];
  notReady: NotReadable | undefined;
}

function tryCandidates(
  search: Search,
  candidates: readonly Candidate[],
): PythonRuntime | undefined {
  for (const candidate of candidates) {
    if (search.tried.has(candidate.address)) continue;
    search.tried.add(candidate.address);
    const result = examine(search.inputs, candidate);
    if ('runtime' in result) return result.runtime;
    if (result.kind !== 'mismatch') search.notReady ??= result;
    search.failures.push(`${candidate.how}: ${result.failed}`);
  }
  return undefined;
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

/** Says which other ways agree with the one that won. */
function withConfirmations(
  runtime: PythonRuntime,
  candidates: readonly Candidate[],
): PythonRuntime {
  const method = [...runtime.method];
  for (const { address, how } of candidates) {
    if (method[0].endsWith(how)) continue;
    method.push(
      address === runtime.runtimeAddress
        ? `confirmed by ${how}`
        : `${how} leads to 0x${address.toString(16)}, which was not used`,
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
  const machine = inputs.machine ?? (process.arch === 'arm64' ? 'arm64' : 'x86-64');
  const facts = [machine === 'arm64' ? 'arm64 (not verified)' : machine];
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
