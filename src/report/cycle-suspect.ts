// Cyclic garbage as a suspect: objects that no root reaches and that the collector does not free although they grow in
// every round. That is a leak when the collector is switched off, or when it ran and left them: a type of C code in the
// cycle does not tell it what it refers to (tp_traverse). Else it is merely late, which is told as a finding.
//
// Not handled: Pythons that do not say how often the collector ran (3.15): what it leaves there counts as late.

import { findCommonSite } from '../analysis/allocation-sites.ts';
import { findCycle } from '../analysis/garbage.ts';
import { formatNumberOf } from '../base/format.ts';
import { HASH_START, hashText } from '../base/hash.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import { adviseOnCycles, adviseOnKeptCycles } from './advice.ts';
import type { HuntEvidence } from './evidence.ts';
import { buildFrames } from './report-parts.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { HOUR_MS, last, type SuspectContext, shareOf, writeExample } from './suspects.ts';

type Findings = HuntReport['findings'];

/** Of the garbage of a capture: garbage at the same addresses still in the last one is the same, and not its successor. */
const KEPT_SHARE = 0.97;
/** Collections that freed fewer objects than this share of the garbage there was have left most of it. */
const FREED_SHARE = 0.5;

/** Cyclic garbage that grows and that the collector does not take: a suspect, or a finding when it is merely late. */
export function buildCycleSuspect(context: SuspectContext): {
  suspect: Suspect | undefined;
  findings: Findings;
} {
  const { evidence } = context;
  const { captures } = evidence;
  const sizes = captures.map((capture) => capture.garbageBytes);
  const grown = last(sizes) - sizes[0];
  const growsEveryRound = sizes.every((bytes, i) => i === 0 || bytes > sizes[i - 1]);
  const collector = last(captures).collector;
  const isOff = collector !== undefined && (!collector.enabled || collector.thresholds[0] === 0);
  const survival = isOff ? undefined : findSurvival(evidence);
  const stays = isOff || survival !== undefined;
  if (captures.length < 2 || !growsEveryRound || grown < 4096 || !stays) {
    const findings: Findings = [];
    if (last(sizes) > 1 << 20) {
      const text =
        'unreachable cycles wait for the collector, which is switched on; they are no leak by themselves';
      findings.push({ kind: 'delayed-garbage', bytes: grown, text });
    }
    return { suspect: undefined, findings };
  }
  return { suspect: cycleSuspect(context, sizes, grown, survival), findings: [] };
}

interface Survival {
  /** Rounds with a full collection that the garbage of their beginning survived. */
  rounds: number;
  /** The collections freed less than that garbage; else there may be new objects at the same addresses. */
  isProven: boolean;
}

/** undefined if some garbage was freed, or if nothing is known of collections. O(garbage). */
function findSurvival({ captures, tracks, graph, garbage }: HuntEvidence): Survival | undefined {
  const birthRound = last(tracks).alive?.birthRound;
  if (birthRound === undefined) return undefined;
  /** By round: bytes of the garbage of the last capture that came in it. */
  const born = new Float64Array(captures.length);
  for (const node of garbage.nodes) born[birthRound[node]] += graph.allocatedSize[node];
  const survival: Survival = { rounds: 0, isProven: true };
  let kept = 0;
  for (let i = 0; i + 1 < captures.length; i++) {
    kept += born[i];
    const { garbageBytes, garbageTracked, collector } = captures[i];
    // More than there was: objects that were in use until lately.
    if (kept < garbageBytes * KEPT_SHARE || garbageBytes < kept * KEPT_SHARE) return undefined;
    const after = captures[i + 1].collector;
    const ran = (after?.collections?.at(-1) ?? 0) - (collector?.collections?.at(-1) ?? 0);
    if (ran <= 0) continue;
    survival.rounds++;
    const freed = (after?.freedCount ?? Infinity) - (collector?.freedCount ?? 0);
    if (!(freed < garbageTracked * FREED_SHARE)) survival.isProven = false;
  }
  return survival.rounds > 0 ? survival : undefined;
}

/** `survival`: undefined where the collector is off. */
function cycleSuspect(
  context: SuspectContext,
  sizes: number[],
  bytes: number,
  survival: Survival | undefined,
): Suspect {
  const { evidence, elapsedMs } = context;
  const { graph, garbage, captures } = evidence;
  const type = mainTypeOf(captures.map((capture) => capture.garbageByType));
  const counts = captures.map((capture) => capture.garbageByType.get(type) ?? 0);
  const example = garbage.nodes.find((node) => typeNameOf(graph, node) === type);
  const steps = example === undefined ? [] : writeCycle(evidence, example);
  const count = last(counts) - counts[0];
  const reasons = doubtsAbout(context, sizes.length - 1, survival);
  const shape = `unreachable cycle ${steps.join(' -> ')}`;
  return {
    kind: 'cycles',
    verdict: reasons.length === 0 ? 'leaking' : 'unknown',
    fingerprint: hashText(shape, HASH_START).toString(16).padStart(8, '0'),
    type,
    measure: 'objects',
    count,
    bytes,
    bytesPerHour: (bytes * HOUR_MS) / elapsedMs,
    countPerSecond: (count * 1000) / elapsedMs,
    explains: shareOf(bytes, context.reachableGrowthBytes + context.garbageGrowthBytes),
    perRound: sizes
      .slice(1)
      .map((size, i) => ({ count: counts[i + 1] - counts[i], bytes: size - sizes[i] })),
    path: steps,
    shape,
    steps: [],
    holder: null,
    holderType: null,
    holderLength: null,
    contents: typesOf(captures),
    alsoHeldBy: null,
    namedIn: [],
    waitsAt: null,
    hints: [],
    allocatedAt: buildFrames(findCommonSite(graph, newGarbageOf(evidence, type))),
    example: example === undefined ? null : writeExample(graph, example),
    reasons,
    advice:
      survival === undefined ? adviseOnCycles(steps) : adviseOnKeptCycles(steps, survival.isProven),
  };
}

/** Garbage of the type that was not there in the first capture. */
function* newGarbageOf(
  { garbage, graph, tracks }: HuntEvidence,
  type: string,
): Generator<NodeIndex> {
  const birthRound = last(tracks).alive?.birthRound;
  for (const node of garbage.nodes) {
    if (birthRound !== undefined && birthRound[node] > 0 && typeNameOf(graph, node) === type) {
      yield node;
    }
  }
}

function doubtsAbout(
  { enoughRounds }: SuspectContext,
  rounds: number,
  survival: Survival | undefined,
): string[] {
  const reasons: string[] = [];
  if (!enoughRounds) reasons.push(`${formatNumberOf(rounds, 'round')}; three are needed`);
  if (survival === undefined) return reasons;
  if (survival.rounds < rounds) {
    reasons.push(`the collector looked at all objects in ${survival.rounds} of ${rounds} rounds`);
  }
  if (!survival.isProven) {
    reasons.push('the collector freed as many objects: these may be new ones at their addresses');
  }
  return reasons;
}

/** The type that grew most among the garbage, a class of the program rather than a built-in. */
function mainTypeOf(rounds: readonly ReadonlyMap<string, number>[]): string {
  const first = rounds[0];
  const rows = [...last(rounds)]
    .map(([type, count]) => ({ type, grown: count - (first.get(type) ?? 0) }))
    .sort((a, b) => b.grown - a.grown || (a.type < b.type ? -1 : 1));
  const most = rows[0]?.grown ?? 0;
  const ofProgram = rows.find((row) => row.type.includes('.') && row.grown * 4 >= most);
  return (ofProgram ?? rows[0])?.type ?? 'object';
}

function typesOf(captures: HuntEvidence['captures']): Suspect['contents'] {
  const first = captures[0].garbageByType;
  return [...last(captures).garbageByType]
    .map(([type, count]) => ({ type, count: count - (first.get(type) ?? 0), bytes: 0 }))
    .filter((row) => row.count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, 8);
}

/** Where to look for a cycle that the example only hangs on. */
const MAX_STARTS = 16;

/** The types around a cycle of the example, or of garbage beside it; empty if none was found. */
function writeCycle({ graph, tree, garbage }: HuntEvidence, example: NodeIndex): string[] {
  for (const start of [example, ...garbage.nodes.subarray(0, MAX_STARTS)]) {
    const edges = findCycle(graph, tree, start);
    if (edges !== undefined) return cycleTypes(graph, start, edges);
  }
  return [];
}

/** `Node`, `.parent`, `Node`: the types around a cycle and the attributes between them. */
function cycleTypes(graph: HeapGraph, start: NodeIndex, edges: readonly number[]): string[] {
  const steps = [typeNameOf(graph, start)];
  for (const edge of edges.slice(0, 12)) {
    const label = graph.edgeLabel[edge];
    const isNamed = graph.edgeKind[edge] === EdgeKind.attribute && label !== NONE;
    const name = isNamed ? `.${graph.strings[label]} ` : '';
    if (graph.edgeKind[edge] === EdgeKind.instanceDict) continue;
    steps.push(`${name}${typeNameOf(graph, graph.edgeTarget[edge])}`);
  }
  return steps;
}
