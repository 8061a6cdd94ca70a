// `new`: the objects of one capture that an earlier one did not have. Which they are is given; this counts and lists them.

import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import { type HeapGraph, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import {
  buildCaptureLine,
  buildObjectLine,
  buildProblems,
  buildTarget,
  formatCoverage,
  formatObjectTable,
  formatProblems,
  formatTarget,
} from './report-parts.ts';
import type { NewReport } from './schemas.ts';
import { formatTable, plainStyle, type Style } from './text-layout.ts';

export interface NewOptions {
  /** Only objects of this type, by name; null for all. */
  type: string | null;
  /** Objects and types to list. */
  limit: number;
}

/** `nodes`: rows of `to` that are new, in any order. The largest are listed. */
export function buildNewReport(
  from: HeapGraph,
  to: HeapGraph,
  nodes: ArrayLike<NodeIndex>,
  options: NewOptions,
): NewReport {
  const chosen: NodeIndex[] = [];
  const totals = new Map<string, { count: number; shallowBytes: number }>();
  let shallowBytes = 0;
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i];
    const type = typeNameOf(to, node);
    if (options.type !== null && type !== options.type) continue;
    chosen.push(node);
    const total = totals.get(type) ?? { count: 0, shallowBytes: 0 };
    totals.set(type, {
      count: total.count + 1,
      shallowBytes: total.shallowBytes + to.shallowSize[node],
    });
    shallowBytes += to.shallowSize[node];
  }
  chosen.sort((a, b) => to.shallowSize[b] - to.shallowSize[a] || a - b);
  return {
    schema: 'leakscope/new@1',
    target: buildTarget(to.capture),
    from: buildCaptureLine(from),
    to: buildCaptureLine(to),
    type: options.type,
    totals: { objects: chosen.length, shallowBytes },
    types: [...totals]
      .map(([type, total]) => ({ type, ...total }))
      .sort((a, b) => b.count - a.count || (a.type < b.type ? -1 : 1))
      .slice(0, options.limit),
    objects: chosen.slice(0, options.limit).map((node) => buildObjectLine(to, node, undefined)),
    coverage: Math.min(from.capture.coverage, to.capture.coverage),
    problems: buildProblems(to.capture.problems),
  };
}

export function formatNew(report: NewReport, style: Style = plainStyle): string {
  const { totals } = report;
  const seconds = (Date.parse(report.to.at) - Date.parse(report.from.at)) / 1000;
  const kind = report.type === null ? '' : ` of type ${sanitizeText(report.type)}`;
  const lines = [
    [...formatTarget(report.target), `${formatDuration(Math.max(0, seconds))} apart`].join('   '),
    '',
    `${formatNumberOf(totals.objects, 'new object')}${kind}, ${formatBytes(totals.shallowBytes)}`,
  ];
  if (report.types.length > 1) {
    const table = formatTable(
      [
        { title: 'count', align: 'right' },
        { title: 'size', align: 'right' },
        { title: 'type', align: 'left' },
      ],
      report.types.map((line) => [
        formatCount(line.count),
        formatBytes(line.shallowBytes),
        sanitizeText(line.type),
      ]),
      style,
    );
    lines.push('', ...table);
  }
  if (report.objects.length > 0) {
    const which = report.objects.length < totals.objects ? 'the largest' : 'all of them';
    lines.push('', which, ...formatObjectTable(report.objects, style));
  }
  lines.push('', formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}
