// Finds out which blocks and objects nothing leads to: takes the sorted objects of an image and the blocks that the
// allocators gave out, and marks in turn what live objects, C code, lost references and cyclic garbage lead to.
//
// Alive is what named roots reach exactly. An object beyond that with a reference count that is too high is held by C code
// if any pointer leads to it (also from a block that is lost itself), else its last reference was lost: a forgotten
// Py_DECREF. What then is left unmarked is lost memory of C code.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { addAllocated } from '../cpython/found-objects.ts';
import type { TypeInfo } from '../cpython/object-reader.ts';
import { NONE, RootKind } from '../graph/heap-graph.ts';
import { type MemoryImage, PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { ThreadState } from '../memory/threads.ts';
import type { BlockSpace } from './block-space.ts';
import { countExcess, type ExcessCounts, watchExcess } from './count-excess.ts';
import { BlockMarks, type FindContentEnd, MAX_HOLDERS, Mark } from './mark-blocks.ts';
import type { ResidentRanges } from './resident-ranges.ts';
import { type FoundRoot, LASTING, type SortedObjects } from './sort-found.ts';

/** Memory in no block that C code may keep pointers in: data of libraries, stacks, what was mapped. */
export interface RootRange {
  start: Address;
  end: Address;
  /** `libbig.so`, `stack of thread main`; many ranges may have one name. */
  name: string;
}

export interface NativeInputs {
  space: BlockSpace;
  sorted: SortedObjects;
  roots: readonly FoundRoot[];
  /** Words of blocks that objects own. */
  ownedBits: BitSet;
  rootRanges: readonly RootRange[];
  resident: ResidentRanges;
  threads: readonly ThreadState[];
  /** PyGC_Heads of the collector's lists: they lead to objects, and hold none. */
  listHeads: readonly Address[];
  /** Memory in which the interpreter keeps the arrays of its free lists: its states, its library's data. */
  interpreterRanges: readonly { start: Address; end: Address }[];
}

export interface NativeMarks {
  marks: BlockMarks;
  /** Nodes whose last reference was lost, without what they hold. */
  lostNodes: BitSet;
  excess: ExcessCounts;
  /** By the difference of a block's mark to `Mark.retained`. */
  holders: readonly string[];
}

/** C structs of these types hold nothing but references and buffers that are known to be theirs. */
const PLAIN_TYPES: ReadonlySet<string> = new Set([
  'object',
  'int',
  'bool',
  'float',
  'complex',
  'str',
  'tuple',
  'list',
  'dict',
  'set',
  'frozenset',
  'NoneType',
  'range',
  'slice',
  'cell',
  'method',
]);
const MAX_BASES = 128;
/** Types whose free lists are arrays. */
const FREE_LISTED: ReadonlySet<string> = new Set([
  'list',
  'dict',
  'async_generator_wrapped_value',
  'async_generator_asend',
]);
/** So many pointers to objects of one such type in a row are no variables of the interpreter's. */
const FREE_LIST_RUN = 8;

/**
 * About 0.1 microseconds an object, 10 ns a word that is scanned. Changes the image (zeros heads of lists and free lists)
 * and the objects' allocated sizes.
 */
export function findNative(inputs: NativeInputs): NativeMarks {
  const { space, sorted, ownedBits } = inputs;
  const { found } = sorted;
  const words = found.word.array;
  const marks = new BlockMarks(
    space,
    found.objectBits,
    makeContentEndFinder(sorted),
    inputs.resident,
  );
  hideListHeads(inputs);
  hideFreeLists(inputs);

  const live = computeLiveNodes(inputs);
  const plainTypes = found.types.map(findPlainType);
  const isPlain = plainTypes.map((name) => name !== undefined);
  const watched = watchExcess(sorted, marks);
  const typeIds = found.typeId.array;
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node)) marks.setMark(words[node], Mark.object);
  }
  forEachBit(ownedBits, (word) => marks.setMark(word, Mark.buffer));
  markKnownBuffers(inputs, marks, live, plainTypes);
  for (let node = 0; node < found.word.length; node++) {
    if (!hasBit(live, node) || isPlain[typeIds[node]]) continue;
    marks.enter(words[node]);
    // C memory is the first object's that leads to it.
    addAllocated(found, node, marks.spread(Mark.owned));
  }

  const holders = markFromC(inputs, marks);
  const lostNodes = findLostNodes(inputs, marks, live);
  forEachBit(lostNodes, (node) => {
    marks.setMark(words[node], Mark.leaked);
    marks.enter(words[node]);
  });
  marks.spread(Mark.leaked);
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node)) continue;
    if (marks.markOf(space.findStart(words[node])) !== Mark.none) continue;
    marks.setMark(words[node], Mark.garbage);
    marks.enter(words[node]);
  }
  marks.spread(Mark.garbage);
  const isScanned = (node: number) => !hasBit(live, node) || !isPlain[typeIds[node]];
  const excess = countExcess(sorted, marks, watched, isScanned);
  return { marks, lostNodes, excess, holders };
}

/** Built-in types with a block of references; what lies behind the last one in use is left of earlier blocks. */
const WITH_REFERENCES: ReadonlySet<string> = new Set(['list', 'dict', 'set', 'frozenset']);
/** Where their structs lead to such a block: all fields lie before. */
const STRUCT_WORDS = 16;

/** What live objects keep references in was decoded, and is not searched for pointers. */
function markKnownBuffers(
  { space, sorted }: NativeInputs,
  marks: BlockMarks,
  live: BitSet,
  plainTypes: readonly (string | undefined)[],
): void {
  const { found } = sorted;
  const { image } = space;
  const { halves } = image;
  const typeIds = found.typeId.array;
  const words = found.word.array;
  const hasReferences = plainTypes.map((name) => name !== undefined && WITH_REFERENCES.has(name));
  for (let node = 0; node < found.word.length; node++) {
    if (!hasReferences[typeIds[node]] || !hasBit(live, node)) continue;
    const start = space.findStart(words[node]);
    const blockEnd = start === 0 ? image.runEnd(words[node]) : space.endOf(start);
    const end = Math.min(blockEnd, words[node] + STRUCT_WORDS);
    for (let word = words[node] + 2; word < end; word++) {
      const target = image.wordAt(halves[2 * word], halves[2 * word + 1]);
      if (target !== 0) marks.setKnown(target);
    }
  }
}

/** Objects of exactly known size that mostly end within a word. */
const ODD_SIZED: ReadonlySet<string> = new Set([
  'str',
  'bytes',
  'int',
  'code',
  'memoryview',
  'tuple',
]);

function makeContentEndFinder({ found, nodeOf }: SortedObjects): FindContentEnd {
  const isOddSized = found.types.map(({ tp_name }) => ODD_SIZED.has(tp_name));
  const typeIds = found.typeId.array;
  const sizes = found.shallowSize.array;
  return (word) => {
    const node = nodeOf(word);
    return isOddSized[typeIds[node]] ? word + Math.floor(sizes[node] / 8) : 0;
  };
}

/** The head of a list leads to its first and last object. */
function hideListHeads({ space: { image }, listHeads }: NativeInputs): void {
  for (const head of listHeads) {
    const word = image.wordAtAddress(head);
    if (word !== 0) image.halves.fill(0, word * 2, word * 2 + 4);
  }
}

/**
 * Free lists of lists, dicts and what asynchronous generators need are arrays with a count until 3.13; behind the count
 * there are pointers to objects that were taken out long ago. The arrays are told by what they lead to.
 */
function hideFreeLists({ space: { image }, sorted, interpreterRanges }: NativeInputs): void {
  const { halves } = image;
  const typeWords = new Set<number>();
  for (const type of sorted.found.types)
    if (FREE_LISTED.has(type.tp_name)) typeWords.add(type.word);
  const typeWordAt = (word: number): number => {
    const object = image.wordAt(halves[2 * word], halves[2 * word + 1]);
    return object === 0 ? 0 : image.wordAt(halves[2 * object + 2], halves[2 * object + 3]);
  };
  for (const { start, end } of interpreterRanges) {
    forEachCopiedPart(image, start, end, (from, to) => {
      for (let first = from; first < to; ) {
        const type = typeWordAt(first);
        let next = first + 1;
        if (typeWords.has(type)) {
          while (next < to && typeWordAt(next) === type) next++;
          if (next - first >= FREE_LIST_RUN) hideLiving(image, first, next);
        }
        first = next;
      }
    });
  }
}

/** Zeros the pointers of [from, to) to objects that are alive; what is free is kept by its list. */
function hideLiving(image: MemoryImage, from: number, to: number): void {
  const { halves } = image;
  for (let word = from; word < to; word++) {
    const object = image.wordAt(halves[2 * word], halves[2 * word + 1]);
    if (object !== 0 && halves[2 * object] !== 0) halves.fill(0, 2 * word, 2 * word + 2);
  }
}

/** What named roots, static and immortal objects reach; not what only a reference count keeps alive. */
function computeLiveNodes({ sorted, roots }: NativeInputs): BitSet {
  const { found, nodeOf, edgeTarget } = sorted;
  const nodeCount = found.word.length;
  const flags = found.flags.array;
  const firstEdge = found.firstEdge.array;
  const live = makeBitSet(nodeCount);
  const pending = growableUint32();
  const enter = (node: number) => {
    if (hasBit(live, node)) return;
    setBit(live, node);
    pending.push(node);
  };
  for (const root of roots) {
    if (root.kind !== RootKind.native && hasBit(found.objectBits, root.word))
      enter(nodeOf(root.word));
  }
  for (let node = 0; node < nodeCount; node++) if ((flags[node] & LASTING) !== 0) enter(node);
  while (pending.length > 0) {
    const node = pending.array[--pending.length];
    const end = firstEdge[node + 1];
    for (let edge = firstEdge[node]; edge < end; edge++) {
      const target = edgeTarget[edge];
      if (((live[target >>> 5] >>> (target & 31)) & 1) !== 0) continue;
      live[target >>> 5] |= 1 << (target & 31);
      pending.push(target);
    }
  }
  return live;
}

/**
 * The built-in type whose C struct all of an object is: classes of Python code add nothing to their base's, types of C code
 * may keep anything in theirs. undefined for these, and for built-ins that hold more than references.
 */
function findPlainType(type: TypeInfo): string | undefined {
  let each = type;
  for (let i = 0; each.isHeapType && i < MAX_BASES; i++) {
    const { base } = each;
    if (each.unexplained.length > 0 || base?.decode !== each.decode) return undefined;
    each = base;
  }
  return PLAIN_TYPES.has(each.tp_name) ? each.tp_name : undefined;
}

/** Marks what C code's memory leads to, range by range; returns the names of the ranges, each once. */
function markFromC({ space, rootRanges, threads }: NativeInputs, marks: BlockMarks): string[] {
  const { image } = space;
  const holders: string[] = [];
  const markOf = (name: string): number => {
    let holder = holders.indexOf(name);
    if (holder < 0) holder = Math.min(holders.push(name), MAX_HOLDERS) - 1;
    return Mark.retained + holder;
  };
  for (const { start, end, name } of rootRanges) {
    const mark = markOf(name);
    forEachCopiedPart(image, start, end, (from, to) => {
      marks.scan(from, to, mark);
      marks.spread(mark);
    });
  }
  const inRegisters = markOf('registers of a thread');
  for (const thread of threads) {
    for (const value of thread.registers) marks.scanAddress(value, inRegisters);
  }
  marks.spread(inRegisters);
  return holders;
}

/** Calls `visit` with the words of what was copied of [start, end). */
function forEachCopiedPart(
  image: MemoryImage,
  start: Address,
  end: Address,
  visit: (startWord: number, endWord: number) => void,
): void {
  for (let address = start; address < end; ) {
    const word = image.wordAtAddress(address);
    if (word === 0) {
      address = (Math.floor(address / PAGE_SIZE) + 1) * PAGE_SIZE;
      continue;
    }
    const endWord = Math.min(image.runEnd(word), word + Math.floor((end - address) / 8));
    visit(word, endWord);
    address += Math.max(8, (endWord - word) * 8);
  }
}

/**
 * Objects with more references than were found, to which nothing leads: neither what was marked, nor any block that is
 * lost itself, nor another object that is not alive.
 */
function findLostNodes(inputs: NativeInputs, marks: BlockMarks, live: BitSet): BitSet {
  const { space, sorted } = inputs;
  const { found, explained } = sorted;
  const words = found.word.array;
  const counts = found.referenceCount.array;
  const lost = makeBitSet(found.word.length);
  const candidates = makeBitSet(space.image.endWord);
  let candidateCount = 0;
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node) || counts[node] === NONE || counts[node] <= explained[node]) continue;
    const start = space.findStart(words[node]);
    if (start === 0 || marks.markOf(start) !== Mark.none) continue;
    setBit(candidates, start);
    candidateCount++;
  }
  if (candidateCount === 0) return lost;
  clearHeld(space, marks, candidates);
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node)) continue;
    const start = space.findStart(words[node]);
    if (start !== 0 && hasBit(candidates, start)) setBit(lost, node);
  }
  return lost;
}

/** Takes those candidates out that a block without a mark and without an object leads to. */
function clearHeld(space: BlockSpace, marks: BlockMarks, candidates: BitSet): void {
  const { image } = space;
  const { halves } = image;
  space.forEachBlock((start) => {
    if (marks.markOf(start) !== Mark.none || marks.holdsObject(start)) return;
    const end = space.endOf(start);
    for (let word = start; word < end; word++) {
      const target = image.wordAt(halves[2 * word], halves[2 * word + 1]);
      if (target === 0) continue;
      const held = space.findStart(target);
      if (held !== 0) candidates[held >>> 5] &= ~(1 << (held & 31));
    }
  });
}

function forEachBit(bits: BitSet, visit: (row: number) => void): void {
  for (let i = 0; i < bits.length; i++) {
    for (let rest = bits[i]; rest !== 0; rest &= rest - 1) {
      visit(i * 32 + 31 - Math.clz32(rest & -rest));
    }
  }
}
