// Merges the paths of a path tree by their shape: two nodes have one shape when the same names lead to them through the
// same types, with indices, keys and numbers in names left out. `app.registry._open[*] -> Ticket` is one shape for all
// tickets. (The idea is Shark's, LeakCanary: growth by shape needs no identity of objects, so reused addresses do no harm.)
//
// A recursive structure is folded: where an ancestor shape among the last few steps has the same edge name and type, the
// node gets that shape, so a list of a million links has two or three shapes. The dict of an instance is a shape of its
// own, but what it holds belongs to the instance: paths read the same on Pythons with and without inline values.
//
// Limits: 2^20 shapes and 64 steps; what is beyond is counted with the shape before it.

import { hasBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { HASH_START, hashNumber, hashText } from '../base/hash.ts';
import {
  type EdgeIndex,
  EdgeKind,
  type HeapGraph,
  NONE,
  type RootKind,
} from '../graph/heap-graph.ts';
import { findKeyText, normaliseName, normaliseRootLabel } from './names.ts';
import { formatRoot } from './path-steps.ts';
import type { PathTree } from './paths.ts';
import { findWeakEntries } from './weak-entries.ts';

export type ShapeIndex = number;

/** What is known of each shape; small, and independent of the graph: earlier captures keep only this. */
export interface ShapeTable {
  readonly shapeCount: number;
  /** Per shape: the shape before it, always of a lower row; NONE for the shape of a root. */
  readonly parent: Uint32Array;
  /** Per shape: row of `names`, how the shape before refers to it; for a root its text. */
  readonly edgeName: Uint32Array;
  /** Per shape: row of `names`. */
  readonly typeName: Uint32Array;
  readonly names: readonly string[];
  /** Per shape: the same number for the same shape in any capture, below 2^53. */
  readonly key: Float64Array;
  readonly nodeCount: Float64Array;
  /** Per shape: the number of edges that its nodes have. */
  readonly entryCount: Float64Array;
  readonly shallowBytes: Float64Array;
  readonly allocatedBytes: Float64Array;
}

export interface Shapes {
  table: ShapeTable;
  /** Per node; NONE if unreachable, or an entry of a weak container, whose bytes count for what it refers to. */
  shapeOfNode: Uint32Array;
}

const MAX_SHAPES = 1 << 20;
const MAX_DEPTH = 64;
/** How far back a shape is looked for that a recursive structure can be folded into. */
const FOLD_STEPS = 8;

/** O(nodes), 4 bytes per node, about 60 per shape. */
export function buildShapes(graph: HeapGraph, tree: PathTree): Shapes {
  const { typeId, firstEdge, shallowSize, allocatedSize } = graph;
  const { order, parentNode, parentEdge, rootRow } = tree;
  const names = new EdgeNames(graph);
  const builder = new ShapeBuilder();
  const shapeOfNode = new Uint32Array(graph.nodeCount).fill(NONE);
  for (let i = 0; i < order.length; i++) {
    const node = order[i];
    const parent = parentNode[node];
    const type = names.typeName[typeId[node]];
    if (parent === NONE) {
      shapeOfNode[node] = builder.findOrAdd(NONE, names.ofRoot(rootRow[node]), type);
      continue;
    }
    let before = shapeOfNode[parent];
    const inInstanceDict = builder.edgeName.array[before] === names.instanceDict;
    if (inInstanceDict && builder.parent.array[before] !== NONE)
      before = builder.parent.array[before];
    const name = names.ofEdge(parentEdge[node], inInstanceDict);
    shapeOfNode[node] = builder.findFoldOrAdd(before, name, type);
  }

  const weak = findWeakEntries(graph, tree);
  const shapeCount = builder.parent.length;
  const nodeCount = new Float64Array(shapeCount);
  const entryCount = new Float64Array(shapeCount);
  const shallowBytes = new Float64Array(shapeCount);
  const allocatedBytes = new Float64Array(shapeCount);
  for (let node = 0; node < graph.nodeCount; node++) {
    if (weak !== undefined && hasBit(weak.nodes, node)) shapeOfNode[node] = NONE;
    const shape = shapeOfNode[node];
    if (shape === NONE) continue;
    nodeCount[shape]++;
    entryCount[shape] += firstEdge[node + 1] - firstEdge[node];
    shallowBytes[shape] += shallowSize[node];
    allocatedBytes[shape] += allocatedSize[node];
  }
  weak?.entry.forEach((entry, i) => {
    const shape = shapeOfNode[weak.referent[i]];
    if (shape !== NONE) allocatedBytes[shape] += allocatedSize[entry];
  });
  const columns = { nodeCount, entryCount, shallowBytes, allocatedBytes };
  return { shapeOfNode, table: { ...builder.finish(names.names), ...columns } };
}

/** `app.registry._open[*] -> app.Ticket` */
export function formatShape(table: ShapeTable, shape: ShapeIndex): string {
  return `${formatShapePath(table, shape)} -> ${table.names[table.typeName[shape]]}`;
}

/** `app.registry._open[*]`, without the type. */
export function formatShapePath(table: ShapeTable, shape: ShapeIndex): string {
  let text = '';
  for (const step of shapeSteps(table, shape)) {
    const name = table.names[table.edgeName[step]];
    text += name.startsWith('local ') && text !== '' ? ` ${name}` : name;
  }
  return text;
}

/** The shapes from the root's to `shape`. */
export function shapeSteps(table: ShapeTable, shape: ShapeIndex): ShapeIndex[] {
  const steps: ShapeIndex[] = [];
  for (let at = shape; at !== NONE; at = table.parent[at]) steps.push(at);
  return steps.reverse();
}

/** The row of each shape by its key. */
export function rowsByKey({ key, shapeCount }: ShapeTable): Map<number, ShapeIndex> {
  const rowByKey = new Map<number, ShapeIndex>();
  for (let shape = 0; shape < shapeCount; shape++) rowByKey.set(key[shape], shape);
  return rowByKey;
}

/** Hash-consing of (shape before, edge name, type name) by open addressing. */
class ShapeBuilder {
  readonly parent = growableUint32();
  readonly edgeName = growableUint32();
  readonly typeName = growableUint32();
  private readonly depth = growableUint32();
  /** Shape + 1 by hash; 0 = free. At most half full. */
  private slots = new Uint32Array(1 << 12);

  findFoldOrAdd(before: ShapeIndex, edgeName: number, typeName: number): ShapeIndex {
    const parents = this.parent.array;
    const edgeNames = this.edgeName.array;
    const typeNames = this.typeName.array;
    const isDeep = this.depth.array[before] >= MAX_DEPTH;
    let left = isDeep ? MAX_DEPTH : FOLD_STEPS;
    for (let at = before; at !== NONE && left > 0; at = parents[at], left--) {
      if (edgeNames[at] === edgeName && typeNames[at] === typeName && parents[at] !== NONE)
        return at;
    }
    return this.findOrAdd(isDeep ? parents[before] : before, edgeName, typeName);
  }

  findOrAdd(before: ShapeIndex, edgeName: number, typeName: number): ShapeIndex {
    const mask = this.slots.length - 1;
    const hash = hashNumber(edgeName, hashNumber(typeName, hashNumber(before, HASH_START)));
    let slot = hash & mask;
    for (; this.slots[slot] !== 0; slot = (slot + 1) & mask) {
      const shape = this.slots[slot] - 1;
      if (
        this.parent.array[shape] === before &&
        this.edgeName.array[shape] === edgeName &&
        this.typeName.array[shape] === typeName
      ) {
        return shape;
      }
    }
    const shape = this.parent.length;
    if (shape === MAX_SHAPES) return before === NONE ? 0 : before;
    this.slots[slot] = shape + 1;
    this.parent.push(before);
    this.edgeName.push(edgeName);
    this.typeName.push(typeName);
    this.depth.push(before === NONE ? 0 : this.depth.array[before] + 1);
    if (this.parent.length * 2 > this.slots.length) this.grow();
    return shape;
  }

  private grow(): void {
    const slots = new Uint32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let shape = 0; shape < this.parent.length; shape++) {
      const { parent, edgeName, typeName } = this;
      let hash = hashNumber(parent.array[shape], HASH_START);
      hash = hashNumber(edgeName.array[shape], hashNumber(typeName.array[shape], hash));
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = shape + 1;
    }
    this.slots = slots;
  }

  finish(
    names: readonly string[],
  ): Pick<ShapeTable, 'shapeCount' | 'parent' | 'edgeName' | 'typeName' | 'names' | 'key'> {
    const parent = this.parent.finish();
    const edgeName = this.edgeName.finish();
    const typeName = this.typeName.finish();
    const nameHash = Uint32Array.from(names, (name) => hashText(name));
    const low = new Uint32Array(parent.length);
    const high = new Uint32Array(parent.length);
    const key = new Float64Array(parent.length);
    for (let shape = 0; shape < parent.length; shape++) {
      const before = parent[shape];
      const edge = nameHash[edgeName[shape]];
      const type = nameHash[typeName[shape]];
      low[shape] = hashNumber(type, hashNumber(edge, before === NONE ? HASH_START : low[before]));
      high[shape] = hashNumber(edge, hashNumber(type, before === NONE ? 1 : high[before]));
      key[shape] = (high[shape] & 0x1fffff) * 2 ** 32 + low[shape];
    }
    return { shapeCount: parent.length, parent, edgeName, typeName, names, key };
  }
}

/** Normalised names of edges, roots and types as rows of one list; each text is made once. */
class EdgeNames {
  readonly names: string[] = [];
  /** Per row of the graph's types. */
  readonly typeName: Uint32Array;
  readonly instanceDict: number;
  private readonly graph: HeapGraph;
  private readonly idByName = new Map<string, number>();
  private readonly fixed: Uint32Array;
  private readonly attribute: Uint32Array;
  private readonly local: Uint32Array;
  private readonly internal: Uint32Array;
  private readonly root: Uint32Array;
  /** Of attributes in dicts with ordinary keys: by the key's node, since names are shared between dicts. */
  private readonly attributeByKey = new Map<number, number>();

  constructor(graph: HeapGraph) {
    this.graph = graph;
    this.typeName = Uint32Array.from(graph.types, ({ name }) => this.id(name));
    this.instanceDict = this.id('.__dict__');
    const stringCount = graph.strings.length;
    this.attribute = new Uint32Array(stringCount).fill(NONE);
    this.local = new Uint32Array(stringCount).fill(NONE);
    this.internal = new Uint32Array(stringCount).fill(NONE);
    this.root = new Uint32Array(graph.rootNode.length).fill(NONE);
    this.fixed = new Uint32Array(256).fill(this.id('[*]'));
    this.fixed[EdgeKind.attribute] = this.id('.?');
    this.fixed[EdgeKind.local] = this.id("local '?'");
    this.fixed[EdgeKind.internal] = this.id('<?>');
    this.fixed[EdgeKind.instanceDict] = this.instanceDict;
    this.fixed[EdgeKind.dictKey] = this.id('<key>');
    this.fixed[EdgeKind.setItem] = this.id('{*}');
    this.fixed[EdgeKind.type] = this.id('.__class__');
    this.fixed[EdgeKind.conservative] = this.id('<+*>');
    this.fixed[EdgeKind.stackValue] = this.id('<stack *>');
  }

  ofEdge(edge: EdgeIndex, inInstanceDict: boolean): number {
    const kind = this.graph.edgeKind[edge];
    const label = this.graph.edgeLabel[edge];
    switch (kind) {
      case EdgeKind.attribute:
        return label === NONE ? this.fixed[kind] : this.named(this.attribute, label, '.', '');
      case EdgeKind.local:
        return label === NONE ? this.fixed[kind] : this.named(this.local, label, "local '", "'");
      case EdgeKind.internal:
        return label === NONE ? this.fixed[kind] : this.named(this.internal, label, '<', '>');
      case EdgeKind.namedValue:
        if (!inInstanceDict || label === NONE) return this.fixed[kind];
        return this.named(this.attribute, label, '.', '');
      case EdgeKind.dictValue:
        return inInstanceDict ? this.ofInstanceDictEntry(edge) : this.fixed[kind];
      default:
        return this.fixed[kind];
    }
  }

  ofRoot(root: number): number {
    if (this.root[root] === NONE) {
      const { rootKind, rootLabel, strings } = this.graph;
      const label = rootLabel[root] === NONE ? '' : strings[rootLabel[root]];
      const kind = rootKind[root] as RootKind;
      this.root[root] = this.id(formatRoot(kind, normaliseRootLabel(label)));
    }
    return this.root[root];
  }

  private ofInstanceDictEntry(edge: EdgeIndex): number {
    const keyNode = this.graph.edgeTarget[edge - 1];
    let id = this.attributeByKey.get(keyNode);
    if (id === undefined) {
      const text = findKeyText(this.graph, edge);
      id = text === undefined ? this.fixed[EdgeKind.dictValue] : this.id(`.${normaliseName(text)}`);
      this.attributeByKey.set(keyNode, id);
    }
    return id;
  }

  private named(ids: Uint32Array, label: number, before: string, behind: string): number {
    if (ids[label] === NONE) {
      ids[label] = this.id(`${before}${normaliseName(this.graph.strings[label])}${behind}`);
    }
    return ids[label];
  }

  private id(name: string): number {
    let id = this.idByName.get(name);
    if (id === undefined) {
      id = this.names.push(name) - 1;
      this.idByName.set(name, id);
    }
    return id;
  }
}
