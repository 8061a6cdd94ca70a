// What growth needs of each capture of a series, so that only the last graph has to stay in memory: totals per shape and
// per type, and how each object that is alive now came to be (in which round). Built one after the other.

import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { identityOf, matchNodes, type NodeIdentity } from './match-nodes.ts';
import type { PathTree } from './paths.ts';
import { buildShapes, type ShapeTable } from './shapes.ts';

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

/** `previous` is the capture before in the same series. O(nodes of both). Throws nothing of its own. */
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
  if (previous?.alive !== undefined) {
    const before = previous.alive;
    const match = matchNodes(before.identity, identity);
    goneCount = previous.shapes.nodeCount.slice();
    for (let node = 0; node < match.length; node++) {
      const earlier = match[node];
      if (earlier !== NONE && before.shapeOfNode[earlier] !== NONE) {
        goneCount[before.shapeOfNode[earlier]]--;
      }
      const isSame =
        earlier !== NONE && before.identity.signature[earlier] === identity.signature[node];
      birthRound[node] = isSame ? before.birthRound[earlier] : Math.min(round, 255);
    }
  }
  return {
    round,
    atMs: Date.parse(graph.capture.at),
    shapes: table,
    types: sumByTypeName(graph, tree),
    goneCount,
    alive: { identity, shapeOfNode, birthRound },
  };
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
