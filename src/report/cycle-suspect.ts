// Cyclic garbage as a suspect: objects that no root reaches and that the collector does not free although they grow in
// every round. That is a leak when the collector is switched off; else it is merely late, which is told as a finding.

import { findCycle } from '../analysis/garbage.ts';
import { formatNumberOf } from '../base/format.ts';
import { HASH_START, hashText } from '../base/hash.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import { adviseOnCycles } from './advice.ts';
import type { HuntEvidence } from './evidence.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { HOUR_MS, last, type SuspectContext, shareOf, writeExample } from './suspects.ts';

type Findings = HuntReport['findings'];

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
  if (captures.length < 2 || !growsEveryRound || grown < 4096 || !isOff) {
    const findings: Findings = [];
    if (last(sizes) > 1 << 20) {
      const text =
        'unreachable cycles wait for the collector, which is switched on; they are no leak by themselves';
      findings.push({ kind: 'delayed-garbage', bytes: grown, text });
    }
    return { suspect: undefined, findings };
  }
  return { suspect: cycleSuspect(context, sizes, grown), findings: [] };
}

function cycleSuspect(context: SuspectContext, sizes: number[], bytes: number): Suspect {
  const { evidence, elapsedMs, enoughRounds } = context;
  const { graph, tree, garbage, captures } = evidence;
  const type = mainTypeOf(captures.map((capture) => capture.garbageByType));
  const counts = captures.map((capture) => capture.garbageByType.get(type) ?? 0);
  const example = garbage.nodes.find((node) => typeNameOf(graph, node) === type);
  const edges = example === undefined ? undefined : findCycle(graph, tree, example);
  const steps =
    edges === undefined || example === undefined ? [] : cycleTypes(graph, example, edges);
  const count = last(counts) - counts[0];
  const shape = `unreachable cycle ${steps.join(' -> ')}`;
  return {
    kind: 'cycles',
    verdict: enoughRounds ? 'leaking' : 'unknown',
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
    allocatedAt: null,
    example: example === undefined ? null : writeExample(graph, example),
    reasons: enoughRounds ? [] : [`${formatNumberOf(sizes.length - 1, 'round')}; three are needed`],
    advice: adviseOnCycles(steps),
  };
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
