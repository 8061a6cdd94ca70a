// Turns what grew into suspects: who holds it, by which path, how sure that is and why, what else holds it, an example.
// A suspect is `leaking` only when nothing speaks against it; else `unknown`, with what speaks against it as its reasons.

import { findCommonSite } from '../analysis/allocation-sites.ts';
import { computeDominators, computeRetainedSizes } from '../analysis/dominators.ts';
import type { Growth, GrowthRow } from '../analysis/growth.ts';
import { keyOfGroup } from '../analysis/native-groups.ts';
import { findPath, type HeapPath } from '../analysis/path-steps.ts';
import {
  findOtherHolders,
  type HolderSearch,
  prepareHolderSearch,
} from '../analysis/second-holder.ts';
import { formatShapePath } from '../analysis/shapes.ts';
import type { TaskFacts } from '../analysis/tasks.ts';
import { formatAddress, formatBytes, formatCount, formatNumberOf } from '../base/format.ts';
import {
  EdgeKind,
  type HeapGraph,
  NONE,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { adviseOnRetained } from './advice.ts';
import { findBound, findDoubts } from './doubts.ts';
import type { HuntEvidence } from './evidence.ts';
import {
  findAddingFunctions,
  findLibraryObject,
  isModuleEntry,
  nameOfHolder,
} from './holder-name.ts';
import { hasSameRounds, type MergedRow, mergeRows } from './merge-rows.ts';
import { writePath } from './path-text.ts';
import { buildFrames } from './report-parts.ts';
import { computeLength, formatRepr } from './repr-text.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { findHints, findWait, listPendingTasks } from './suspect-waits.ts';

export interface SuspectContext {
  evidence: HuntEvidence;
  /** From the first capture to the last. */
  elapsedMs: number;
  /** What all objects together gained, in bytes: those that roots reach, and garbage. */
  reachableGrowthBytes: number;
  garbageGrowthBytes: number;
  /** Made when the first suspect asks what else holds it, and how much is freed with it. */
  search?: HolderSearch;
  retainedSize?: Float64Array;
  /** Tasks that have not ended; listed when the first suspect asks where they wait. */
  pendingTasks?: readonly TaskFacts[];
  /** Whether there were enough rounds for growth in each of them not to be chance. */
  enoughRounds: boolean;
}

type Findings = HuntReport['findings'];

export const HOUR_MS = 3_600_000;
/** Growth of few objects is told as a finding, unless every round brings at least two that stay, or this much in all. */
const NOTABLE_BYTES = 16_384;
/** Fits a line of a terminal behind its label and address. */
const EXAMPLE_LENGTH = 66;

/** Objects that only lost blocks of C code hold: a part of what grew with those blocks, if that is told. */
export interface HeldByLost {
  row: MergedRow;
  /** Key of the blocks' group. */
  holder: string;
}

/** Of what grew in every round: suspects, and findings for what is bounded or too little to matter. */
export function buildSuspects(
  context: SuspectContext,
  growth: Growth,
): { suspects: Suspect[]; findings: Findings; heldByLost: HeldByLost[] } {
  const suspects: Suspect[] = [];
  const findings: Findings = [];
  const heldByLost: HeldByLost[] = [];
  const { graph, tree, tracks } = context.evidence;
  const shapeOfNode = last(tracks).alive?.shapeOfNode ?? new Uint32Array(0);
  const held = countHeldByLost(graph, shapeOfNode);
  const told: { row: GrowthRow; object: NodeIndex; suspect: Suspect }[] = [];
  for (const row of mergeRows(growth.rows, graph, tree, shapeOfNode)) {
    // CPython's cache of attributes keeps names made for one look-up, 4096 at most: getattr(self, 'do_' + verb).
    if (/^immortal (type|method)_cache /.test(row.text)) continue;
    const bound = findBound(context, row);
    if (bound !== undefined) {
      findings.push({
        kind: 'warm-up',
        bytes: grownBytes(row),
        text: `${row.text} fills up: ${bound}`,
      });
      continue;
    }
    if (isTooLittle(context, row)) {
      const text = `${describeGrowth(row)} more of ${row.text}: too little to tell`;
      findings.push({ kind: 'small-growth', bytes: grownBytes(row), text });
      continue;
    }
    // Some seem to be held by a stale pointer as well.
    const lost = held.get(row.shape);
    if (lost !== undefined && lost.count * 2 > grownCount(row)) {
      heldByLost.push({ row, holder: lost.holder });
      continue;
    }
    // Inner parts of one object of a library that grow in step are one leak: what was put into the object.
    const object = findOwningObject(context, row);
    const first = told.find(
      (each) => object !== undefined && each.object === object && hasSameRounds(each.row, row),
    );
    if (first !== undefined) {
      const text = `${row.text} grows in step with ${first.row.text} (${describeGrowth(row)} more)`;
      findings.push({ kind: 'grows-with', bytes: grownBytes(row), text });
      const { suspect } = first;
      const more = shareOf(grownBytes(row), context.reachableGrowthBytes);
      suspect.explains = Math.min(1, suspect.explains + more);
      continue;
    }
    const suspect = buildSuspect(context, row);
    if (object !== undefined) told.push({ row, object, suspect });
    suspects.push(suspect);
  }
  return { suspects, findings, heldByLost };
}

/** By shape: the blocks that hold most of those objects of the shape that only lost blocks hold, and how many these are. */
function countHeldByLost(
  { native }: HeapGraph,
  shapeOfNode: Uint32Array,
): Map<number, { holder: string; count: number }> {
  const byShape = new Map<number, Map<string, number>>();
  native?.heldNode.forEach((node, row) => {
    const holder = keyOfGroup(native.facts.groups[native.heldGroup[row]]);
    const holders = byShape.get(shapeOfNode[node]) ?? new Map<string, number>();
    byShape.set(shapeOfNode[node], holders.set(holder, (holders.get(holder) ?? 0) + 1));
  });
  return new Map(
    [...byShape].map(([shape, holders]) => {
      const [most] = [...holders].sort((a, b) => b[1] - a[1]);
      const count = [...holders.values()].reduce((sum, each) => sum + each, 0);
      return [shape, { holder: most[0], count }] as const;
    }),
  );
}

/** The object of a library of which the holder is an inner part. */
function findOwningObject(
  { evidence: { graph, tree } }: SuspectContext,
  { holder }: GrowthRow,
): NodeIndex | undefined {
  const path = holder === undefined ? undefined : findPath(graph, tree, holder.node);
  const at = path === undefined ? undefined : findLibraryObject(graph, path);
  return at === undefined ? undefined : path?.steps[at].node;
}

/** Fewer objects than are told, and fewer bytes than a program gains by chance, or not most of what it gained. */
function isTooLittle(context: SuspectContext, row: GrowthRow): boolean {
  if (row.isSignificant) return false;
  if (row.perRound.every((round) => round.count >= 2)) return false;
  const bytes = grownBytes(row);
  return bytes < NOTABLE_BYTES || bytes < context.reachableGrowthBytes / 2;
}

export const last = <T>(values: readonly T[]): T => values[values.length - 1];
export const grownBytes = (row: GrowthRow): number => last(row.bytes) - row.bytes[0];

export function buildSuspect(context: SuspectContext, row: MergedRow): Suspect {
  const { evidence, elapsedMs } = context;
  const { graph, tree } = evidence;
  const example = chooseExample(context, row);
  const path = example === undefined ? undefined : findPath(graph, tree, example);
  const isSpread = isSpreadOver(row);
  const growsAt = placeOfGrowth(context, row, path);
  const written =
    path === undefined
      ? undefined
      : writePath(graph, path, { growsAt, retainedSize: retainedSizeOf(context) });
  const count = grownCount(row);
  const bytes = grownBytes(row);
  const reasons = findDoubts(context, row);
  const holderName = path === undefined ? undefined : nameOfHolder(graph, path, growsAt, isSpread);
  const functions = findAddingFunctions(graph, path, growsAt, holderName);
  const holder = isSpread ? writeHolders(evidence, row) : writeHolder(evidence, path, growsAt);
  const isLost = path?.rootKind === RootKind.lostReference;
  return {
    kind: row.areThreads ? 'threads' : isLost ? 'refcount' : 'retained',
    verdict: reasons.length === 0 ? 'leaking' : 'unknown',
    fingerprint: row.fingerprint,
    type: row.typeName,
    measure: row.measure,
    count,
    bytes,
    bytesPerHour: (bytes * HOUR_MS) / elapsedMs,
    countPerSecond: (count * 1000) / elapsedMs,
    explains: shareOf(bytes, context.reachableGrowthBytes),
    perRound: row.perRound,
    path: written?.steps.map((step) => step.text) ?? [],
    shape: row.text,
    steps: written?.steps ?? [],
    holder,
    holderType:
      growsAt === undefined
        ? null
        : `${isSpread ? `${formatCount(row.holder?.holderCount ?? 0)} x ` : ''}${typeNameOf(graph, growsAt)}`,
    holderLength:
      growsAt === undefined || isSpread || row.holder?.isChain
        ? null
        : computeLength(graph, growsAt),
    contents: row.contents.map(({ typeName, ...sums }) => ({ type: typeName, ...sums })),
    alsoHeldBy:
      path === undefined ||
      row.holder === undefined ||
      row.holder.isChain ||
      row.areThreads ||
      isLost
        ? null
        : findAlsoHeldBy(context, path, growsAt),
    namedIn: functions,
    waitsAt: findWait({
      graph,
      tree,
      tasks: tasksOf(context),
      holders: new Set(growsAt === undefined ? [] : [growsAt]),
      types: new Map(row.contents.map((content) => [content.typeName, content.count])),
    }),
    hints: findHints(graph, isSpread ? undefined : growsAt),
    allocatedAt: buildFrames(findCommonSite(graph, newObjectsOf(evidence, row))),
    example: example === undefined ? null : writeExample(graph, example),
    reasons,
    advice: adviseOnRetained({ row, graph, path, growsAt, isSpread, holderName, functions }),
  };
}

/** Objects of the row that were not there in the first capture. */
function* newObjectsOf({ tracks }: HuntEvidence, { shape }: GrowthRow): Generator<NodeIndex> {
  const { alive } = last(tracks);
  if (alive === undefined) return;
  const { shapeOfNode, birthRound } = alive;
  for (let node = 0; node < shapeOfNode.length; node++) {
    if (shapeOfNode[node] === shape && birthRound[node] > 0) yield node;
  }
}

/** What the row's measure counts. */
export const grownCount = (row: GrowthRow): number =>
  row.measure === 'entries' ? last(row.entries) - row.entries[0] : last(row.count) - row.count[0];

/** `5 objects`, `1 200 entries`, `40.5 kB`. */
export function describeGrowth(row: GrowthRow): string {
  if (row.measure === 'bytes') return formatBytes(grownBytes(row));
  return row.measure === 'entries'
    ? formatNumberOf(grownCount(row), 'entry', 'entries')
    : formatNumberOf(grownCount(row), 'object');
}

/** `bytes` of a growth; of a suspect that outgrew the whole, since other things shrank, all of it. */
export const shareOf = (bytes: number, growth: number): number =>
  bytes <= 0 ? 0 : growth <= bytes ? 1 : bytes / growth;

/** Whether many containers of one kind grow (a list for each user), none of them with most of the new objects. */
const isSpreadOver = ({ holder }: GrowthRow): boolean =>
  holder !== undefined && !holder.isChain && holder.holderCount > 1 && holder.share < 0.5;

/** The object on the path at which the growth is shown: the container, one of the containers, or the head of a chain. */
function placeOfGrowth(
  { evidence }: SuspectContext,
  row: GrowthRow,
  path: HeapPath | undefined,
): NodeIndex | undefined {
  if (path === undefined) return row.holder?.node;
  if (row.holder === undefined) return row.measure === 'objects' ? undefined : placeOfBuffer(path);
  if (row.holder.isChain) return headOfChain(path, row.holder.node);
  if (!isSpreadOver(row)) return row.holder.node;
  const shapeOfNode = last(evidence.tracks).alive?.shapeOfNode;
  const { shape, node } = row.holder;
  return path.steps.find((step) => shapeOfNode?.[step.node] === shape)?.node ?? node;
}

/** What grows by itself: the object, or that whose C code owns it (the buffer of a StringIO). */
function placeOfBuffer({ steps }: HeapPath): NodeIndex {
  let at = steps.length - 1;
  while (at > 0 && steps[at].kind === EdgeKind.internal) at--;
  return steps[at].node;
}

/** `app.hub.by_user[*]`: the path to any of several holders. */
const writeHolders = ({ tracks }: HuntEvidence, row: GrowthRow): string | null =>
  row.holder === undefined ? null : formatShapePath(last(tracks).shapes, row.holder.shape);

/** Something new that hangs on the holder, so that the path shown goes through it. */
function chooseExample({ evidence }: SuspectContext, row: GrowthRow): NodeIndex | undefined {
  const { tree } = evidence;
  const holder = row.holder?.node;
  const goesThrough = (node: NodeIndex): boolean => {
    for (let at = node, i = 0; at !== NONE && i < 8; at = tree.parentNode[at], i++) {
      if (at === holder) return true;
    }
    return false;
  };
  const isEntry = (node: NodeIndex) => tree.parentNode[node] === holder;
  return row.examples.find(isEntry) ?? row.examples.find(goesThrough) ?? row.examples[0];
}

/** `app.registry._open`: the path to the holder as an expression; null if there is none. */
function writeHolder(
  { graph, tree }: HuntEvidence,
  example: HeapPath | undefined,
  holder: NodeIndex | undefined,
): string | null {
  // The entries of sys.modules are roots of their own.
  if (holder === undefined)
    return example !== undefined && isModuleEntry(example) ? 'sys.modules' : null;
  const path = findPath(graph, tree, holder);
  if (path === undefined) return typeNameOf(graph, holder);
  const { text } = writePath(graph, path);
  const end = text.lastIndexOf(' -> ');
  return end < 0 ? text : text.slice(0, end);
}

/** The first link: what the path reaches right behind the object that refers to the chain. */
function headOfChain(
  path: HeapPath | undefined,
  holder: NodeIndex | undefined,
): NodeIndex | undefined {
  const at = path?.steps.findIndex((step) => step.node === holder) ?? -1;
  return path?.steps[at + 1]?.node ?? holder;
}

function tasksOf(context: SuspectContext): readonly TaskFacts[] {
  context.pendingTasks ??= listPendingTasks(context.evidence.graph);
  return context.pendingTasks;
}

/** Per node; computed once. */
function retainedSizeOf(context: SuspectContext): Float64Array {
  const { graph } = context.evidence;
  context.retainedSize ??= computeRetainedSizes(computeDominators(graph), graph.allocatedSize);
  return context.retainedSize;
}

/** Other independent paths to the entry that the path shows; null when the search did not come to an end. */
function findAlsoHeldBy(
  context: SuspectContext,
  path: HeapPath,
  holder: NodeIndex | undefined,
): string[] | null {
  const { graph, tree } = context.evidence;
  const at = path.steps.findIndex((step) => step.node === holder);
  const entry = path.steps[at + 1]?.node;
  if (at < 0 || entry === undefined) return null;
  context.search ??= prepareHolderSearch(graph, tree, buildReverseEdges(graph));
  const others = findOtherHolders(context.search, entry, holder);
  if (others.paths.length === 0 && !others.isComplete) return null;
  return others.paths.map((other) => writePath(graph, other).text);
}

export const writeExample = (
  graph: HeapGraph,
  node: NodeIndex,
): NonNullable<Suspect['example']> => ({
  address: formatAddress(graph.address[node]),
  repr: formatRepr(graph, node, EXAMPLE_LENGTH),
});
