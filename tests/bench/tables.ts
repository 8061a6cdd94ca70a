// Turns measurements into the Markdown of docs/benchmarks.md: one table of leakscope, one of the in-process ways, one of
// ratios, one of the generated graph. A column for each size of heap.

import type { GraphMeasurement, PauseMeasurement, SyntheticMeasurement } from './measure.ts';
import { WAYS, type Way, type WayResult } from './rivals.ts';

/** Everything that was measured on one heap. */
export interface HeapMeasurement {
  /** Objects that were asked for. */
  asked: number;
  /** One per fresh process. */
  graphs: GraphMeasurement[];
  pause: PauseMeasurement;
  /** Several per way where it was quick. */
  ways: WayResult[];
}

export interface Facts {
  command: string;
  date: string;
  machine: string;
  load: string;
  node: string;
  python: string;
  heap: string;
  problems: string[];
  repeat: number;
}

type Row = [name: string, goal: string, ...values: string[]];

const best = (values: readonly number[]): number => Math.min(...values);

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The least of a time over all processes. */
const bestOf = (heap: HeapMeasurement, name: keyof GraphMeasurement): number =>
  best(heap.graphs.map((graph) => graph[name]));

const bestPause = ({ pause, graphs }: HeapMeasurement): number =>
  best([...pause.rounds, ...graphs].map(({ pauseMs }) => pauseMs));

const bestWay = (heap: HeapMeasurement, way: Way): number | undefined => {
  const times = heap.ways.flatMap((result) =>
    result.way === way && result.ms !== undefined ? [result.ms] : [],
  );
  return times.length === 0 ? undefined : best(times);
};

const count = (value: number): string =>
  Math.round(value).toLocaleString('en').replaceAll(',', ' ');
const ms = (value: number): string => (value < 100 ? value.toFixed(1) : count(value));
const megabytes = (bytes: number): string => count(bytes / 1e6);

/** `1/20` of what is longer than us, `1.4 x` of what is shorter. */
const ratio = (ours: number, theirs: number | undefined): string => {
  if (theirs === undefined) return '-';
  return ours < theirs ? `1/${(theirs / ours).toFixed(1)}` : `${(ours / theirs).toFixed(1)} x`;
};

const sizeName = (objects: number): string => `${objects / 1e6} M`;

function formatTable(first: string, sizes: readonly string[], rows: readonly Row[]): string {
  const lines = [
    [first, 'goal', ...sizes],
    ['---', ...['goal', ...sizes].map(() => '---:')],
  ];
  return [...lines, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export function formatLeakscope(heaps: readonly HeapMeasurement[]): string {
  const row = (name: string, goal: string, of: (heap: HeapMeasurement) => string): Row => [
    name,
    goal,
    ...heaps.map(of),
  ];
  const pausePer100 = (heap: HeapMeasurement) =>
    (bestPause(heap) / heap.graphs[0].copiedBytes) * 1e8;
  const overBare = ({ pause }: HeapMeasurement) =>
    median(pause.rounds.map((r) => r.pauseMs / r.copiedBytes / (r.bareMs / r.bareBytes)));
  const peak = (heap: HeapMeasurement, name: 'capturePeakBytes' | 'totalPeakBytes') =>
    median(heap.graphs.map((graph) => graph[name]));
  return formatTable(
    'leakscope',
    heaps.map(({ asked }) => sizeName(asked)),
    [
      row('objects', '', ({ graphs }) => count(graphs[0].nodeCount)),
      row('references', '', ({ graphs }) => count(graphs[0].edgeCount)),
      row('copied, MB', '', ({ graphs }) => megabytes(graphs[0].copiedBytes)),
      row('**pause**, ms', '', (heap) => ms(bestPause(heap))),
      row('pause, ms per 100 MB', '< 35', (heap) => pausePer100(heap).toFixed(1)),
      row('pause / bare copy', '< 1.3', (heap) => overBare(heap).toFixed(2)),
      row('capture to graph, ms', '', (heap) => ms(bestOf(heap, 'captureMs'))),
      row('million objects per second', '> 3', (heap) =>
        (heap.graphs[0].nodeCount / bestOf(heap, 'captureMs') / 1000).toFixed(2),
      ),
      row('dominators, retained sizes, paths to all objects, ms', '', (heap) =>
        ms(bestOf(heap, 'analysesMs')),
      ),
      row('**total**, ms', '', (heap) => ms(bestOf(heap, 'totalMs'))),
      row('total, ms of processor time', '', (heap) => ms(bestOf(heap, 'totalCpuMs'))),
      row('peak memory of the reader, graph, MB', '', (heap) =>
        megabytes(peak(heap, 'capturePeakBytes')),
      ),
      row('... per object, bytes', '< 150', (heap) =>
        count(peak(heap, 'capturePeakBytes') / heap.graphs[0].nodeCount),
      ),
      row('... without Node.js itself', '', (heap) =>
        count(
          (peak(heap, 'capturePeakBytes') - heap.graphs[0].emptyBytes) / heap.graphs[0].nodeCount,
        ),
      ),
      row('peak memory, total, MB', '', (heap) => megabytes(peak(heap, 'totalPeakBytes'))),
    ],
  );
}

/** Times of the ways, and by how much the target grew. */
export function formatWays(heaps: readonly HeapMeasurement[]): string {
  const rows = WAYS.map((way): Row => {
    const versions = heaps.flatMap((heap) => heap.ways.filter((result) => result.way === way));
    const version = versions.find((result) => result.version)?.version ?? '';
    return [
      `\`${way}\``,
      version,
      ...heaps.map((heap) => {
        const time = bestWay(heap, way);
        const results = heap.ways.filter((result) => result.way === way);
        const reason = results[0]?.failed ?? results[0]?.missing;
        if (time === undefined) return reason ?? '-';
        const grown = Math.max(...results.map((result) => result.grownBytes ?? 0));
        return `${ms(time)} ms, +${megabytes(grown)} MB`;
      }),
    ];
  });
  return formatTable(
    'in-process',
    heaps.map(({ asked }) => sizeName(asked)),
    rows,
  ).replace('| goal |', '| version |');
}

export function formatRatios(heaps: readonly HeapMeasurement[]): string {
  const rows: Row[] = [];
  for (const [name, ours, goal] of [
    ['total', (heap: HeapMeasurement) => bestOf(heap, 'totalMs'), '1/3'],
    ['pause', bestPause, '1/30'],
  ] as const) {
    for (const way of ['muppy', 'guppy', 'guppy_referrers', 'walk'] as const) {
      rows.push([
        `${name} / \`${way}\``,
        way === 'muppy' || way === 'guppy' ? goal : '',
        ...heaps.map((heap) => ratio(ours(heap), bestWay(heap, way))),
      ]);
    }
  }
  return formatTable(
    'ratio',
    heaps.map(({ asked }) => sizeName(asked)),
    rows,
  );
}

/** The least of each time over all processes. */
export function formatSynthetic(measurements: readonly SyntheticMeasurement[]): string {
  const { nodeCount, edgeCount } = measurements[0];
  const least = (of: (measurement: SyntheticMeasurement) => number): string =>
    ms(best(measurements.map(of)));
  return formatTable(
    'generated graph',
    [`${sizeName(nodeCount)} objects, ${sizeName(edgeCount)} references`],
    [
      ['dominators, ms', '', least((each) => each.dominatorsMs)],
      [
        'dominators and retained sizes, ms',
        '< 15 000',
        least((each) => each.dominatorsMs + each.retainedMs),
      ],
      ['... of processor time', '', least((each) => each.dominatorsCpuMs)],
      ['paths to all objects, ms', '', least((each) => each.pathsMs)],
      [
        'peak memory, the graph included, MB',
        '',
        megabytes(median(measurements.map((each) => each.peakBytes))),
      ],
    ],
  );
}

export function formatFacts(facts: Facts): string {
  const lines = [
    `Command: \`${facts.command}\`, ${facts.date}.`,
    `Machine: ${facts.machine}; ${facts.node}. ${facts.load}`,
    `Target: CPython ${facts.python}, ${facts.heap}.`,
    `Times are the least of ${facts.repeat} fresh processes (pause: of ${facts.repeat} captures more), ratios to the bare ` +
      'copy the median of pairs, memory the median; in-process ways: the least of up to 3 runs in 15 s.',
    ...facts.problems,
  ];
  return lines.map((line) => `- ${line}`).join('\n');
}

/** `text` with what stands between the two markers replaced; throws if it has none. */
export function replaceBetweenMarkers(text: string, name: string, content: string): string {
  const begin = `<!-- ${name}:begin -->`;
  const end = `<!-- ${name}:end -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`no markers ${begin} ... ${end}`);
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
}
