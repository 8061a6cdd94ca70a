// Who leads to a block: marks all blocks that live Python objects, C code's memory, lost references and cyclic garbage lead
// to, in this order, so that what is left unmarked is lost. Conservative: every word that could be an address is one.
//
// Live objects are known exactly (their references were decoded), so of them only those are scanned whose C structs may hold
// more than references. Everything else that is met is scanned whole, but for the collector's links, which hold nothing.
//
// Missed: pointers in registers that the kernel does not show, pointers that are hidden (packed, encrypted). Taken for
// pointers: stale words and numbers, so that a leaked block may seem reachable (some in ten thousand).

import { type BitSet, hasBit, makeBitSet, setBit } from '../base/bit-set.ts';
import { growableUint32 } from '../base/columns.ts';
import { PAGE_SIZE } from '../memory/memory-image.ts';
import type { BlockSpace } from './block-space.ts';
import type { ResidentRanges } from './resident-ranges.ts';

/** What a block was found to be. */
export const Mark = {
  none: 0,
  /** A live Python object lies in it. */
  object: 1,
  /** A Python object owns it. */
  buffer: 2,
  /** A live Python object leads to it. */
  owned: 3,
  /** An object whose last reference was lost lies in it or leads to it. */
  leaked: 4,
  /** Cyclic garbage lies in it or leads to it. */
  garbage: 5,
  /** A live Python object owns it, and all that it holds was decoded. */
  known: 6,
  /** This and above: only C code's memory leads to it; which, is the difference. */
  retained: 16,
} as const;

/** Holders that can be told apart. */
export const MAX_HOLDERS = 256 - Mark.retained;

/** 16 bytes: what blocks are aligned to. */
const UNIT_WORDS = 2;
/** Lower words are no addresses: vm.mmap_min_addr. */
const LOWEST_ADDRESS = 0x10000;
/** Of the object that begins at a word. */
export interface ObjectContents {
  /**
   * The word behind those that it has written whole; 0 if it may have all of its block. What lies behind is left of earlier
   * blocks, such as pointers whose low bytes the end of a text has replaced.
   */
  findEnd(objectWord: number): number;
  /** Whether it is bytes. */
  isData(objectWord: number): boolean;
}

export class BlockMarks {
  private readonly space: BlockSpace;
  private readonly objectBits: BitSet;
  /** Per unit of 16 bytes: Mark of the block that begins there. */
  private readonly marks: Uint8Array;
  private readonly scanned: BitSet;
  private readonly pending = growableUint32();
  private markedBytes = 0;
  /** What is being scanned is bytes or data of a Python object: numbers, most likely. */
  private isData = false;
  private readonly contents: ObjectContents;
  private readonly resident: ResidentRanges;
  private readonly dataOffsetWords: number;
  /** Per word at which an object begins: whether something leads to its very start, or to the start of a text in it. */
  private readonly metAtStart: BitSet;
  private readonly metAtText: BitSet;
  private readonly textOffsets: readonly number[];
  private readonly numbers: BitSet;
  private readonly watched: BitSet;
  private readonly pointerCounts = new Map<number, number>();

  /**
   * `objectBits`: a bit for each word at which an object begins. `textOffsets`: words from there to where the text of a str
   * or of bytes begins.
   */
  constructor(
    space: BlockSpace,
    objectBits: BitSet,
    contents: ObjectContents,
    resident: ResidentRanges,
    textOffsets: readonly number[],
    numbers: BitSet,
  ) {
    this.numbers = numbers;
    this.space = space;
    this.resident = resident;
    this.objectBits = objectBits;
    this.contents = contents;
    this.marks = new Uint8Array(Math.ceil(space.image.endWord / UNIT_WORDS));
    this.scanned = makeBitSet(this.marks.length);
    this.metAtStart = makeBitSet(space.image.endWord);
    this.metAtText = makeBitSet(space.image.endWord);
    this.textOffsets = textOffsets;
    this.watched = makeBitSet(this.marks.length);
    this.dataOffsetWords = space.pymalloc.dataOffsetWords;
  }

  /** From now on the pointers to the block around `word` are counted. For some thousand blocks. */
  watch(word: number): void {
    const start = this.space.findStart(word);
    if (start === 0) return;
    setBit(this.watched, start >>> 1);
    this.pointerCounts.set(start, 0);
  }

  /** Pointers to the watched block around `word` in everything that was scanned. */
  countPointers(word: number): number {
    return this.pointerCounts.get(this.space.findStart(word)) ?? 0;
  }

  /** Mark of the block that begins at `start`. */
  markOf(start: number): number {
    return this.marks[start >>> 1];
  }

  /** Whether an object lies in the block that begins at `start`, directly or behind the collector's header. */
  holdsObject(start: number): boolean {
    return this.objectOffset(start, this.space.endOf(start)) >= 0;
  }

  /** Word of the object in the block that begins at `start`; 0 if there is none. */
  findObject(start: number): number {
    const offset = this.objectOffset(start, this.space.endOf(start));
    return offset < 0 ? 0 : start + this.dataOffsetWords + offset;
  }

  /** Words from the start of a block to the object in it: 0, 2 or 4; -1 if there is none. */
  private objectOffset(start: number, end: number): number {
    const data = start + this.dataOffsetWords;
    const bits = this.objectBits;
    if (hasBit(bits, data)) return 0;
    if (data + 2 < end && hasBit(bits, data + 2)) return 2;
    return data + 4 < end && hasBit(bits, data + 4) ? 4 : -1;
  }

  /** Marks the block around `word` unless it has a mark; nothing is scanned. */
  setMark(word: number, mark: number): void {
    const start = this.space.findStart(word);
    if (start !== 0 && this.marks[start >>> 1] === Mark.none) this.marks[start >>> 1] = mark;
  }

  /** Marks the block around `word` whatever mark it has. */
  overrule(word: number, mark: number): void {
    const start = this.space.findStart(word);
    if (start !== 0) this.marks[start >>> 1] = mark;
  }

  /** Whether a scanned word leads to the start of the object that begins at `word`, and not only into it. */
  isMetAtStart(word: number): boolean {
    return hasBit(this.metAtStart, word);
  }

  /** Whether one leads to where text begins if the object is one: C code keeps `char *`. */
  isMetAtText(word: number): boolean {
    return hasBit(this.metAtText, word);
  }

  /** For the block around `word`, if an object owns it: nothing in it is searched for pointers. */
  setKnown(word: number): void {
    const unit = this.space.findStart(word) >>> 1;
    if (unit !== 0 && this.marks[unit] === Mark.buffer) this.marks[unit] = Mark.known;
  }

  /** Has the block around `word` scanned by the next `spread`. */
  enter(word: number): void {
    const start = this.space.findStart(word);
    if (start === 0 || hasBit(this.scanned, start >>> 1)) return;
    setBit(this.scanned, start >>> 1);
    this.pending.push(start);
  }

  /** Marks the blocks that the words of [startWord, endWord) lead to; they are scanned by the next `spread`. */
  scan(startWord: number, endWord: number, mark: number): void {
    const { halves } = this.space.image;
    for (let w = startWord; w < endWord; w++) {
      const hi = halves[2 * w + 1];
      const lo = halves[2 * w];
      if (hi === 0 && lo < LOWEST_ADDRESS) continue;
      if (hi <= 0x7fff) this.meet(lo, hi, mark, w);
      // Lock-free lists and boxed values keep a tag in the 16 bits that no address has.
      else if ((hi & 0x8000) === 0) this.meet(lo, hi & 0x7fff, mark, w);
    }
  }

  /** The same for a word that lies nowhere in memory: of a register. */
  scanAddress(address: number, mark: number): void {
    const hi = Math.floor(address / 2 ** 32);
    this.meet((address - hi * 2 ** 32) >>> 0, hi, mark, 0);
  }

  /** Marks what the entered blocks lead to, and what those do; returns the bytes of blocks without an object among them. */
  spread(mark: number): number {
    const { pending } = this;
    this.markedBytes = 0;
    while (pending.length > 0) this.scanBlock(pending.array[--pending.length], mark);
    return this.markedBytes;
  }

  private scanBlock(start: number, mark: number): void {
    let end = this.space.endOf(start);
    const offset = this.objectOffset(start, end);
    if (offset < 0) {
      this.isData = this.marks[start >>> 1] === Mark.buffer;
      this.scan(start, end, mark);
      this.isData = false;
      return;
    }
    const object = start + this.dataOffsetWords + offset;
    const contentEnd = this.contents.findEnd(object);
    if (contentEnd > 0 && contentEnd < end) end = contentEnd;
    // The collector's links stand right before the object, managed pointers before them.
    if (offset > 0) this.scan(start, object - 2, mark);
    // Its first word is the reference count.
    this.isData = this.contents.isData(object);
    this.scan(object + 1, end, mark);
    this.isData = false;
  }

  /** `source`: the word with that address; 0 if it is in none. */
  private meet(lo: number, hi: number, mark: number, source: number): void {
    const word = this.space.image.wordAt(lo, hi);
    const start = word === 0 ? this.space.findStartAtAddress(lo, hi) : this.space.findStart(word);
    if (start === 0 || hasBit(this.numbers, source)) return;
    if (hi === 0 && this.isDoubtful(source) && (word !== start || lo % 16 !== 0)) return;
    if (word !== 0) this.meetObject(word);
    const unit = start >>> 1;
    if (hasBit(this.watched, unit)) {
      this.pointerCounts.set(start, (this.pointerCounts.get(start) ?? 0) + 1);
    }
    const known = this.marks[unit];
    if (known === Mark.none) {
      this.marks[unit] = mark;
      if (!this.holdsObject(start)) this.markedBytes += this.countTouched(start);
    } else if (known === Mark.buffer && mark === Mark.garbage) this.marks[unit] = mark;
    // What counts no reference does not keep it.
    else if (known === Mark.garbage && mark !== Mark.garbage) return;
    if (known === Mark.object || known === Mark.known || hasBit(this.scanned, unit)) return;
    setBit(this.scanned, unit);
    this.pending.push(start);
  }

  /**
   * Where the heap lies below 4 GiB, numbers of 32 bits look like addresses. In data of Python objects, and with a tag, such a
   * word counts only when it leads to the very start of a block: who keeps an address there has it of malloc.
   */
  private isDoubtful(source: number): boolean {
    return this.isData || this.space.image.halves[2 * source + 1] !== 0;
  }

  private meetObject(word: number): void {
    if (hasBit(this.objectBits, word)) {
      setBit(this.metAtStart, word);
      return;
    }
    for (const offset of this.textOffsets) {
      if (hasBit(this.objectBits, word - offset)) setBit(this.metAtText, word - offset);
    }
  }

  /** Resident bytes of a block. */
  private countTouched(start: number): number {
    const bytes = this.space.blockBytes(start);
    if (bytes <= PAGE_SIZE || this.space.isInPool(start)) return bytes;
    const address = this.space.image.addressOfWord(start - 1) - 8;
    return this.resident.countBytes(address, address + bytes);
  }
}
