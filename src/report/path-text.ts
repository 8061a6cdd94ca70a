// A path from a root to an object, as Python would write it: `app.registry._open[123] -> Ticket` in one line, or as a
// ladder with the type and size of each step. Instance dicts are hidden: `obj.__dict__['x']` is written `.x`.
//
// A path is the nodes from the root object to the object and the edges between them; what finds it is analysis/paths.ts.

import { cutEnd, formatBytes, formatCount, sanitizeText } from '../base/format.ts';
import {
  type EdgeIndex,
  EdgeKind,
  findPreview,
  type HeapGraph,
  NONE,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { computeLength, formatKey, formatValue, shortTypeName } from './repr-text.ts';
import type { PathStep, WrittenPath } from './schemas.ts';
import { padEnd, textWidth } from './text-layout.ts';

/** `nodes[0]` is the root's object; `edges[i]` leads from `nodes[i]` to `nodes[i + 1]`. */
export interface PathInGraph {
  /** Row of the graph's roots. */
  root: number;
  nodes: ArrayLike<NodeIndex>;
  edges: ArrayLike<EdgeIndex>;
}

export interface WritePathOptions {
  /** Per node, bytes. */
  retainedSize?: Float64Array | undefined;
  /** The container in which the growth sits. */
  growsAt?: NodeIndex | undefined;
}

const ROOT_KIND_NAMES = Object.fromEntries(
  Object.entries(RootKind).map(([name, kind]) => [kind, name]),
) as Record<number, WrittenPath['root']['kind']>;

/** Steps of a path that are kept at each end; the middle of a longer one (a linked list) is left out and counted. */
const KEPT_STEPS = 30;

export function writePath(
  graph: HeapGraph,
  path: PathInGraph,
  options: WritePathOptions = {},
): WrittenPath {
  const kind = ROOT_KIND_NAMES[graph.rootKind[path.root]];
  const labelId = graph.rootLabel[path.root];
  const label = labelId === NONE ? '' : graph.strings[labelId];
  const rootText = writeRoot(graph, kind, label, path.nodes[0]);
  const steps = writeSteps(graph, path, rootText, options);
  return { root: { kind, label }, text: writeLine(kind, label, steps), steps };
}

function writeRoot(
  graph: HeapGraph,
  kind: WrittenPath['root']['kind'],
  label: string,
  node: NodeIndex,
): string {
  switch (kind) {
    case 'module':
      return `module ${label}`;
    case 'local':
      return label.startsWith('local') ? label : `local of ${label}`;
    case 'interpreter':
      return `interpreter ${label}`.trimEnd();
    case 'type':
      return `type ${label === '' ? typeNameOf(graph, node) : label}`;
    case 'interned':
      return 'interned object';
    case 'thread':
      return label.startsWith('thread') ? label : `thread ${label}`.trimEnd();
    case 'native':
      return label === '' ? 'C code' : `C code (${label})`;
  }
}

function writeSteps(
  graph: HeapGraph,
  path: PathInGraph,
  rootText: string,
  options: WritePathOptions,
): PathStep[] {
  const last = path.nodes.length - 1;
  const steps: PathStep[] = [];
  let omitted = 0;
  for (let i = 0; i <= last; i++) {
    const node = path.nodes[i];
    const growsHere = node === options.growsAt;
    // A dict that is only an instance's attributes is written as part of the step behind it; not when the path ends or
    // grows there.
    const isHidden =
      i > 0 &&
      i < last &&
      !growsHere &&
      graph.edgeKind[path.edges[i - 1]] === EdgeKind.instanceDict;
    if (isHidden) continue;
    if (i > KEPT_STEPS && i < last - KEPT_STEPS && !growsHere) {
      omitted++;
      continue;
    }
    steps.push({
      text: i === 0 ? rootText : writeEdge(graph, path, i - 1),
      type: typeNameOf(graph, node),
      address: `0x${graph.address[node].toString(16)}`,
      length: computeLength(graph, node),
      retainedBytes: options.retainedSize === undefined ? null : options.retainedSize[node],
      growsHere,
      omitted,
    });
    omitted = 0;
  }
  return steps;
}

/** How `nodes[i + 1]` is reached from `nodes[i]`. */
function writeEdge(graph: HeapGraph, path: PathInGraph, i: number): string {
  const fromInstanceDict = i > 0 && graph.edgeKind[path.edges[i - 1]] === EdgeKind.instanceDict;
  return formatEdge(graph, path.nodes[i], path.edges[i], fromInstanceDict);
}

/** `.name`, `[3]`, `['key']`, `local 'data' of f (main.py:31)`, …; `isAttributes` where the source is an instance's dict. */
export function formatEdge(
  graph: HeapGraph,
  source: NodeIndex,
  edge: EdgeIndex,
  isAttributes = false,
): string {
  const label = graph.edgeLabel[edge];
  const name = (): string => (label === NONE ? '?' : graph.strings[label]);
  const kind = graph.edgeKind[edge] as EdgeKind;
  switch (kind) {
    case EdgeKind.attribute:
      return `.${name()}`;
    case EdgeKind.item:
      return `[${label === NONE ? '?' : label}]`;
    case EdgeKind.dictKey:
      return `{key ${formatValue(graph, graph.edgeTarget[edge])}}`;
    case EdgeKind.dictValue:
    case EdgeKind.namedValue: {
      const key = formatKey(graph, source, edge);
      const identifier = /^'([A-Za-z_]\w*)'$/.exec(key)?.[1];
      return isAttributes && identifier !== undefined ? `.${identifier}` : `[${key}]`;
    }
    case EdgeKind.local:
      return `local '${name()}' of ${describeFrame(graph, source)}`;
    case EdgeKind.instanceDict:
      return '.__dict__';
    case EdgeKind.setItem:
      return `{${formatValue(graph, graph.edgeTarget[edge])}}`;
    case EdgeKind.type:
      return '.__class__';
    case EdgeKind.conservative:
      return label === NONE ? '<memory>' : `<memory +${label}>`;
    case EdgeKind.stackValue:
      return `value in use by ${describeFrame(graph, source)}`;
    case EdgeKind.internal:
      return label === NONE ? '<internal>' : `<${name()}>`;
  }
}

/** `leaking_coro (main.py:31)` of a frame, generator or coroutine. */
function describeFrame(graph: HeapGraph, node: NodeIndex): string {
  const preview = findPreview(graph, node);
  if (preview !== undefined) {
    // <coroutine leaking_coro (main.py:31)>: the brackets and the kind say nothing more here.
    return preview.replace(/^<(?:\w+ )?(.*)>$/, '$1');
  }
  return typeNameOf(graph, node);
}

/** Accessors that begin a new thought instead of continuing an expression. */
const isPhrase = (text: string): boolean => /^(local|value) /.test(text);

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

/** The ladder, one line a step: how it is reached, what it is, and `<-- grows here`. */
export function formatSteps(steps: readonly PathStep[], width: number): string[] {
  const isKept = (i: number): boolean =>
    i < LADDER_ENDS || i >= steps.length - LADDER_ENDS || steps[i].growsHere;
  const texts = steps.map((step, i) => `${i === 0 ? '' : '  '}${sanitizeText(step.text)}`);
  const column = Math.min(
    46,
    Math.max(16, ...texts.map((text, i) => (i > 0 && isKept(i) ? textWidth(text) + 2 : 0))),
  );
  const lines: string[] = [];
  let left = 0;
  steps.forEach((step, i) => {
    if (!isKept(i)) {
      left += 1 + step.omitted;
      return;
    }
    left += step.omitted;
    if (left > 0) lines.push(`  … ${formatCount(left)} steps`);
    left = 0;
    lines.push(formatStep(step, texts[i], i === 0 ? 0 : column, i === steps.length - 1, width));
  });
  return lines;
}

function formatStep(
  step: PathStep,
  text: string,
  column: number,
  isLast: boolean,
  width: number,
): string {
  // What a module or a type is, its text has said already.
  const saysItself = column === 0 && /^(module|type) /.test(text);
  const facts = saysItself
    ? ''
    : sanitizeText(shortTypeName(step.type)) +
      (step.length === null ? '' : ` (${formatCount(step.length)})`);
  const size =
    isLast && step.retainedBytes !== null ? `  ${formatBytes(step.retainedBytes)} retained` : '';
  const cut = cutEnd(text, Math.max(20, width - textWidth(facts) - textWidth(size) - 18));
  const line =
    facts === ''
      ? cut
      : `${column === 0 ? `${cut}  ` : padEnd(cut, column)}${column > 0 && textWidth(cut) >= column ? '  ' : ''}${facts}${size}`;
  return step.growsHere ? `${padEnd(line, 38)}  <-- grows here` : line;
}
