// Memory that was freed and not returned: turns what the allocators hold free into the gain that each remedy would bring
// in this very process, and the objects that keep mostly free memory from being returned, with their paths.
//
// Gains are computed from resident free pages. What another allocator would hold free itself is not known: that gain is
// an upper bound, and told as one.

import { findPath, formatPath } from '../analysis/path-steps.ts';
import type { PathTree } from '../analysis/paths.ts';
import {
  formatAddress,
  formatBytes,
  formatCount,
  formatNumberOf,
  formatShare,
} from '../base/format.ts';
import { findNodeAt, type HeapGraph } from '../graph/heap-graph.ts';
import { type ArenaFacts, countFree, type NativeFacts } from '../graph/native-heap.ts';
import type { Fragmentation } from './ledger-schema.ts';

/** Of the resident set; less free memory is what every allocator keeps. */
const NOTABLE_SHARE = 0.2;
const LEAST_BYTES = 1 << 20;
/** A remedy that brings less is not worth a line. */
const LEAST_GAIN_SHARE = 0.02;

type Gain = Fragmentation['gains'][number];

/** undefined when the allocators hold little free: below a fifth of the resident set, or 1 MiB. */
export function findFragmentation(
  graph: HeapGraph,
  native: NativeFacts,
  tree: PathTree,
): Fragmentation | undefined {
  const freeBytes = countFree(native.ledger);
  if (freeBytes < LEAST_BYTES || freeBytes < native.ledger.rssBytes * NOTABLE_SHARE) {
    return undefined;
  }
  return buildFragmentation(graph, native, tree);
}

/** However much is free. */
export function buildFragmentation(
  graph: HeapGraph,
  native: NativeFacts,
  tree: PathTree,
): Fragmentation {
  const { ledger } = native;
  const freeBytes = countFree(ledger);
  const { accounts } = ledger;
  const least = ledger.rssBytes * LEAST_GAIN_SHARE;
  return {
    freeBytes,
    share: Math.min(1, freeBytes / ledger.rssBytes),
    trimBytes: accounts.mallocTrimmable,
    pymallocFreeBytes: accounts.pymallocFreeBlocks + accounts.pymallocFreePools,
    pins: native.pins.map(({ allocator, type, count, bytes, exampleAddress }) => {
      const node = findNodeAt(graph, exampleAddress);
      const path = node === undefined ? undefined : findPath(graph, tree, node);
      return {
        allocator,
        type,
        count,
        bytes,
        example: exampleAddress === 0 ? null : formatAddress(exampleAddress),
        path: path === undefined ? null : formatPath(path),
      };
    }),
    gains: listGains(native).filter(({ bytes }) => bytes >= least),
  };
}

/** The remedies of this process, each with what it would bring; the largest first. */
function listGains({ ledger, arenas }: NativeFacts): Gain[] {
  const { accounts } = ledger;
  const malloc = arenas.filter(({ allocator }) => allocator === 'malloc');
  const main = malloc.find(({ name }) => name === 'main');
  const threads = malloc.filter(({ name }) => name.startsWith('thread'));
  const freeOf = (arena: ArenaFacts) => arena.trimmableBytes + arena.stuckBytes + arena.topBytes;
  const inThreads = threads.reduce((sum, arena) => sum + freeOf(arena), 0);
  const gains: Gain[] = [
    {
      measure: "ctypes.CDLL('libc.so.6').malloc_trim(0)",
      bytes: accounts.mallocTrimmable,
      text: `malloc_trim(0), called now and then by the program, returns ${formatBytes(accounts.mallocTrimmable)} at once`,
    },
  ];
  if (main !== undefined && main.trimmableTopBytes > 0) {
    gains.push({
      measure: 'MALLOC_TRIM_THRESHOLD_=131072',
      bytes: main.trimmableTopBytes,
      text: `a fixed trim threshold returns the free end of the heap by itself: ${formatBytes(main.trimmableTopBytes)}`,
    });
  }
  if (threads.length > 0) {
    gains.push({
      measure: 'MALLOC_ARENA_MAX=2',
      bytes: inThreads,
      text: `${formatNumberOf(threads.length, 'arena')} of threads hold ${formatBytes(inThreads)} free; with fewer arenas threads share it (at most that much)`,
    });
  }
  const sparse = arenas.find(({ name }) => name === 'sparse');
  if (sparse !== undefined) {
    gains.push({
      measure: 'free the survivors, or make them anew while little else is alive',
      bytes: sparse.stuckBytes,
      text: `${formatNumberOf(sparse.count, 'arena')} of pymalloc are mostly free; pymalloc returns whole arenas only: ${formatBytes(sparse.stuckBytes)}`,
    });
  }
  const elsewhere = accounts.mallocStuck + accounts.mallocTop;
  gains.push({
    measure: 'LD_PRELOAD=libjemalloc.so.2',
    bytes: elsewhere,
    text: `another allocator returns pages sooner: at most ${formatBytes(elsewhere)}, which malloc_trim cannot return`,
  });
  return gains.sort((a, b) => b.bytes - a.bytes);
}

/** For a hunt's list of what was also seen; `grownBytes` of the free memory came during the hunt. */
export function describeFragmentation(
  found: Fragmentation,
  grownBytes: number,
): { kind: 'fragmentation'; bytes: number; text: string } {
  const [best] = found.gains;
  const [pin] = found.pins;
  const grown = grownBytes > 0 ? `, ${formatBytes(grownBytes)} of it since the first capture` : '';
  const share = `${formatShare(found.share)} of the resident set is free memory that allocators hold${grown}`;
  const gain = best === undefined ? '' : `; ${best.text} (${best.measure})`;
  const pinned =
    pin === undefined
      ? ''
      : `; survivors in mostly free memory: ${formatCount(pin.count)} x ${pin.type}${pin.path === null ? '' : `, such as ${pin.path}`}`;
  return { kind: 'fragmentation', bytes: found.freeBytes, text: share + gain + pinned };
}
