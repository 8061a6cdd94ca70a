// `path`: what keeps an object alive: the best path from a root, and the next one that does not go through its holder.

import { findAllocationSite } from '../analysis/allocation-sites.ts';
import type { HeapPath } from '../analysis/path-steps.ts';
import { formatBytes, formatNumberOf, sanitizeText } from '../base/format.ts';
import type { HeapGraph, NodeIndex } from '../graph/heap-graph.ts';
import { formatSteps, writePath } from './path-text.ts';
import {
  buildCaptureLine,
  buildFrames,
  buildObjectLine,
  buildProblems,
  buildTarget,
  formatAllocatedAt,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import type { PathReport, WrittenPath } from './schemas.ts';
import { formatHanging, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

export interface PathOptions {
  /** What the user asked for: an address or the name of a type. */
  query: string;
  /** Objects that the query fits; the path is that of one of them. */
  matches: number;
  retainedSize: Float64Array | undefined;
  path: HeapPath | undefined;
  /** Independent of the first; undefined: not looked for. */
  alsoHeldBy: readonly HeapPath[] | undefined;
}

export function buildPathReport(
  graph: HeapGraph,
  node: NodeIndex,
  options: PathOptions,
): PathReport {
  const { retainedSize, path, alsoHeldBy } = options;
  const write = (each: HeapPath): WrittenPath => writePath(graph, each, { retainedSize });
  return {
    schema: 'leakscope/path@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    query: options.query,
    matches: options.matches,
    object: buildObjectLine(graph, node, retainedSize),
    allocatedAt: buildFrames(findAllocationSite(graph, node)),
    path: path === undefined ? null : write(path),
    alsoHeldBy: alsoHeldBy?.map(write) ?? null,
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

export function formatPath(report: PathReport, style: Style = plainStyle): string {
  const { object } = report;
  const retained =
    object.retainedBytes === null ? '' : `, ${formatBytes(object.retainedBytes)} retained`;
  const lines = [
    formatCaptureLine(report.target, report.capture),
    '',
    `${object.address}  ${style.strong(sanitizeText(object.type))}  ${formatBytes(object.shallowBytes)}${retained}`,
    ...formatHanging('   ', sanitizeText(object.repr)),
    ...formatAllocatedAt('   made at ', report.allocatedAt),
  ];
  if (report.matches > 1) {
    lines.push(
      `   one of ${formatNumberOf(report.matches, 'object')} of this type: the one that retains the most`,
    );
  }
  lines.push('');
  if (report.path === null) {
    lines.push('no root reaches it: garbage that was not collected yet, or held from C code');
  } else {
    lines.push(...formatWritten('held by', report.path, style));
    lines.push(...formatOthers(report.alsoHeldBy, style));
  }
  lines.push('', formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}

function formatWritten(title: string, path: WrittenPath, style: Style): string[] {
  const line = formatHanging(`${title}  `, sanitizeText(path.text));
  line[0] = style.faint(title) + line[0].slice(title.length);
  return [...line, ...formatSteps(path.steps, PAGE_WIDTH - 3).map((step) => `   ${step}`)];
}

function formatOthers(others: PathReport['alsoHeldBy'], style: Style): string[] {
  if (others === null) return [];
  if (others.length === 0) return ['', 'also held by nothing else'];
  return others.flatMap((path) => ['', ...formatWritten('also held by', path, style)]);
}
