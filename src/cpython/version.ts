// Turns PY_VERSION_HEX or a text such as `3.11.7` into a version, and a version into the algorithms that it uses. The only
// file that compares version numbers: everybody else asks for a feature here or for a field of the layout.
// Source: Include/patchlevel.h; the features from the release branches of CPython named beside each.
//
// Not handled: 3.7 and older, 3.16 and newer, alphas and betas (their structs differ from the release's).

import { UnsupportedError } from '../base/errors.ts';

export interface PythonVersion {
  major: number;
  minor: number;
  micro: number;
  /** Pre-releases are `alpha`, `beta` and `candidate`. */
  level: 'alpha' | 'beta' | 'candidate' | 'final';
  /** Number of the pre-release: the 2 of `3.14.0rc2`; 0 of a final one. */
  serial: number;
  /** PY_VERSION_HEX: `0x030b07f0`. */
  hex: number;
  /** `3.11.7`, `3.14.0rc2` */
  text: string;
}

/** Where one version differs from another in more than offsets. */
export interface VersionFeatures {
  /** `3.11`: the key of the layout file. */
  minorText: string;
  /** _PyRuntime begins with _Py_DebugOffsets (3.13). */
  hasDebugOffsets: boolean;
  /** The symbol Py_Version is exported (3.11). */
  hasVersionSymbol: boolean;
  /** How a frame that runs is stored: a PyFrameObject (3.8), or a _PyInterpreterFrame found through tstate->cframe (3.11) or tstate->current_frame (3.13). */
  frames: 'objects' | 'cframe' | 'current_frame';
  /** f_executable, f_funcobj, locals and stack of a frame are tagged _PyStackRef (3.14). */
  hasTaggedStackRefs: boolean;
  /** Pairs of line and address deltas (3.8), the table of PEP 626 (3.10), the locations of PEP 657 (3.11). */
  lineTable: 'lnotab' | 'since310' | 'since311';
  /** Immortal objects: none (3.8), low 32 bits of ob_refcnt negative (3.12 and, with other start values, 3.14). */
  immortal: 'none' | 'low32' | 'since314';
  /** tp_flags of which any puts two more pointers before the collector's header: managed dict (3.11), managed weakrefs (3.12). */
  managedFlags: number;
  /** Where pymalloc's arena table is: static variables (3.8), inside PyInterpreterState (3.12), behind its pointer (3.13). */
  obmalloc: 'static' | 'inline' | 'pointer';
  /** Bytes of an arena and of a pool: 256 KiB and 4 KiB (3.8), 1 MiB and 16 KiB (3.10). */
  arenaBytes: number;
  poolBytes: number;
  /** 3.14.0 to 3.14.4: young and two old lists, one bit of _gc_next in use outside of collections. */
  incrementalGc: boolean;
  /** The collector's state is in _PyRuntime and not in each interpreter (3.8). */
  gcInRuntime: boolean;
  /** tracemalloc keeps names of files as UTF-8 text (3.15), and not as str objects. */
  tracedFilesAreText: boolean;
  /** Micro releases of this minor version against which this program was tested. */
  testedMicros: readonly number[];
}

const TESTED: Record<number, readonly number[]> = {
  8: [18],
  9: [2, 18],
  10: [13],
  11: [2, 7],
  12: [1],
  13: [0, 5, 15, 18],
  14: [3, 8, 10],
  15: [0, 2],
};

export const OLDEST_MINOR = 8;
export const NEWEST_MINOR = 15;

/** `3.8` to `3.15`, the newest first. */
export function supportedMinors(): string[] {
  const minors: string[] = [];
  for (let minor = NEWEST_MINOR; minor >= OLDEST_MINOR; minor--) minors.push(`3.${minor}`);
  return minors;
}

const LEVELS: Record<number, PythonVersion['level']> = {
  10: 'alpha',
  11: 'beta',
  12: 'candidate',
  15: 'final',
};
const LEVEL_LETTERS = { alpha: 'a', beta: 'b', candidate: 'rc', final: '' } as const;

/** The version of a PY_VERSION_HEX; undefined if the number is not one of a Python 2.7 to 3.99. */
export function findVersionOfHex(hex: number): PythonVersion | undefined {
  const major = (hex >>> 24) & 0xff;
  const minor = (hex >>> 16) & 0xff;
  const micro = (hex >>> 8) & 0xff;
  const level = LEVELS[(hex >>> 4) & 0xf];
  const serial = hex & 0xf;
  if (!Number.isInteger(hex) || hex > 0xffffffff || hex < 0) return undefined;
  if (level === undefined || major < 2 || major > 3 || minor > 99 || micro > 99) return undefined;
  return makeVersion(major, minor, micro, level, serial);
}

/** The version that a text begins with: `3.11.7 (main, ...)`, `3.14.0rc2+`, `3.9`; undefined if it does not. */
export function findVersionOfText(text: string): PythonVersion | undefined {
  const match = /^(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2})(?:(a|b|rc)(\d{1,2}))?)?/.exec(text);
  if (match === null) return undefined;
  const level =
    match[4] === 'a'
      ? 'alpha'
      : match[4] === 'b'
        ? 'beta'
        : match[4] === 'rc'
          ? 'candidate'
          : 'final';
  return makeVersion(
    Number(match[1]),
    Number(match[2]),
    Number(match[3] ?? 0),
    level,
    Number(match[5] ?? 0),
  );
}

function makeVersion(
  major: number,
  minor: number,
  micro: number,
  level: PythonVersion['level'],
  serial: number,
): PythonVersion {
  const levelNumber = { alpha: 10, beta: 11, candidate: 12, final: 15 }[level];
  const hex = ((major << 24) | (minor << 16) | (micro << 8) | (levelNumber << 4) | serial) >>> 0;
  const suffix = level === 'final' ? '' : `${LEVEL_LETTERS[level]}${serial}`;
  return { major, minor, micro, level, serial, hex, text: `${major}.${minor}.${micro}${suffix}` };
}

/** What `version` does differently from others; throws UnsupportedError for a version that nobody taught to leakscope. */
export function featuresOf(version: PythonVersion): VersionFeatures {
  const { major, minor, micro, level } = version;
  if (major !== 3 || minor < OLDEST_MINOR || minor > NEWEST_MINOR) throw unsupported(version);
  if (level === 'alpha' || level === 'beta') throw unsupported(version);
  return {
    minorText: `3.${minor}`,
    hasDebugOffsets: minor >= 13,
    hasVersionSymbol: minor >= 11,
    frames: minor >= 13 ? 'current_frame' : minor >= 11 ? 'cframe' : 'objects',
    hasTaggedStackRefs: minor >= 14,
    lineTable: minor >= 11 ? 'since311' : minor === 10 ? 'since310' : 'lnotab',
    immortal: minor >= 14 ? 'since314' : minor >= 12 ? 'low32' : 'none',
    managedFlags: minor >= 12 ? (1 << 3) | (1 << 4) : minor === 11 ? 1 << 4 : 0,
    obmalloc: minor >= 13 ? 'pointer' : minor === 12 ? 'inline' : 'static',
    arenaBytes: minor >= 10 ? 1 << 20 : 256 << 10,
    poolBytes: minor >= 10 ? 16 << 10 : 4 << 10,
    incrementalGc: minor === 14 && micro < 5,
    gcInRuntime: minor === 8,
    tracedFilesAreText: minor >= 15,
    testedMicros: TESTED[minor],
  };
}

function unsupported(version: PythonVersion): UnsupportedError {
  const tooOld = version.major < 3 || (version.major === 3 && version.minor < OLDEST_MINOR);
  return new UnsupportedError({
    fact: `Cannot read Python ${version.major}.${version.minor}`,
    reason: `leakscope knows the memory of CPython 3.${OLDEST_MINOR} to 3.${NEWEST_MINOR} releases`,
    next: tooOld
      ? 'Run the program on a newer Python'
      : 'Look for a newer leakscope, or run the program on a Python release that it knows',
  });
}
