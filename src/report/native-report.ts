// The memory of C code that no Python object owns, and the references that were lost: turns a graph with its NativeHeap,
// and an earlier one, into the report of `leakscope native`, and that into text.

import {
  findExtensionModules,
  findModuleVersion,
  moduleOfLibrary,
} from '../analysis/extension-modules.ts';
import {
  type GroupTotals,
  isLost,
  keyOfGroup,
  sumGroups,
  sumLostReferences,
  sumState,
} from '../analysis/native-groups.ts';
import {
  cutEnd,
  formatAddress,
  formatBytes,
  formatCount,
  formatNumberOf,
  formatSignedBytes,
  formatSignedCount,
  quoteForShell,
  sanitizeText,
} from '../base/format.ts';
import { findNodeAt, type HeapGraph, typeNameOf } from '../graph/heap-graph.ts';
import { BlockState, type NativeHeap } from '../graph/native-heap.ts';
import type { NativeGroupLine, NativeReport } from './native-schema.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatPause,
  formatProblems,
  formatRss,
  formatTarget,
} from './report-parts.ts';
import { formatRepr } from './repr-text.ts';
import { formatHanging, formatTable, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

export interface NativeReportOptions {
  /** Groups to list. */
  limit: number;
  /** Leave out what memory holds. */
  redact: boolean;
}

/** A graph with what a capture knows of the memory outside of Python objects. */
export interface NativeCapture {
  graph: HeapGraph;
  native: NativeHeap;
}

const MAX_EXCESS = 20;
const MAX_TYPES = 20;

export function buildNativeReport(
  before: NativeCapture | undefined,
  now: NativeCapture,
  options: NativeReportOptions,
): NativeReport {
  const { graph, native } = now;
  const { facts } = native;
  const totals = sumGroups(native);
  const totalsBefore = before === undefined ? undefined : sumGroups(before.native);
  const { accounts } = facts.ledger;
  return {
    schema: 'leakscope/native@1',
    from: before === undefined ? null : buildCaptureLine(before.graph),
    capture: buildCaptureLine(graph),
    allocator: facts.allocator,
    evidence: facts.evidence,
    blocksAreKnown: facts.blocksAreKnown,
    lost: sumState(totals, BlockState.lost),
    retained: sumState(totals, BlockState.retained),
    ownedBytes: accounts.nativeOwned,
    groups: buildGroups(graph, totals, totalsBefore, options),
    lostReferences: buildLostReferences(before?.graph, graph, options),
    excess: buildExcess(before, now, options),
    modules: findExtensionModules(graph, facts).map((module) => ({
      ...module,
      version: module.version ?? null,
    })),
    corruption: facts.corruption,
    confirm: siteCommand(graph, 'valgrind'),
    target: buildTarget(graph.capture),
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

/** How to run the program under a tool that tells call sites: its own command, quoted for a shell. */
export function siteCommand({ capture }: HeapGraph, tool: 'valgrind' | 'heaptrack'): string | null {
  if (capture.command.length === 0) return null;
  const words = capture.command.map((text) => quoteForShell(sanitizeText(text)));
  return `leakscope ${tool} -- ${words.join(' ')}`;
}

function buildGroups(
  graph: HeapGraph,
  totals: ReadonlyMap<string, GroupTotals>,
  before: ReadonlyMap<string, GroupTotals> | undefined,
  { limit, redact }: NativeReportOptions,
): NativeGroupLine[] {
  const lines = [...totals.values()].map((row): NativeGroupLine => {
    const { group, blocks, bytes } = row;
    const earlier = before?.get(keyOfGroup(group));
    const library = group.library === '' ? null : group.library;
    return {
      kind: isLost(row) ? 'native-lost' : 'native-retained',
      allocator: group.allocator,
      leastBytes: group.smallestBytes,
      mostBytes: group.largestBytes,
      blocks,
      bytes,
      blocksGrowth: before === undefined ? null : blocks - (earlier?.blocks ?? 0),
      bytesGrowth: before === undefined ? null : bytes - (earlier?.bytes ?? 0),
      signature: group.signature,
      heldBy: group.heldBy === '' ? null : group.heldBy,
      lostWith: describeGroup(row.partOf === undefined ? undefined : totals.get(row.partOf)),
      library,
      libraryVersion:
        library === null ? null : (findModuleVersion(graph, moduleOfLibrary(library)) ?? null),
      example: {
        address: formatAddress(group.exampleAddress),
        hex: redact
          ? null
          : group.exampleBytes.map((byte) => byte.toString(16).padStart(2, '0')).join(''),
      },
    };
  });
  const isLostLine = (line: NativeGroupLine) => Number(line.kind === 'native-lost');
  return lines
    .sort(
      (a, b) =>
        isLostLine(b) - isLostLine(a) ||
        (b.bytesGrowth ?? 0) - (a.bytesGrowth ?? 0) ||
        b.bytes - a.bytes,
    )
    .slice(0, limit);
}

const describeGroup = (row: GroupTotals | undefined): string | null =>
  row === undefined
    ? null
    : `blocks of ${describeSizes(row.group.smallestBytes, row.group.largestBytes)} (${row.group.signature})`;

function buildLostReferences(
  before: HeapGraph | undefined,
  graph: HeapGraph,
  { redact }: NativeReportOptions,
): NativeReport['lostReferences'] {
  const earlier = before === undefined ? undefined : sumLostReferences(before);
  return [...sumLostReferences(graph)]
    .map(([type, { count, bytes, example }]) => ({
      type,
      count,
      bytes,
      countGrowth: earlier === undefined ? null : count - (earlier.get(type)?.count ?? 0),
      example: {
        address: formatAddress(graph.address[example]),
        repr: redact ? null : formatRepr(graph, example),
      },
    }))
    .sort((a, b) => (b.countGrowth ?? 0) - (a.countGrowth ?? 0) || b.bytes - a.bytes)
    .slice(0, MAX_TYPES);
}

function buildExcess(
  before: NativeCapture | undefined,
  { graph, native }: NativeCapture,
  { redact }: NativeReportOptions,
): NativeReport['excess'] {
  return [...native.excessNode]
    .map((node, row) => ({
      address: formatAddress(graph.address[node]),
      type: typeNameOf(graph, node),
      repr: redact ? null : formatRepr(graph, node),
      references: native.excessCount[row],
      growth:
        before === undefined
          ? null
          : native.excessCount[row] - excessAt(before, graph.address[node]),
    }))
    .sort((a, b) => (b.growth ?? 0) - (a.growth ?? 0) || b.references - a.references)
    .slice(0, MAX_EXCESS);
}

function excessAt({ graph, native }: NativeCapture, address: number): number {
  const node = findNodeAt(graph, address);
  const row = node === undefined ? -1 : native.excessNode.indexOf(node);
  return row < 0 ? 0 : native.excessCount[row];
}

/** `8.0 kB`, `32.8 kB to 65.5 kB`. */
export const describeSizes = (leastBytes: number, mostBytes: number): string =>
  leastBytes === mostBytes
    ? formatBytes(leastBytes)
    : `${formatBytes(leastBytes)} to ${formatBytes(mostBytes)}`;

export function formatNative(report: NativeReport, style: Style = plainStyle): string {
  const { target, capture, lost, retained } = report;
  const lines = [
    [
      ...formatTarget(target),
      formatRss(capture),
      `allocator ${report.allocator}`,
      ...formatPause(capture),
    ].join('   '),
    '',
  ];
  if (!report.blocksAreKnown) {
    const text = `The blocks of ${report.allocator} cannot be told apart from outside: only pymalloc's blocks (up to 512 bytes) and Python objects were looked at. What C code allocates is not known.`;
    lines.push(...formatHanging('', text), '');
  }
  lines.push(
    `C memory   ${formatBytes(lost.bytes)} in ${formatNumberOf(lost.blocks, 'block')} that nothing points at`,
    `           ${formatBytes(retained.bytes)} in ${formatNumberOf(retained.blocks, 'block')} that only C code holds`,
    `           ${formatBytes(report.ownedBytes)} that Python objects lead to`,
    '',
    ...formatGroups(report, style),
    ...formatLostReferences(report, style),
    ...formatExcess(report, style),
  );
  if (report.modules.length > 0) {
    const names = report.modules.map(
      ({ name, version }) =>
        sanitizeText(name) + (version === null ? '' : ` ${sanitizeText(version)}`),
    );
    lines.push(...formatHanging('extensions loaded  ', names.slice(0, 12).join(', ')), '');
  }
  if (report.corruption.length > 0) {
    lines.push(
      ...formatHanging('damage   ', report.corruption.slice(0, 3).map(sanitizeText).join('; ')),
      '',
    );
  }
  lines.push(...formatNext(report), ...formatProblems(report.problems));
  return `${lines.join('\n')}\n`;
}

function formatGroups({ groups, from }: NativeReport, style: Style): string[] {
  const rows = groups.map((group) => [
    group.kind === 'native-lost' ? 'lost' : 'held',
    formatCount(group.blocks),
    formatBytes(group.bytes),
    ...(from === null
      ? []
      : [formatSignedCount(group.blocksGrowth ?? 0), formatSignedBytes(group.bytesGrowth ?? 0)]),
    describeSizes(group.leastBytes, group.mostBytes),
    cutEnd(
      sanitizeText(
        group.signature +
          (group.libraryVersion === null ? '' : ` ${group.libraryVersion}`) +
          (group.heldBy === null ? '' : `, held by ${group.heldBy}`) +
          (group.lostWith === null ? '' : `, with ${group.lostWith}`),
      ),
      48,
    ),
    group.example.address,
  ]);
  if (rows.length === 0) return [];
  const table = formatTable(
    [
      { title: 'kind', align: 'left' },
      { title: 'blocks', align: 'right' },
      { title: 'bytes', align: 'right' },
      ...(from === null
        ? []
        : [{ title: 'grown', align: 'right' } as const, { title: 'by', align: 'right' } as const]),
      { title: 'each', align: 'left' },
      { title: 'content', align: 'left' },
      { title: 'example', align: 'left' },
    ],
    rows,
    style,
  );
  const bytes = groups.find((group) => group.kind === 'native-lost' && group.example.hex !== null);
  if (bytes === undefined) return [...table, ''];
  return [
    ...table,
    '',
    `first lost block, ${bytes.example.address}`,
    ...formatHex(bytes.example.hex ?? ''),
    '',
  ];
}

/** 16 bytes a line, with their text. */
function formatHex(hex: string): string[] {
  const bytes = hex.match(/../g) ?? [];
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.slice(at, at + 16);
    const text = part
      .map((byte) => Number.parseInt(byte, 16))
      .map((code) => (code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : '.'))
      .join('');
    lines.push(`  ${part.join(' ').padEnd(47)}  ${text}`);
  }
  return lines;
}

function formatLostReferences({ lostReferences, from }: NativeReport, style: Style): string[] {
  if (lostReferences.length === 0) return [];
  const lines = lostReferences.map(({ type, count, bytes, countGrowth, example }) => {
    const growth = from === null ? '' : ` (${formatSignedCount(countGrowth ?? 0)})`;
    const text = `  ${formatCount(count)}${growth} x ${sanitizeText(type)}, ${formatBytes(bytes)}   ${example.address} ${sanitizeText(example.repr ?? '')}`;
    return cutEnd(text, PAGE_WIDTH);
  });
  const title =
    'objects that nothing points at, though their reference count says so (a missing Py_DECREF)';
  return [style.strong(title), ...lines, ''];
}

function formatExcess({ excess, from }: NativeReport, style: Style): string[] {
  const rows =
    from === null ? excess.slice(0, 5) : excess.filter(({ growth }) => (growth ?? 0) > 0);
  if (rows.length === 0) return [];
  const lines = rows.map(({ address, type, repr, references, growth }) => {
    const grown = growth === null ? '' : ` (${formatSignedCount(growth)})`;
    return cutEnd(
      `  ${formatCount(references)}${grown}   ${address} ${sanitizeText(type)} ${sanitizeText(repr ?? '')}`,
      PAGE_WIDTH,
    );
  });
  return [style.strong('references that are counted and exist nowhere, by object'), ...lines, ''];
}

function formatNext({
  confirm,
  lost,
  lostReferences,
  from,
  target,
  capture,
}: NativeReport): string[] {
  const lines: string[] = [];
  const isRunning = capture.core === null;
  if (isRunning && from === null && (lost.bytes > 0 || lostReferences.length > 0)) {
    lines.push(`does it grow?   leakscope native ${target.pid} --every 10s`);
  }
  if (confirm !== null) lines.push(...formatHanging('call sites      ', confirm));
  return lines;
}
