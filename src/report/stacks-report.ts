// `stacks`: the threads of one capture with their Python frames, as a traceback prints them: the innermost last.

import { findTarget } from '../analysis/code-names.ts';
import { computeThreads, type ThreadFacts } from '../analysis/thread-stacks.ts';
import {
  cutEnd,
  formatAddress,
  formatCount,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { Execution } from '../graph/execution.ts';
import { type HeapGraph, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import type { StacksReport } from './execution-schema.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import { formatRepr } from './repr-text.ts';
import { nameOfSystemCall } from './system-calls.ts';
import { formatTerms, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

/** The text of a line of a source file, from 1; undefined if it cannot be had. */
export type FindSourceLine = (file: string, line: number) => string | undefined;

export interface StacksOptions {
  wantsLocals: boolean;
  findSourceLine: FindSourceLine;
}

type ThreadLine = StacksReport['threads'][number];
type FrameLine = ThreadLine['frames'][number];

/** A value in JSON; in a terminal it is cut to the page. */
const REPR_LENGTH = 200;

export function buildStacksReport(
  graph: HeapGraph,
  execution: Execution,
  options: StacksOptions,
): StacksReport {
  return {
    schema: 'leakscope/stacks@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    threads: computeThreads(graph, execution).map((thread) =>
      buildThread(graph, execution, thread, options),
    ),
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

function buildThread(
  graph: HeapGraph,
  execution: Execution,
  { row, name, isDaemon }: ThreadFacts,
  options: StacksOptions,
): ThreadLine {
  const frames: FrameLine[] = [];
  // Frames are kept with the innermost first.
  for (let frame = row.firstFrame + row.frameCount - 1; frame >= row.firstFrame; frame--) {
    frames.push(buildFrame(graph, execution, frame, options));
  }
  const { systemCall } = row;
  return {
    name: name ?? null,
    kernelName: row.kernelName === '' ? null : row.kernelName,
    ident: row.ident === 0 ? null : row.ident,
    nativeId: row.nativeId === 0 ? null : row.nativeId,
    interpreterId: row.interpreterId,
    isMain: row.isMain,
    isDaemon: isDaemon ?? null,
    isPython: row.ident !== 0,
    holdsGil: row.holdsGil,
    state: systemCall === undefined ? null : systemCall < 0 ? 'running' : 'waiting',
    systemCall: systemCall === undefined || systemCall < 0 ? null : nameOfSystemCall(systemCall),
    frames,
    isCutOff: row.isCutOff,
  };
}

function buildFrame(
  graph: HeapGraph,
  execution: Execution,
  frame: number,
  { wantsLocals, findSourceLine }: StacksOptions,
): FrameLine {
  const { facts, frameCode, frameLine, firstLocal, localName, localNode } = execution;
  const { qualname, file } = facts.codes[frameCode[frame]];
  const line = frameLine[frame];
  const locals: NonNullable<FrameLine['locals']> = [];
  for (let row = firstLocal[frame]; wantsLocals && row < firstLocal[frame + 1]; row++) {
    const node = findContent(graph, localNode[row]);
    locals.push({
      name: graph.strings[localName[row]],
      type: typeNameOf(graph, node),
      address: formatAddress(graph.address[node]),
      repr: formatRepr(graph, node, REPR_LENGTH),
    });
  }
  return {
    file,
    line,
    function: qualname,
    source: findSourceLine(file, line) ?? null,
    locals: wantsLocals ? locals : null,
  };
}

/** Variables of closures lie in cells. */
const findContent = (graph: HeapGraph, node: NodeIndex): NodeIndex =>
  typeNameOf(graph, node) === 'cell' ? (findTarget(graph, node, 'cell_contents') ?? node) : node;

// --- Text ---------------------------------------------------------------------------------------------------------------

export function formatStacks(report: StacksReport, style: Style = plainStyle): string {
  const python = report.threads.filter((thread) => thread.isPython);
  const others = report.threads.filter((thread) => !thread.isPython);
  const lines = [formatCaptureLine(report.target, report.capture), ''];
  for (const thread of python) lines.push(...formatThread(thread, style), '');
  if (others.length > 0) {
    const names = others.map(({ kernelName, nativeId }) =>
      sanitizeText(`${kernelName ?? '?'} ${nativeId ?? '?'}`),
    );
    const title = `${formatNumberOf(others.length, 'thread')} of C code, without Python: `;
    lines.push(...formatTerms(title, names.slice(0, 50)), '');
  }
  lines.push(formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}

function formatThread(thread: ThreadLine, style: Style): string[] {
  const lines = [style.strong(titleOf(thread)), ...formatThreadFacts(thread)];
  if (thread.frames.length === 0) lines.push('   no Python frame: it runs C code alone');
  if (thread.isCutOff) lines.push('   … frames further out could not be read');
  for (let i = 0; i < thread.frames.length; ) {
    const frame = thread.frames[i];
    lines.push(...formatFrame(frame, style));
    const count = countSame(thread.frames, i);
    if (count > 3) lines.push(`      … the same frame ${formatCount(count - 1)} times more`);
    i += count > 3 ? count : 1;
  }
  return lines;
}

const titleOf = ({ name, kernelName, nativeId }: ThreadLine): string =>
  sanitizeText(name ?? (kernelName === null ? `thread ${nativeId ?? '?'}` : kernelName));

function formatThreadFacts(thread: ThreadLine): string[] {
  const terms = [`thread ${thread.nativeId ?? '?'}`];
  if (thread.interpreterId !== 0) terms.push(`interpreter ${thread.interpreterId}`);
  if (thread.isMain) terms.push('main');
  if (thread.isDaemon === true) terms.push('daemon');
  if (thread.name === null) terms.push('unknown to threading');
  if (thread.holdsGil) terms.push('holds the GIL');
  if (thread.state === 'running') terms.push('running');
  if (thread.state === 'waiting') terms.push(`waits in ${thread.systemCall}`);
  return formatTerms('   ', [terms.join(', ')]);
}

interface Place {
  file: string;
  line: number;
  function: string;
}

/** How many frames from `at` on are at one place. */
export function countSame(frames: readonly Place[], at: number): number {
  const { file, line, function: name } = frames[at];
  let end = at + 1;
  while (end < frames.length) {
    const frame = frames[end];
    if (frame.file !== file || frame.line !== line || frame.function !== name) break;
    end++;
  }
  return end - at;
}

function formatFrame(frame: FrameLine, style: Style): string[] {
  const lines = [formatPlace(frame)];
  if (frame.source !== null) {
    lines.push(style.faint(cutEnd(`      ${sanitizeText(frame.source)}`, PAGE_WIDTH)));
  }
  for (const { name, repr } of frame.locals ?? []) {
    lines.push(cutEnd(`         ${sanitizeText(`${name} = ${repr}`)}`, PAGE_WIDTH));
  }
  return lines;
}

/** `   /srv/app/broker.py:31  Broker.pump` */
export const formatPlace = (frame: Place): string =>
  `   ${sanitizeText(frame.file === '' ? '?' : frame.file)}:${frame.line}  ${sanitizeText(frame.function)}`;
