// The ledger of a hunt: what each account had in the first and the last capture, what of the growth no suspect explains,
// and how the growth is told in one line. Captures without a look at C memory have three accounts only.

import { formatSignedBytes, sanitizeText } from '../base/format.ts';
import { ACCOUNTS, type Account, FREE_ACCOUNTS } from '../graph/native-heap.ts';
import type { CaptureEvidence } from './evidence.ts';
import type { HuntReport } from './schemas.ts';

type Accounts = Record<string, number>;

/** A resident set moves by this much without any cause in the program. */
const RSS_NOISE_BYTES = 1 << 20;
const RSS_NOISE_SHARE = 0.01;

export const noiseOf = (rssBytes: number): number =>
  Math.max(RSS_NOISE_BYTES, rssBytes * RSS_NOISE_SHARE);

/** Growth of these is judged by its suspects; of all others it is neither a leak nor unexplained. */
const NATIVE_ACCOUNTS: readonly Account[] = [
  'nativeOwned',
  'nativeReachable',
  'nativeUnreachable',
  'otherAnonymous',
];

function accountsOf(capture: CaptureEvidence): Accounts {
  if (capture.native !== undefined) {
    return { ...capture.native.accounts, unexplained: capture.native.residueBytes };
  }
  const known: Accounts = {
    pythonObjects: capture.objectBytes,
    unreachableObjects: capture.garbageBytes,
  };
  const sum = Object.values(known).reduce((total, bytes) => total + bytes, 0);
  return { ...known, unexplained: capture.line.rssBytes - sum };
}

export function buildHuntLedger(
  first: CaptureEvidence,
  last: CaptureEvidence,
): HuntReport['ledger'] {
  const before = accountsOf(first);
  const after = accountsOf(last);
  const growth: Accounts = {};
  for (const name of Object.keys(after)) growth[name] = after[name] - (before[name] ?? 0);
  return { first: before, last: after, growth };
}

/** Bytes of growth that are neither Python objects nor free nor of files nor `explainedBytes` of native suspects. */
export function countUnexplained(
  first: CaptureEvidence,
  last: CaptureEvidence,
  explainedBytes: number,
): number {
  const { growth } = buildHuntLedger(first, last);
  if (first.native === undefined || last.native === undefined) return growth.unexplained;
  const outside = NATIVE_ACCOUNTS.reduce((sum, name) => sum + growth[name], growth.unexplained);
  // What Python objects own of C memory counts as theirs where their graph saw it.
  const seen = last.objectBytes - first.objectBytes - (growth.pythonObjects + growth.pythonBuffers);
  return outside - Math.max(0, Math.min(seen, growth.nativeOwned)) - explainedBytes;
}

/** Of the growth, what was freed and is held by allocators. */
export const countFreeGrowth = (growth: Accounts): number =>
  FREE_ACCOUNTS.reduce((sum, name) => sum + (growth[name] ?? 0), 0);

/** In the order in which they are told. */
const FAMILIES: readonly [text: string, accounts: readonly string[]][] = [
  ['Python objects', ['pythonObjects']],
  ['their buffers', ['pythonBuffers']],
  ['unreachable objects', ['unreachableObjects']],
  ['C memory', ['nativeOwned', 'nativeReachable']],
  ['lost C memory', ['nativeUnreachable']],
  ['free in pymalloc', ['pymallocFreeBlocks', 'pymallocFreePools']],
  ['free in malloc', ['mallocTop', 'mallocTrimmable', 'mallocStuck']],
  ['stacks', ['threadStacks']],
  ['files', ['fileBacked']],
  ['shared memory', ['shared']],
  ['other memory', ['otherAnonymous', 'pymallocOverhead', 'mallocOverhead']],
  ['not explained', ['unexplained']],
];
const ALWAYS_TOLD: ReadonlySet<string> = new Set(['Python objects', 'not explained']);
/** Of the largest term: smaller ones are left out where the kernel counts them in pages. */
const LEAST_SHARE = 0.005;

/** `Python objects +17.9 MB`, `their buffers +0.8 MB`, ...: all in one unit, so that they add up by eye. */
export function formatGrowthTerms(growth: Accounts, rssGrowth: number): string[] {
  const known = new Set<string>([...ACCOUNTS, ...FAMILIES.flatMap(([, names]) => names)]);
  const sums: [string, number][] = FAMILIES.map(([text, names]) => [
    text,
    names.reduce((sum, name) => sum + (growth[name] ?? 0), 0),
  ]);
  for (const [name, bytes] of Object.entries(growth)) {
    if (!known.has(name)) sums.push([sanitizeText(name), bytes]);
  }
  const largest = sums.reduce(
    (most, [, bytes]) => Math.max(most, Math.abs(bytes)),
    Math.abs(rssGrowth),
  );
  return sums
    .filter(([text, bytes]) => ALWAYS_TOLD.has(text) || Math.abs(bytes) > largest * LEAST_SHARE)
    .map(([text, bytes]) => `${text} ${formatSignedBytes(bytes, largest)}`);
}
