// A signature per object: what makes it likely that the object at an address is the same as before, and not another one
// in reused memory. Addresses are reused within microseconds, so an address alone says little.
//
// What cannot change counts in full (text, numbers, items of a tuple, code of a function); of a container, which may
// change, its first keys or items; of an instance the text and numbers in its first attributes.
// KNOWN IMPRECISION: an instance whose counter changed looks like another object, and a container whose first items were
// replaced too. Growth therefore looks at
// addresses alone as well (capture-track.ts: goneCount).

import { HASH_START, hashBytes, hashNumber } from '../base/hash.ts';
import { EdgeKind, type HeapGraph } from '../graph/heap-graph.ts';

/** How many edges of an object count. */
const MAX_EDGES = 8;

/** Types by how much of an object's content is fixed for its life. */
const Content = {
  /** Its preview and size are all of it. */
  value: 1,
  /** What it refers to never changes. */
  fixedReferences: 2,
  /** Anything may change. */
  mutable: 3,
} as const;

const VALUE_TYPES = new Set([
  'str',
  'bytes',
  'int',
  'float',
  'complex',
  'bool',
  'NoneType',
  'range',
  'decimal.Decimal',
  'datetime.datetime',
]);

const FIXED_TYPES = new Set([
  'tuple',
  'frozenset',
  'slice',
  'method',
  'builtin_function_or_method',
  'code',
  'function',
]);

/** Per row of `types`. */
function contentByType(graph: HeapGraph): Uint8Array {
  return Uint8Array.from(graph.types, ({ name }) => {
    if (VALUE_TYPES.has(name)) return Content.value;
    return FIXED_TYPES.has(name) ? Content.fixedReferences : Content.mutable;
  });
}

/** Per node, 32 bits; comparable between graphs of the same process. O(nodes), at most 8 edges of each. */
export function computeSignatures(graph: HeapGraph): Uint32Array {
  const { nodeCount, typeId, shallowSize, firstEdge, edgeTarget, edgeKind, address } = graph;
  const { previewStart, previewBytes } = graph;
  const content = contentByType(graph);
  const signature = new Uint32Array(nodeCount);
  for (let node = 0; node < nodeCount; node++) {
    const own = content[typeId[node]];
    let hash = HASH_START;
    if (own === Content.value) {
      hash = hashNumber(shallowSize[node], hash);
      hash = hashBytes(previewBytes, previewStart[node], previewStart[node + 1], hash);
      signature[node] = hash;
      continue;
    }
    const first = firstEdge[node];
    const end = Math.min(firstEdge[node + 1], first + MAX_EDGES);
    for (let edge = first; edge < end; edge++) {
      const kind = edgeKind[edge];
      const target = edgeTarget[edge];
      if (kind === EdgeKind.type || kind === EdgeKind.instanceDict) continue;
      if (content[typeId[target]] === Content.value) {
        hash = hashBytes(previewBytes, previewStart[target], previewStart[target + 1], hash);
      } else if (
        own === Content.fixedReferences ||
        kind === EdgeKind.dictKey ||
        // Else any two lists of dicts would look the same.
        (kind === EdgeKind.item && edge === first)
      ) {
        hash = hashNumber(address[target], hash);
      }
    }
    signature[node] = hash;
  }
  return signature;
}
