// Decides what is an object, and keeps the list of those that are: one row per object in order of discovery.
//
// An object is admitted when its type pointer leads to a type object and its reference count is plausible. In pymalloc's
// pools only whole live blocks are admitted, so that stale or interior pointers cannot make objects there; behind a
// collector's header only what the collector tracks or an empty header, since buffers may end with what was there before.

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { copyCells, growableUint32, type Uint8Column, type Uint32Column } from '../base/columns.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { TypeInfo } from './object-reader.ts';
import type { TypeTable } from './type-table.ts';

const TWO_32 = 2 ** 32;
/** vm.mmap_min_addr */
const LOWEST_ADDRESS = 0x10000;

/** How a version counts references. `ob_refcnt` is checked before an object is believed. */
export interface ReferenceCounts {
  /** The count of the object whose first word has these halves: NONE if immortal, 0 if it is no living object. */
  decode(lo: number, hi: number): number;
}

/** Finds the block that the C allocator gave out at an address; for memory outside pymalloc. */
export interface BlockFinder {
  /** Bytes of the block that starts at this address (usable or whole: what it costs), 0 if there is none. */
  blockBytesAt(lo: number, hi: number): number;
  /** The same for a number that may not be an address that was given out. */
  blockBytesAtDoubtful(lo: number, hi: number): number;
  /** Whether the word lies in memory that an allocator may have given out, and not in a library's data. */
  isHeap(word: number): boolean;
}

/** pymalloc's pools, as far as discovery needs them. */
export interface PoolBlocks {
  /** Bytes of a block of the pool that this word lies in; 0 outside pools. */
  blockBytes(word: number): number;
}

/** Bits of all words that two threads set, each in other cells. */
export interface AdmissionBits {
  objectBits: BitSet;
  trackedBits: BitSet;
  rawBlockBits: BitSet;
}

/** The objects of some blocks, in their order and in the types of whoever admitted them. */
export interface AdmittedBlocks {
  word: Uint32Array;
  typeId: Uint32Array;
  /** Of those that are decoded last. */
  lastWord: Uint32Array;
  doubtful: Uint32Array;
}

/** How far the lists of objects had come. */
export interface AdmissionMark {
  rows: number;
  last: number;
}

export interface AdmissionOptions {
  image: MemoryImage;
  referenceCounts: ReferenceCounts;
  pools: PoolBlocks;
  chunks: BlockFinder;
  /** Bytes that a debug allocator puts before each block (0 or 16). */
  blockHeaderBytes: number;
  /** Whether rows and bits are to be in memory that other threads may see. */
  isShared?: boolean;
  /** Those of another thread, of whose blocks some are admitted here. */
  bits?: AdmissionBits | undefined;
}

export class ObjectAdmission {
  /** One bit per word of the image: an object begins there. */
  objectBits: BitSet;
  /** In one of the collector's lists. */
  trackedBits: BitSet;
  /** Blocks that belong to an object as its buffer. */
  ownedBits: BitSet;
  /** Live blocks of pymalloc that hold no object. */
  rawBlockBits: BitSet;
  /** Per object: word at which it begins, and row of the types. */
  readonly word: Uint32Column;
  readonly typeId: Uint32Column;
  private readonly image: MemoryImage;
  private halves: Uint32Array;
  private readonly types: TypeTable;
  private readonly options: AdmissionOptions;
  /** Blocks whose first word is a count or an address: objects only if something refers to them. */
  private readonly doubtful = new Set<number>();
  /** Whether all objects of the collector's lists are tracked. */
  listsAreKnown = false;
  /** Objects that are decoded last, when it is known which buffers belong to others. */
  private readonly lastWord = growableUint32();
  private isScanning = false;

  /** `expectedCount` objects have room before the columns grow. */
  constructor(options: AdmissionOptions, types: TypeTable, expectedCount: number) {
    this.options = options;
    this.types = types;
    this.image = options.image;
    this.halves = options.image.halves;
    const wordCount = options.image.endWord;
    const isShared = options.isShared === true;
    const { bits } = options;
    this.objectBits = bits?.objectBits ?? makeBitSet(wordCount, isShared);
    this.trackedBits = bits?.trackedBits ?? makeBitSet(wordCount, isShared);
    this.ownedBits = makeBitSet(wordCount);
    this.rawBlockBits = bits?.rawBlockBits ?? makeBitSet(wordCount, isShared);
    this.word = growableUint32(expectedCount, isShared);
    this.typeId = growableUint32(expectedCount, isShared);
  }

  /** All objects are decoded: gives back what only their decoding needed. */
  finish(): void {
    this.trackedBits = makeBitSet(0);
    this.rawBlockBits = makeBitSet(0);
  }

  /** Gives back all but what `plausibleType` needs: another thread has it now. */
  handOver(): void {
    this.finish();
    this.objectBits = makeBitSet(0);
    this.ownedBits = makeBitSet(0);
    this.word.clear();
    this.typeId.clear();
  }

  /** Forgets the pages of the image; afterwards nothing can be asked. */
  release(): void {
    this.halves = new Uint32Array(0);
    this.ownedBits = makeBitSet(0);
  }

  /** typeId of the plausible object at `word`, -1 if there is none. Does not look at the block it lies in. */
  plausibleType(word: number): number {
    const halves = this.halves;
    const i = word * 2;
    if (this.options.referenceCounts.decode(halves[i], halves[i + 1]) === 0) return -1;
    return this.types.typeIdAt(halves[i + 2], halves[i + 3]);
  }

  private admit(word: number, typeId: number): void {
    setBit(this.objectBits, word);
    if (this.types.types[typeId].isScanned && !this.isScanning) {
      this.lastWord.push(word);
      return;
    }
    this.addRow(word, typeId);
  }

  private addRow(word: number, typeId: number): void {
    // Not `push`, here and below: one function for arrays of all kinds is slow where every object passes.
    const row = this.word.length;
    if (row === this.word.array.length) growTogether([this.word, this.typeId], row);
    this.word.array[row] = word;
    this.typeId.array[row] = typeId;
    this.word.length = row + 1;
    this.typeId.length = row + 1;
  }

  /** Announces all objects of the collector's lists, before blocks are added. `areComplete`: no list was left early. */
  markTracked(words: Uint32Array, areComplete: boolean): void {
    for (let i = 0; i < words.length; i++) setBit(this.trackedBits, words[i]);
    this.listsAreKnown = areComplete;
  }

  /** What was admitted of the blocks so far. */
  get blocks(): AdmittedBlocks {
    return {
      word: this.word.finish(),
      typeId: this.typeId.finish(),
      lastWord: this.lastWord.finish(),
      doubtful: Uint32Array.from(this.doubtful),
    };
  }

  /** Adds the objects of blocks behind those that were added here; `typeIdOf` turns their types into those of here. */
  appendBlocks(blocks: AdmittedBlocks, typeIdOf: Uint32Array): void {
    const { word, typeId, lastWord, doubtful } = blocks;
    const rows = this.word.length;
    for (const column of [this.word, this.typeId]) {
      column.reserve(word.length);
      column.length = rows + word.length;
    }
    copyCells(this.word.array, word, rows);
    const typeIds = this.typeId.array;
    for (let i = 0; i < typeId.length; i++) typeIds[rows + i] = typeIdOf[typeId[i]];
    for (let i = 0; i < lastWord.length; i++) this.lastWord.push(lastWord[i]);
    for (let i = 0; i < doubtful.length; i++) this.doubtful.add(doubtful[i]);
  }

  /** Takes back the blocks that another thread has admitted from `word` on, when no others were yet. */
  forgetBlocksFrom(word: number): void {
    // Pools begin with a page: no cell of these has bits of others.
    this.objectBits.fill(0, word >>> 5);
    this.rawBlockBits.fill(0, word >>> 5);
  }

  get mark(): AdmissionMark {
    return { rows: this.word.length, last: this.lastWord.length };
  }

  /** Words of the objects that have come since: rows, and those that are decoded last. */
  admittedSince({ rows, last }: AdmissionMark): Uint32Array {
    const row = this.word.finish().subarray(rows);
    const lastWord = this.lastWord.finish().subarray(last);
    const words = new Uint32Array(row.length + lastWord.length);
    words.set(row);
    words.set(lastWord, row.length);
    return words;
  }

  /** An object that another thread has met, by its own words; in the order in which it met them. */
  addMet(word: number): void {
    if (hasBit(this.objectBits, word)) return;
    this.doubtful.delete(word);
    this.admit(word, this.plausibleType(word));
  }

  /** From now on, what is met is for this thread alone: `objectBits` and `doubtful` are those of all blocks. */
  startPart(objectBits: BitSet, doubtful: Uint32Array): void {
    this.objectBits = objectBits;
    for (let i = 0; i < doubtful.length; i++) this.doubtful.add(doubtful[i]);
  }

  /** An object of the collector's lists, which vouch for it; returns whether it was one. */
  addTracked(word: number): boolean {
    if (hasBit(this.objectBits, word)) return true;
    const typeId = this.plausibleType(word);
    if (typeId < 0) return false;
    this.admit(word, typeId);
    return true;
  }

  /**
   * A live block of pymalloc that may hold an object: directly, behind a collector's header, or behind that and two
   * managed pointers. The direct place is tried first.
   */
  addBlock(blockWord: number, blockBytes: number): void {
    let word = blockWord;
    let room = blockBytes;
    for (let skipped = 0; skipped <= 32; skipped += 16, word += 2, room -= 16) {
      if (room < 16) break;
      const typeId = this.plausibleType(word);
      if (typeId < 0) continue;
      const type = this.types.types[typeId];
      if (type.preheaderBytes !== skipped) continue;
      if (type.minimumBytes > room || !this.itemsFit(word, type, room)) continue;
      if (skipped !== 0 && !this.hasCollectorHead(word)) continue;
      if (this.countIsAddress(word)) this.doubtful.add(word);
      else if (!hasBit(this.objectBits, word)) this.admit(word, typeId);
      return;
    }
    setBit(this.rawBlockBits, blockWord);
  }

  /** An object that fills a block of the C allocator's, by its own words (see whole-objects.ts). */
  addWhole(word: number, typeId: number): void {
    if (!hasBit(this.objectBits, word) && !this.countIsAddress(word)) this.admit(word, typeId);
  }

  /** Whether the two words before `word` are a PyGC_Head: of an object in a list, or untracked and empty but for flags. */
  private hasCollectorHead(word: number): boolean {
    if (hasBit(this.trackedBits, word)) return true;
    const halves = this.halves;
    const nextLo = halves[word * 2 - 4];
    const nextHi = halves[word * 2 - 3];
    if (nextLo === 0 && nextHi === 0) {
      return (halves[word * 2 - 2] & ~3) === 0 && halves[word * 2 - 1] === 0;
    }
    return !this.listsAreKnown && this.image.wordAt((nextLo & ~3) >>> 0, nextHi) !== 0;
  }

  /**
   * Whether the reference count of the object at `word` could be the address of another object as well: where a program
   * lies below 4 GiB, two pointers look like the head of an object if the second leads to a type.
   */
  private countIsAddress(word: number): boolean {
    const lo = this.halves[word * 2];
    if (lo < LOWEST_ADDRESS || (lo & 7) !== 0 || this.halves[word * 2 + 1] !== 0) return false;
    return this.image.wordAt(lo, 0) !== 0;
  }

  /** An object that `countIsAddress` kept out, to which an exact reference leads. */
  admitDoubtful(word: number): boolean {
    if (!this.doubtful.delete(word)) return false;
    this.admit(word, this.plausibleType(word));
    return true;
  }

  /** Whether as many items as ob_size says have room in `room` bytes; true for types without items. */
  private itemsFit(word: number, type: TypeInfo, room: number): boolean {
    if (type.countedItemBytes === 0) return true;
    const itemCount = Math.abs(this.halves[(word + 2) * 2] | 0);
    return type.tp_basicsize + itemCount * type.countedItemBytes <= room;
  }

  /** An object that the runtime refers to by itself; returns whether there is one. */
  addRoot(address: Address): boolean {
    const word = this.image.wordAtAddress(address);
    return word !== 0 && this.findOrAdmit(word);
  }

  /** Whether an object begins at `word`, where an exact reference leads; admits it if it was not known. */
  findOrAdmit(word: number): boolean {
    if (hasBit(this.objectBits, word)) return true;
    if (this.options.pools.blockBytes(word) !== 0) return false;
    if (hasBit(this.ownedBits, word)) return false;
    const typeId = this.plausibleType(word);
    if (typeId < 0) return false;
    if (word + this.types.types[typeId].minimumWords > this.image.runEnd(word)) return false;
    this.admit(word, typeId);
    return true;
  }

  /** As `findOrAdmit` for a word that may be no pointer: outside of pools, a block must begin where the object does. */
  findOrAdmitScanned(word: number): boolean {
    if (hasBit(this.objectBits, word)) return true;
    const { pools, chunks, blockHeaderBytes } = this.options;
    if (pools.blockBytes(word) !== 0 || this.countIsAddress(word)) return false;
    if (chunks.isHeap(word)) {
      const typeId = this.plausibleType(word);
      if (typeId < 0) return false;
      const start =
        this.image.addressOfWord(word) - this.types.types[typeId].preheaderBytes - blockHeaderBytes;
      const startHi = Math.floor(start / TWO_32);
      if (chunks.blockBytesAtDoubtful((start - startHi * TWO_32) >>> 0, startHi) === 0) {
        return false;
      }
    }
    return this.findOrAdmit(word);
  }

  /** Adds what was kept for last: from now on, scanned objects are admitted at once. */
  addLastRows(): void {
    if (this.isScanning) return;
    this.isScanning = true;
    const words = this.lastWord.finish();
    for (let i = 0; i < words.length; i++) this.addRow(words[i], this.plausibleType(words[i]));
  }
}

/** Makes room for `count` cells behind `length` cells in all of `columns`. */
export function growTogether(
  columns: readonly (Uint8Column | Uint32Column)[],
  length: number,
  count = 1,
): void {
  for (const column of columns) {
    column.length = length;
    column.reserve(count);
  }
}
