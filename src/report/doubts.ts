// What speaks against a leak: the bounds that keep what grew from growing for ever, and the doubts, one sentence each, that
// make a suspect `unknown` instead of `leaking`.

import type { GrowthRow } from '../analysis/growth.ts';
import { formatBytes, formatCount, formatCountRate, formatNumberOf } from '../base/format.ts';
import {
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { CONTAINERS } from './advice.ts';
import type { HuntEvidence } from './evidence.ts';
import { computeLength } from './repr-text.ts';
import { describeGrowth, grownBytes, last, type SuspectContext } from './suspects.ts';

/** Share of the new objects that a bounded container must hold itself. */
const MIN_DIRECT_SHARE = 0.5;

/** What keeps the holder from growing for ever, as words; undefined if nothing does. */
export function findBound({ graph, tree }: HuntEvidence, row: GrowthRow): string | undefined {
  const holder = row.holder?.node;
  if (holder === undefined) return undefined;
  // The entries of an lru_cache are in a dict of its own.
  const parent = tree.parentNode[holder];
  // What hangs elsewhere is not bounded by it.
  if (row.holder === undefined || row.holder.directShare < MIN_DIRECT_SHARE) return undefined;
  const limit = boundOf(graph, holder) ?? (parent === NONE ? undefined : boundOf(graph, parent));
  return limit ?? findFixedLength(graph, row);
}

/** Containers whose preview tells their limit. */
function boundOf(graph: HeapGraph, node: NodeIndex): string | undefined {
  const type = typeNameOf(graph, node);
  if (type !== 'collections.deque' && type !== 'functools._lru_cache_wrapper') return undefined;
  const limit = /\b(maxlen|maxsize)=(\d+)/.exec(findPreview(graph, node) ?? '');
  return limit === null ? undefined : `its ${limit[1]} is ${formatCount(Number(limit[2]))}`;
}

/** Where a container has as many entries as before, new objects only take the place of others (None, small ints). */
function findFixedLength(
  graph: HeapGraph,
  { holder, holderEntries, measure }: GrowthRow,
): string | undefined {
  if (holder === undefined || holder.isChain || measure !== 'objects') return undefined;
  if (!CONTAINERS.test(typeNameOf(graph, holder.node))) return undefined;
  if (holderEntries.some((count) => count !== holderEntries[0])) return undefined;
  const length = computeLength(graph, holder.node) ?? 0;
  return holder.holderCount > 1
    ? 'the containers that they are in have as many entries as before'
    : `its length stays ${formatCount(length)}`;
}
/** What speaks against calling it a leak, one sentence each. */
export function findDoubts(context: SuspectContext, row: GrowthRow): string[] {
  const doubts: string[] = [];
  const rounds = row.perRound.length;
  if (!context.enoughRounds) {
    doubts.push(
      `${formatNumberOf(rounds, 'round')} of growth may be chance or a warm-up; three are needed`,
    );
  }
  if (!row.isSignificant) {
    doubts.push(
      `only ${describeGrowth(row)} (${formatBytes(grownBytes(row))}) more: too little to tell`,
    );
  }
  const rates = findSlowingRates(context, row);
  if (rates !== undefined) {
    doubts.push(
      `it grows ever more slowly (${rates.map(formatCountRate).join(', ')}), as a cache does that fills up`,
    );
  }
  if (row.measure === 'objects' && row.holder === undefined && !isNamedRoot(context, row)) {
    doubts.push(
      'what holds them was not found: C code, or a place that leakscope does not understand',
    );
  }
  if (isWithinTurnover(row)) {
    doubts.push('so many of these objects come and go that this growth may be chance');
  }
  return doubts;
}

/** Whether what the objects hang on by themselves has a name (an atexit callback), and is not just "held from C". */
function isNamedRoot({ evidence }: SuspectContext, row: GrowthRow): boolean {
  const { graph, tree } = evidence;
  const root = row.examples.length === 0 ? NONE : tree.rootRow[row.examples[0]];
  if (root === NONE) return false;
  return graph.rootKind[root] !== RootKind.native && graph.rootKind[root] !== RootKind.interned;
}

/** Objects that come and go make the count vary by about the square root of their number, even when nothing leaks. */
function isWithinTurnover(row: GrowthRow): boolean {
  if (row.measure !== 'objects') return false;
  return row.perRound.some((round, i) => round.count < 2 * Math.sqrt(row.gone[i] ?? 0));
}

/** A round's rate in that of the round before, and of the last in that of the first, of what fills up. */
const SLOWER = 0.8;
const MUCH_SLOWER = 0.5;

/** Per round, objects a second, if they become fewer and fewer by more than chance; else undefined. */
function findSlowingRates({ evidence }: SuspectContext, row: GrowthRow): number[] | undefined {
  const counts = row.perRound.map((round) => round.count);
  if (counts.length < 3 || row.measure === 'bytes') return undefined;
  const { tracks } = evidence;
  const rates = counts.map(
    (count, i) => (count * 1000) / Math.max(1, tracks[i + 1].atMs - tracks[i].atMs),
  );
  const slows = rates.every((rate, i) => i === 0 || rate < rates[i - 1] * SLOWER);
  if (!slows || last(rates) > rates[0] * MUCH_SLOWER) return undefined;
  const [first, final] = [counts[0], last(counts)];
  return first - final > 3 * Math.sqrt(first + final) ? rates : undefined;
}
