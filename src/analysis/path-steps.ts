// A path of the path tree as steps that a person reads: `app.registry._open[123] -> Ticket`. An instance's dict is no step
// of its own (`.name` stands for it and the entry), and of a very long path the middle is left out.

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
import { findTarget } from './code-names.ts';
import { findKeyText } from './names.ts';
import type { PathTree } from './paths.ts';

export interface PathStep {
  node: NodeIndex;
  /** The edge by which the step before holds the node; NONE for the first. After an instance's dict: the entry's. */
  edge: EdgeIndex;
  kind: EdgeKind | undefined;
  /** As Python writes it: `._open`, `[123]`, `['key']`, `local 'x'`, `closure 'x'`; of the first step the root's text. */
  label: string;
  typeName: string;
  /** Steps left out between the step before and this one. */
  omitted: number;
}

export interface HeapPath {
  rootKind: RootKind;
  /** The root's label as it was captured; '' if it has none. */
  rootLabel: string;
  /** The root object first, the node asked for last. */
  steps: PathStep[];
}

const MAX_STEPS = 24;
const MAX_KEY_LENGTH = 40;

/** The best path to `node`; undefined if it is unreachable. O(length of the path). */
export function findPath(
  graph: HeapGraph,
  tree: PathTree,
  node: NodeIndex,
  maxSteps = MAX_STEPS,
): HeapPath | undefined {
  const root = tree.rootRow[node];
  if (root === NONE) return undefined;
  const edges: EdgeIndex[] = [];
  let at = node;
  for (; tree.parentNode[at] !== NONE; at = tree.parentNode[at]) edges.push(tree.parentEdge[at]);
  return buildPath(graph, root, edges.reverse(), maxSteps);
}

/** The path that begins at a root (row of the graph's roots) and follows `edges`, each from the target of the one before. */
export function buildPath(
  graph: HeapGraph,
  root: number,
  edges: readonly EdgeIndex[],
  maxSteps = MAX_STEPS,
): HeapPath {
  const rootKind = graph.rootKind[root] as RootKind;
  const labelId = graph.rootLabel[root];
  const rootLabel = labelId === NONE ? '' : graph.strings[labelId];
  const rootNode = graph.rootNode[root];
  const first: PathStep = {
    node: rootNode,
    edge: NONE,
    kind: undefined,
    label: formatRoot(rootKind, rootLabel),
    typeName: typeNameOf(graph, rootNode),
    omitted: 0,
  };
  const visible = edges.filter(
    (edge, i) => graph.edgeKind[edge] !== EdgeKind.instanceDict || i === edges.length - 1,
  );
  const omitted = Math.max(0, visible.length - maxSteps);
  const head = omitted === 0 ? visible.length : Math.ceil(maxSteps / 2);
  const kept = [...visible.slice(0, head), ...visible.slice(head + omitted)];
  const isAttribute = new Set(
    edges.filter((_, i) => i > 0 && graph.edgeKind[edges[i - 1]] === EdgeKind.instanceDict),
  );
  const steps = kept.map((edge, i) => ({
    node: graph.edgeTarget[edge],
    edge,
    kind: graph.edgeKind[edge] as EdgeKind,
    label: formatEdge(graph, edge, isAttribute.has(edge)),
    typeName: typeNameOf(graph, graph.edgeTarget[edge]),
    omitted: i === head ? omitted : 0,
  }));
  return { rootKind, rootLabel, steps: withoutPlumbing(withoutCells(graph, [first, ...steps])) };
}

/** A variable that an inner function uses is in a cell: its name stands for what is in it. */
function withoutCells(graph: HeapGraph, steps: readonly PathStep[]): PathStep[] {
  const kept: PathStep[] = [];
  for (const step of steps) {
    const before = kept.at(-1);
    const isInCell =
      before?.typeName === 'cell' && step.label === '.cell_contents' && step.omitted === 0;
    const { node, typeName } = step;
    const closed = isInCell ? findClosed(graph, kept) : undefined;
    if (closed !== undefined) kept.splice(-2, 2, { ...closed, node, typeName });
    else if (isInCell && before.label.startsWith("local '")) {
      kept[kept.length - 1] = { ...before, node, typeName };
    } else kept.push(step);
  }
  return kept;
}

/** `closure 'x'` in place of `.__closure__[1]`, with which `steps` end; undefined if they do not, or the name is not known. */
function findClosed(graph: HeapGraph, steps: readonly PathStep[]): PathStep | undefined {
  const [owner, closure, cell] = steps.slice(-3);
  if (closure?.label !== '.__closure__' || closure.omitted + cell.omitted > 0) return undefined;
  const name = findFreeVariable(graph, owner.node, closure.node, cell.edge);
  return name === undefined ? undefined : { ...closure, label: `closure '${name}'` };
}

/** The name by which `owner`, a function, knows what `edge` of its closure leads to. */
function findFreeVariable(
  graph: HeapGraph,
  owner: NodeIndex,
  closure: NodeIndex,
  edge: EdgeIndex,
): string | undefined {
  const code = findTarget(graph, owner, '__code__');
  if (code === undefined) return undefined;
  const names =
    findTarget(graph, code, 'co_freevars') ?? findTarget(graph, code, 'co_localsplusnames');
  if (names === undefined) return undefined;
  // The variables of functions around it come last, in the order of the closure.
  const fromEnd = graph.firstEdge[closure + 1] - edge;
  const name = graph.firstEdge[names + 1] - fromEnd;
  if (name < graph.firstEdge[names]) return undefined;
  return /^'(\w+)'$/.exec(findPreview(graph, graph.edgeTarget[name]) ?? '')?.[1];
}

/** Fields of a threading.local with the dicts of all threads, each of which is what `local.name` reads in its thread. */
const LOCAL_DICTS = /^<(dummies|localdicts)>$/;

/** The tree in which a context keeps its variables, and the dicts of threading.local, are no steps to who reads. */
function withoutPlumbing(steps: readonly PathStep[]): PathStep[] {
  const kept: PathStep[] = [];
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i];
    const isLast = i === steps.length - 1;
    if (!isLast && i > 0 && /^hamt(_\w+_node)?$/.test(step.typeName)) continue;
    const value = LOCAL_DICTS.test(step.label) ? steps[i + 2] : undefined;
    const name = value === undefined ? undefined : /^\['(\w+)'\]$/.exec(value.label)?.[1];
    if (value !== undefined && name !== undefined && value.omitted === 0) {
      kept.push({ ...value, label: `.${name}` });
      i += 2;
    } else kept.push(step);
  }
  return kept;
}

/** Accessors that begin a new thought instead of continuing an expression. */
export const isPhrase = (text: string): boolean => /^(local|closure|value) /.test(text);

/** `app.registry._open[123] -> Ticket` */
export function formatPath(path: HeapPath): string {
  let text = '';
  for (const { label, omitted } of path.steps) {
    if (omitted > 0) text += ' ... ';
    text += isPhrase(label) && text !== '' ? ` ${label}` : label;
  }
  return `${text} -> ${path.steps[path.steps.length - 1].typeName}`;
}

export function formatRoot(kind: RootKind, label: string): string {
  switch (kind) {
    case RootKind.interned:
      return label === '' ? 'immortal object' : `immortal ${label}`;
    case RootKind.native:
      return label === '' ? 'C code' : `C code ${label}`;
    case RootKind.lostReference:
      return 'lost reference';
    case RootKind.thread:
      return label === '' ? 'thread' : label;
    default:
      return label === '' ? 'interpreter' : label;
  }
}

/** `inInstanceDict`: the edge is an entry of the dict of an instance or module, which is written as an attribute. */
export function formatEdge(graph: HeapGraph, edge: EdgeIndex, inInstanceDict = false): string {
  const label = graph.edgeLabel[edge];
  const name = (): string => (label === NONE ? '?' : graph.strings[label]);
  switch (graph.edgeKind[edge] as EdgeKind) {
    case EdgeKind.attribute:
      return `.${name()}`;
    case EdgeKind.internal:
      return `<${name()}>`;
    case EdgeKind.item:
      return `[${label}]`;
    case EdgeKind.local:
      return `local '${name()}'`;
    case EdgeKind.dictValue:
    case EdgeKind.namedValue: {
      const key = inInstanceDict ? findKeyText(graph, edge) : undefined;
      return key === undefined ? `[${formatKey(graph, edge)}]` : `.${key}`;
    }
    case EdgeKind.dictKey:
      return '<key>';
    case EdgeKind.instanceDict:
      return '.__dict__';
    case EdgeKind.setItem:
      return '{...}';
    case EdgeKind.type:
      return '.__class__';
    case EdgeKind.conservative:
      return `<+${label}>`;
    case EdgeKind.stackValue:
      return `<stack ${label}>`;
  }
}

function formatKey(graph: HeapGraph, edge: EdgeIndex): string {
  if (graph.edgeKind[edge] === EdgeKind.namedValue) {
    const label = graph.edgeLabel[edge];
    return label === NONE ? '?' : `'${graph.strings[label]}'`;
  }
  const key = graph.edgeTarget[edge - 1];
  const text =
    findPreview(graph, key) ?? findVariableName(graph, key) ?? `<${typeNameOf(graph, key)}>`;
  return text.length > MAX_KEY_LENGTH ? `${text.slice(0, MAX_KEY_LENGTH - 3)}...` : text;
}

/** `ContextVar 'user'` */
function findVariableName(graph: HeapGraph, key: NodeIndex): string | undefined {
  if (!/^(_contextvars\.)?ContextVar$/.test(typeNameOf(graph, key))) return undefined;
  for (let edge = graph.firstEdge[key]; edge < graph.firstEdge[key + 1]; edge++) {
    const label = graph.edgeLabel[edge];
    if (graph.edgeKind[edge] !== EdgeKind.attribute || label === NONE) continue;
    if (graph.strings[label] === 'name')
      return `ContextVar ${findPreview(graph, graph.edgeTarget[edge]) ?? ''}`;
  }
  return undefined;
}
