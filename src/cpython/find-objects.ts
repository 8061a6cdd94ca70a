// Finds every object of an image and every reference between them: starts from the collector's lists, pymalloc's live
// blocks and the runtime's own references, decodes each object once, and follows what it refers to until nothing new
// comes. The result is in order of discovery and in words of the image; `build-graph.ts` makes a HeapGraph of it.
//
// What is an object is decided in `object-admission.ts`. Of large heaps, two threads decode a part each (`decoded-part.ts`).
//
// Cost: one pass, about 0.3 microseconds an object; 1 bit per 8 bytes of image, 17 bytes per object, 9 bytes per edge.

import { hasBit, setBit } from '../base/bit-set.ts';
import {
  copyCells,
  growableUint8,
  growableUint32,
  type Uint8Column,
  type Uint32Column,
} from '../base/columns.ts';
import type { Problems } from '../base/problems.ts';
import { EdgeKind, NONE, NodeFlag } from '../graph/heap-graph.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { type DecodedPart, renumberLabels } from './decoded-part.ts';
import { decodersByTypeName } from './decoders.ts';
import { findStrText } from './dict-entries.ts';
import {
  addLarge,
  type DecodedColumns,
  decodedColumns,
  type FoundObjects,
  growDecoded,
  setSizes,
} from './found-objects.ts';
import { makeDecodeInstanceDict } from './instance-dict.ts';
import type { Layout } from './layout.ts';
import {
  type AdmissionMark,
  type AdmissionOptions,
  growTogether,
  ObjectAdmission,
} from './object-admission.ts';
import type { ObjectReader, TypeInfo } from './object-reader.ts';
import { TypeTable } from './type-table.ts';

const TWO_32 = 2 ** 32;
/** Words that one unknown object may make us scan in malloc chunks: 1 MiB. */
const MAX_SCANNED_WORDS = 1 << 17;

/** Fewer strings are interned in no Python that has started. */
const MIN_INTERNED = 1000;

export interface FindObjectsOptions extends AdmissionOptions {
  layout: Layout;
  problems: Problems;
  typeType: Address;
  managedFlags: number;
  /** Addresses of `PyInterpreterState.types` of all interpreters (3.12): what static types refer to is there. */
  typesStates?: readonly Address[];
  /** Where problems with types are counted, if not with the others. */
  typeProblems?: Problems;
}

export class ObjectFinder implements ObjectReader {
  readonly image: MemoryImage;
  halves: Uint32Array;
  readonly layout: Layout;
  readonly problems: Problems;
  shallowBytes = 0;
  ownedBytes = 0;
  partial = false;

  readonly types: TypeTable;
  private readonly options: FindObjectsOptions;
  /** Takes in blocks, tracked objects and roots before decoding, and what references lead to. */
  readonly admission: ObjectAdmission;
  private readonly expectedCount: number;
  private readonly edgeTargetWord: Uint32Column;
  private readonly edgeKind: Uint8Column;
  private readonly edgeLabel: Uint32Column;
  /** Rows of the three columns of edges; their own lengths follow when a portion is done. */
  private edgeCount = 0;
  private readonly weakSourceWord = growableUint32();
  private readonly weakTargetWord = growableUint32();
  private readonly stringIds = new Map<string, number>();
  private readonly strings: string[] = [];
  private readonly stringIdByWord = new Map<number, number>();
  private readonly weakDicts = new Set<number>();
  private readonly decodeInstanceDict: (reader: ObjectReader, word: number, type: TypeInfo) => void;
  private currentWord = 0;
  private scannedWords = 0;
  private referencesFollowed = 0;
  private referencesLost = 0;

  constructor(options: FindObjectsOptions) {
    this.options = options;
    this.image = options.image;
    this.halves = options.image.halves;
    this.layout = options.layout;
    this.problems = options.problems;
    const wordCount = options.image.endWord;
    // Untouched capacity costs no memory; growing copies. Denser heaps than one object in 48 bytes are rare.
    this.expectedCount = Math.max(1024, Math.ceil(wordCount / 6));
    // Edges of a part are handed over.
    const isShared = options.isShared === true && options.bits === undefined;
    this.edgeTargetWord = growableUint32(this.expectedCount * 2, isShared);
    this.edgeKind = growableUint8(this.expectedCount * 2, isShared);
    this.edgeLabel = growableUint32(this.expectedCount * 2, isShared);
    const typeProblems = options.typeProblems ?? options.problems;
    this.decodeInstanceDict = makeDecodeInstanceDict(options.layout);
    this.types = new TypeTable({
      image: options.image,
      layout: options.layout,
      typeType: options.typeType,
      decoders: decodersByTypeName(options.layout, options.typesStates),
      managedFlags: options.managedFlags,
      intern: (text) => this.intern(text),
      problem: (kind, address) => typeProblems.add(kind, address),
    });
    this.admission = new ObjectAdmission(options, this.types, this.expectedCount);
  }

  /** A dict whose entries keep nothing alive: what it refers to is found, but held by others only. */
  addWeakDict(address: Address): void {
    const word = this.image.wordAtAddress(address);
    if (word !== 0) this.weakDicts.add(word);
  }

  // --- ObjectReader --------------------------------------------------------------------------------------------------

  reference(lo: number, hi: number, kind: EdgeKind, label: number): boolean {
    if (lo === 0 && hi === 0) return false;
    this.referencesFollowed++;
    const word = (lo & 7) === 0 ? this.image.wordAt(lo, hi) : 0;
    if (word === 0 || !(this.admission.findOrAdmit(word) || this.admission.admitDoubtful(word))) {
      this.referencesLost++;
      this.problem(
        word === 0 ? 'reference-outside-copy' : 'reference-to-no-object',
        this.currentWord,
      );
      return false;
    }
    this.pushEdge(word, kind, label);
    return true;
  }

  referenceAt(word: number, kind: EdgeKind, label: number): boolean {
    return this.reference(this.halves[word * 2], this.halves[word * 2 + 1], kind, label);
  }

  private pushEdge(targetWord: number, kind: EdgeKind, label: number): void {
    const edge = this.edgeCount;
    if (edge === this.edgeTargetWord.array.length) {
      growTogether([this.edgeTargetWord, this.edgeKind, this.edgeLabel], edge);
    }
    this.edgeTargetWord.array[edge] = targetWord;
    this.edgeKind.array[edge] = kind;
    this.edgeLabel.array[edge] = label;
    this.edgeCount = edge + 1;
  }

  weakReference(lo: number, hi: number): void {
    const word = (lo & 7) === 0 ? this.image.wordAt(lo, hi) : 0;
    if (word === 0 || !this.admission.findOrAdmit(word)) return;
    this.weakSourceWord.push(this.currentWord);
    this.weakTargetWord.push(word);
  }

  ownBuffer(lo: number, hi: number, byteCount: number): void {
    const word = this.image.wordAt(lo, hi);
    if (word !== 0) {
      if (hasBit(this.admission.ownedBits, word)) return;
      setBit(this.admission.ownedBits, word);
    }
    this.ownedBytes += this.blockBytes(lo, hi, word, byteCount);
  }

  /** Bytes that the block which starts at this address costs; `byteCount` rounded up when it is not known. */
  private blockBytes(lo: number, hi: number, word: number, byteCount: number): number {
    const header = this.options.blockHeaderBytes;
    const inPool = word === 0 ? 0 : this.options.pools.blockBytes(word);
    if (inPool !== 0) return inPool;
    const start = hi * TWO_32 + lo - header;
    const startHi = Math.floor(start / TWO_32);
    const inChunk = this.options.chunks.blockBytesAt((start - startHi * TWO_32) >>> 0, startHi);
    if (inChunk >= byteCount) return inChunk;
    return Math.ceil((byteCount + 8) / 16) * 16;
  }

  scan(startWord: number, endWord: number): void {
    this.scanWords(startWord, endWord, 0);
  }

  private scanWords(startWord: number, endWord: number, depth: number): void {
    const halves = this.halves;
    const end = Math.min(endWord, this.image.runEnd(startWord));
    for (let w = startWord; w < end; w++) {
      if (++this.scannedWords > MAX_SCANNED_WORDS) {
        this.problem('scan-cut-off', this.currentWord);
        return;
      }
      const lo = halves[w * 2];
      const hi = halves[w * 2 + 1];
      if ((lo & 7) !== 0 || (lo === 0 && hi === 0)) continue;
      const target = this.image.wordAt(lo, hi);
      if (target === 0) continue;
      const offset = depth === 0 ? (w - this.currentWord) * 8 : (w - startWord) * 8;
      if (this.admission.findOrAdmitScanned(target)) {
        this.pushEdge(target, EdgeKind.conservative, offset);
      } else if (depth < 3) this.scanChunk(lo, hi, target, depth);
    }
  }

  /** A pointer to a raw block that no object is known to own: the block belongs to the current object. */
  private scanChunk(lo: number, hi: number, word: number, depth: number): void {
    if (hasBit(this.admission.ownedBits, word)) return;
    const inPool = this.options.pools.blockBytes(word);
    if (inPool !== 0 && !hasBit(this.admission.rawBlockBits, word)) return;
    const bytes = inPool !== 0 ? inPool : this.options.chunks.blockBytesAtDoubtful(lo, hi);
    if (bytes === 0) return;
    setBit(this.admission.ownedBits, word);
    this.ownedBytes += bytes;
    // The last word of a chunk of malloc's belongs to the next one, and of a debug allocator's block to its trailer.
    this.scanWords(word, word + ((inPool !== 0 ? bytes : bytes - 8) >>> 3), depth + 1);
  }

  intern(text: string): number {
    const known = this.stringIds.get(text);
    if (known !== undefined) return known;
    const id = this.strings.push(text) - 1;
    this.stringIds.set(text, id);
    return id;
  }

  internStr(lo: number, hi: number): number {
    const word = this.image.wordAt(lo, hi);
    if (word === 0) return NONE;
    const known = this.stringIdByWord.get(word);
    if (known !== undefined) return known;
    const text = this.findStr(lo, hi, 256);
    const id = text === undefined ? NONE : this.intern(text);
    this.stringIdByWord.set(word, id);
    return id;
  }

  findStr(lo: number, hi: number, limit = 256): string | undefined {
    const word = (lo & 7) === 0 ? this.image.wordAt(lo, hi) : 0;
    const type = word === 0 ? undefined : this.findType(word);
    if (type === undefined || (type.tp_flags & (1 << 28)) === 0) return undefined;
    return findStrText(this.image, this.layout, hi * TWO_32 + lo)?.slice(0, limit);
  }

  findType(word: number): TypeInfo | undefined {
    const typeId = this.admission.plausibleType(word);
    return typeId < 0 ? undefined : this.types.types[typeId];
  }

  follow(word: number): number {
    const lo = this.halves[word * 2];
    return (lo & 7) === 0 ? this.image.wordAt(lo, this.halves[word * 2 + 1]) : 0;
  }

  problem(kind: string, word: number): void {
    this.partial = true;
    this.problems.add(kind, word === 0 ? 0 : this.image.addressOfWord(word));
  }

  // --- Decoding ------------------------------------------------------------------------------------------------------

  /**
   * Prepares the columns that `decodeSome` fills, or takes those of another thread. Call once, when all blocks, tracked
   * objects and roots were added.
   */
  startDecoding(columns = this.makeColumns()): FoundObjects {
    return {
      image: this.image,
      objectBits: this.admission.objectBits,
      word: this.admission.word,
      typeId: this.admission.typeId,
      ...columns,
      largeSizes: new Map(),
      edgeTargetWord: this.edgeTargetWord,
      edgeKind: this.edgeKind,
      edgeLabel: this.edgeLabel,
      weakSourceWord: this.weakSourceWord,
      weakTargetWord: this.weakTargetWord,
      types: this.types.types,
      strings: this.strings,
      referencesFollowed: 0,
      referencesLost: 0,
    };
  }

  private makeColumns(): DecodedColumns {
    const isShared = this.options.isShared === true;
    const count = Math.max(this.expectedCount, this.admission.word.length);
    const columns = {
      shallowSize: growableUint32(count, isShared),
      allocatedSize: growableUint32(count, isShared),
      referenceCount: growableUint32(count, isShared),
      flags: growableUint8(count, isShared),
      firstEdge: growableUint32(count + 1, isShared),
    };
    columns.firstEdge.push(0);
    return columns;
  }

  /**
   * Decodes up to `limit` more objects, which may lead to new ones, in rows before `endRow`; returns whether some are left
   * there. In portions, so that a caller can report progress and be cancelled in between.
   */
  decodeSome(found: FoundObjects, limit: number, endRow = Number.POSITIVE_INFINITY): boolean {
    const start = found.flags.length;
    const limitRow = Math.min(start + limit, endRow);
    let row = start;
    for (; row < this.admission.word.length && row < limitRow; row++) {
      if (row === found.flags.array.length) growDecoded(found, row);
      const first = this.edgeCount;
      this.decodeObject(row, found);
      // A small dict is not worth looking up: that would cost every object.
      if (this.edgeCount - first >= 64) this.dropWeakEdges(row, first);
      found.firstEdge.array[row + 1] = this.edgeCount;
    }
    this.setLengths(found, row);
    if (row < endRow && row === this.admission.word.length) this.admission.addLastRows();
    return row < Math.min(endRow, this.admission.word.length);
  }

  /** What `decodeSome` has found since `mark`, for another thread to append; the rows themselves are in its columns. */
  takePart(found: FoundObjects, mark: AdmissionMark): DecodedPart {
    return {
      edgeTargetWord: found.edgeTargetWord.finish(),
      edgeKind: found.edgeKind.finish(),
      edgeLabel: found.edgeLabel.finish(),
      met: this.admission.admittedSince(mark),
      ownedBits: this.admission.ownedBits,
      weakSourceWord: this.weakSourceWord.finish(),
      weakTargetWord: this.weakTargetWord.finish(),
      strings: this.strings,
      typeWords: this.types.words,
      problems: this.problems.list(),
      largeSizes: [...found.largeSizes],
      referencesFollowed: this.referencesFollowed,
      referencesLost: this.referencesLost,
    };
  }

  /**
   * Appends the next rows up to `endRow`, which another thread has decoded, as if that had been done here, now; its
   * `firstEdge` counts from its own first edge.
   */
  appendPart(found: FoundObjects, part: DecodedPart, endRow: number): void {
    // In the order in which they were met there: what is new here gets the number that it would have got.
    const stringIdOf = Uint32Array.from(part.strings, (text) => this.intern(text));
    for (const word of part.typeWords) this.types.typeIdOfWord(word);
    for (const word of part.met) this.admission.addMet(word);
    for (let i = 0; i < part.ownedBits.length; i++) {
      this.admission.ownedBits[i] |= part.ownedBits[i];
    }
    const firstRow = found.flags.length;
    const edgeBase = this.edgeCount;
    const edgeCount = edgeBase + part.edgeKind.length;
    growTogether(
      [this.edgeTargetWord, this.edgeKind, this.edgeLabel],
      edgeBase,
      part.edgeKind.length,
    );
    copyCells(this.edgeTargetWord.array, part.edgeTargetWord, edgeBase);
    copyCells(this.edgeKind.array, part.edgeKind, edgeBase);
    renumberLabels(part, stringIdOf, this.edgeLabel.array.subarray(edgeBase, edgeCount));
    const firstEdge = found.firstEdge.array;
    for (let row = firstRow + 1; row <= endRow; row++) firstEdge[row] += edgeBase;
    this.edgeCount = edgeCount;
    for (let i = 0; i < part.weakSourceWord.length; i++) {
      this.weakSourceWord.push(part.weakSourceWord[i]);
      this.weakTargetWord.push(part.weakTargetWord[i]);
    }
    for (const problem of part.problems) this.problems.append(problem);
    for (const [word, sizes] of part.largeSizes) addLarge(found, word, sizes);
    this.referencesFollowed += part.referencesFollowed;
    this.referencesLost += part.referencesLost;
    this.setLengths(found, endRow);
  }

  private setLengths(found: FoundObjects, rowCount: number): void {
    for (const column of decodedColumns(found)) column.length = rowCount;
    found.firstEdge.length = rowCount + 1;
    found.edgeTargetWord.length = this.edgeCount;
    found.edgeKind.length = this.edgeCount;
    found.edgeLabel.length = this.edgeCount;
    found.referencesFollowed = this.referencesFollowed;
    found.referencesLost = this.referencesLost;
  }

  /** Forgets the pages of the image; afterwards nothing can be asked but strings. */
  release(): void {
    this.halves = new Uint32Array(0);
    this.admission.release();
  }

  /** The entries of a weak dict were decoded so that what they refer to is found; they are no references. */
  private dropWeakEdges(row: number, firstEdge: number): void {
    const isWeak =
      this.weakDicts.size > 0
        ? this.weakDicts.has(this.admission.word.array[row])
        : this.looksLikeInterned(firstEdge);
    if (isWeak) this.edgeCount = firstEdge;
  }

  /**
   * Whether the edges from `firstEdge` on are those of the dict of interned strings, which stripped Pythons until 3.11 give
   * no symbol for: thousands of strings, each its own key, and interned.
   */
  private looksLikeInterned(firstEdge: number): boolean {
    const targets = this.edgeTargetWord.array;
    const end = this.edgeCount;
    if (end - firstEdge < MIN_INTERNED * 2) return false;
    const stateWord = this.layout.word('PyASCIIObject.state');
    for (let edge = firstEdge; edge + 1 < end; edge += 2) {
      if (targets[edge] !== targets[edge + 1]) return false;
      if (this.edgeKind.array[edge] !== EdgeKind.dictKey) return false;
      if ((this.halves[(targets[edge] + stateWord) * 2] & 3) === 0) return false;
    }
    return true;
  }

  private decodeObject(row: number, found: FoundObjects): void {
    const halves = this.halves;
    const word = this.admission.word.array[row];
    const typeId = this.admission.typeId.array[row];
    const type = this.types.types[typeId];
    this.currentWord = word;
    this.scannedWords = 0;
    this.partial = false;
    this.ownedBytes = 0;
    this.shallowBytes = plainSize(halves, word, type);
    if (word + type.minimumWords > this.image.runEnd(word)) this.problem('object-cut-off', word);
    else {
      if (type.hasStruct) type.decode(this, word, type);
      if (type.hasMore) this.decodeMore(word, type);
    }
    const count = this.options.referenceCounts.decode(halves[word * 2], halves[word * 2 + 1]);
    const allocated = this.ownBlockBytes(word, type);
    setSizes(found, row, this.shallowBytes, allocated + this.ownedBytes);
    found.referenceCount.array[row] = count;
    found.flags.array[row] =
      (hasBit(this.admission.trackedBits, word) ? NodeFlag.tracked : 0) |
      (count === NONE ? NodeFlag.immortal : 0) |
      (allocated === 0 && !this.options.chunks.isHeap(word) ? NodeFlag.static : 0) |
      (this.partial ? NodeFlag.partial : 0);
  }

  /** What types of all structs may have: a `__dict__`, a type that counts its instances, slots, and what nothing explains. */
  private decodeMore(word: number, type: TypeInfo): void {
    this.decodeInstanceDict(this, word, type);
    if (type.isHeapType) this.pushEdgeToType(type);
    for (const slot of type.slots) {
      this.referenceAt(word + (slot.offset >>> 3), EdgeKind.attribute, slot.nameId);
    }
    for (const range of type.unexplained) {
      this.scan(word + (range.start >>> 3), word + (range.end >>> 3));
    }
  }

  private pushEdgeToType(type: TypeInfo): void {
    if (this.admission.findOrAdmit(type.word)) this.pushEdge(type.word, EdgeKind.type, NONE);
  }

  /** Bytes of the block that the object itself lies in; 0 for static objects. */
  private ownBlockBytes(word: number, type: TypeInfo): number {
    const inPool = this.options.pools.blockBytes(word);
    if (inPool !== 0) return inPool;
    const address = this.image.addressOfWord(word);
    const start = address - type.preheaderBytes - this.options.blockHeaderBytes;
    const hi = Math.floor(start / TWO_32);
    return this.options.chunks.blockBytesAt((start - hi * TWO_32) >>> 0, hi);
  }
}

/** sys.getsizeof of an object without a `__sizeof__` of its own. */
function plainSize(halves: Uint32Array, word: number, type: TypeInfo): number {
  if (type.countedItemBytes === 0) return type.plainBytes;
  return type.plainBytes + Math.abs(halves[(word + 2) * 2] | 0) * type.countedItemBytes;
}
