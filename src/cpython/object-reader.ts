// What a decoder works with: the image, the layout, and the sink for what it finds. `find-objects.ts` calls the decoder
// of each object's type once; the decoder emits every strong reference that the object owns and says how large it is.
//
// A decoder never throws and never reads past the run of pages that its struct lies in (`end`): it counts a problem and
// leaves the rest out. Everything taken from memory (counts, sizes, lengths) has a limit before it is used in a loop.

import type { Problems } from '../base/problems.ts';
import type { EdgeKind } from '../graph/heap-graph.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Layout } from './layout.ts';

/** One type object of the target, understood once. */
export interface TypeInfo {
  /** Row of the graph's `types`. */
  readonly typeId: number;
  readonly address: number;
  /** Word of the type object in the image. */
  readonly word: number;
  /** `module.qualname`; built-ins without a module. */
  readonly name: string;
  /** `tp_name` as it stands in memory. */
  readonly tp_name: string;
  readonly tp_basicsize: number;
  readonly tp_itemsize: number;
  /** Lower 32 bits. */
  readonly tp_flags: number;
  /** Signed. */
  readonly tp_dictoffset: number;
  readonly tp_weaklistoffset: number;
  readonly base: TypeInfo | undefined;
  readonly isHeapType: boolean;
  readonly isGc: boolean;
  /** Bytes between the start of the object's block and the object: PyGC_Head and managed pointers. */
  readonly preheaderBytes: number;
  /** What knows the C struct at the beginning of the object: of this type or of its nearest ancestor that has one. */
  readonly decoder: ObjectDecoder | undefined;
  /** Of `decoder`; does nothing where there is none. Different structs may share one. */
  readonly decode: DecodeObject;
  /** `__slots__` of the type and its ancestors: byte offset of the pointer and stringId of the name. */
  readonly slots: readonly { offset: number; nameId: number }[];
  /** Byte ranges [start, end) of the body that nothing explains: scanned conservatively. */
  readonly unexplained: readonly { start: number; end: number }[];

  // What is asked of each object, worked out once.
  /** Smallest instance in bytes, rejects what cannot be an object in a small block; and in words, rounded up. */
  readonly minimumBytes: number;
  readonly minimumWords: number;
  /** sys.getsizeof of an instance without items, with the collector's header. */
  readonly plainBytes: number;
  /** tp_itemsize where ob_size counts items, else 0. */
  readonly countedItemBytes: number;
  /** Whether memory is scanned for what its instances refer to. */
  readonly isScanned: boolean;
  /** Whether `decode` does anything. */
  readonly hasStruct: boolean;
  /** Whether instances have more than the C struct: their type, attributes, slots, bytes that nothing explains. */
  readonly hasMore: boolean;
}

/**
 * Decodes the C struct of the object at `word`: emits references, sets `reader.shallowBytes` when `sys.getsizeof` is not
 * basicsize + n * itemsize, and adds owned buffers to `reader.ownedBytes`. What is common to all objects (type, slots,
 * instance dict, unexplained ranges) is emitted by the caller.
 */
export type DecodeObject = (reader: ObjectReader, word: number, type: TypeInfo) => void;

/** What knows the C struct that the instances of a type begin with. */
export interface ObjectDecoder {
  /**
   * tp_basicsize of the C type itself: bytes from the start of the object that the decoder explains. A type of that name
   * and another size is of another micro release and not decoded with it.
   */
  structSize: number;
  /** Smallest instance in bytes where that is less than tp_basicsize: compact str. */
  minimumSize?: number;
  decode: DecodeObject;
  /** The word behind ob_type is no number of items (or not in items of tp_itemsize): the caller must not multiply it. */
  ignoresObSize?: boolean;
  /** It scans memory for pointers: decoded when all buffers that have an owner are known. */
  scans?: boolean;
  /**
   * Items begin at structSize, also where tp_basicsize is larger: such bytes are items that are not counted (hidden fields
   * of a structseq) or a slot of the end that tp_dictoffset tells. Nothing of the body is unexplained.
   */
  explainsBody?: boolean;
}

export interface ObjectReader {
  readonly image: MemoryImage;
  /** `image.halves`: the word w is halves[2w] + 2^32 * halves[2w + 1]. */
  readonly halves: Uint32Array;
  readonly layout: Layout;
  readonly problems: Problems;

  /**
   * Set by the caller before each decode to what `sys.getsizeof` returns for a plain object: tp_basicsize, plus
   * ob_size * tp_itemsize for variable-size types, plus the collector's header. A decoder corrects it.
   */
  shallowBytes: number;
  /** Bytes of separate buffers that only this object owns, rounded as their allocator does (see `ownBuffer`). */
  ownedBytes: number;
  /** Set when the object could not be decoded completely. */
  partial: boolean;

  /**
   * Emits one strong reference to the object at `hi * 2^32 + lo`; a null pointer is ignored, one that leads to no
   * object is counted. Returns whether an edge was made.
   */
  reference(lo: number, hi: number, kind: EdgeKind, label: number): boolean;
  /** `reference` to the pointer stored in the word `word`. */
  referenceAt(word: number, kind: EdgeKind, label: number): boolean;
  /** Emits a weak reference (weakref to referent): keeps nothing alive. */
  weakReference(lo: number, hi: number): void;
  /**
   * Declares that the object owns the buffer that starts at this address and has (at least) `byteCount` bytes in use.
   * Adds its real block size to `ownedBytes`, and remembers the block so that it is not taken for an object.
   */
  ownBuffer(lo: number, hi: number, byteCount: number): void;
  /** Scans [startWord, endWord) for pointers to objects and emits them as `conservative` edges of the current object. */
  scan(startWord: number, endWord: number): void;

  /** stringId of a text. */
  intern(text: string): number;
  /** stringId of the Python str at this address; NONE if it is not a str that can be read. Cached by address. */
  internStr(lo: number, hi: number): number;
  /** The Python str at this address, at most `limit` characters; undefined if it is not one. */
  findStr(lo: number, hi: number, limit?: number): string | undefined;

  /** The type of the object at `word`; undefined if there is no plausible object. */
  findType(word: number): TypeInfo | undefined;
  /** Word of the pointer stored in the word `word`; 0 if null, misaligned or not copied. */
  follow(word: number): number;

  /** Counts a problem of `kind` at `word` and marks the object as partial. */
  problem(kind: string, word: number): void;
}
