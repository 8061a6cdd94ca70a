// The verdict of a hunt: turns the evidence of several captures into a HuntReport. Three states, each with its reasons:
// `leak` when objects are retained in every round and nothing else explains it, `no-leak` when nothing grows beyond what
// a healthy process does, `inconclusive` when the evidence does not decide, with the measurement that would.
//
// A wrong verdict is worse than none: what grew and is not understood is told as unexplained growth, in bytes.

import { computeGrowth, type Growth } from '../analysis/growth.ts';
import {
  formatBytes,
  formatDuration,
  formatNumberOf,
  formatShare,
  formatSignedCount,
  quoteForShell,
} from '../base/format.ts';
import { buildCycleSuspect } from './cycle-suspect.ts';
import type { HuntEvidence } from './evidence.ts';
import { buildHuntLedger, countFreeGrowth, countUnexplained, noiseOf } from './hunt-ledger.ts';
import { joinStray, judgeNative } from './native-verdict.ts';
import { buildTarget } from './report-parts.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { buildSuspects, type SuspectContext } from './suspects.ts';
import { leakscopeVersion } from './version.ts';

/** What all objects together take is known to the byte; it moves with what the program is doing. */
const OBJECTS_NOISE_BYTES = 256 << 10;
const OBJECTS_NOISE_SHARE = 0.005;
/** Steps of growth that stay and are larger than this are no chance, though no round repeats them. */
const STEP_BYTES = 1e6;
const STEP_SHARE = 0.05;
/** Of what was gained: what is given back in between, or gained in a round, and does not count. */
const GIVEN_BACK_SHARE = 0.1;
/** Two rounds may both grow by chance; three in a row of what stays do not. */
const ROUNDS_NEEDED = 3;
/** Of the growth. */
const MINOR_SHARE = 0.05;
const GOOD_COVERAGE = 0.98;

const HOUR_MS = 3_600_000;
/** Less of the tracer's tables is not worth a line. */
const NOTABLE_TRACER_BYTES = 65_536;

/** O(nodes + edges) of the last graph. */
export function judgeHunt(evidence: HuntEvidence): HuntReport {
  const { captures, graph } = evidence;
  const growth = computeGrowth(evidence.tracks, graph, evidence.tree);
  const first = captures[0];
  const last = captures[captures.length - 1];
  const elapsedMs = Math.max(1, last.atMs - first.atMs);
  const ledger = buildHuntLedger(first, last);
  const context: SuspectContext = {
    evidence,
    elapsedMs,
    reachableGrowthBytes: Math.max(0, last.objectBytes - first.objectBytes),
    garbageGrowthBytes: Math.max(0, last.garbageBytes - first.garbageBytes),
    enoughRounds: captures.length > ROUNDS_NEEDED,
  };
  const { suspects, findings, heldByLost } = buildSuspects(context, growth);
  const cycles = buildCycleSuspect(context);
  if (cycles.suspect !== undefined) suspects.push(cycles.suspect);
  findings.push(...cycles.findings, ...describeRetries(evidence), ...describeTracer(evidence));
  const native = judgeNative(context, suspects, heldByLost);
  suspects.push(...native.suspects);
  findings.push(...native.findings);
  joinStray(suspects, findings);
  demoteMinor(suspects, findings);
  suspects.sort((a, b) => b.explains - a.explains || b.bytes - a.bytes);
  const rssGrowth = last.line.rssBytes - first.line.rssBytes;
  const warmUpBytes = findings.reduce(
    (sum, { kind, bytes }) => (kind === 'warm-up' ? sum + Math.max(0, bytes ?? 0) : sum),
    0,
  );
  const judged = decide(
    context,
    suspects,
    {
      notExplained: countUnexplained(first, last, native.explainedBytes),
      free: countFreeGrowth(ledger.growth),
      warmUp: warmUpBytes,
    },
    growth,
  );
  return {
    schema: 'leakscope/hunt@1',
    leakscope: leakscopeVersion,
    target: buildTarget(graph.capture),
    ...judged,
    seconds: elapsedMs / 1000,
    captures: captures.map((capture) => capture.line),
    rss: [...evidence.rss],
    growth: { bytes: rssGrowth, bytesPerHour: (rssGrowth * HOUR_MS) / elapsedMs },
    ledger,
    suspects,
    findings,
    problems: last.problems,
    next: suggestCommands(evidence, suspects),
  };
}

/** Beside a clear leak, a small growth that the evidence does not decide is a remark and no suspect. */
function demoteMinor(suspects: Suspect[], findings: HuntReport['findings']): void {
  if (!suspects.some((suspect) => suspect.verdict === 'leaking')) return;
  for (let i = suspects.length - 1; i >= 0; i--) {
    const { verdict, explains, bytes, shape, reasons } = suspects[i];
    if (verdict === 'leaking' || explains >= MINOR_SHARE) continue;
    findings.push({ kind: 'small-growth', bytes, text: `${shape}: ${reasons.join('; ')}` });
    suspects.splice(i, 1);
  }
}

/** One for each capture that did not succeed at once: its round was longer, which the rates allow for. */
function describeRetries({ retries }: HuntEvidence): HuntReport['findings'] {
  return [...new Set(retries.map((retry) => retry.capture))].map((capture) => {
    const failed = retries.filter((retry) => retry.capture === capture);
    const times = formatNumberOf(failed.length, 'time');
    const text = `capture ${capture + 1} failed ${times} and was tried again: ${failed[0].reason}`;
    return { kind: 'capture-repeated', bytes: null, text };
  });
}

/** tracemalloc keeps a record of each block: what grows makes its tables grow, and a hunt must say so. */
function describeTracer({ captures }: HuntEvidence): HuntReport['findings'] {
  const grown = captures[captures.length - 1].tracerBytes - captures[0].tracerBytes;
  if (grown < NOTABLE_TRACER_BYTES) return [];
  const text = `${formatBytes(grown)} of the growth are tracemalloc's own tables: they go when it is switched off`;
  return [{ kind: 'tracer', bytes: grown, text }];
}

/** Growth in bytes that is no suspect's. */
interface OtherGrowth {
  /** Neither Python objects nor free memory nor files, and no suspect's. */
  notExplained: number;
  /** Freed, and held by allocators. */
  free: number;
  /** Of caches that are bounded and fill up. */
  warmUp: number;
}

type Judged = Pick<HuntReport, 'verdict' | 'summary' | 'reasons' | 'nextMeasurement'>;

function decide(
  context: SuspectContext,
  suspects: readonly Suspect[],
  other: OtherGrowth,
  growth: Growth,
): Judged {
  const leaking = suspects.filter((suspect) => suspect.verdict === 'leaking');
  const reasons = reasonsForDoubt(context.evidence);
  if (leaking.length > 0) {
    const share = Math.min(
      1,
      leaking.reduce((sum, suspect) => sum + suspect.explains, 0),
    );
    const summary = summarise(leaking, share);
    const more = describeUnexplained(context, other.notExplained);
    if (more !== undefined) reasons.push(more);
    const freed = describeFreed(context, leaking, other.free);
    if (freed !== undefined) reasons.push(freed);
    return { verdict: 'leak', summary, reasons, nextMeasurement: null };
  }
  return decideWithoutLeak(context, suspects, other, growth, reasons);
}

/** `one suspect explains 95 % of the growth of Python objects`. */
function summarise(leaking: readonly Suspect[], share: number): string {
  const suspects = `${countWord(leaking.length)} ${leaking.length === 1 ? 'suspect' : 'suspects'}`;
  if (leaking.every(({ measure }) => measure === 'references')) {
    return `${suspects}: references are taken and not given back, so that objects can never be freed`;
  }
  const isPython = leaking.every(({ kind }) => kind === 'retained' || kind === 'cycles');
  const whole = isPython ? 'the growth of Python objects' : 'the growth';
  return `${suspects} ${leaking.length === 1 ? 'explains' : 'explain'} ${Math.round(share * 100)} % of ${whole}`;
}

function decideWithoutLeak(
  context: SuspectContext,
  suspects: readonly Suspect[],
  { notExplained, free, warmUp }: OtherGrowth,
  growth: Growth,
  reasons: string[],
): Judged {
  const { evidence, elapsedMs } = context;
  const { captures } = evidence;
  const longer = longerHunt(evidence, elapsedMs);
  if (captures.length < 2) {
    const summary = 'one capture cannot show growth';
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  if (suspects.length > 0) {
    const summary = `${countWord(suspects.length)} possible ${suspects.length === 1 ? 'suspect' : 'suspects'}, and the evidence does not decide`;
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  const unexplained = describeUnexplained(context, notExplained);
  if (unexplained !== undefined) {
    reasons.push(unexplained);
    return {
      verdict: 'inconclusive',
      summary: `no Python object is retained, but ${formatBytes(notExplained)} of growth is not explained by Python objects`,
      reasons,
      nextMeasurement: `${longer}; if it goes on, C code allocates: leakscope native ${nativeArguments(evidence, '60s')} shows which blocks`,
    };
  }
  const objects = growth.totalBytes;
  const grown = objects[objects.length - 1] - objects[0];
  if (
    grown - warmUp > Math.max(OBJECTS_NOISE_BYTES, objects[0] * OBJECTS_NOISE_SHARE) &&
    objects.every((bytes, i) => i === 0 || bytes > objects[i - 1])
  ) {
    const inCaches =
      warmUp > 0 ? `, ${formatBytes(warmUp)} of it in caches that fill up; the rest is` : ',';
    reasons.push(
      `Python objects gained ${formatBytes(grown)}${inCaches} spread over kinds of which none grew in every round by what stays`,
    );
    const summary = 'Python objects grow, but no single place retains them in every round';
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  const rounds = findUnfinishedRounds(objects);
  if (rounds !== undefined && grown - warmUp > Math.max(STEP_BYTES, objects[0] * STEP_SHARE)) {
    reasons.push(
      `Python objects gained ${formatBytes(grown)} in ${rounds} of ${objects.length - 1} rounds and kept it${describeMostGrown(growth)}: a leak under uneven load does that, and so does a cache that has just filled`,
    );
    const summary = 'Python objects grew and stayed, but not in every round';
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  if (captures.some((capture) => capture.line.coverage < GOOD_COVERAGE)) {
    const summary = 'nothing was seen to leak, but too much of the heap was not understood';
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  if (captures.length <= ROUNDS_NEEDED) {
    const summary = `nothing grew in every round, but ${formatNumberOf(captures.length - 1, 'round')} of comparison cannot tell`;
    return { verdict: 'inconclusive', summary, reasons, nextMeasurement: longer };
  }
  const moved = captures[captures.length - 1].line.rssBytes - captures[0].line.rssBytes;
  const share = (Math.abs(moved) / captures[0].line.rssBytes) * 100;
  const summary = `no object is retained in every round; the resident set moved by ${share.toFixed(1)} % in ${formatDuration(elapsedMs / 1000)}`;
  if (free > noiseOf(captures[0].line.rssBytes)) {
    reasons.push(
      `${formatBytes(free)} of the growth is memory that the program freed and its allocators hold`,
    );
  }
  return { verdict: 'no-leak', summary, reasons, nextMeasurement: null };
}

/**
 * Of bytes that were gained in steps and not given back: the number of rounds with a step, if the rounds without one since
 * are fewer than half of all. What has filled up for good stands still for longer; undefined then, and for what comes and goes.
 */
function findUnfinishedRounds(bytes: readonly number[]): number | undefined {
  const grown = bytes[bytes.length - 1] - bytes[0];
  let highest = bytes[0];
  let steps = 0;
  let quiet = 0;
  for (let i = 1; i < bytes.length; i++) {
    if (highest - bytes[i] > grown * GIVEN_BACK_SHARE) return undefined;
    highest = Math.max(highest, bytes[i]);
    const isStep = bytes[i] - bytes[i - 1] > grown * GIVEN_BACK_SHARE;
    steps += isStep ? 1 : 0;
    quiet = isStep ? 0 : quiet + 1;
  }
  return quiet * 2 < bytes.length - 1 ? steps : undefined;
}

/** `, most of it __main__.Ticket (+2 400)`: the type that gained the most bytes. */
function describeMostGrown({ types }: Growth): string {
  const most = types[0];
  if (most === undefined) return '';
  const added = most.count[most.count.length - 1] - most.count[0];
  return `, most of it ${most.typeName} (${formatSignedCount(added)})`;
}

/** A true leak may be small beside memory that was freed: what the resident set's growth mostly is must be said. */
function describeFreed(
  { evidence: { captures } }: SuspectContext,
  leaking: readonly Suspect[],
  free: number,
): string | undefined {
  const rss = captures.map((capture) => capture.line.rssBytes);
  const grown = rss[rss.length - 1] - rss[0];
  const leaked = leaking.reduce((sum, { bytes }) => sum + bytes, 0);
  if (free <= noiseOf(rss[0]) || free * 2 < grown || leaked * 2 > grown) return undefined;
  return `the resident set grew by ${formatBytes(grown)}, and ${formatBytes(free)} of that is freed memory that allocators hold (see fragmentation); the leak is ${formatShare(leaked / grown)} of it`;
}

/** Growth outside of what was found, if it is above the noise and went on in every round. */
function describeUnexplained(context: SuspectContext, notExplained: number): string | undefined {
  const { captures } = context.evidence;
  const rss = captures.map((capture) => capture.line.rssBytes);
  if (notExplained <= noiseOf(rss[0])) return undefined;
  const grewInEveryRound = rss.every((bytes, i) => i === 0 || bytes > rss[i - 1]);
  if (!grewInEveryRound) return undefined;
  return `${formatBytes(notExplained)} of the resident set's growth is neither Python objects nor free memory, and no suspect's`;
}

function reasonsForDoubt(evidence: HuntEvidence): string[] {
  const { captures, wantedCaptures } = evidence;
  const reasons: string[] = [];
  if (captures.length < wantedCaptures) {
    const why = evidence.endedBecause ?? 'the process ended';
    reasons.push(`${why} after ${captures.length} of ${wantedCaptures} captures`);
  }
  const coverage = Math.min(...captures.map((capture) => capture.line.coverage));
  if (coverage < GOOD_COVERAGE) {
    reasons.push(`only ${(coverage * 100).toFixed(1)} % of the references led to an object`);
  }
  return reasons;
}

/** The hunt that sees more: twice the captures, four times as far apart. */
function longerHunt(evidence: HuntEvidence, elapsedMs: number): string {
  const { graph, captures, lastFile } = evidence;
  const every = Math.max(1, Math.round((elapsedMs / 1000 / Math.max(1, captures.length - 1)) * 4));
  const snapshots = Math.max(6, captures.length + 2);
  return lastFile === undefined
    ? `a longer hunt under steady load: leakscope hunt ${graph.capture.pid} --every ${every}s --snapshots ${snapshots}`
    : `more captures of one process under steady load: ${snapshots} files, ${formatDuration(every)} apart`;
}

function suggestCommands(evidence: HuntEvidence, suspects: readonly Suspect[]): string[] {
  const target = targetOf(evidence);
  const commands: string[] = [];
  const isBlock = ({ kind }: Suspect) => kind.startsWith('native');
  const address = suspects.find((suspect) => suspect.example !== null && !isBlock(suspect))?.example
    ?.address;
  if (address !== undefined) {
    commands.push(`leakscope show ${target} ${address}`, `leakscope path ${target} ${address}`);
  }
  if (suspects.some((suspect) => isBlock(suspect) || suspect.kind === 'mappings')) {
    commands.push(
      `leakscope native ${nativeArguments(evidence, '10s')}`,
      `leakscope ledger ${target} --verbose`,
    );
  }
  return commands;
}

/** What commands name as TARGET. */
const targetOf = ({ graph, lastFile }: HuntEvidence): string =>
  lastFile === undefined ? `${graph.capture.pid}` : quoteForShell(lastFile);

/** A file is one moment. */
const nativeArguments = (evidence: HuntEvidence, every: string): string =>
  evidence.lastFile === undefined ? `${targetOf(evidence)} --every ${every}` : targetOf(evidence);

function countWord(count: number): string {
  const words = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
  return words[count] ?? `${count}`;
}
