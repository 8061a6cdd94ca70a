// What speaks against a leak: the bounds that keep what grew from growing for ever, and the doubts, one sentence each, that
// make a suspect `unknown` instead of `leaking`.

import { findAttribute } from '../analysis/attributes.ts';
import type { GrowthRow } from '../analysis/growth.ts';
import type { PathTree } from '../analysis/paths.ts';
import { formatBytes, formatCount, formatCountRate, formatNumberOf } from '../base/format.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { CONTAINERS } from './advice.ts';
import { computeLength } from './repr-text.ts';
import { describeGrowth, grownBytes, grownCount, last, type SuspectContext } from './suspects.ts';

/** Share of the new objects that a bounded container must hold itself. */
const MIN_DIRECT_SHARE = 0.5;
/** Of growth in many containers, the share that must be entries more. */
const MIN_ADDED_SHARE = 0.5;
/** A limit that is not reached in this time at the measured rate is none to who watches. */
const LONGEST_FILL_SECONDS = 24 * 3600;

/** What keeps the holder from growing for ever, as words; undefined if nothing does. */
export function findBound(context: SuspectContext, row: GrowthRow): string | undefined {
  const { graph, tree } = context.evidence;
  const holder = row.holder?.node ?? (row.measure === 'entries' ? row.examples[0] : undefined);
  // What hangs elsewhere is not bounded by it.
  if (holder === undefined || (row.holder?.directShare ?? 1) < MIN_DIRECT_SHARE) return undefined;
  const library = LIBRARY_BOUNDS.find(({ holds }) => row.text.startsWith(`${holds}[`));
  if (library !== undefined) return `Python keeps ${formatCount(library.most)} at most`;
  const sweep = SWEEPS.find((each) => isSweptBy(each, graph, tree, row, holder));
  if (sweep !== undefined) return sweep.text;
  const limit = boundOf(graph, holder) ?? findLimitOfOwner(graph, tree, holder);
  if (limit === undefined) return findFixedLength(graph, row);
  const length = computeLength(graph, holder) ?? 0;
  const perSecond = (grownCount(row) * 1000) / context.elapsedMs;
  if (limit.value < length || (limit.value - length) / perSecond > LONGEST_FILL_SECONDS)
    return undefined;
  return `its ${limit.name} is ${formatCount(limit.value)}`;
}

/** Caches of the standard library whose limits are in their code. */
const LIBRARY_BOUNDS = [
  { holds: 're._cache', most: 512 },
  { holds: 're._cache2', most: 256 },
  { holds: '_strptime._regex_cache', most: 5 },
  { holds: 'urllib.parse._parse_cache', most: 20 },
  { holds: 'xml.etree.ElementPath._cache', most: 100 },
] as const;

/** Lists that the standard library sweeps only now and then: they fill with what is no longer needed until it does. */
interface Sweep {
  /** Type of the entries, and of the object that the list is of, if it is not told by its entries. */
  entries: string;
  owner?: string;
  /** Entries when it is swept. */
  at: number;
  text: string;
}

const SWEEPS: readonly Sweep[] = [
  {
    // asyncio.base_events._MIN_SCHEDULED_TIMER_HANDLES; at least half of the timers must be cancelled.
    entries: 'asyncio.events.TimerHandle',
    at: 100,
    text: 'asyncio drops cancelled timers when there are more than 100',
  },
  {
    // Modules/_sqlite/connection.c, drop_unused_cursor_references.
    entries: 'weakref.ReferenceType',
    owner: 'sqlite3.Connection',
    at: 200,
    text: 'sqlite3 drops those of cursors that are gone each time it has made 200',
  },
  {
    // pandas/_libs/internals.pyx, BlockValuesRefs._clear_dead_references.
    entries: 'weakref.ReferenceType',
    owner: 'pandas._libs.internals.BlockValuesRefs',
    at: 500,
    text: 'pandas drops those of blocks that are gone when there are more than 500',
  },
];

/** Whether the list is short enough to be mostly what waits for the next sweep. */
const isSweptBy = (
  { entries, owner, at }: Sweep,
  graph: HeapGraph,
  tree: PathTree,
  row: GrowthRow,
  holder: NodeIndex,
): boolean =>
  row.typeName === entries &&
  (owner === undefined || ownerType(graph, tree, holder) === owner) &&
  (computeLength(graph, holder) ?? 0) <= 2 * at;

const ownerType = (graph: HeapGraph, tree: PathTree, node: NodeIndex): string | undefined => {
  const owner = tree.parentNode[node];
  return owner === NONE ? undefined : typeNameOf(graph, owner);
};

interface Limit {
  name: string;
  value: number;
}

/** Containers whose preview tells their limit; the entries of an lru_cache are in a dict of its own. */
function boundOf(graph: HeapGraph, node: NodeIndex): Limit | undefined {
  const type = typeNameOf(graph, node);
  if (type !== 'collections.deque' && type !== 'functools._lru_cache_wrapper') return undefined;
  const match = /\b(maxlen|maxsize)=(\d+)/.exec(findPreview(graph, node) ?? '');
  return match === null ? undefined : { name: match[1], value: Number(match[2]) };
}

const LIMIT_NAME = /(^|_)(max_?(size|len|length|entries|items)|capacity)$/i;

/** Of a container that is an attribute of an object: a limit that the object has as another attribute. */
function findLimitOfOwner(graph: HeapGraph, tree: PathTree, holder: NodeIndex): Limit | undefined {
  let owner = tree.parentNode[holder];
  if (owner === NONE) return undefined;
  const bound = boundOf(graph, owner);
  if (bound !== undefined) return bound;
  const arrival = tree.parentEdge[owner];
  if (arrival !== NONE && graph.edgeKind[arrival] === EdgeKind.instanceDict)
    owner = tree.parentNode[owner];
  const found = findAttribute(
    graph,
    owner,
    (name, value) => LIMIT_NAME.test(name) && /^\d+$/.test(findPreview(graph, value) ?? ''),
  );
  if (found === undefined) return undefined;
  // `_Cache__maxsize` is `__maxsize` in a class.
  const name = found.name.replace(/^_(\w*?__)?/, '');
  return { name, value: Number(findPreview(graph, found.value)) };
}

/**
 * Each object that stays in a container adds an entry. Where entries do not grow, the new objects only take the place of
 * others that were shared (None, small ints).
 */
function findFixedLength(
  graph: HeapGraph,
  { holder, holderEntries, measure, count }: GrowthRow,
): string | undefined {
  if (holder === undefined || holder.isChain || measure !== 'objects') return undefined;
  if (!CONTAINERS.test(typeNameOf(graph, holder.node))) return undefined;
  const added = last(holderEntries) - holderEntries[0];
  const grown = last(count) - count[0];
  // Of many containers some come and go.
  const isFixed = holder.holderCount > 1 ? added < grown * MIN_ADDED_SHARE : added <= 0;
  if (!isFixed) return undefined;
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
