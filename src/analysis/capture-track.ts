// What growth needs of each capture of a series, so that only the last graph has to stay in memory: totals per shape and
// per type, and how each object that is alive now came to be (in which round). Built one after the other.

import { HASH_START } from '../base/hash.ts';
import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { identityOf, matchNodes, type NodeIdentity } from './match-nodes.ts';
import type { PathTree } from './paths.ts';
import { buildShapes, rowsByKey, type ShapeTable } from './shapes.ts';

/** One capture of a series; a *round* is the time between two captures, round r ends with capture r. */
export interface CaptureTrack {
  /** 0 for the first capture. */
  readonly round: number;
  /** Milliseconds since the epoch; NaN if unknown. */
  readonly atMs: number;
  readonly shapes: ShapeTable;
  readonly types: TypeTotals;
  /**
   * Per shape of the capture before: how many of its objects are not there any more, by address and type alone. Reused
   * memory hides some. Empty for the first capture.
   */
  readonly goneCount: Float64Array;
  /**
   * Per shape, where its objects had another one in the capture before, which had none of this shape: that shape's row
   * there; else NONE. Their best path has changed. Empty for the first capture.
   */
  readonly cameFrom: Uint32Array;
  /** Needed until the next capture is there (for the last: by computeGrowth). 21 bytes per node. */
  readonly alive: AliveObjects | undefined;
}

export interface AliveObjects {
  readonly identity: NodeIdentity;
  readonly shapeOfNode: Uint32Array;
  /** Per node: the round in which it came (0: it was there in the first capture), at most 255. */
  readonly birthRound: Uint8Array;
}

/** Reachable objects by name of type. */
export interface TypeTotals {
  readonly names: readonly string[];
  readonly nodeCount: Float64Array;
  readonly allocatedBytes: Float64Array;
}

/** `previous` is the capture before in the same series. O(nodes of both). */
export function buildCaptureTrack(
  graph: HeapGraph,
  tree: PathTree,
  previous?: CaptureTrack,
): CaptureTrack {
  const { table, shapeOfNode } = buildShapes(graph, tree);
  const identity = identityOf(graph);
  const birthRound = new Uint8Array(graph.nodeCount);
  const round = previous === undefined ? 0 : previous.round + 1;
  let goneCount = new Float64Array(0);
  let cameFrom: Uint32Array = new Uint32Array(0);
  if (previous?.alive !== undefined) {
    const before = previous.alive;
    const match = matchNodes(before.identity, identity);
    goneCount = previous.shapes.nodeCount.slice();
    const shapeBefore = new Uint32Array(graph.nodeCount).fill(NONE);
    for (let node = 0; node < match.length; node++) {
      const earlier = match[node];
      if (earlier !== NONE && before.shapeOfNode[earlier] !== NONE) {
        goneCount[before.shapeOfNode[earlier]]--;
      }
      const isSame =
        earlier !== NONE && maybeSame(before.identity.signature[earlier], identity.signature[node]);
      birthRound[node] = isSame ? before.birthRound[earlier] : Math.min(round, 255);
      if (isSame) shapeBefore[node] = before.shapeOfNode[earlier];
    }
    cameFrom = findMoved(previous.shapes, table, shapeBefore, shapeOfNode);
  }
  return {
    round,
    atMs: Date.parse(graph.capture.at),
    shapes: table,
    types: sumByTypeName(graph, tree),
    goneCount,
    cameFrom,
    alive: { identity, shapeOfNode, birthRound },
  };
}

/** Of what had nothing in it before, nothing is known that would have changed: an empty list that got its first item. */
const maybeSame = (before: number, after: number): boolean =>
  before === after || before === HASH_START;

/**
 * Per shape of `after` that is not in `before`: the shape there that most of its old objects had, if most of that shape's
 * objects are in it. One majority vote over the objects that are the same; `shapeBefore` and `shapeAfter` per node.
 */
function findMoved(
  before: ShapeTable,
  after: ShapeTable,
  shapeBefore: Uint32Array,
  shapeAfter: Uint32Array,
): Uint32Array {
  const candidate = new Uint32Array(after.shapeCount).fill(NONE);
  const votes = new Int32Array(after.shapeCount);
  for (let node = 0; node < shapeBefore.length; node++) {
    const [from, to] = [shapeBefore[node], shapeAfter[node]];
    if (from === NONE || to === NONE) continue;
    if (candidate[to] === from) votes[to]++;
    else if (votes[to] === 0) [candidate[to], votes[to]] = [from, 1];
    else votes[to]--;
  }
  const old = new Uint32Array(after.shapeCount);
  const moved = new Uint32Array(after.shapeCount);
  for (let node = 0; node < shapeBefore.length; node++) {
    const to = shapeAfter[node];
    if (shapeBefore[node] === NONE || to === NONE) continue;
    old[to]++;
    if (candidate[to] === shapeBefore[node]) moved[to]++;
  }
  const known = rowsByKey(before);
  return candidate.map((from, shape) => {
    if (from === NONE || known.has(after.key[shape])) return NONE;
    const isMost = moved[shape] * 2 > old[shape] && moved[shape] * 2 > before.nodeCount[from];
    return isMost ? from : NONE;
  });
}

/** The track without what only the next capture needs. */
export const withoutObjects = (track: CaptureTrack): CaptureTrack => ({
  ...track,
  alive: undefined,
});

function sumByTypeName(graph: HeapGraph, tree: PathTree): TypeTotals {
  const rowByName = new Map<string, number>();
  const names: string[] = [];
  const rowByType = Uint32Array.from(graph.types, ({ name }) => {
    const known = rowByName.get(name);
    if (known !== undefined) return known;
    rowByName.set(name, names.length);
    return names.push(name) - 1;
  });
  const nodeCount = new Float64Array(names.length);
  const allocatedBytes = new Float64Array(names.length);
  for (let i = 0; i < tree.order.length; i++) {
    const row = rowByType[graph.typeId[tree.order[i]]];
    nodeCount[row]++;
    allocatedBytes[row] += graph.allocatedSize[tree.order[i]];
  }
  return { names, nodeCount, allocatedBytes };
}
