// The neighbourhood of one object as a picture in Graphviz's DOT, like objgraph's: forward what it refers to, backward
// what refers to it. Bounded in depth, neighbours per object and nodes in all, so that it stays readable and Graphviz
// cannot hang (it took minutes on 400 nodes); what is left out is drawn as one node that says how much it is.

import { cutEnd, formatAddress, formatCount, sanitizeText } from '../base/format.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import { findEdgeSource, type ReverseEdges } from '../graph/reverse-edges.ts';
import { formatReference } from './path-text.ts';
import { computeLength, formatRepr } from './repr-text.ts';

export interface PictureOptions {
  direction: 'forward' | 'backward';
  /** Needed for `backward`. */
  reverse: ReverseEdges | undefined;
  /** Steps away from the object. */
  depth: number;
  /** Neighbours drawn per object. */
  fanOut: number;
  /** Objects drawn in all. */
  nodeLimit: number;
}

export const MAX_PICTURE_NODES = 120;

export interface Picture {
  dot: string;
  nodes: number;
  edges: number;
  /** Neighbours that were left out. */
  omitted: number;
}

interface Neighbour {
  node: NodeIndex;
  label: string;
}

export function buildPicture(graph: HeapGraph, start: NodeIndex, options: PictureOptions): Picture {
  const lines: string[] = [];
  const depthOf = new Map<NodeIndex, number>([[start, 0]]);
  const queue = [start];
  let edges = 0;
  let omitted = 0;
  for (let i = 0; i < queue.length; i++) {
    const node = queue[i];
    const depth = depthOf.get(node) as number;
    lines.push(drawNode(graph, node, node === start, rootsOf(graph, node)));
    if (depth >= options.depth) continue;
    const { neighbours, total } = listNeighbours(graph, node, options);
    let drawn = 0;
    for (const { node: other, label } of neighbours) {
      if (!depthOf.has(other)) {
        if (depthOf.size >= options.nodeLimit) continue;
        depthOf.set(other, depth + 1);
        queue.push(other);
      }
      lines.push(drawEdge(node, other, label, options.direction));
      drawn++;
      edges++;
    }
    if (total > drawn) {
      omitted += total - drawn;
      lines.push(...drawOmitted(node, total - drawn, options.direction));
    }
  }
  const head = [
    'digraph leakscope {',
    '  graph [rankdir="LR", fontname="DejaVu Sans", nodesep="0.15", ranksep="0.6"]',
    '  node [shape="box", style="rounded,filled", fillcolor="#eef3fa", color="#7f93ad", fontname="DejaVu Sans", fontsize="10", margin="0.12,0.06"]',
    '  edge [color="#5c6b7f", fontname="DejaVu Sans", fontsize="9", arrowsize="0.7"]',
  ];
  return { dot: `${[...head, ...lines, '}'].join('\n')}\n`, nodes: queue.length, edges, omitted };
}

/** The first `fanOut` neighbours, dict keys left to the entries' labels, and how many there are. */
function listNeighbours(graph: HeapGraph, node: NodeIndex, options: PictureOptions) {
  return options.direction === 'forward'
    ? listTargets(graph, node, options.fanOut)
    : listSources(graph, node, options.reverse, options.fanOut);
}

function listTargets(graph: HeapGraph, node: NodeIndex, limit: number) {
  const neighbours: Neighbour[] = [];
  let total = 0;
  const end = graph.firstEdge[node + 1];
  for (let edge = graph.firstEdge[node]; edge < end; edge++) {
    const kind = graph.edgeKind[edge];
    // A key that is plain text stands on the arrow already; a type explains nothing.
    if (kind === EdgeKind.type || (kind === EdgeKind.dictKey && isPlainKey(graph, edge))) continue;
    if (total++ < limit)
      neighbours.push({ node: graph.edgeTarget[edge], label: formatReference(graph, edge) });
  }
  return { neighbours, total };
}

const isPlainKey = (graph: HeapGraph, edge: number): boolean =>
  /^(str|int|bytes|float|bool|NoneType)$/.test(typeNameOf(graph, graph.edgeTarget[edge]));

function listSources(
  graph: HeapGraph,
  node: NodeIndex,
  reverse: ReverseEdges | undefined,
  limit: number,
) {
  const neighbours: Neighbour[] = [];
  if (reverse === undefined) return { neighbours, total: 0 };
  const start = reverse.firstRetainer[node];
  const end = reverse.firstRetainer[node + 1];
  for (let i = start; i < end && neighbours.length < limit; i++) {
    const edge = reverse.retainerEdge[i];
    const source = findEdgeSource(graph, edge);
    neighbours.push({ node: source, label: formatReference(graph, edge) });
  }
  return { neighbours, total: end - start };
}

/** Names under which roots hold the object: at most two. Cost: one pass over the roots. */
function rootsOf(graph: HeapGraph, node: NodeIndex): string[] {
  const names: string[] = [];
  for (let root = 0; root < graph.rootNode.length && names.length < 2; root++) {
    if (graph.rootNode[root] !== node || graph.rootLabel[root] === NONE) continue;
    const name = graph.strings[graph.rootLabel[root]];
    if (!names.includes(name)) names.push(name);
  }
  return names;
}

function drawNode(
  graph: HeapGraph,
  node: NodeIndex,
  isStart: boolean,
  roots: readonly string[],
): string {
  const length = computeLength(graph, node);
  const type = typeNameOf(graph, node) + (length === null ? '' : ` (${formatCount(length)})`);
  const repr = formatRepr(graph, node, 50);
  const lines = [
    cutEnd(type, 50),
    cutEnd(repr, 50),
    ...roots.map((name) => cutEnd(`root: ${name}`, 50)),
  ];
  const fill = isStart
    ? ', fillcolor="#ffd7d2", color="#b3402f", penwidth="1.6"'
    : roots.length > 0
      ? ', fillcolor="#d9f0dc", color="#4b8b57"'
      : '';
  const label = lines.map(escapeDot).join('\\n');
  return `  n${node} [label="${label}", tooltip="${formatAddress(graph.address[node])}"${fill}]`;
}

function drawEdge(
  node: NodeIndex,
  other: NodeIndex,
  label: string,
  direction: PictureOptions['direction'],
): string {
  const arrow = direction === 'forward' ? `n${node} -> n${other}` : `n${other} -> n${node}`;
  return `  ${arrow} [label="${escapeDot(cutEnd(label, 40))}"]`;
}

function drawOmitted(
  node: NodeIndex,
  count: number,
  direction: PictureOptions['direction'],
): string[] {
  const name = `more${node}`;
  const arrow = direction === 'forward' ? `n${node} -> ${name}` : `${name} -> n${node}`;
  return [
    `  ${name} [label="… ${formatCount(count)} more", shape="plaintext", style="", fontcolor="#5c6b7f"]`,
    `  ${arrow} [style="dashed"]`,
  ];
}

const escapeDot = (text: string): string =>
  sanitizeText(text).replace(/\\/g, '\\\\').replace(/"/g, '\\"');
