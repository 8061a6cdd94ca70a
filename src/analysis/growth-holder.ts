// The accumulation point of a growing shape: the object to which the new objects are added. The container that holds many
// of them directly; for a list of links or a tree, where each new object hangs on the one before, what holds its head.

import { EdgeKind, type HeapGraph, NONE, type NodeIndex } from '../graph/heap-graph.ts';
import type { AliveObjects } from './capture-track.ts';
import type { PathTree } from './paths.ts';
import type { ShapeIndex } from './shapes.ts';

export interface GrowthHolder {
  /** The object that holds the most of the new objects. */
  node: NodeIndex;
  shape: ShapeIndex;
  /** How many objects of this shape hold new ones; more than one where many containers grow. At most 4096 are counted. */
  holderCount: number;
  /** Share of the new objects that hang on old ones which `node` itself holds. */
  share: number;
  /** Share of all new objects that hang on objects of `shape`, and not on each other or elsewhere. */
  directShare: number;
  /** Whether the objects hold each other in a chain or tree, and `node` its head. */
  isChain: boolean;
}

const MAX_HOLDERS = 4096;
/** A container that holds at least this share of the new objects is their holder, whatever it hangs on itself. */
const MIN_SHARE = 0.1;
/** Objects from one link of a chain to the next, at most. */
const MAX_LINK_STEPS = 16;

/** Of a shape's new objects: how many each object holds directly, and how many there are. */
interface Tally {
  countByParent: Map<NodeIndex, number>;
  /** New objects that hang on an old one. */
  headCount: number;
  newCount: number;
}

/** For each of `shapes` that has new objects of its own (`headShape`). O(nodes). */
export function findHolders(
  graph: HeapGraph,
  tree: PathTree,
  alive: AliveObjects,
  shapes: ReadonlySet<ShapeIndex>,
  headShape: Uint32Array,
): Map<ShapeIndex, GrowthHolder> {
  const tallies = tallyParents(graph, tree, alive, shapes, headShape);
  const holders = new Map<ShapeIndex, GrowthHolder>();
  for (const [shape, { countByParent, headCount, newCount }] of tallies) {
    let node = NONE;
    let most = 0;
    for (const [parent, count] of countByParent) {
      if (count > most) [node, most] = [parent, count];
    }
    if (node === NONE) continue;
    const head =
      most < Math.max(2, newCount * MIN_SHARE)
        ? findChainHead(graph, tree, alive.shapeOfNode, node, shape)
        : NONE;
    const holder = head === NONE ? node : head;
    const holderShape = alive.shapeOfNode[holder];
    let direct = 0;
    for (const [parent, count] of countByParent) {
      if (alive.shapeOfNode[parent] === holderShape) direct += count;
    }
    holders.set(shape, {
      node: holder,
      shape: holderShape,
      holderCount: head === NONE ? countByParent.size : 1,
      share: head === NONE ? most / headCount : 1,
      directShare: direct / newCount,
      isChain: head !== NONE,
    });
  }
  return holders;
}

function tallyParents(
  graph: HeapGraph,
  tree: PathTree,
  alive: AliveObjects,
  shapes: ReadonlySet<ShapeIndex>,
  headShape: Uint32Array,
): Map<ShapeIndex, Tally> {
  const tallies = new Map<ShapeIndex, Tally>();
  for (const shape of shapes) {
    tallies.set(shape, { countByParent: new Map(), headCount: 0, newCount: 0 });
  }
  const { shapeOfNode } = alive;
  for (let i = 0; i < tree.order.length; i++) {
    const node = tree.order[i];
    const shape = headShape[node];
    if (shape === NONE || shapeOfNode[node] !== shape) continue;
    const tally = tallies.get(shape);
    if (tally === undefined) continue;
    tally.newCount++;
    let parent = tree.parentNode[node];
    if (parent === NONE || headShape[parent] === shape) continue;
    tally.headCount++;
    parent = skipInstanceDict(graph, tree, parent);
    const count = tally.countByParent.get(parent);
    if (count !== undefined) tally.countByParent.set(parent, count + 1);
    else if (tally.countByParent.size < MAX_HOLDERS) tally.countByParent.set(parent, 1);
  }
  return tallies;
}

/**
 * If `start` is a link of a chain of objects of `shape`: what holds the first link. NONE if it is not: neither it nor one
 * of the few objects before it has the shape, or its type. Links may be of several types (`node.next` -> link -> node).
 */
function findChainHead(
  graph: HeapGraph,
  tree: PathTree,
  shapeOfNode: Uint32Array,
  start: NodeIndex,
  shape: ShapeIndex,
): NodeIndex {
  const { parentNode, parentEdge } = tree;
  const loop = new Set([shape]);
  const types = new Set([typeOfShape(graph, shapeOfNode, shape)]);
  let between: NodeIndex[] = [];
  let first = NONE;
  for (let at = start; at !== NONE && between.length <= MAX_LINK_STEPS; at = parentNode[at]) {
    if (shapeOfNode[at] !== shape) {
      between.push(at);
      continue;
    }
    for (const each of between) {
      loop.add(shapeOfNode[each]);
      types.add(graph.typeId[each]);
    }
    between = [];
    first = at;
  }
  if (first === NONE && !types.has(graph.typeId[start])) return NONE;
  let at = first === NONE ? start : first;
  // The first links of a chain have shapes of their own, until the shapes repeat: they are known by their types.
  let ownShapes = loop.size;
  while (parentNode[at] !== NONE) {
    if (!loop.has(shapeOfNode[at]) && !isInstanceDict(graph, tree, at)) {
      if (!types.has(graph.typeId[at]) || ownShapes-- === 0) break;
    }
    at = parentNode[at];
  }
  // The head hangs on a module or an instance: its dict was passed as a link only on the way.
  return parentEdge[at] !== NONE ? skipInstanceDict(graph, tree, at) : at;
}

function typeOfShape(graph: HeapGraph, shapeOfNode: Uint32Array, shape: ShapeIndex): number {
  return graph.typeId[shapeOfNode.indexOf(shape)];
}

const isInstanceDict = (graph: HeapGraph, tree: PathTree, node: NodeIndex): boolean =>
  tree.parentEdge[node] !== NONE && graph.edgeKind[tree.parentEdge[node]] === EdgeKind.instanceDict;

/** The instance or module whose attributes `node` is; else `node`. */
function skipInstanceDict(graph: HeapGraph, tree: PathTree, node: NodeIndex): NodeIndex {
  return isInstanceDict(graph, tree, node) ? tree.parentNode[node] : node;
}
