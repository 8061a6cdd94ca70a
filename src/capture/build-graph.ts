// Makes a HeapGraph of sorted objects: puts the roots in order (`draftGraph`), and works out addresses and sizes
// (`buildGraph`). The objects' columns become the graph's without a copy: they are used up. Of the image only the places of
// its pages are needed, so that it can be given back between the two.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint8, growableUint32, makeStorage, type Uint32Column } from '../base/columns.ts';
import { type FoundObjects, LARGE } from '../cpython/found-objects.ts';
import type { GraphTraces } from '../graph/allocation-traces.ts';
import type { Execution } from '../graph/execution.ts';
import {
  type CaptureFacts,
  type HeapGraph,
  NONE,
  NodeFlag,
  RootKind,
  type TypeRow,
} from '../graph/heap-graph.ts';
import type { NativeHeap } from '../graph/native-heap.ts';
import { type FoundRoot, LASTING, type SortedObjects } from './sort-found.ts';
import type { Previews } from './write-previews.ts';

export interface DraftInputs {
  sorted: SortedObjects;
  /** stringId of a text. */
  intern: (text: string) => number;
  /** In the order in which a path should prefer them; those that `sortFound` was given. */
  roots: readonly FoundRoot[];
  /** Nodes whose reference count is too high although no pointer leads to them. */
  lostNodes?: BitSet | undefined;
  native?: NativeHeap | undefined;
  traces?: GraphTraces | undefined;
  execution?: Execution | undefined;
  capture: CaptureFacts;
}

/** What is known before the previews are written, and needs nothing of the sorted objects but their columns. */
export interface GraphDraft {
  found: FoundObjects;
  edgeTarget: Uint32Array;
  rest: Pick<
    HeapGraph,
    | 'weakSource'
    | 'weakTarget'
    | 'rootNode'
    | 'rootKind'
    | 'rootLabel'
    | 'types'
    | 'strings'
    | 'native'
    | 'traces'
    | 'execution'
    | 'capture'
  >;
}

export function draftGraph(options: DraftInputs): GraphDraft {
  const { found, nodeOf, edgeTarget } = options.sorted;
  const types: TypeRow[] = found.types.map((type) => ({
    name: type.name,
    node: hasBit(found.objectBits, type.word) ? nodeOf(type.word) : NONE,
  }));
  const rest: GraphDraft['rest'] = {
    ...buildWeakReferences(found, nodeOf),
    ...buildRoots(options, types),
    types,
    strings: found.strings,
    native: options.native,
    traces: options.traces,
    execution: options.execution,
    capture: options.capture,
  };
  return { found, edgeTarget, rest };
}

export function buildGraph({ found, edgeTarget, rest }: GraphDraft, previews: Previews): HeapGraph {
  return {
    nodeCount: found.word.length,
    edgeCount: edgeTarget.length,
    address: buildAddresses(found),
    typeId: found.typeId.finish(),
    shallowSize: widenSizes(found, found.shallowSize, 'shallow'),
    allocatedSize: widenSizes(found, found.allocatedSize, 'allocated'),
    referenceCount: found.referenceCount.finish(),
    nodeFlags: found.flags.finish(),
    ...previews,
    firstEdge: found.firstEdge.finish(),
    edgeTarget,
    edgeKind: found.edgeKind.finish(),
    edgeLabel: found.edgeLabel.finish(),
    ...rest,
  };
}

function buildWeakReferences(
  found: FoundObjects,
  nodeOf: (word: number) => number,
): Pick<HeapGraph, 'weakSource' | 'weakTarget'> {
  const sourceWord = found.weakSourceWord.finish();
  const targetWord = found.weakTargetWord.finish();
  // Words ascend like nodes.
  const rows = Uint32Array.from(sourceWord.keys()).sort((a, b) => sourceWord[a] - sourceWord[b]);
  return {
    weakSource: rows.map((row) => nodeOf(sourceWord[row])),
    weakTarget: rows.map((row) => nodeOf(targetWord[row])),
  };
}

function widenSizes(
  found: FoundObjects,
  narrow: Uint32Column,
  name: 'shallow' | 'allocated',
): Float64Array {
  const cells = narrow.finish();
  const isShared = cells.buffer instanceof SharedArrayBuffer;
  const size = new Float64Array(makeStorage(cells.length * 8, isShared));
  size.set(cells);
  const words = found.word.array;
  for (let node = size.indexOf(LARGE); node >= 0; node = size.indexOf(LARGE, node + 1)) {
    size[node] = found.largeSizes.get(words[node])?.[name] ?? LARGE;
  }
  narrow.clear();
  return size;
}

function buildAddresses({ image, word }: FoundObjects): Float64Array {
  const words = word.finish();
  const address = new Float64Array(words.length);
  // Words ascend: within a run the difference is the same.
  let runEnd = 0;
  let difference = 0;
  for (let node = 0; node < words.length; node++) {
    if (words[node] >= runEnd) {
      runEnd = image.runEnd(words[node]);
      difference = image.addressOfWord(words[node]) - words[node] * 8;
    }
    address[node] = words[node] * 8 + difference;
  }
  return address;
}

/** The given roots, then static types, other static and immortal objects, then what has more references than were found. */
function buildRoots(
  { sorted, intern, roots, lostNodes }: DraftInputs,
  types: readonly TypeRow[],
): Pick<HeapGraph, 'rootNode' | 'rootKind' | 'rootLabel'> {
  const { found, nodeOf, explained } = sorted;
  const nodeFlags = found.flags.array;
  const referenceCount = found.referenceCount.array;
  const nodeCount = found.word.length;
  const rootNode = growableUint32();
  const rootKind = growableUint8();
  const rootLabel = growableUint32();
  const push = (node: number, kind: RootKind, label: number) => {
    rootNode.push(node);
    rootKind.push(kind);
    rootLabel.push(label);
  };

  const isRoot = makeBitSet(nodeCount);
  for (const root of roots) {
    if (!hasBit(found.objectBits, root.word)) continue;
    const node = nodeOf(root.word);
    // Caches are among these: an immortal object must not change its root when it is looked up.
    if (root.kind !== RootKind.interned) setBit(isRoot, node);
    push(node, root.kind, root.label === '' ? NONE : intern(root.label));
  }
  for (const { name, node } of types) {
    if (node === NONE || hasBit(isRoot, node)) continue;
    if ((nodeFlags[node] & NodeFlag.static) === 0) continue;
    setBit(isRoot, node);
    push(node, RootKind.type, intern(name));
  }
  for (let node = 0; node < nodeCount; node++) {
    if (hasBit(isRoot, node)) continue;
    if ((nodeFlags[node] & LASTING) !== 0) push(node, RootKind.interned, NONE);
    else if (referenceCount[node] > explained[node]) {
      const isLost = lostNodes !== undefined && hasBit(lostNodes, node);
      push(node, isLost ? RootKind.lostReference : RootKind.native, NONE);
    }
  }
  return {
    rootNode: rootNode.finish(),
    rootKind: rootKind.finish(),
    rootLabel: rootLabel.finish(),
  };
}
