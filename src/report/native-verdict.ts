// What grew outside of Python objects, as a part of a hunt's verdict: of the native suspects, those that come with objects of
// other suspects or cost no memory become findings; and memory that allocators hold free is told with what would return it.

import { formatNumberOf } from '../base/format.ts';
import { buildFragmentation, describeFragmentation, findFragmentation } from './fragmentation.ts';
import { buildHuntLedger, countFreeGrowth, noiseOf } from './hunt-ledger.ts';
import { hasSameRounds, MAX_PER_THREAD } from './merge-rows.ts';
import { buildNativeSuspects } from './native-suspects.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { buildSuspect, grownBytes, type HeldByLost, type SuspectContext } from './suspects.ts';

export interface NativeJudgement {
  suspects: Suspect[];
  findings: HuntReport['findings'];
  /** Of the growth, what suspects and findings outside of Python objects account for. */
  explainedBytes: number;
}

/** References that each object of one kind has without a pointer (to the module of its type), at most. */
const MAX_PER_OBJECT = 8;

/** Whether what grew outside of Python objects comes with those of a suspect: stacks of threads, references of objects. */
function isPartOf(native: Suspect, suspect: Suspect): boolean {
  switch (native.kind) {
    case 'threads':
      return suspect.kind === 'threads';
    case 'mappings':
    case 'native-retained':
      return suspect.kind === 'threads' && hasSameRounds(native, suspect, MAX_PER_THREAD);
    case 'refcount':
      return suspect.kind === 'retained' && hasSameRounds(native, suspect, MAX_PER_OBJECT);
    default:
      return false;
  }
}

/** A class or module lives as long as the program anyway: references to it that are not given back cost no memory. */
const isOfLastingObject = ({ kind, bytes, example }: Suspect): boolean =>
  kind === 'refcount' && bytes === 0 && /^<(class|module) /.test(example?.repr ?? '');

const describeLasting = ({ count, example }: Suspect): HuntReport['findings'][number] => ({
  kind: 'references',
  bytes: 0,
  text: `${formatNumberOf(count, 'reference')} more to ${example?.repr} (${example?.address}), without a pointer to it: C code takes them and does not give them back; it costs no memory, since the object stays anyway`,
});

function describeStep(native: Suspect, cause: Suspect): HuntReport['findings'][number] {
  const { kind, count, type, example } = native;
  const what =
    kind === 'mappings'
      ? `${formatNumberOf(count, 'mapping')} more, the stacks of the threads,`
      : kind === 'native-retained'
        ? `${formatNumberOf(count, 'block')} more (${type})`
        : `${formatNumberOf(count, 'reference')} more to ${example?.repr ?? type}, without a pointer to it,`;
  return { kind: 'grows-with', bytes: native.bytes, text: `${what} in step with ${cause.type}` };
}

/** Of many blocks of one kind that are lost, words that are no pointers seem to hold this share at most. */
const STRAY_SHARE = 0.1;

/** A few blocks more of the kind that is lost, which seem to be held: lost as well, most likely. */
export function joinStray(suspects: Suspect[], findings: HuntReport['findings']): void {
  for (let i = suspects.length - 1; i >= 0; i--) {
    const { kind, type, count, bytes } = suspects[i];
    if (kind !== 'native-retained') continue;
    const isAlike = (each: Suspect) =>
      each.kind === 'native-lost' && each.type === type && count <= each.count * STRAY_SHARE;
    if (!suspects.some(isAlike)) continue;
    const text = `${formatNumberOf(count, 'block')} more like those that are lost (${type}) seem to be held: a word that looks like a pointer, most likely`;
    findings.push({ kind: 'grows-with', bytes, text });
    suspects.splice(i, 1);
  }
}

/** What grew outside of Python objects, and memory that allocators hold free. */
export function judgeNative(
  context: SuspectContext,
  known: readonly Suspect[],
  heldByLost: readonly HeldByLost[],
): NativeJudgement {
  const { evidence, elapsedMs, enoughRounds } = context;
  const { captures, graph, tree } = evidence;
  const samples = captures.flatMap(({ native }) => (native === undefined ? [] : [native]));
  if (graph.native === undefined || samples.length < captures.length) {
    const suspects = heldByLost.map(({ row }) => buildSuspect(context, row));
    return { suspects, findings: [], explainedBytes: 0 };
  }
  const { facts } = graph.native;
  const growthBytes = samples[samples.length - 1].rssBytes - samples[0].rssBytes;
  const { suspects, findings, held } = buildNativeSuspects({
    samples,
    graph,
    facts,
    elapsedMs,
    enoughRounds,
    growthBytes,
    heldByLost,
  });
  const ledger = buildHuntLedger(captures[0], captures[captures.length - 1]);
  const freeGrowth = countFreeGrowth(ledger.growth);
  const isFreed = freeGrowth > noiseOf(samples[0].rssBytes) && freeGrowth * 2 > growthBytes;
  const fragmentation = isFreed
    ? buildFragmentation(graph, facts, tree)
    : findFragmentation(graph, facts, tree);
  if (fragmentation !== undefined) {
    findings.push(describeFragmentation(fragmentation, isFreed ? freeGrowth : 0));
  }
  const own: Suspect[] = [];
  for (const suspect of suspects) {
    const cause = known.find((each) => isPartOf(suspect, each));
    if (isOfLastingObject(suspect)) findings.push(describeLasting(suspect));
    else if (cause === undefined) own.push(suspect);
    // Threads that Python knows are told with their objects.
    else if (suspect.kind !== 'threads') findings.push(describeStep(suspect, cause));
  }
  const outside = suspects.filter(({ kind }) => kind.startsWith('native') || kind === 'mappings');
  const outsideBytes = outside.reduce((sum, { bytes }) => sum + bytes, 0);
  const objectBytes = held.reduce((sum, { row }) => sum + grownBytes(row), 0);
  // Held by blocks that are not told: suspects by themselves.
  const others = heldByLost.filter((each) => !held.includes(each));
  own.push(...others.map(({ row }) => buildSuspect(context, row)));
  return { suspects: own, findings, explainedBytes: outsideBytes - objectBytes };
}
