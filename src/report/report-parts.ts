// The parts that several reports share: facts about a capture and its target, coverage, problems, one object's line.

import {
  cutEnd,
  formatAddress,
  formatBytes,
  formatCount,
  formatMs,
  formatNumberOf,
  formatShare,
  sanitizeText,
} from '../base/format.ts';
import type { Problem } from '../base/problems.ts';
import type { TraceFrame } from '../graph/allocation-traces.ts';
import {
  type CaptureFacts,
  type HeapGraph,
  type NodeIndex,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { formatRepr } from './repr-text.ts';
import type { CaptureLine, FrameLine, ObjectLine, ProblemLine, TargetReport } from './schemas.ts';
import { formatHanging, formatTable, PAGE_WIDTH, type Style, textWidth } from './text-layout.ts';

export const buildTarget = (capture: CaptureFacts): TargetReport => ({
  pid: capture.pid,
  python: capture.python,
  build: capture.build,
  command: capture.command,
  startedAt:
    capture.processStartedAt === 0 ? null : new Date(capture.processStartedAt * 1000).toISOString(),
  redacted: capture.isRedacted === true,
});

export const buildCaptureLine = (graph: HeapGraph): CaptureLine => ({
  at: graph.capture.at,
  pauseMs: graph.capture.pauseMs,
  copiedBytes: graph.capture.copiedBytes,
  rssBytes: graph.capture.rssBytes,
  objects: graph.nodeCount,
  coverage: graph.capture.coverage,
  core: buildCore(graph.capture),
});

/** At most so many files are listed. */
const MAX_MISSING_FILES = 50;

export const buildCore = ({ core }: CaptureFacts): CaptureLine['core'] =>
  core === undefined
    ? null
    : { ...core, missingFiles: core.missingFiles.slice(0, MAX_MISSING_FILES) };

export const buildProblems = (problems: readonly Problem[]): ProblemLine[] =>
  problems.map((problem) => ({
    kind: problem.kind,
    count: problem.count,
    examples: problem.examples.map(formatAddress),
  }));

/** Frames of a traceback, the innermost first; null without one. */
export const buildFrames = (frames: readonly TraceFrame[] | undefined): FrameLine[] | null =>
  frames === undefined
    ? null
    : frames.map(({ file, line, function: name }) => ({
        file,
        line,
        function: name === '' ? null : name,
      }));

/** `app/sessions.py:48  SessionRegistry.open`. */
export const formatFrame = ({ file, line, function: name }: FrameLine): string =>
  `${sanitizeText(file)}:${line}${name === null ? '' : `  ${sanitizeText(name)}`}`;

const TRACED = '(by tracemalloc)';
const MAX_SITE_FRAMES = 3;

/** The innermost frames of a site behind `label`, one a line; nothing without a site. */
export function formatAllocatedAt(label: string, site: readonly FrameLine[] | null): string[] {
  return (site ?? []).slice(0, MAX_SITE_FRAMES).map((frame, i) => {
    const line = `${i === 0 ? label : ' '.repeat(label.length)}${formatFrame(frame)}`;
    const hasRoom = i === 0 && textWidth(line) + 4 + TRACED.length <= PAGE_WIDTH;
    return hasRoom ? `${line}    ${TRACED}` : line;
  });
}

/** Seconds from the first capture to the second. */
export const secondsBetween = (from: HeapGraph, to: HeapGraph): number =>
  (Date.parse(to.capture.at) - Date.parse(from.capture.at)) / 1000;

/** `python 3.11.7`, `pid 4242`, and `redacted` where contents were dropped: how every report begins. */
export const formatTarget = ({ python, pid, redacted }: TargetReport): string[] => [
  `python ${python}`,
  `pid ${pid}`,
  ...(redacted ? ['redacted'] : []),
];

/** `python 3.11.7   pid 4242   163 000 objects   RSS 412 MB   paused 10 ms`. */
export const formatCaptureLine = (target: TargetReport, capture: CaptureLine): string =>
  [
    ...formatTarget(target),
    formatNumberOf(capture.objects, 'object'),
    formatRss(capture),
    ...formatPause(capture),
  ].join('   ');

/** `RSS 412 MB`; of a core file `412 MB in the core`, which does not tell what was resident. */
export const formatRss = ({ rssBytes, core }: Pick<CaptureLine, 'rssBytes' | 'core'>): string =>
  core === null ? `RSS ${formatBytes(rssBytes)}` : `${formatBytes(rssBytes)} in the core`;

/** `paused 10 ms`; nothing for a core file. */
export const formatPause = ({ pauseMs, core }: Pick<CaptureLine, 'pauseMs' | 'core'>): string[] =>
  core === null ? [`paused ${formatMs(pauseMs)} ms`] : [];

export const formatCoverage = (coverage: number): string =>
  `coverage: ${formatShare(coverage)} of the references led to an object`;

/** What users meet in healthy captures; other kinds are for bug reports and printed as they are called. */
const PROBLEM_TEXTS: Readonly<Record<string, string>> = {
  'type-size-unexpected': 'C type of another release, scanned for references',
  'stack-not-in-core': 'threads whose stack is not in the core, with frames and pointers on it',
  'collection-was-running': 'capture while the collector ran, without its lists',
};

/** Nothing, or the problems met with their counts and where the first of each was. */
export function formatProblems(problems: readonly ProblemLine[]): string[] {
  if (problems.length === 0) return [];
  const terms = problems.slice(0, 6).map((problem) => {
    const where = problem.examples.length === 0 ? '' : ` (${problem.examples[0]})`;
    const text = PROBLEM_TEXTS[problem.kind] ?? problem.kind;
    return `${formatCount(problem.count)} ${sanitizeText(text)}${where}`;
  });
  if (problems.length > 6) terms.push(`${problems.length - 6} kinds more`);
  return formatHanging('problems: ', terms.join(', '));
}

export const buildObjectLine = (
  graph: HeapGraph,
  node: NodeIndex,
  retainedSize: Float64Array | undefined,
): ObjectLine => ({
  address: formatAddress(graph.address[node]),
  type: typeNameOf(graph, node),
  shallowBytes: graph.shallowSize[node],
  retainedBytes: retainedSize === undefined ? null : retainedSize[node],
  repr: formatRepr(graph, node),
});

/** Address, sizes, type and repr; the repr takes what is left of the page. */
export function formatObjectTable(objects: readonly ObjectLine[], style: Style): string[] {
  const hasRetained = objects.some((object) => object.retainedBytes !== null);
  const lines = formatTable(
    [
      { title: 'address', align: 'left' },
      { title: 'size', align: 'right' },
      ...(hasRetained ? [{ title: 'retained', align: 'right' } as const] : []),
      { title: 'type', align: 'left' },
      { title: 'object', align: 'left' },
    ],
    objects.map((object) => [
      object.address,
      formatBytes(object.shallowBytes),
      ...(hasRetained
        ? [object.retainedBytes === null ? '' : formatBytes(object.retainedBytes)]
        : []),
      cutEnd(sanitizeText(object.type), 40),
      sanitizeText(object.repr),
    ]),
    style,
  );
  // The first line may carry colour and is short.
  return lines.map((line, i) => (i === 0 ? line : cutEnd(line, PAGE_WIDTH)));
}
