// Finds out which blocks and objects nothing leads to: takes the sorted objects of an image and the blocks that the
// allocators gave out, and marks in turn what live objects, C code, lost references and cyclic garbage lead to.
//
// Alive is what named roots reach exactly. An object beyond that with a reference count that is too high is held by C code
// if any pointer leads to it (also from a block that is lost itself), else its last reference was lost: a forgotten
// Py_DECREF. Garbage is what neither named roots nor such an object reach: whatever seems to point there counts no
// reference. What then is left unmarked is lost memory of C code.

import { type BitSet, hasBit } from '../base/bit-set.ts';
import { addAllocated } from '../cpython/found-objects.ts';
import type { TypeInfo } from '../cpython/object-reader.ts';
import type { AddressRange } from '../memory/address-ranges.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { ThreadState } from '../memory/threads.ts';
import type { BlockSpace } from './block-space.ts';
import { countExcess, type ExcessCounts, watchExcess } from './count-excess.ts';
import { hideFreeLists, hideListHeads } from './hide-lists.ts';
import { computeGarbage, computeLiveNodes } from './live-objects.ts';
import { findLostNodes } from './lost-references.ts';
import { BlockMarks, MAX_HOLDERS, Mark, type ObjectContents } from './mark-blocks.ts';
import type { ResidentRanges } from './resident-ranges.ts';
import type { FoundRoot, SortedObjects } from './sort-found.ts';

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
  /** Words that are no addresses. */
  numbers: BitSet;
  /** Words from the start of a str, or of bytes, to its text. */
  textOffsets: readonly number[];
  threads: readonly ThreadState[];
  /** PyGC_Heads of the collector's lists: they lead to objects, and hold none. */
  listHeads: readonly Address[];
  /** Memory in which the interpreter keeps the arrays of its free lists: its states, its library's data. */
  interpreterRanges: readonly AddressRange[];
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
  // Weak references hold nothing.
  'weakref',
  'weakref.ReferenceType',
  'weakproxy',
  'weakref.ProxyType',
  'weakcallableproxy',
  'weakref.CallableProxyType',
]);
const MAX_BASES = 128;

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
    makeObjectContents(sorted),
    inputs.resident,
    inputs.textOffsets,
    inputs.numbers,
  );
  hideListHeads(space.image, inputs.listHeads);
  hideFreeLists(space.image, sorted, inputs.interpreterRanges);

  const live = computeLiveNodes(sorted, inputs.roots);
  const garbage = computeGarbage(sorted, live);
  const plainTypes = found.types.map(findPlainType);
  const isPlain = plainTypes.map((name) => name !== undefined);
  const watched = watchExcess(sorted, marks);
  const typeIds = found.typeId.array;
  for (let node = 0; node < found.word.length; node++) {
    if (hasBit(live, node)) marks.setMark(words[node], Mark.object);
    else if (hasBit(garbage, node)) marks.setMark(words[node], Mark.garbage);
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
  const lostNodes = findLostNodes(space, sorted, marks, live, plainTypes);
  forEachBit(lostNodes, (node) => marks.overrule(words[node], Mark.leaked));
  // C memory is lost with the object that leads to it, and goes with the garbage that does.
  const takeWith = (node: number, mark: number) => {
    marks.enter(words[node]);
    addAllocated(found, node, marks.spread(mark));
  };
  forEachBit(lostNodes, (node) => takeWith(node, Mark.leaked));
  forEachBit(garbage, (node) => takeWith(node, Mark.garbage));
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

/** Objects of exactly known size that mostly end within a word; how many words of it are the collector's header. */
const ODD_SIZED: ReadonlyMap<string, number> = new Map([
  ['str', 0],
  ['bytes', 0],
  ['int', 0],
  ['code', 0],
  ['memoryview', 2],
  ['tuple', 2],
]);

function makeObjectContents({ found, nodeOf }: SortedObjects): ObjectContents {
  const headWords = found.types.map(({ tp_name }) => ODD_SIZED.get(tp_name) ?? -1);
  const fixedWords = found.types.map(findFixedWords);
  const typeIds = found.typeId.array;
  const sizes = found.shallowSize.array;
  const isBytes = found.types.map(({ tp_name }) => tp_name === 'bytes');
  return {
    findEnd: (word) => {
      const node = nodeOf(word);
      const type = typeIds[node];
      if (fixedWords[type] > 0) return word + fixedWords[type];
      return headWords[type] < 0 ? 0 : word + Math.floor(sizes[node] / 8) - headWords[type];
    },
    isData: (word) => isBytes[typeIds[nodeOf(word)]],
  };
}

/** Words of each object of a built-in type whose C struct is known; 0 of others. */
const findFixedWords = (type: TypeInfo): number =>
  type.isHeapType || type.tp_itemsize !== 0 || type.unexplained.length > 0
    ? 0
    : Math.ceil(type.tp_basicsize / 8);

/**
 * The built-in type whose C struct all of an object is: classes of Python code add nothing to their base's, types of C code
 * may keep anything in theirs. undefined for these, and for built-ins that hold more than references.
 */
function findPlainType(type: TypeInfo): string | undefined {
  let each = type;
  for (let i = 0; each.isHeapType && i < MAX_BASES; i++) {
    const { base } = each;
    if (base === undefined || each.unexplained.length > 0) return undefined;
    if (base.decoder !== each.decoder) return undefined;
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
    image.forEachCopiedPart(start, end, (from, to) => {
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

function forEachBit(bits: BitSet, visit: (row: number) => void): void {
  for (let i = 0; i < bits.length; i++) {
    for (let rest = bits[i]; rest !== 0; rest &= rest - 1) {
      visit(i * 32 + 31 - Math.clz32(rest & -rest));
    }
  }
}
