// What grew outside of Python objects as suspects: lost and retained blocks of C code, references that were counted and
// exist nowhere, threads, mappings. A suspect grew in every round; it is `leaking` when that cannot be chance.

import {
  type ExtensionModule,
  findExtensionModules,
  findModuleVersion,
  moduleOfLibrary,
} from '../analysis/extension-modules.ts';
import {
  type BlockGrowth,
  findBlockGrowth,
  findExcessGrowth,
  findMappingGrowth,
  grownBy,
  growsEveryRound,
  type NativeSample,
} from '../analysis/native-growth.ts';
import { formatAddress, formatBytes, formatNumberOf } from '../base/format.ts';
import { HASH_START, hashText } from '../base/hash.ts';
import { findNodeAt, type HeapGraph } from '../graph/heap-graph.ts';
import { BlockState, type NativeFacts } from '../graph/native-heap.ts';
import { describeSizes, siteCommand } from './native-report.ts';
import { formatRepr } from './repr-text.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import type { HeldByLost } from './suspects.ts';

export interface NativeContext {
  samples: readonly NativeSample[];
  /** Of the last capture. */
  graph: HeapGraph;
  facts: NativeFacts;
  elapsedMs: number;
  enoughRounds: boolean;
  /** What the process gained, in bytes: the whole that shares are of. */
  growthBytes: number;
  /** Python objects that grew and that only lost blocks hold. */
  heldByLost: readonly HeldByLost[];
}

type Findings = HuntReport['findings'];

const HOUR_MS = 3_600_000;
/** Less than this is told by none. */
const LEAST_LOST_BYTES = 1024;
const LEAST_LOST_PER_ROUND = 2;
const LEAST_RETAINED_BYTES = 128 << 10;
const LEAST_MAPPING_BYTES = 1 << 20;
const LEAST_REFERENCES = 32;
const LEAST_REFERENCES_PER_ROUND = 4;
const EXAMPLE_BYTES = 16;

/** `held`: those of `heldByLost` that are a part of a suspect. */
export function buildNativeSuspects(context: NativeContext): {
  suspects: Suspect[];
  findings: Findings;
  held: HeldByLost[];
} {
  const lost = lostSuspects(context);
  const mappings = mappingSuspects(context);
  const suspects = [
    ...lost.suspects,
    ...excessSuspects(context),
    ...threadSuspects(context),
    ...mappings.suspects,
  ];
  const { suspects: retained, findings } = retainedSuspects(context);
  findings.push(...mappings.findings);
  return { suspects: [...suspects, ...retained], findings, held: lost.held };
}

/** What all native suspects have in common; the rest is given. */
function makeSuspect(
  context: NativeContext,
  given: Pick<Suspect, 'kind' | 'type' | 'shape' | 'advice' | 'measure'> &
    Partial<Suspect> & { counts: readonly number[]; sizes: readonly number[] },
): Suspect {
  const { counts, sizes, ...rest } = given;
  const { elapsedMs, enoughRounds, growthBytes } = context;
  const count = grownBy(counts);
  const bytes = grownBy(sizes);
  const reasons = enoughRounds
    ? []
    : [`${formatNumberOf(counts.length - 1, 'round')}; three are needed`];
  return {
    verdict: enoughRounds ? 'leaking' : 'unknown',
    fingerprint: hashText(`${given.kind} ${given.shape}`, HASH_START).toString(16).padStart(8, '0'),
    count,
    bytes,
    bytesPerHour: (bytes * HOUR_MS) / elapsedMs,
    countPerSecond: (count * 1000) / elapsedMs,
    explains: growthBytes <= 0 ? 0 : Math.max(0, Math.min(1, bytes / growthBytes)),
    perRound: counts
      .slice(1)
      .map((value, i) => ({ count: value - counts[i], bytes: sizes[i + 1] - sizes[i] })),
    path: [],
    steps: [],
    holder: null,
    holderType: null,
    holderLength: null,
    contents: [],
    alsoHeldBy: null,
    namedIn: [],
    waitsAt: null,
    hints: [],
    allocatedAt: null,
    example: null,
    reasons,
    ...rest,
  };
}

// ---- blocks

function lostSuspects(context: NativeContext): { suspects: Suspect[]; held: HeldByLost[] } {
  const suspects: Suspect[] = [];
  const allHeld: HeldByLost[] = [];
  for (const row of findBlockGrowth(context.samples, BlockState.lost)) {
    const withParts = [row, ...row.parts];
    const isEnough = row.blocks.every(
      (_, i) => i === 0 || grownInRound(withParts, i) >= LEAST_LOST_PER_ROUND,
    );
    if (!isEnough || grownBy(row.bytes) < LEAST_LOST_BYTES) continue;
    const keys = new Set(withParts.flatMap((each) => each.keys));
    const held = context.heldByLost.filter(({ holder }) => keys.has(holder));
    allHeld.push(...held);
    suspects.push(
      makeSuspect(context, {
        ...describeBlocks(row),
        kind: 'native-lost',
        measure: 'blocks',
        counts: row.blocks,
        sizes: row.bytes.map((bytes, i) =>
          held.reduce((sum, each) => sum + each.row.bytes[i], bytes),
        ),
        contents: [...row.parts.map(describePart), ...held.flatMap(describeHeld)].sort(
          (a, b) => b.bytes - a.bytes,
        ),
        advice: adviseOnLost(context, row),
      }),
    );
  }
  return { suspects, held: allHeld };
}

const grownInRound = (rows: readonly BlockGrowth[], capture: number): number =>
  rows.reduce((sum, { blocks }) => sum + blocks[capture] - blocks[capture - 1], 0);

const describePart = (part: BlockGrowth): Suspect['contents'][number] => ({
  type: describeBlocks(part).type,
  count: grownBy(part.blocks),
  bytes: grownBy(part.bytes),
});

const describeHeld = ({ row }: HeldByLost): Suspect['contents'] =>
  row.contents.map(({ typeName, count, bytes }) => ({ type: typeName, count, bytes }));

/** `native-retained` grows at the end as at the start; what grows ever slower fills something up. */
function retainedSuspects(context: NativeContext): { suspects: Suspect[]; findings: Findings } {
  const suspects: Suspect[] = [];
  const findings: Findings = [];
  for (const row of findBlockGrowth(context.samples, BlockState.retained)) {
    const bytes = grownBy(row.bytes);
    if (bytes < LEAST_RETAINED_BYTES) continue;
    const described = describeBlocks(row);
    const rounds = row.bytes.slice(1).map((value, i) => value - row.bytes[i]);
    if (rounds[rounds.length - 1] * 2 < rounds[0]) {
      const text = `${described.type}, held by ${row.group.heldBy}: each round brings less`;
      findings.push({ kind: 'warm-up', bytes, text });
      continue;
    }
    suspects.push(
      makeSuspect(context, {
        ...described,
        kind: 'native-retained',
        measure: 'blocks',
        counts: row.blocks,
        sizes: row.bytes,
        holder: row.group.heldBy,
        advice: adviseOnRetainedBlocks(context, row),
      }),
    );
  }
  return { suspects, findings };
}

function describeBlocks({ group }: BlockGrowth): Pick<Suspect, 'type' | 'shape' | 'example'> {
  const bytes = group.exampleBytes
    .slice(0, EXAMPLE_BYTES)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join(' ');
  const sizes = describeSizes(group.smallestBytes, group.largestBytes);
  // The classes of size are the same in another run; the sizes that came up need not be.
  const sizeClass = `${group.leastBytes}-${group.mostBytes}`;
  return {
    type: `blocks of ${sizes} (${group.signature})`,
    shape: `${group.allocator} ${sizeClass} ${group.signature} ${group.heldBy}`.trim(),
    example: { address: formatAddress(group.exampleAddress), repr: bytes },
  };
}

function adviseOnLost(context: NativeContext, { group }: BlockGrowth): string {
  const library = nameLibrary(context.graph, group.library);
  const where =
    library === undefined
      ? `Nothing points at these blocks: C code ${listModules(context)}allocates and forgets them.`
      : `Nothing points at these blocks; their content leads to ${library}, which allocates and forgets them.`;
  return `${where} ${howToFindSite(context, 'valgrind')}`;
}

function adviseOnRetainedBlocks(context: NativeContext, { group }: BlockGrowth): string {
  const library = nameLibrary(context.graph, group.library);
  const content = library === undefined ? '' : ` Their content leads to ${library}.`;
  return `C code keeps these blocks: ${group.heldBy} leads to them, and no Python object does.${content} A cache or list of that library grows; look for a way to clear or bound it. ${howToFindSite(context, 'heaptrack')}`;
}

function nameLibrary(graph: HeapGraph, path: string): string | undefined {
  if (path === '') return undefined;
  const version = findModuleVersion(graph, moduleOfLibrary(path));
  const name = path.slice(path.lastIndexOf('/') + 1);
  return version === undefined ? name : `${name} (${moduleOfLibrary(path)} ${version})`;
}

/** `of one of cleak, numpy 1.26.4 `, empty where no extension of others is loaded. */
function listModules({ graph, facts }: NativeContext): string {
  const modules = findExtensionModules(graph, facts);
  if (modules.length === 0) return '';
  const text = (module: ExtensionModule) =>
    module.version === undefined ? module.name : `${module.name} ${module.version}`;
  const names = modules.slice(0, 6).map(text).join(', ');
  return `${modules.length === 1 ? 'of' : 'of one of'} ${names}${modules.length > 6 ? ' and others' : ''} `;
}

/** valgrind tells what was lost; what is still held, only heaptrack does. */
function howToFindSite({ graph }: NativeContext, tool: 'valgrind' | 'heaptrack'): string {
  const command = siteCommand(graph, tool);
  return command === null ? '' : `The line that allocates them: ${command}`;
}

// ---- references

function excessSuspects(context: NativeContext): Suspect[] {
  return findExcessGrowth(context.samples)
    .filter(
      ({ counts }) =>
        grownBy(counts) >= LEAST_REFERENCES &&
        counts.every((value, i) => i === 0 || value - counts[i - 1] >= LEAST_REFERENCES_PER_ROUND),
    )
    .map(({ key, counts }) => {
      const at = key.indexOf(' ');
      const address = key.slice(0, at);
      const type = key.slice(at + 1);
      const node = findNodeAt(context.graph, Number(address));
      return makeSuspect(context, {
        kind: 'refcount',
        measure: 'references',
        type,
        shape: `references to one ${type}`,
        counts,
        sizes: counts.map(() => 0),
        example: {
          address,
          repr: node === undefined ? '' : formatRepr(context.graph, node),
        },
        advice: `The reference count of this one object grows, and no pointer to it comes with it: C code ${listModules(context)}takes references (Py_INCREF) and does not give them back. The object will never be freed.`,
      });
    });
}

// ---- threads and mappings

function threadSuspects(context: NativeContext): Suspect[] {
  const counts = context.samples.map((sample) => sample.threadCount);
  if (!growsEveryRound(counts)) return [];
  const sizes = context.samples.map((sample) => sample.stackBytes);
  return [
    makeSuspect(context, {
      kind: 'threads',
      measure: 'threads',
      type: 'thread',
      shape: 'threads of the process',
      counts,
      sizes,
      advice:
        'Threads are started and never end. See what they wait for: leakscope show and path on their threading.Thread objects; end them, or use a pool.',
    }),
  ];
}

const MAPPING_TYPES: Record<string, string> = {
  '[anonymous]': 'anonymous mapping',
  '/dev/zero': 'anonymous shared memory',
};

function mappingSuspects(context: NativeContext): { suspects: Suspect[]; findings: Findings } {
  const suspects: Suspect[] = [];
  const findings: Findings = [];
  for (const { name, account, counts, bytes } of findMappingGrowth(context.samples)) {
    const grown = grownBy(bytes);
    if (grown < LEAST_MAPPING_BYTES) continue;
    const isMappedAgain = growsEveryRound(counts);
    // More of a file's pages in memory is no leak: the file bounds them, and the kernel drops them when it needs room.
    if (account === 'fileBacked' && !isMappedAgain) {
      const text = `more of ${name} was read: pages of files, which the kernel drops when it needs room`;
      findings.push({ kind: 'file-pages', bytes: grown, text });
      continue;
    }
    suspects.push(
      makeSuspect(context, {
        kind: 'mappings',
        measure: isMappedAgain ? 'mappings' : 'bytes',
        type: MAPPING_TYPES[name] ?? name,
        shape: `mappings of ${name}`,
        counts,
        sizes: bytes,
        advice: adviseOnMappings(name, account, context),
      }),
    );
  }
  return { suspects, findings };
}

function adviseOnMappings(name: string, account: string, { facts }: NativeContext): string {
  if (account === 'shared') {
    const what = name === '/dev/zero' ? 'anonymous (mmap, multiprocessing)' : name;
    return `Shared memory grows: ${what}. Close and unlink what is no longer used (multiprocessing.shared_memory, mmap).`;
  }
  if (account === 'fileBacked') {
    return `More and more of ${name} is mapped and resident. Pages of files can be dropped by the kernel; if it is mapped again and again, close the maps.`;
  }
  const how =
    facts.allocator === 'glibc'
      ? 'C code maps memory by itself (mmap) and does not give it back.'
      : `It belongs to ${facts.allocator} or to C code that maps memory by itself; leakscope cannot tell its blocks apart.`;
  return `${how} ${formatBytes(facts.ledger.accounts.otherAnonymous)} in all are anonymous memory of no known owner.`;
}
