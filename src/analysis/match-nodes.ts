// Pairs the nodes of two captures of one process: same address, same type, and for "the same object" same signature.
// A merge of two ascending columns of addresses, so O(nodes of both).

import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import { computeSignatures } from './signatures.ts';

/** What is needed of an earlier capture to find its objects again. */
export interface NodeIdentity {
  readonly address: Float64Array;
  readonly typeId: Uint32Array;
  readonly typeNames: readonly string[];
  readonly signature: Uint32Array;
}

export const identityOf = (graph: HeapGraph): NodeIdentity => ({
  address: graph.address,
  typeId: graph.typeId,
  typeNames: graph.types.map((type) => type.name),
  signature: computeSignatures(graph),
});

/** Per node of `after`: the node of `before` at the same address and of a type of the same name; NONE if there is none. */
export function matchNodes(before: NodeIdentity, after: NodeIdentity): Uint32Array {
  const nameIds = new Map<string, number>();
  const nameIdOf = (name: string): number => {
    const known = nameIds.get(name);
    if (known !== undefined) return known;
    nameIds.set(name, nameIds.size);
    return nameIds.size - 1;
  };
  const nameBefore = Uint32Array.from(before.typeNames, nameIdOf);
  const nameAfter = Uint32Array.from(after.typeNames, nameIdOf);
  const countBefore = before.address.length;
  const match = new Uint32Array(after.address.length).fill(NONE);
  let i = 0;
  for (let node = 0; node < match.length; node++) {
    const address = after.address[node];
    while (i < countBefore && before.address[i] < address) i++;
    if (i === countBefore) break;
    if (
      before.address[i] === address &&
      nameBefore[before.typeId[i]] === nameAfter[after.typeId[node]]
    ) {
      match[node] = i;
    }
  }
  return match;
}
