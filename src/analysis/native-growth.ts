// What grew outside of Python objects over the captures of a hunt: turns the NativeHeap of each capture into series of
// blocks, of counted references without a pointer, of threads and of mappings, and keeps what grew in every round.
//
// Blocks that leak at one place mostly differ in size: classes of size next to each other that grow alike are one row.

import type { HeapGraph } from '../graph/heap-graph.ts';
import { typeNameOf } from '../graph/heap-graph.ts';
import type { Account, BlockGroup, NativeHeap } from '../graph/native-heap.ts';
import { type GroupTotals, sumGroups } from './native-groups.ts';

/** Of one capture: what is kept until the hunt ends. Some kB. */
export interface NativeSample {
  accounts: Record<Account, number>;
  residueBytes: number;
  rssBytes: number;
  groups: ReadonlyMap<string, GroupTotals>;
  /** By address and type: references that were counted and exist nowhere. */
  excess: ReadonlyMap<string, number>;
  threadCount: number;
  stackBytes: number;
  mappings: ReadonlyMap<string, { account: Account; count: number; bytes: number }>;
}

export interface BlockGrowth {
  /** The group of the smallest blocks, with the largest size of all. */
  group: BlockGroup;
  /** Per capture; bytes with those of `parts`. */
  blocks: number[];
  bytes: number[];
  /** Keys of the groups that these blocks are of. */
  keys: string[];
  /** Blocks that were lost with these, since only these lead to them. */
  parts: BlockGrowth[];
}

export interface ExcessGrowth {
  /** `0x7f… type` */
  key: string;
  counts: number[];
}

export interface MappingGrowth {
  name: string;
  account: Account;
  counts: number[];
  bytes: number[];
}

/** Rows grow alike if the faster one brings at most so many times the blocks of the other. */
const ALIKE = 4;
/** Classes of size up to this are exact; larger ones are powers of two. */
const EXACT_BYTES = 1024;

export function sampleNative(graph: HeapGraph, native: NativeHeap): NativeSample {
  const { facts } = native;
  const excess = new Map<string, number>();
  native.excessNode.forEach((node, row) => {
    const key = `0x${graph.address[node].toString(16)} ${typeNameOf(graph, node)}`;
    excess.set(key, native.excessCount[row]);
  });
  return {
    accounts: facts.ledger.accounts,
    residueBytes: facts.ledger.residueBytes,
    rssBytes: facts.ledger.rssBytes,
    groups: sumGroups(native),
    excess,
    threadCount: facts.threads.length,
    stackBytes: facts.ledger.accounts.threadStacks,
    mappings: new Map(facts.mappings.map((row) => [row.name, row])),
  };
}

export const growsEveryRound = (series: readonly number[]): boolean =>
  series.length > 1 && series.every((value, i) => i === 0 || value > series[i - 1]);

/** From the first capture to the last. */
export const grownBy = (series: readonly number[]): number => series[series.length - 1] - series[0];

/** Groups of blocks of one state that grew in every round, neighbours in size that grow alike as one, parts with their whole. */
export function findBlockGrowth(
  samples: readonly NativeSample[],
  state: BlockGroup['state'],
): BlockGrowth[] {
  const rows = joinUnmarked(buildBlockSeries(samples, state)).filter(
    ({ blocks }) => grownBy(blocks) > 0,
  );
  const merged: BlockGrowth[] = [];
  for (const row of rows.sort(bySignatureAndSize)) {
    const last = merged.at(-1);
    if (last !== undefined && areAlike(last, row)) mergeInto(last, row);
    else merged.push(row);
  }
  return joinParts(merged, samples[samples.length - 1].groups);
}

/** Of a row's growth in bytes, the groups that were lost with another row make up so much, if the row is a part of that. */
const PART_SHARE = 0.5;
/** Parts in parts: a list of trees of texts. */
const MAX_DEPTH = 8;

function joinParts(rows: readonly BlockGrowth[], groups: NativeSample['groups']): BlockGrowth[] {
  const rowOfKey = new Map(rows.flatMap((row) => row.keys.map((key) => [key, row] as const)));
  const growing = new Set(rows.filter(({ blocks }) => growsEveryRound(blocks)));
  const findWhole = (row: BlockGrowth): BlockGrowth | undefined => {
    const bytesOf = new Map<BlockGrowth, number>();
    let all = 0;
    for (const key of row.keys) {
      const totals = groups.get(key);
      if (totals === undefined) continue;
      all += totals.bytes;
      const whole = totals.partOf === undefined ? undefined : rowOfKey.get(totals.partOf);
      if (whole === undefined || whole === row) continue;
      bytesOf.set(whole, (bytesOf.get(whole) ?? 0) + totals.bytes);
    }
    const [most] = [...bytesOf].sort((a, b) => b[1] - a[1]);
    return most !== undefined && most[1] >= all * PART_SHARE ? most[0] : undefined;
  };
  const wholes = new Map(rows.map((row) => [row, findWhole(row)]));
  const result: BlockGrowth[] = [];
  for (const row of rows) {
    let whole = row;
    for (let i = 0; i < MAX_DEPTH; i++) whole = wholes.get(whole) ?? whole;
    if (whole === row || !growing.has(whole)) {
      if (growing.has(row)) result.push(row);
    } else whole.parts.push(row);
  }
  for (const row of result) {
    row.bytes = row.bytes.map((own, i) =>
      row.parts.reduce((sum, part) => sum + part.bytes[i], own),
    );
  }
  return result;
}

function buildBlockSeries(
  samples: readonly NativeSample[],
  state: BlockGroup['state'],
): BlockGrowth[] {
  const rows: BlockGrowth[] = [];
  // A group that is gone at the end has not grown.
  for (const [key, { group }] of samples[samples.length - 1].groups) {
    if (group.state !== state) continue;
    const totals = samples.map((sample) => sample.groups.get(key));
    rows.push({
      group: { ...group },
      blocks: totals.map((each) => each?.blocks ?? 0),
      bytes: totals.map((each) => each?.bytes ?? 0),
      keys: [key],
      parts: [],
    });
  }
  return rows;
}

/** Content that tells nothing of what a block is: what is not written to keeps what was there before. */
const UNMARKED: ReadonlySet<string> = new Set(['data', 'zeros', 'text', 'unread']);

/** Blocks of the same size without a mark of their own are one row. */
function joinUnmarked(rows: readonly BlockGrowth[]): BlockGrowth[] {
  const joined: BlockGrowth[] = [];
  const bySize = new Map<string, BlockGrowth>();
  for (const row of rows) {
    const { allocator, smallestBytes, largestBytes, heldBy, signature } = row.group;
    const key = [allocator, smallestBytes, largestBytes, heldBy].join(' ');
    const first = UNMARKED.has(signature) ? bySize.get(key) : undefined;
    if (first !== undefined) {
      mergeInto(first, row);
      first.group.signature = 'data';
    } else {
      joined.push(row);
      if (UNMARKED.has(signature)) bySize.set(key, row);
    }
  }
  return joined;
}

const kindOf = ({ group }: BlockGrowth): string =>
  `${group.allocator} ${group.signature} ${group.heldBy}`;

function bySignatureAndSize(a: BlockGrowth, b: BlockGrowth): number {
  const [kindA, kindB] = [kindOf(a), kindOf(b)];
  if (kindA !== kindB) return kindA < kindB ? -1 : 1;
  return a.group.leastBytes - b.group.leastBytes;
}

function areAlike(a: BlockGrowth, b: BlockGrowth): boolean {
  if (kindOf(a) !== kindOf(b)) return false;
  const isNext = b.group.leastBytes <= a.group.mostBytes + 16;
  const rates = [grownBy(a.blocks), grownBy(b.blocks)];
  // What a few blocks of the next class are is the rest that malloc did not split off.
  const isSmallRest = rates[1] * 20 < rates[0] && a.group.mostBytes <= EXACT_BYTES;
  return isNext && (isSmallRest || Math.max(...rates) <= ALIKE * Math.min(...rates));
}

function mergeInto(into: BlockGrowth, row: BlockGrowth): void {
  into.keys.push(...row.keys);
  into.group.mostBytes = Math.max(into.group.mostBytes, row.group.mostBytes);
  into.group.smallestBytes = Math.min(into.group.smallestBytes, row.group.smallestBytes);
  into.group.largestBytes = Math.max(into.group.largestBytes, row.group.largestBytes);
  for (let i = 0; i < into.blocks.length; i++) {
    into.blocks[i] += row.blocks[i];
    into.bytes[i] += row.bytes[i];
  }
}

/** Objects whose count without pointers grew in every round. */
export function findExcessGrowth(samples: readonly NativeSample[]): ExcessGrowth[] {
  const rows: ExcessGrowth[] = [];
  for (const key of samples[samples.length - 1].excess.keys()) {
    const counts = samples.map((sample) => sample.excess.get(key) ?? 0);
    if (growsEveryRound(counts)) rows.push({ key, counts });
  }
  return rows.sort((a, b) => grownBy(b.counts) - grownBy(a.counts));
}

/** Mappings of one name outside of the allocators that grew in every round. */
export function findMappingGrowth(samples: readonly NativeSample[]): MappingGrowth[] {
  const rows: MappingGrowth[] = [];
  for (const [name, { account }] of samples[samples.length - 1].mappings) {
    if (account === 'threadStacks') continue;
    const totals = samples.map((sample) => sample.mappings.get(name));
    const bytes = totals.map((each) => each?.bytes ?? 0);
    if (!growsEveryRound(bytes)) continue;
    rows.push({ name, account, counts: totals.map((each) => each?.count ?? 0), bytes });
  }
  return rows.sort((a, b) => grownBy(b.bytes) - grownBy(a.bytes));
}
