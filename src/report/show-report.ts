// `show`: one object of a capture: what it is, its sizes, what it refers to, who refers to it, and the path that keeps it.

import { findAllocationSite } from '../analysis/allocation-sites.ts';
import type { HeapPath } from '../analysis/path-steps.ts';
import {
  cutEnd,
  formatAddress,
  formatBytes,
  formatCount,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import {
  EdgeKind,
  type HeapGraph,
  NONE,
  NodeFlag,
  type NodeIndex,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { findEdgeSource, type ReverseEdges } from '../graph/reverse-edges.ts';
import { formatReference, formatSteps, writePath } from './path-text.ts';
import {
  buildCaptureLine,
  buildFrames,
  buildProblems,
  buildTarget,
  formatAllocatedAt,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import { computeLength, formatRepr } from './repr-text.ts';
import type { ReferenceLine, ShowReport } from './schemas.ts';
import { formatHanging, formatTable, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

export interface ShowOptions {
  reverse: ReverseEdges;
  /** Per node, bytes; undefined if dominators were not computed. */
  retainedSize: Float64Array | undefined;
  /** The best path from a root; undefined if none reaches it. */
  path: HeapPath | undefined;
  /** References to list in each direction. */
  limit: number;
}

export function buildShowReport(
  graph: HeapGraph,
  node: NodeIndex,
  options: ShowOptions,
): ShowReport {
  const { reverse, retainedSize, limit } = options;
  const { firstRetainer } = reverse;
  const refersTo = listReferences(graph, node, limit);
  return {
    schema: 'leakscope/show@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    object: {
      address: formatAddress(graph.address[node]),
      type: typeNameOf(graph, node),
      repr: formatRepr(graph, node, 400),
      length: computeLength(graph, node),
      shallowBytes: graph.shallowSize[node],
      allocatedBytes: graph.allocatedSize[node],
      retainedBytes: retainedSize === undefined ? null : retainedSize[node],
      referenceCount: graph.referenceCount[node] === NONE ? null : graph.referenceCount[node],
      allocatedAt: buildFrames(findAllocationSite(graph, node)),
      flags: listFlags(graph.nodeFlags[node]),
    },
    path: options.path === undefined ? null : writePath(graph, options.path, { retainedSize }),
    refersTo: refersTo.lines,
    refersToTotal: refersTo.total,
    referredBy: listReferrers(graph, node, reverse, limit),
    referredByTotal: firstRetainer[node + 1] - firstRetainer[node],
    weaklyReferredByTotal: countCells(graph.weakTarget, node),
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

const listFlags = (bits: number): string[] =>
  Object.entries(NodeFlag)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name);

/** What an object refers to; the entries of its instance dict count as its own, the dict itself does not. */
function listReferences(graph: HeapGraph, node: NodeIndex, limit: number) {
  const lines: ReferenceLine[] = [];
  let total = 0;
  const visit = (source: NodeIndex, isAttributes: boolean): void => {
    for (let edge = graph.firstEdge[source]; edge < graph.firstEdge[source + 1]; edge++) {
      const kind = graph.edgeKind[edge];
      const target = graph.edgeTarget[edge];
      if (kind === EdgeKind.instanceDict && !isAttributes) visit(target, true);
      else if (kind === EdgeKind.dictKey && isAttributes) continue;
      else if (total++ < limit) {
        lines.push(buildReference(graph, target, formatReference(graph, edge, isAttributes)));
      }
    }
  };
  visit(node, false);
  return { lines, total };
}

function listReferrers(
  graph: HeapGraph,
  node: NodeIndex,
  reverse: ReverseEdges,
  limit: number,
): ReferenceLine[] {
  const lines: ReferenceLine[] = [];
  const end = reverse.firstRetainer[node + 1];
  for (let i = reverse.firstRetainer[node]; i < end && lines.length < limit; i++) {
    const edge = reverse.retainerEdge[i];
    const source = findEdgeSource(graph, edge);
    lines.push(
      buildReference(
        graph,
        source,
        formatReference(graph, edge, isInstanceDict(graph, source, reverse)),
      ),
    );
  }
  return lines;
}

/** Whether the node is the `__dict__` of something: then its entries are written as attributes. */
function isInstanceDict(graph: HeapGraph, node: NodeIndex, reverse: ReverseEdges): boolean {
  const first = reverse.firstRetainer[node];
  const last = Math.min(reverse.firstRetainer[node + 1], first + 20);
  for (let i = first; i < last; i++) {
    if (graph.edgeKind[reverse.retainerEdge[i]] === EdgeKind.instanceDict) return true;
  }
  return false;
}

const buildReference = (graph: HeapGraph, node: NodeIndex, text: string): ReferenceLine => ({
  text,
  address: formatAddress(graph.address[node]),
  type: typeNameOf(graph, node),
  repr: formatRepr(graph, node),
});

function countCells(column: Uint32Array, value: number): number {
  let count = 0;
  for (let i = 0; i < column.length; i++) if (column[i] === value) count++;
  return count;
}

export function formatShow(report: ShowReport, style: Style = plainStyle): string {
  const { object } = report;
  const facts = [
    `${formatBytes(object.shallowBytes)} in size`,
    `${formatBytes(object.allocatedBytes)} allocated`,
    ...(object.retainedBytes === null ? [] : [`${formatBytes(object.retainedBytes)} retained`]),
    ...(object.length === null ? [] : [`length ${formatCount(object.length)}`]),
    object.referenceCount === null
      ? 'immortal'
      : `reference count ${formatCount(object.referenceCount)}`,
    ...object.flags.filter((flag) => flag !== 'immortal'),
  ];
  const weak = report.weaklyReferredByTotal;
  return [
    formatCaptureLine(report.target, report.capture),
    '',
    `${object.address}  ${style.strong(sanitizeText(object.type))}`,
    ...formatHanging('   ', sanitizeText(object.repr)),
    ...formatHanging('   ', facts.join(', ')),
    ...formatAllocatedAt('   made at ', object.allocatedAt),
    '',
    ...formatKeptBy(report, style),
    '',
    ...formatReferences('refers to', report.refersTo, report.refersToTotal, style),
    '',
    ...formatReferences('referred to by', report.referredBy, report.referredByTotal, style),
    ...(weak === 0
      ? []
      : ['', `and by ${formatNumberOf(weak, 'weak reference')}, which keep nothing alive`]),
    '',
    formatCoverage(report.coverage),
    ...formatProblems(report.problems),
    '',
  ].join('\n');
}

function formatKeptBy(report: ShowReport, style: Style): string[] {
  if (report.path === null) {
    return [
      'kept by nothing: no root reaches it (garbage that was not collected, or held from C code)',
    ];
  }
  return [
    style.faint('kept by'),
    ...formatHanging('   ', sanitizeText(report.path.text)),
    ...formatSteps(report.path.steps, PAGE_WIDTH - 3).map((line) => `   ${line}`),
  ];
}

function formatReferences(
  title: string,
  lines: readonly ReferenceLine[],
  total: number,
  style: Style,
): string[] {
  if (total === 0) return [style.faint(`${title} nothing`)];
  const rows = lines.map((line) => [
    `   ${cutEnd(sanitizeText(line.text), 40)}`,
    line.address,
    cutEnd(sanitizeText(line.type), 30),
    sanitizeText(line.repr),
  ]);
  const columns = ['', '', '', ''].map((name) => ({ title: name, align: 'left' }) as const);
  const [, ...table] = formatTable(columns, rows);
  const text = table.map((line) => cutEnd(line, PAGE_WIDTH));
  if (lines.length < total) text.push(`   … ${formatCount(total - lines.length)} more`);
  return [style.faint(`${title} ${formatNumberOf(total, 'object')}`), ...text];
}
