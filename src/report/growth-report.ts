// `growth`: what one capture has more of than an earlier one, by type and by the shape of the path that holds it.

import { formatShape, type ShapeTable } from '../analysis/shapes.ts';
import {
  cutEnd,
  formatBytes,
  formatCount,
  formatDuration,
  formatMs,
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
  formatTarget,
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

/** Objects and their own bytes by type name: what of a capture is kept where only types are compared. */
export interface TypeTotals {
  /** ISO 8601. */
  at: string;
  pauseMs: number;
  objects: number;
  byType: ReadonlyMap<string, TypeTotal>;
}

type TypeGrowth = GrowthReport['types'][number];

export function buildGrowthReport(
  from: HeapGraph,
  to: HeapGraph,
  options: GrowthOptions,
): GrowthReport {
  const types = compareTypes(sumTypes(from).byType, sumTypes(to).byType);
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

/** The types that have changed, the most bytes more first. */
function compareTypes(before: TypeTotals['byType'], after: TypeTotals['byType']): TypeGrowth[] {
  const none: TypeTotal = { count: 0, bytes: 0 };
  return [...new Set([...before.keys(), ...after.keys()])]
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
}

/** O(objects). */
export function sumTypes(graph: HeapGraph): TypeTotals {
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
  const { at, pauseMs } = graph.capture;
  return { at, pauseMs, objects: nodeCount, byType: totals };
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
    `${formatTarget(report.target).join('   ')}   ${formatDuration(Math.max(0, report.seconds))} apart   ` +
      `${to.core === null ? 'RSS' : 'in the cores'} ${formatBytes(from.rssBytes)} -> ${formatBytes(to.rssBytes)} (${formatSignedBytes(to.rssBytes - from.rssBytes)})   ` +
      `objects ${formatSignedCount(to.objects - from.objects)}`,
    '',
  ];
  if (report.types.length === 0) lines.push('no type has changed');
  else lines.push(...formatTypes(report.types, report.typesChanged, style));
  if (report.paths !== null && report.paths.length > 0)
    lines.push('', ...formatPaths(report.paths, style));
  lines.push('', formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}

/** The types of which there is more than before, at most `limit`, and how far the two captures are apart. */
export function formatTypeGrowth(
  before: TypeTotals,
  after: TypeTotals,
  limit: number,
  style: Style = plainStyle,
): string {
  const grown = compareTypes(before.byType, after.byType).filter(
    (line) => line.shallowBytesGrowth > 0 || line.countGrowth > 0,
  );
  const seconds = Math.max(0, (Date.parse(after.at) - Date.parse(before.at)) / 1000);
  const head =
    `after ${formatDuration(seconds)}: objects ${formatSignedCount(after.objects - before.objects)}, ` +
    `${formatCount(after.objects)} now, paused ${formatMs(after.pauseMs)} ms`;
  if (grown.length === 0) return `${head}; no type has grown`;
  return [head, ...formatTypes(grown.slice(0, limit), grown.length, style)].join('\n');
}

function formatTypes(types: readonly TypeGrowth[], all: number, style: Style): string[] {
  const lines = formatTable(
    [
      { title: 'growth', align: 'right' },
      { title: 'count', align: 'right' },
      { title: 'growth', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'type', align: 'left' },
    ],
    types.map((line) => [
      formatSignedCount(line.countGrowth),
      formatCount(line.count),
      formatSignedBytes(line.shallowBytesGrowth),
      formatBytes(line.shallowBytes),
      sanitizeText(line.type),
    ]),
    style,
  );
  const more = all - types.length;
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
