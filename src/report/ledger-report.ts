// Where the resident set of a process is: turns a graph with its NativeHeap into the report of `leakscope ledger`, and
// that into text.

import { findGarbage } from '../analysis/garbage.ts';
import { computePathTree } from '../analysis/paths.ts';
import { hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import {
  cutEnd,
  cutMiddle,
  formatBytes,
  formatCount,
  formatNumberOf,
  formatShare,
  sanitizeText,
} from '../base/format.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { ACCOUNTS, type Account, type NativeHeap } from '../graph/native-heap.ts';
import { findFragmentation } from './fragmentation.ts';
import type { Fragmentation, LedgerReport } from './ledger-schema.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatPause,
  formatProblems,
  formatRss,
  formatTarget,
} from './report-parts.ts';
import { formatHanging, formatTable, plainStyle, type Style } from './text-layout.ts';

const MAX_TYPES = 20;
const MAX_MAPPINGS = 40;
/** What is printed without --verbose. */
const TYPES_SHOWN = 5;
const PINS_SHOWN = 4;

/** How the accounts are called in texts. */
export const ACCOUNT_TEXTS: Record<Account, string> = {
  pythonObjects: 'Python objects',
  pythonBuffers: 'their buffers (items, tables, data)',
  unreachableObjects: 'unreachable Python objects',
  nativeOwned: 'C memory that Python objects own',
  nativeReachable: 'C memory that only C code holds',
  nativeUnreachable: 'C memory that nothing points at',
  pymallocFreeBlocks: 'free blocks in pymalloc',
  pymallocFreePools: 'free pools of pymalloc',
  pymallocOverhead: 'pymalloc itself',
  mallocTop: 'free at the end of malloc heaps',
  mallocTrimmable: 'free in malloc, trimmable',
  mallocStuck: 'free in malloc, in shared pages',
  mallocOverhead: 'malloc itself',
  threadStacks: 'stacks of threads',
  fileBacked: 'files (code, libraries, data)',
  shared: 'shared memory',
  otherAnonymous: 'other anonymous memory',
};

/** O(nodes + edges). `native` is that of the graph. */
export function buildLedgerReport(graph: HeapGraph, native: NativeHeap): LedgerReport {
  const { facts } = native;
  const { ledger } = facts;
  const tree = computePathTree(graph);
  return {
    schema: 'leakscope/ledger@1',
    capture: buildCaptureLine(graph),
    rssBytes: ledger.rssBytes,
    pssBytes: ledger.pssBytes ?? null,
    accounts: ledger.accounts,
    residueBytes: ledger.residueBytes,
    remainders: ledger.remainders,
    types: sumTypes(graph, findGarbage(graph, tree).nodes),
    allocator: facts.allocator,
    arenas: facts.arenas,
    threads: facts.threads,
    mappings: facts.mappings.slice(0, MAX_MAPPINGS),
    fragmentation: findFragmentation(graph, facts, tree) ?? null,
    checks: ledger.checks,
    corruption: facts.corruption,
    target: buildTarget(graph.capture),
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

/** Types of live objects by what they take, with their buffers. */
function sumTypes(graph: HeapGraph, garbage: Uint32Array): LedgerReport['types'] {
  const isGarbage = makeBitSet(graph.nodeCount);
  for (const node of garbage) setBit(isGarbage, node);
  const counts = new Uint32Array(graph.types.length);
  const bytes = new Float64Array(graph.types.length);
  for (let node = 0; node < graph.nodeCount; node++) {
    if (hasBit(isGarbage, node)) continue;
    counts[graph.typeId[node]]++;
    bytes[graph.typeId[node]] += graph.allocatedSize[node];
  }
  const byName = new Map<string, { type: string; count: number; bytes: number }>();
  for (const [typeId, { name }] of graph.types.entries()) {
    if (counts[typeId] === 0) continue;
    const row = byName.get(name) ?? { type: name, count: 0, bytes: 0 };
    row.count += counts[typeId];
    row.bytes += bytes[typeId];
    byName.set(name, row);
  }
  return [...byName.values()].sort((a, b) => b.bytes - a.bytes).slice(0, MAX_TYPES);
}

/** `verbose`: also the arenas, mappings and the allocators' own counters. */
export function formatLedger(report: LedgerReport, verbose = false, style = plainStyle): string {
  const { target, pssBytes } = report;
  const lines = [
    [
      ...formatTarget(target),
      formatRss(report.capture),
      ...(pssBytes === null ? [] : [`PSS ${formatBytes(pssBytes)}`]),
      ...formatPause(report.capture),
    ].join('   '),
    '',
    ...formatAccounts(report, style),
    '',
    ...formatThings(report),
    ...formatCorruption(report),
  ];
  if (report.fragmentation !== null) {
    lines.push(
      '',
      ...formatFragmentation(
        report.fragmentation,
        report.capture.core === null ? ' of RSS' : '',
        style,
      ),
    );
  }
  if (verbose) lines.push('', ...formatDetails(report, style));
  lines.push(...formatProblems(report.problems));
  return `${lines.join('\n')}\n`;
}

function formatAccounts(report: LedgerReport, style: Style): string[] {
  const { accounts, rssBytes, residueBytes } = report;
  const rows = ACCOUNTS.filter((name) => Math.abs(accounts[name] ?? 0) >= 4096)
    .map((name) => ({ name, bytes: accounts[name] ?? 0 }))
    .map(({ name, bytes }) => [
      formatBytes(bytes),
      formatShare(bytes / rssBytes),
      ACCOUNT_TEXTS[name] + (report.remainders.includes(name) ? ' (remainder)' : ''),
    ]);
  rows.push([formatBytes(residueBytes), formatShare(residueBytes / rssBytes), 'unexplained']);
  return formatTable(
    [
      { title: report.capture.core === null ? 'resident' : 'in the core', align: 'right' },
      { title: report.capture.core === null ? 'of RSS' : 'share', align: 'right' },
      { title: 'account', align: 'left' },
    ],
    rows,
    style,
  );
}

function formatThings({ types, threads, allocator }: LedgerReport): string[] {
  const largest = types
    .slice(0, TYPES_SHOWN)
    .map((row) => `${sanitizeText(row.type)} ${formatBytes(row.bytes)}`);
  const lines = formatHanging('types      ', largest.join(', '));
  lines.push(`threads    ${formatCount(threads.length)}`);
  if (allocator === 'glibc') return lines;
  const text = `${allocator}: its blocks cannot be told apart; they are in "other anonymous memory"`;
  return [...lines, ...formatHanging('allocator  ', text)];
}

function formatCorruption({ corruption }: LedgerReport): string[] {
  if (corruption.length === 0) return [];
  const text = `${corruption.slice(0, 3).map(sanitizeText).join('; ')}: the program wrote over malloc's structures, or malloc was at work`;
  return formatHanging('damage     ', text);
}

/** What is held free, what would return it, and what does not; `ofWhat` says what the share is of: ` of RSS`. */
function formatFragmentation(found: Fragmentation, ofWhat: string, style: Style): string[] {
  const lines = [
    style.strong(
      `${formatBytes(found.freeBytes)} (${formatShare(found.share)}${ofWhat}) is free memory that allocators hold`,
    ),
  ];
  for (const gain of found.gains) {
    lines.push(...formatHanging('  gain     ', `${gain.text}`), `           ${gain.measure}`);
  }
  for (const pin of found.pins.slice(0, PINS_SHOWN)) {
    const what = `${formatCount(pin.count)} x ${sanitizeText(pin.type)}, ${formatBytes(pin.bytes)}, in mostly free memory of ${pin.allocator}`;
    const where = pin.path === null ? '' : `: ${cutEnd(sanitizeText(pin.path), 120)}`;
    lines.push(...formatHanging('  pinned   ', what + where));
  }
  return lines;
}

function formatDetails(report: LedgerReport, style: Style): string[] {
  const arenas = formatTable(
    [
      { title: 'allocator', align: 'left' },
      { title: 'arena', align: 'left' },
      { title: 'count', align: 'right' },
      { title: 'resident', align: 'right' },
      { title: 'used', align: 'right' },
      { title: 'trimmable', align: 'right' },
      { title: 'stuck', align: 'right' },
      { title: 'top', align: 'right' },
    ],
    report.arenas.map((arena) => [
      arena.allocator,
      arena.name,
      formatCount(arena.count),
      formatBytes(arena.residentBytes),
      formatBytes(arena.usedBytes),
      formatBytes(arena.trimmableBytes),
      formatBytes(arena.stuckBytes),
      formatBytes(arena.topBytes),
    ]),
    style,
  );
  const mappings = formatTable(
    [
      { title: 'resident', align: 'right' },
      { title: 'mappings', align: 'right' },
      { title: 'account', align: 'left' },
      { title: 'of', align: 'left' },
    ],
    report.mappings.map((row) => [
      formatBytes(row.bytes),
      formatCount(row.count),
      row.account,
      cutMiddle(sanitizeText(row.name), 60),
    ]),
    style,
  );
  const checks = report.checks.map(
    ({ name, expected, found }) =>
      `${expected === found ? 'ok       ' : 'DIFFERS  '}${name}: ${formatCount(expected)}${expected === found ? '' : `, found ${formatCount(found)}`}`,
  );
  const stacks = report.threads.map(
    ({ stackBytes, name, tid }) =>
      `${formatBytes(stackBytes)} ${sanitizeText(name || `thread ${tid}`)}`,
  );
  return [
    ...arenas,
    '',
    ...mappings,
    '',
    ...formatHanging(`${formatNumberOf(report.threads.length, 'stack')}: `, stacks.join(', ')),
    '',
    'checks',
    ...checks,
  ];
}
