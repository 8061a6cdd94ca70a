// A path from a root to an object, as Python would write it: `app.registry._open[123] -> Ticket` in one line, or as a
// ladder with the type and size of each step. Which steps there are and how each is written is analysis/path-steps.ts.

import { formatEdge, type HeapPath, isPhrase } from '../analysis/path-steps.ts';
import {
  cutEnd,
  formatAddress,
  formatBytes,
  formatCount,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import {
  type EdgeIndex,
  EdgeKind,
  findPreview,
  type HeapGraph,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { findEdgeSource } from '../graph/reverse-edges.ts';
import { computeLength, shortTypeName } from './repr-text.ts';
import type { PathStep, WrittenPath } from './schemas.ts';
import { padEnd, textWidth } from './text-layout.ts';

export interface WritePathOptions {
  /** Per node, bytes. */
  retainedSize?: Float64Array | undefined;
  /** The container in which the growth sits. */
  growsAt?: NodeIndex | undefined;
}

const ROOT_KIND_NAMES = Object.fromEntries(
  Object.entries(RootKind).map(([name, kind]) => [kind, name]),
) as Record<number, WrittenPath['root']['kind']>;

export function writePath(
  graph: HeapGraph,
  path: HeapPath,
  options: WritePathOptions = {},
): WrittenPath {
  const kind = ROOT_KIND_NAMES[path.rootKind];
  const label = path.rootLabel;
  const steps = path.steps.map(
    (step, i): PathStep => ({
      text:
        i === 0 ? writeRoot(kind, label, step.typeName) : writeStep(graph, step.edge, step.label),
      type: step.typeName,
      address: formatAddress(graph.address[step.node]),
      length: computeLength(graph, step.node),
      retainedBytes: options.retainedSize === undefined ? null : options.retainedSize[step.node],
      growsHere: step.node === options.growsAt,
      omitted: step.omitted,
    }),
  );
  return { root: { kind, label }, text: writeLine(kind, label, steps), steps };
}

function writeRoot(kind: WrittenPath['root']['kind'], label: string, type: string): string {
  switch (kind) {
    case 'local':
      return label;
    case 'module':
      return `module ${label}`;
    case 'interpreter':
      return label === '' ? kind : `${kind} ${label}`;
    case 'thread':
      return label === '' ? kind : label;
    case 'type':
      return `type ${label === '' ? type : label}`;
    case 'interned':
      return 'immortal object';
    case 'native':
      return label === '' ? 'C code' : `C code (${label})`;
    case 'lostReference':
      return 'lost reference';
  }
}

/** How the source of `edge` refers: `.name`, `[3]`, `['key']`, `local 'data' of leaking_coro (main.py:31)`. */
export const formatReference = (
  graph: HeapGraph,
  edge: EdgeIndex,
  inInstanceDict = false,
): string => writeStep(graph, edge, formatEdge(graph, edge, inInstanceDict));

/** A variable means little without the function that it belongs to. */
function writeStep(graph: HeapGraph, edge: EdgeIndex, label: string): string {
  const isStackValue = graph.edgeKind[edge] === EdgeKind.stackValue;
  if (!isPhrase(label) && !isStackValue) return label;
  const owner = describeCode(graph, findEdgeSource(graph, edge));
  return isStackValue ? `value in use by ${owner}` : `${label} of ${owner}`;
}

/** `leaking_coro (main.py:31)` of a frame, generator, coroutine or function. */
function describeCode(graph: HeapGraph, node: NodeIndex): string {
  const preview = findPreview(graph, node);
  if (preview !== undefined) {
    // <coroutine leaking_coro at main.py:31>: the brackets and the kind say nothing more here.
    return preview.replace(/^<(?:\w+ )?(.*)>$/, '$1').replace(/ at ([^ ]+:\d+)$/, ' ($1)');
  }
  return typeNameOf(graph, node);
}

function writeLine(
  kind: WrittenPath['root']['kind'],
  label: string,
  steps: readonly PathStep[],
): string {
  // The last frame on the way names what holds the rest better than how the frame itself is reached.
  let first = 0;
  steps.forEach((step, i) => {
    if (i > 0 && isPhrase(step.text)) first = i;
  });
  const isExpression = first === 0 && kind === 'module';
  let line = isExpression ? label : steps[first].text;
  const rest = steps.slice(first + 1);
  if (!isExpression && rest.length > 0) line += ` -> ${steps[first].type}`;
  const shown = rest.length > 14 ? [...rest.slice(0, 7), undefined, ...rest.slice(-6)] : rest;
  for (const step of shown) {
    if (step === undefined) line += ' … ';
    else line += step.omitted > 0 ? ` … ${step.text}` : step.text;
  }
  return `${line} -> ${steps[steps.length - 1].type}`;
}

const LADDER_ENDS = 7;
/** Texts beyond this width do not push the types of all other steps to the right. */
const MAX_COLUMN = 34;

/** The ladder, one line a step: how it is reached, what it is, and `<-- grows here`. */
export function formatSteps(steps: readonly PathStep[], width: number): string[] {
  const isKept = (i: number): boolean =>
    steps[i].growsHere ||
    i === steps.length - 1 ||
    ((i < LADDER_ENDS || i >= steps.length - LADDER_ENDS) && !continuesChain(steps, i));
  const texts = steps.map((step, i) => `${i === 0 ? '' : '  '}${sanitizeText(step.text)}`);
  const widths = texts.filter((_, i) => i > 0 && isKept(i)).map((text) => textWidth(text) + 2);
  const column = Math.max(16, ...widths.filter((textColumns) => textColumns <= MAX_COLUMN));
  const lines: string[] = [];
  let left = 0;
  steps.forEach((step, i) => {
    left += step.omitted;
    if (!isKept(i)) {
      left++;
      return;
    }
    if (left > 0) lines.push(`  … ${formatNumberOf(left, 'step')}`);
    left = 0;
    lines.push(formatStep(step, texts[i], i === 0 ? 0 : column, i === steps.length - 1, width));
  });
  return lines;
}

/** Whether the step only repeats the two before it, as in a linked list. */
function continuesChain(steps: readonly PathStep[], i: number): boolean {
  const repeats = (k: number): boolean =>
    k > 0 && steps[k].text === steps[k - 1].text && steps[k].type === steps[k - 1].type;
  return repeats(i) && repeats(i - 1);
}

function formatStep(
  step: PathStep,
  text: string,
  column: number,
  isLast: boolean,
  width: number,
): string {
  const length = step.length === null ? '' : ` (${formatCount(step.length)})`;
  const size =
    isLast && step.retainedBytes !== null ? `  ${formatBytes(step.retainedBytes)} retained` : '';
  // What a module or a type is, its text has said already.
  const saysItself = column === 0 && /^(module|type) /.test(text);
  const facts = saysItself ? '' : sanitizeText(shortTypeName(step.type)) + length + size;
  const cut = cutEnd(text, Math.max(20, width - textWidth(facts) - 18));
  const line = facts === '' ? cut : `${padEnd(`${cut} `, column - 1)} ${facts}`;
  return step.growsHere ? `${padEnd(line, 38)}  <-- grows here` : line;
}
