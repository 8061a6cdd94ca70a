// `growth`: what one capture has more of than an earlier one, by type and by the shape of the path that holds it.

import { formatShape, type ShapeTable } from '../analysis/shapes.ts';
import {
  cutEnd,
  formatBytes,
  formatCount,
  formatDuration,
  formatSignedBytes,
  formatSignedCount,
  sanitizeText,
} from '../base/format.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatCoverage,
  formatProblems,
  secondsBetween,
} from './report-parts.ts';
import type { GrowthReport } from './schemas.ts';
import { formatTable, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

export interface GrowthOptions {
  /** Rows to list of each kind. */
  limit: number;
  /** The paths of both captures, merged by shape; undefined if they were not computed. */
  shapes: { before: ShapeTable; after: ShapeTable } | undefined;
}

interface TypeTotal {
  count: number;
  bytes: number;
}

export function buildGrowthReport(
  from: HeapGraph,
  to: HeapGraph,
  options: GrowthOptions,
): GrowthReport {
  const before = sumTypes(from);
  const after = sumTypes(to);
  const none: TypeTotal = { count: 0, bytes: 0 };
  const types = [...new Set([...before.keys(), ...after.keys()])]
    .map((type) => {
      const old = before.get(type) ?? none;
      const now = after.get(type) ?? none;
      return {
        type,
        count: now.count,
        countGrowth: now.count - old.count,
        shallowBytes: now.bytes,
        shallowBytesGrowth: now.bytes - old.bytes,
      };
    })
    .filter((line) => line.countGrowth !== 0 || line.shallowBytesGrowth !== 0)
    .sort(
      (a, b) =>
        b.shallowBytesGrowth - a.shallowBytesGrowth ||
        b.countGrowth - a.countGrowth ||
        (a.type < b.type ? -1 : 1),
    );
  return {
    schema: 'leakscope/growth@1',
    target: buildTarget(to.capture),
    from: buildCaptureLine(from),
    to: buildCaptureLine(to),
    seconds: secondsBetween(from, to),
    types: types.slice(0, options.limit),
    typesChanged: types.length,
    paths:
      options.shapes === undefined
        ? null
        : comparePaths(options.shapes.before, options.shapes.after, options.limit),
    coverage: Math.min(from.capture.coverage, to.capture.coverage),
    problems: buildProblems(to.capture.problems),
  };
}

function sumTypes(graph: HeapGraph): Map<string, TypeTotal> {
  const counts = new Float64Array(graph.types.length);
  const bytes = new Float64Array(graph.types.length);
  const { typeId, shallowSize, nodeCount } = graph;
  for (let node = 0; node < nodeCount; node++) {
    counts[typeId[node]]++;
    bytes[typeId[node]] += shallowSize[node];
  }
  const totals = new Map<string, TypeTotal>();
  graph.types.forEach(({ name }, row) => {
    if (counts[row] === 0) return;
    const total = totals.get(name) ?? { count: 0, bytes: 0 };
    totals.set(name, { count: total.count + counts[row], bytes: total.bytes + bytes[row] });
  });
  return totals;
}

/** The shapes of which there are more objects now, the most bytes first. */
function comparePaths(
  before: ShapeTable,
  after: ShapeTable,
  limit: number,
): NonNullable<GrowthReport['paths']> {
  const rowBefore = new Map<number, number>();
  for (let shape = 0; shape < before.shapeCount; shape++) rowBefore.set(before.key[shape], shape);
  const grown: { shape: number; count: number; bytes: number }[] = [];
  for (let shape = 0; shape < after.shapeCount; shape++) {
    const old = rowBefore.get(after.key[shape]);
    const count = after.nodeCount[shape] - (old === undefined ? 0 : before.nodeCount[old]);
    const bytes = after.shallowBytes[shape] - (old === undefined ? 0 : before.shallowBytes[old]);
    if (count > 0 || (count === 0 && bytes > 0)) grown.push({ shape, count, bytes });
  }
  grown.sort((a, b) => b.bytes - a.bytes || b.count - a.count || a.shape - b.shape);
  return grown.slice(0, limit).map(({ shape, count, bytes }) => ({
    shape: formatShape(after, shape),
    type: after.names[after.typeName[shape]],
    count: after.nodeCount[shape],
    countGrowth: count,
    shallowBytesGrowth: bytes,
  }));
}

export function formatGrowth(report: GrowthReport, style: Style = plainStyle): string {
  const { from, to } = report;
  const lines = [
    `python ${report.target.python}   pid ${report.target.pid}   ${formatDuration(Math.max(0, report.seconds))} apart   ` +
      `RSS ${formatBytes(from.rssBytes)} -> ${formatBytes(to.rssBytes)} (${formatSignedBytes(to.rssBytes - from.rssBytes)})   ` +
      `objects ${formatSignedCount(to.objects - from.objects)}`,
    '',
  ];
  if (report.types.length === 0) lines.push('no type has changed');
  else lines.push(...formatTypes(report, style));
  if (report.paths !== null && report.paths.length > 0)
    lines.push('', ...formatPaths(report.paths, style));
  lines.push('', formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}

function formatTypes(report: GrowthReport, style: Style): string[] {
  const lines = formatTable(
    [
      { title: 'growth', align: 'right' },
      { title: 'count', align: 'right' },
      { title: 'growth', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'type', align: 'left' },
    ],
    report.types.map((line) => [
      formatSignedCount(line.countGrowth),
      formatCount(line.count),
      formatSignedBytes(line.shallowBytesGrowth),
      formatBytes(line.shallowBytes),
      sanitizeText(line.type),
    ]),
    style,
  );
  const more = report.typesChanged - report.types.length;
  if (more > 0) lines.push(`… ${formatCount(more)} types more have changed`);
  return lines;
}

function formatPaths(paths: NonNullable<GrowthReport['paths']>, style: Style): string[] {
  return formatTable(
    [
      { title: 'growth', align: 'right' },
      { title: 'count', align: 'right' },
      { title: 'growth', align: 'right' },
      { title: 'held by', align: 'left' },
    ],
    paths.map((line) => [
      formatSignedCount(line.countGrowth),
      formatCount(line.count),
      formatSignedBytes(line.shallowBytesGrowth),
      sanitizeText(line.shape),
    ]),
    style,
  ).map((line, i) => (i === 0 ? line : cutEnd(line, PAGE_WIDTH)));
}
