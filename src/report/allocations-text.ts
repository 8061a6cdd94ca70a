// The report of `leakscope allocations` as text: what the tracer says of itself, then places with their bytes and, where it
// can be read, the line of source. Pure; 100 columns but for paths, which are to be copied.

import {
  cutEnd,
  cutMiddle,
  formatBytes,
  formatCount,
  formatDuration,
  formatNumberOf,
  formatSignedBytes,
  formatSignedCount,
  sanitizeText,
} from '../base/format.ts';
import type { AllocationPlace, AllocationsReport } from './allocations-schema.ts';
import {
  formatFrame,
  formatPause,
  formatProblems,
  formatRss,
  formatTarget,
} from './report-parts.ts';
import {
  formatHanging,
  formatTable,
  PAGE_WIDTH,
  plainStyle,
  type Style,
  type TableColumn,
} from './text-layout.ts';

/** The whole report, with a line break at its end. */
export function formatAllocations(report: AllocationsReport, style: Style = plainStyle): string {
  const paragraphs = [
    [...formatHead(report), ...formatTracer(report)],
    report.object === null ? formatPlaces(report, style) : formatObject(report.object, style),
    formatProblems(report.problems),
  ];
  return `${paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

const formatHead = ({ target, capture }: AllocationsReport): string[] => [
  [
    ...formatTarget(target),
    formatRss(capture),
    ...(capture.copiedBytes === 0 ? [] : formatPause(capture)),
  ].join('   '),
];

function formatTracer({ tracer, window, target, capture }: AllocationsReport): string[] {
  if (tracer === null) {
    const off = 'tracemalloc is off: nothing is recorded of where memory is allocated.';
    const begin = 'Start the program with PYTHONTRACEMALLOC=10 (frames to keep)';
    const how =
      capture.core === null
        ? `${begin}, or switch it on for a while: leakscope allocations ${target.pid} --start --for 30s. Only what is allocated from then on is known.`
        : `${begin} before the next core is dumped.`;
    return [off, ...formatHanging('', how)];
  }
  const peak = tracer.peakBytes === null ? '' : `, at most ${formatBytes(tracer.peakBytes)} so far`;
  if (window?.objectNs) return formatHanging('', describeWindow(tracer, window, window.objectNs));
  const text =
    `tracemalloc is on, ${formatNumberOf(tracer.maxFrames, 'frame')} per traceback: ` +
    `${formatBytes(tracer.tracedBytes)} in ${formatNumberOf(tracer.traces, 'block')}${peak}. ` +
    `Its own tables hold ${formatBytes(tracer.tracerBytes)}.`;
  return formatHanging('', text);
}

/** Of what was there before leakscope switched the tracer on, nothing is known. */
function describeWindow(
  tracer: NonNullable<AllocationsReport['tracer']>,
  { seconds, frames }: NonNullable<AllocationsReport['window']>,
  objectNs: { without: number; with: number },
): string {
  return (
    `tracemalloc was off; leakscope had it on for ${formatDuration(seconds)}, ${formatNumberOf(frames, 'frame')} per traceback: ` +
    `of what was allocated meanwhile ${formatBytes(tracer.tracedBytes)} in ${formatNumberOf(tracer.traces, 'block')} were still there. ` +
    `Its own tables held ${formatBytes(tracer.tracerBytes)}, and to make a small object took ${formatCount(objectNs.with)} ns instead of ${formatCount(objectNs.without)}. It is off again.`
  );
}

function formatPlaces(report: AllocationsReport, style: Style): string[] {
  const { top, total, by } = report;
  if (report.tracer === null) return [];
  if (top.length === 0) return ['no block is left by the filters'];
  const lines =
    by === 'traceback' ? formatTracebacks(report, style) : formatPlaceTable(report, style);
  const shown = top.length < total.places ? `, the first ${formatCount(top.length)}` : '';
  const growth =
    total.bytesGrowth === null
      ? ''
      : ` (${formatSignedBytes(total.bytesGrowth)}, ${formatSignedCount(total.countGrowth ?? 0)})`;
  const sum =
    `${formatBytes(total.bytes)} in ${formatNumberOf(total.count, 'block')}${growth}, ` +
    `${formatNumberOf(total.places, NOUNS[by])}${shown}`;
  return [...lines, '', sum];
}

const NOUNS = { line: 'line', file: 'file', traceback: 'traceback', domain: 'domain' } as const;

function formatPlaceTable(report: AllocationsReport, style: Style): string[] {
  const hasGrowth = report.from !== null && report.total.bytesGrowth !== null;
  const columns: TableColumn[] = [
    ...(hasGrowth
      ? ([
          { title: 'bytes grown', align: 'right' },
          { title: 'blocks', align: 'right' },
          { title: 'bytes now', align: 'right' },
        ] as const)
      : []),
    { title: hasGrowth ? 'blocks' : 'bytes', align: 'right' },
    ...(hasGrowth ? [] : ([{ title: 'blocks', align: 'right' }] as const)),
    { title: 'each', align: 'right' },
    { title: report.by, align: 'left' },
  ];
  const rows = report.top.map((place) => [
    ...(hasGrowth
      ? [
          formatSignedBytes(place.bytesGrowth ?? 0),
          formatSignedCount(place.countGrowth ?? 0),
          formatBytes(place.bytes),
          formatCount(place.count),
        ]
      : [formatBytes(place.bytes), formatCount(place.count)]),
    place.count === 0 ? '' : formatBytes(place.bytes / place.count),
    formatPlace(place),
  ]);
  const table = formatTable(columns, rows, style);
  const indent = ' '.repeat(4);
  return [
    table[0],
    ...report.top.flatMap(({ source }, row) => [
      table[row + 1],
      ...(source === null
        ? []
        : [style.faint(indent + cutEnd(sanitizeText(source), PAGE_WIDTH - 4))]),
    ]),
  ];
}

function formatPlace({ file, line, function: name, domain }: AllocationPlace): string {
  if (domain !== null) return domain === 0 ? '0 (Python)' : `${domain}`;
  const where = sanitizeText(file ?? '') + (line === null ? '' : `:${line}`);
  return name === null ? where : `${where}  ${sanitizeText(name)}`;
}

function formatTracebacks({ top }: AllocationsReport, style: Style): string[] {
  return top.flatMap((place, i) => {
    const growth =
      place.bytesGrowth === null
        ? ''
        : `${formatSignedBytes(place.bytesGrowth)}, ${formatSignedCount(place.countGrowth ?? 0)} blocks: now `;
    const sum = `${growth}${formatBytes(place.bytes)} in ${formatNumberOf(place.count, 'block')}`;
    const source =
      place.source === null
        ? []
        : [style.faint(`       ${cutEnd(sanitizeText(place.source), PAGE_WIDTH - 7)}`)];
    const [first = '', ...rest] = (place.traceback ?? []).map(
      (frame) => `   ${formatFrame(frame)}`,
    );
    return [...(i === 0 ? [] : ['']), style.strong(sum), first, ...source, ...rest];
  });
}

function formatObject(object: NonNullable<AllocationsReport['object']>, style: Style): string[] {
  const { address, type, repr, bytes, traceback } = object;
  const size = bytes === null ? '' : `   ${formatBytes(bytes)}`;
  return [
    `${address}  ${style.strong(sanitizeText(type))}${size}`,
    cutMiddle(`   ${sanitizeText(repr)}`, PAGE_WIDTH),
    ...(traceback === null
      ? [
          'not known: it was allocated before the tracer was switched on, or is no block of the heap',
        ]
      : ['allocated at', ...traceback.map((frame) => `   ${formatFrame(frame)}`)]),
  ];
}
