// `top`: the types of one capture by what they take, and its biggest objects. From a HeapGraph and, where computed, its
// retained sizes to a TopReport, and from that to text.

import { formatBytes, formatCount, formatNumberOf, sanitizeText } from '../base/format.ts';
import type { HeapGraph, NodeIndex } from '../graph/heap-graph.ts';
import { computeTypeTotals, type TypeTotals } from '../graph/type-totals.ts';
import {
  buildCaptureLine,
  buildObjectLine,
  buildProblems,
  buildTarget,
  formatCaptureLine,
  formatCoverage,
  formatObjectTable,
  formatProblems,
} from './report-parts.ts';
import type { ObjectLine, TopReport } from './schemas.ts';
import { formatTable, plainStyle, type Style } from './text-layout.ts';

export type TopOrder = 'count' | 'shallow' | 'allocated' | 'retained';

export interface TopOptions {
  /** Per node, bytes; undefined if dominators were not computed. */
  retainedSize: Float64Array | undefined;
  /** Per row of `graph.types`, bytes that would be freed with all its objects. */
  retainedByType: Float64Array | undefined;
  order: TopOrder;
  /** Types and objects to list. */
  limit: number;
  /** If given: what the types take, which is all there is to list. */
  typeTotals?: TypeTotals | undefined;
}

type TypeLine = TopReport['types'][number];

export function buildTopReport(graph: HeapGraph, options: TopOptions): TopReport {
  const totals = options.typeTotals ?? computeTypeTotals(graph);
  const types = sumByTypeName(graph, totals, options.retainedByType);
  const order =
    options.retainedSize === undefined && options.order === 'retained' ? 'shallow' : options.order;
  types.sort((a, b) => valueFor(b, order) - valueFor(a, order) || (a.type < b.type ? -1 : 1));
  return {
    schema: 'leakscope/top@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    totals: {
      objects: graph.nodeCount,
      types: types.length,
      shallowBytes: sum(totals.shallowSize),
      allocatedBytes: sum(totals.allocatedSize),
    },
    types: types.slice(0, options.limit),
    biggest: options.typeTotals === undefined ? listBiggest(graph, options) : null,
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

const listBiggest = (graph: HeapGraph, { retainedSize, limit }: TopOptions): ObjectLine[] =>
  findLargest(retainedSize ?? graph.shallowSize, limit).map((node) =>
    buildObjectLine(graph, node, retainedSize),
  );

function valueFor(line: TypeLine, order: TopOrder): number {
  switch (order) {
    case 'count':
      return line.count;
    case 'shallow':
      return line.shallowBytes;
    case 'allocated':
      return line.allocatedBytes;
    case 'retained':
      return line.retainedBytes ?? 0;
  }
}

/** Rows of equal name become one line: a type defined twice is one type to the reader. */
function sumByTypeName(
  { types }: HeapGraph,
  { count, shallowSize, allocatedSize }: TypeTotals,
  retainedByType: Float64Array | undefined,
): TypeLine[] {
  const lines = new Map<string, TypeLine>();
  for (let type = 0; type < types.length; type++) {
    if (count[type] === 0) continue;
    const { name } = types[type];
    let line = lines.get(name);
    if (line === undefined) {
      line = {
        type: name,
        count: 0,
        shallowBytes: 0,
        allocatedBytes: 0,
        retainedBytes: retainedByType === undefined ? null : 0,
      };
      lines.set(name, line);
    }
    line.count += count[type];
    line.shallowBytes += shallowSize[type];
    line.allocatedBytes += allocatedSize[type];
    if (retainedByType !== undefined)
      line.retainedBytes = (line.retainedBytes ?? 0) + retainedByType[type];
  }
  return [...lines.values()];
}

function sum(column: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < column.length; i++) total += column[i];
  return total;
}

/** The rows with the largest values, the largest first, equal ones in order. O(rows * log limit). */
export function findLargest(values: Float64Array, limit: number): NodeIndex[] {
  // A heap with the least of the kept rows on top: most rows are turned away by one comparison.
  const heap: NodeIndex[] = [];
  const isLess = (a: NodeIndex, b: NodeIndex): boolean =>
    values[a] < values[b] || (values[a] === values[b] && a > b);
  for (let row = 0; row < values.length; row++) {
    if (heap.length < limit) {
      heap.push(row);
      for (
        let i = heap.length - 1;
        i > 0 && isLess(heap[i], heap[(i - 1) >> 1]);
        i = (i - 1) >> 1
      ) {
        swap(heap, i, (i - 1) >> 1);
      }
    } else if (limit > 0 && isLess(heap[0], row)) {
      heap[0] = row;
      for (let i = 0; ; ) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2]) {
          if (child < heap.length && isLess(heap[child], heap[least])) least = child;
        }
        if (least === i) break;
        swap(heap, i, least);
        i = least;
      }
    }
  }
  return heap.sort((a, b) => (isLess(a, b) ? 1 : -1));
}

function swap(rows: NodeIndex[], a: number, b: number): void {
  const row = rows[a];
  rows[a] = rows[b];
  rows[b] = row;
}

export function formatTop(report: TopReport, style: Style = plainStyle): string {
  const hasRetained = report.types.some((line) => line.retainedBytes !== null);
  const types = formatTable(
    [
      { title: 'count', align: 'right' },
      { title: 'size', align: 'right' },
      { title: 'allocated', align: 'right' },
      ...(hasRetained ? [{ title: 'retained', align: 'right' } as const] : []),
      { title: 'type', align: 'left' },
    ],
    report.types.map((line) => [
      formatCount(line.count),
      formatBytes(line.shallowBytes),
      formatBytes(line.allocatedBytes),
      ...(hasRetained ? [formatBytes(line.retainedBytes ?? 0)] : []),
      sanitizeText(line.type),
    ]),
    style,
  );
  const { totals } = report;
  return [
    formatCaptureLine(report.target, report.capture),
    '',
    `${formatNumberOf(totals.objects, 'object')} of ${formatNumberOf(totals.types, 'type')}, ` +
      `${formatBytes(totals.shallowBytes)} in size, ${formatBytes(totals.allocatedBytes)} allocated`,
    '',
    ...types,
    '',
    ...(report.biggest === null
      ? []
      : ['biggest objects', ...formatObjectTable(report.biggest, style), '']),
    formatCoverage(report.coverage),
    ...formatProblems(report.problems),
    '',
  ].join('\n');
}
