// The objects of a later capture that an earlier one did not have. An address that is in both counts as the same object
// when type and signature are the same as well (signatures.ts says what that catches and what it cannot).

import type { HeapGraph } from '../graph/heap-graph.ts';
import { NONE } from '../graph/heap-graph.ts';
import { identityOf, matchNodes } from './match-nodes.ts';

/** Nodes of `after`, ascending. O(nodes of both), 16 bytes per node while it runs. */
export function findNewNodes(before: HeapGraph, after: HeapGraph): Uint32Array {
  const then = identityOf(before);
  const now = identityOf(after);
  const match = matchNodes(then, now);
  return match
    .map((_, node) => node)
    .filter((node) => match[node] === NONE || then.signature[match[node]] !== now.signature[node]);
}
