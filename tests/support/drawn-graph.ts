// A HeapGraph drawn as text, for tests of what is right of `graph`. One line per root, object or weak reference:
//
//   root module app -> app                    kind of RootKind, label up to the arrow (may be missing)
//   app: module 64 __dict__ -> appDict        name: type, then what is known of the object, then its edges
//   appDict: dict 232 .open -> open, 'n' -> n
//   open: dict 232/512 @0x5000 [a] -> t1      shallow size / allocated size, address, an entry with key object `a`
//   t1: app.Ticket 48 rc=2 "<Ticket 1>"       reference count, preview in double quotes
//   a: str 50 "'a'" immortal
//   weak t1 -> a
//
// Edges are separated by commas and written as their label and an arrow:
//   .name attribute   'name' namedValue   [3] item   [key] dict entry (key and value)   {} setItem   key dictKey
//   local x   __dict__ instanceDict   type   <field> internal   <+16> conservative   <stack 2> stackValue
// Addresses ascend in the order of lines from 0x1000 in steps of 0x40 unless given. Sizes default to 16. A node that is
// only pointed at is an `object`. A type whose name is also the name of a node has that node as its type object.

import {
  type CaptureFacts,
  EdgeKind,
  type HeapGraph,
  NONE,
  NodeFlag,
  type NodeIndex,
  RootKind,
} from '../../src/graph/heap-graph.ts';

export interface DrawnGraph {
  graph: HeapGraph;
  /** The node drawn under this name. */
  node(name: string): NodeIndex;
  /** The name under which the node was drawn. */
  nameOf(node: NodeIndex): string;
}

interface DrawnEdge {
  target: string;
  kind: EdgeKind;
  label: string | number;
}

interface DrawnNode {
  name: string;
  type: string;
  shallow: number;
  allocated: number;
  address: number;
  references: number | undefined;
  flags: number;
  preview: string;
  edges: DrawnEdge[];
}

interface DrawnRoot {
  kind: RootKind;
  label: string;
  node: string;
}

interface Drawing {
  nodes: Map<string, DrawnNode>;
  roots: DrawnRoot[];
  weak: [string, string][];
}

export function drawGraph(text: string, capture: Partial<CaptureFacts> = {}): DrawnGraph {
  const drawing: Drawing = { nodes: new Map(), roots: [], weak: [] };
  for (const rawLine of text.split('\n')) {
    const line = rawLine.trim();
    if (line !== '' && !line.startsWith('#')) parseLine(drawing, line);
  }
  addMissingNodes(drawing);
  return buildDrawnGraph(drawing, capture);
}

const newNode = (name: string, type: string): DrawnNode => ({
  name,
  type,
  shallow: 16,
  allocated: 16,
  address: 0,
  references: undefined,
  flags: 0,
  preview: '',
  edges: [],
});

function parseLine(drawing: Drawing, line: string): void {
  const root = /^root (\w+)(?: (.*?))? -> (\S+)$/.exec(line);
  if (root !== null) {
    const kind = RootKind[root[1] as keyof typeof RootKind];
    if (kind === undefined) throw new Error(`no such kind of root: ${line}`);
    drawing.roots.push({ kind, label: root[2] ?? '', node: root[3] });
    return;
  }
  const weak = /^weak (\S+) -> (\S+)$/.exec(line);
  if (weak !== null) {
    drawing.weak.push([weak[1], weak[2]]);
    return;
  }
  const object = /^([\w$]+): (\S+)(.*)$/.exec(line);
  if (object === null) throw new Error(`cannot read the drawing: ${line}`);
  if (drawing.nodes.has(object[1])) throw new Error(`drawn twice: ${object[1]}`);
  drawing.nodes.set(object[1], parseObject(newNode(object[1], object[2]), object[3]));
}

const FACT =
  /^\s*(?:(\d+)(?:\/(\d+))?(?=\s|$)|@(0x[0-9a-f]+)|rc=(\d+)|"([^"]*)"|(tracked|immortal|static|partial|running)\b(?! *->))/;

function parseObject(node: DrawnNode, facts: string): DrawnNode {
  let rest = facts;
  for (let match = FACT.exec(rest); match !== null; match = FACT.exec(rest)) {
    rest = rest.slice(match[0].length);
    const [, shallow, allocated, address, references, preview, flag] = match;
    if (shallow !== undefined) {
      node.shallow = Number(shallow);
      node.allocated = Number(allocated ?? shallow);
    } else if (address !== undefined) node.address = Number(address);
    else if (references !== undefined) node.references = Number(references);
    else if (preview !== undefined) node.preview = preview;
    else node.flags |= NodeFlag[flag as keyof typeof NodeFlag];
  }
  for (const part of rest.split(',')) {
    if (part.trim() !== '') node.edges.push(...parseEdge(part.trim()));
  }
  return node;
}

function parseEdge(text: string): DrawnEdge[] {
  const match = /^(.*?)\s*-> ([\w$]+)$/.exec(text);
  if (match === null) throw new Error(`cannot read the edge: ${text}`);
  const [, how, target] = match;
  const edge = (kind: EdgeKind, label: string | number = NONE): DrawnEdge[] => [
    { target, kind, label },
  ];
  if (how.startsWith('.')) return edge(EdgeKind.attribute, how.slice(1));
  if (how.startsWith("'")) return edge(EdgeKind.namedValue, how.slice(1, -1));
  if (how.startsWith('local ')) return edge(EdgeKind.local, how.slice(6));
  if (/^\[\d+\]$/.test(how)) return edge(EdgeKind.item, Number(how.slice(1, -1)));
  if (how.startsWith('[')) {
    return [
      { target: how.slice(1, -1), kind: EdgeKind.dictKey, label: NONE },
      { target, kind: EdgeKind.dictValue, label: NONE },
    ];
  }
  if (how.startsWith('<+')) return edge(EdgeKind.conservative, Number(how.slice(2, -1)));
  if (how.startsWith('<stack ')) return edge(EdgeKind.stackValue, Number(how.slice(7, -1)));
  if (how.startsWith('<')) return edge(EdgeKind.internal, how.slice(1, -1));
  if (how === '__dict__') return edge(EdgeKind.instanceDict);
  if (how === 'type') return edge(EdgeKind.type);
  if (how === '{}') return edge(EdgeKind.setItem);
  if (how === 'key') return edge(EdgeKind.dictKey);
  throw new Error(`no such kind of edge: ${text}`);
}

function addMissingNodes({ nodes, roots, weak }: Drawing): void {
  const named = [...nodes.values()].flatMap((node) => node.edges.map((edge) => edge.target));
  named.push(...roots.map((root) => root.node), ...weak.flat());
  for (const name of named) if (!nodes.has(name)) nodes.set(name, newNode(name, 'object'));
}

function buildDrawnGraph(drawing: Drawing, capture: Partial<CaptureFacts>): DrawnGraph {
  const rows = [...drawing.nodes.values()];
  rows.forEach((row, i) => {
    if (row.address === 0) row.address = 0x1000 + i * 0x40;
  });
  rows.sort((a, b) => a.address - b.address);
  const index = new Map(rows.map((row, i) => [row.name, i]));
  const node = (name: string): NodeIndex => {
    const found = index.get(name);
    if (found === undefined) throw new Error(`not drawn: ${name}`);
    return found;
  };
  const strings = new Interner();
  const types = new Interner();
  const edges = rows.flatMap((row) => row.edges);
  const previews = rows.map((row) => new TextEncoder().encode(row.preview));
  const weak = drawing.weak.map(([from, to]) => [node(from), node(to)]);
  weak.sort((a, b) => a[0] - b[0]);
  const references = new Uint32Array(rows.length);
  for (const edge of edges) references[node(edge.target)]++;
  for (const root of drawing.roots) references[node(root.node)]++;
  const graph: HeapGraph = {
    nodeCount: rows.length,
    edgeCount: edges.length,
    address: Float64Array.from(rows, (row) => row.address),
    typeId: Uint32Array.from(rows, (row) => types.id(row.type)),
    shallowSize: Float64Array.from(rows, (row) => row.shallow),
    allocatedSize: Float64Array.from(rows, (row) => row.allocated),
    referenceCount: references.map((count, i) => rows[i].references ?? count),
    nodeFlags: Uint8Array.from(rows, (row) => row.flags),
    firstEdge: startsOf(rows.map((row) => row.edges.length)),
    edgeTarget: Uint32Array.from(edges, (edge) => node(edge.target)),
    edgeKind: Uint8Array.from(edges, (edge) => edge.kind),
    edgeLabel: Uint32Array.from(edges, (edge) =>
      typeof edge.label === 'string' ? strings.id(edge.label) : edge.label,
    ),
    weakSource: Uint32Array.from(weak, (pair) => pair[0]),
    weakTarget: Uint32Array.from(weak, (pair) => pair[1]),
    rootNode: Uint32Array.from(drawing.roots, (root) => node(root.node)),
    rootKind: Uint8Array.from(drawing.roots, (root) => root.kind),
    rootLabel: Uint32Array.from(drawing.roots, (root) =>
      root.label === '' ? NONE : strings.id(root.label),
    ),
    types: types.names.map((name) => ({ name, node: index.get(name) ?? NONE })),
    strings: strings.names,
    previewBytes: Uint8Array.from(previews.flatMap((bytes) => [...bytes])),
    previewStart: startsOf(previews.map((bytes) => bytes.length)),
    capture: { ...DRAWN_CAPTURE, ...capture },
  };
  return { graph, node, nameOf: (i) => rows[i].name };
}

class Interner {
  readonly names: string[] = [];
  private readonly ids = new Map<string, number>();

  id(name: string): number {
    let id = this.ids.get(name);
    if (id === undefined) {
      id = this.names.push(name) - 1;
      this.ids.set(name, id);
    }
    return id;
  }
}

/** [0, a, a + b, ...] of [a, b, ...]. */
function startsOf(lengths: number[]): Uint32Array {
  const starts = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    starts[i + 1] = starts[i] + length;
  });
  return starts;
}

const DRAWN_CAPTURE: CaptureFacts = {
  at: '2026-01-01T00:00:00.000Z',
  pid: 4242,
  processStartedAt: 1_760_000_000,
  command: ['python', 'drawn.py'],
  python: '3.11.7',
  build: 'drawn',
  pauseMs: 10,
  copiedBytes: 0,
  rssBytes: 0,
  method: [],
  problems: [],
  coverage: 1,
};
