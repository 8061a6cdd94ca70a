// Understands the type objects of a target, each once: name, sizes, flags, slots, which decoder knows the C struct that
// its instances begin with, and which bytes of them nothing explains. Turns a type pointer into a small number quickly.
// Source: Include/cpython/object.h (PyTypeObject, PyHeapTypeObject), Objects/typeobject.c (type_new, best_base).
//
// Not handled: types whose tp_basicsize differs from the known struct of their name (another version of an extension
// module): their bodies are scanned conservatively and the graph counts `type-size-unexpected`.

import type { MemoryImage } from '../memory/memory-image.ts';
import { decodeNothing } from './decode-struct.ts';
import { findInDict, findStrText } from './dict-entries.ts';
import { hasInstanceDict } from './instance-dict.ts';
import type { Layout } from './layout.ts';
import type { ObjectDecoder, TypeInfo } from './object-reader.ts';

const TYPE_SUBCLASS = 1 << 31;
const HEAPTYPE = 1 << 9;
const HAVE_GC = 1 << 14;
const READY = 1 << 12;
const GC_HEAD_BYTES = 16;
/** The GIL builds' PyObject: ob_refcnt, ob_type. */
const OBJECT_HEAD_BYTES = 16;
const MEMBER_BYTES = 40;
/** structmember.h: T_OBJECT and T_OBJECT_EX. */
const T_OBJECT = 6;
const T_OBJECT_EX = 16;
const MAX_SLOTS = 4096;
/** Larger instances (without their items) have been seen in damaged memory only. */
const MAX_BASIC_SIZE = 1 << 20;
const MAX_BASES = 128;
/** Types that are being understood at a time: metatypes and bases of one type. */
const MAX_METATYPE_DEPTH = 256;

/** Of a cell of `recent`, by the address of a type. */
const RECENT_MASK = 0xffc;

/** Row of `types` that is no type. */
const NOT_A_TYPE = 0xffffffff;

interface TypeTableOptions {
  image: MemoryImage;
  layout: Layout;
  /** Address of PyType_Type. */
  typeType: number;
  decoders: ReadonlyMap<string, ObjectDecoder>;
  /** tp_flags of which any makes instances begin 16 bytes further in their block (managed dict or weakrefs). */
  managedFlags: number;
  intern: (text: string) => number;
  problem: (kind: string, address: number) => void;
}

export class TypeTable {
  readonly types: TypeInfo[] = [];
  private readonly options: TypeTableOptions;
  /** Open addressing from the word of a type object to its typeId + 1, or NOT_A_TYPE. */
  private slotWord = new Uint32Array(1 << 14);
  private slotType = new Uint32Array(1 << 14);
  private used = 0;
  /**
   * Types asked for lately, four cells each: address, typeId. Nearly all questions are for a few types. Empty cells have an
   * address that no object has: 0 is asked for, too.
   */
  private readonly recent = new Uint32Array((RECENT_MASK | 3) + 1).fill(1);
  private readonly resolving = new Set<number>();

  constructor(options: TypeTableOptions) {
    this.options = options;
  }

  /** Words of all types so far, in the order in which they were met. */
  get words(): number[] {
    return this.types.map(({ word }) => word);
  }

  /** typeId of the type object at this address, -1 if there is none. Fast after the first call for an address. */
  typeIdAt(lo: number, hi: number): number {
    if ((lo & 7) !== 0) return -1;
    const recent = this.recent;
    const at = (lo >>> 2) & RECENT_MASK;
    if (recent[at] === lo && recent[at + 1] === hi) return recent[at + 2];
    const word = this.options.image.wordAt(lo, hi);
    const typeId = word === 0 ? -1 : this.typeIdOfWord(word);
    if (typeId >= 0) {
      recent[at] = lo;
      recent[at + 1] = hi;
      recent[at + 2] = typeId;
    }
    return typeId;
  }

  /** As `typeIdAt`, for the word of the type object. */
  typeIdOfWord(word: number): number {
    const mask = this.slotWord.length - 1;
    let slot = Math.imul(word, 0x9e3779b1) >>> 7;
    while (true) {
      slot &= mask;
      const found = this.slotWord[slot];
      if (found === word) {
        const value = this.slotType[slot];
        return value === NOT_A_TYPE ? -1 : value;
      }
      if (found === 0) return this.resolve(word);
      slot++;
    }
  }

  private remember(word: number, typeId: number): void {
    if (this.used * 2 > this.slotWord.length) this.growSlots();
    const mask = this.slotWord.length - 1;
    let slot = Math.imul(word, 0x9e3779b1) >>> 7;
    while (true) {
      slot &= mask;
      if (this.slotWord[slot] === 0 || this.slotWord[slot] === word) break;
      slot++;
    }
    if (this.slotWord[slot] === 0) this.used++;
    this.slotWord[slot] = word;
    this.slotType[slot] = typeId;
  }

  private growSlots(): void {
    const words = this.slotWord;
    const types = this.slotType;
    this.slotWord = new Uint32Array(words.length * 4);
    this.slotType = new Uint32Array(words.length * 4);
    this.used = 0;
    for (let i = 0; i < words.length; i++) if (words[i] !== 0) this.remember(words[i], types[i]);
  }

  private resolve(word: number): number {
    // Words that only look like pointers to types may form long chains.
    if (this.resolving.has(word) || this.resolving.size > MAX_METATYPE_DEPTH) return -1;
    this.resolving.add(word);
    const typeId = this.looksLikeType(word) ? this.understand(word) : NOT_A_TYPE;
    this.resolving.delete(word);
    this.remember(word, typeId);
    return typeId === NOT_A_TYPE ? -1 : typeId;
  }

  /** Whether the object at `word` is ready and an instance of `type` or of a subclass of it. */
  private looksLikeType(word: number): boolean {
    const { image, layout, typeType } = this.options;
    const halves = image.halves;
    const end = image.runEnd(word);
    if (word + layout.size('PyTypeObject') / 8 > end) return false;
    const flags = halves[(word + layout.word('PyTypeObject.tp_flags')) * 2];
    if ((flags & HEAPTYPE) !== 0 && word + layout.size('PyHeapTypeObject') / 8 > end) return false;
    const basicSize = halves[(word + layout.word('PyTypeObject.tp_basicsize')) * 2];
    const basicSizeHi = halves[(word + layout.word('PyTypeObject.tp_basicsize')) * 2 + 1];
    if (basicSizeHi !== 0 || basicSize < OBJECT_HEAD_BYTES || basicSize > MAX_BASIC_SIZE) {
      return false;
    }
    const metaLo = halves[(word + 1) * 2];
    const metaHi = halves[(word + 1) * 2 + 1];
    const metaWord = (metaLo & 7) === 0 ? image.wordAt(metaLo, metaHi) : 0;
    if (metaWord === 0) return false;
    const isType = metaWord === image.wordAtAddress(typeType);
    if ((flags & READY) === 0) return isType && this.isKnownByName(word);
    if (!isType) {
      const meta = this.typeIdOfWord(metaWord);
      if (meta < 0 || (this.types[meta].tp_flags & TYPE_SUBCLASS) === 0) return false;
    }
    return true;
  }

  /** 3.8 and 3.9 never call PyType_Ready for the type of lru_cache's list elements. */
  private isKnownByName(word: number): boolean {
    const { image, layout, decoders } = this.options;
    const at = (word + layout.word('PyTypeObject.tp_name')) * 2;
    const tp_name = image.findCString(image.halves[at] + 2 ** 32 * image.halves[at + 1]);
    return tp_name !== undefined && decoders.has(tp_name);
  }

  private understand(word: number): number {
    const { image, layout, decoders, managedFlags } = this.options;
    const halves = image.halves;
    const address = image.addressOfWord(word);
    const at = (field: string) => (word + layout.word(`PyTypeObject.${field}`)) * 2;
    const tp_flags = halves[at('tp_flags')];
    const tp_basicsize = halves[at('tp_basicsize')];
    const tp_itemsize = halves[at('tp_itemsize')];
    const tp_dictoffset = halves[at('tp_dictoffset')] | 0;
    const tp_weaklistoffset = halves[at('tp_weaklistoffset')] | 0;
    const isHeapType = (tp_flags & HEAPTYPE) !== 0;
    const isGc = (tp_flags & HAVE_GC) !== 0;
    const tp_name =
      image.findCString(image.readAddress(address + layout.offset('PyTypeObject.tp_name'))) ?? '?';
    const base = this.findBase(halves[at('tp_base')], halves[at('tp_base') + 1]);
    const own = decoders.get(tp_name);
    const isNamed = own !== undefined && !this.isPythonClass(base, isHeapType, tp_basicsize, word);
    // Another micro release may have another struct: its offsets would be wrong even where it is larger.
    const fits = isNamed && own.structSize === tp_basicsize;
    if (isNamed && !fits) this.options.problem('type-size-unexpected', address);
    const decoder = fits ? own : base === undefined ? undefined : this.decoderOf(base.typeId);
    const typeId = this.types.length;
    // Members of C types (`re.Pattern.pattern`) that the decoder knows would be counted twice.
    const explainedBytes =
      decoder?.explainsBody === true ? Number.MAX_SAFE_INTEGER : (decoder?.structSize ?? 0);
    const ownSlots = isHeapType ? this.readSlots(word, address, tp_basicsize) : [];
    const slots = [
      ...(base?.slots ?? []),
      ...ownSlots.filter((slot) => slot.offset >= explainedBytes),
    ];
    const unexplained =
      decoder?.explainsBody === true
        ? []
        : unexplainedRanges(
            decoder?.structSize ?? OBJECT_HEAD_BYTES,
            tp_basicsize,
            explainedOffsets(slots, tp_dictoffset, tp_weaklistoffset, base),
          );
    const preheaderBytes = isGc ? GC_HEAD_BYTES + ((tp_flags & managedFlags) !== 0 ? 16 : 0) : 0;
    const minimumBytes = decoder?.minimumSize ?? tp_basicsize;
    const info: TypeInfo = {
      typeId,
      address,
      word,
      name: this.nameOf(address, tp_name, isHeapType),
      tp_name,
      tp_basicsize,
      tp_itemsize,
      tp_flags,
      tp_dictoffset,
      tp_weaklistoffset,
      base,
      isHeapType,
      isGc,
      preheaderBytes,
      decoder,
      decode: decoder?.decode ?? decodeNothing,
      slots,
      unexplained,
      minimumBytes,
      minimumWords: Math.ceil(minimumBytes / 8),
      plainBytes: tp_basicsize + preheaderBytes,
      countedItemBytes: decoder?.ignoresObSize === true ? 0 : tp_itemsize,
      isScanned: unexplained.length > 0 || decoder?.scans === true,
      hasStruct: decoder !== undefined && decoder.decode !== decodeNothing,
      hasMore:
        isHeapType ||
        hasInstanceDict(tp_flags, tp_dictoffset) ||
        slots.length > 0 ||
        unexplained.length > 0,
    };
    this.types.push(info);
    this.decoderByType.push(decoder);
    return typeId;
  }

  private readonly decoderByType: (ObjectDecoder | undefined)[] = [];

  private decoderOf(typeId: number): ObjectDecoder | undefined {
    return this.decoderByType[typeId];
  }

  /** A class statement may be named like a C type; only a class without a `__module__` of its own C module is one. */
  private isPythonClass(
    base: TypeInfo | undefined,
    isHeapType: boolean,
    basicSize: number,
    word: number,
  ): boolean {
    if (!isHeapType || base === undefined) return false;
    const { image, layout } = this.options;
    // tp_new of a class statement's type is inherited; its tp_name points into ht_name's UTF-8, in the heap.
    const nameLo = image.halves[(word + layout.word('PyTypeObject.tp_name')) * 2];
    const nameHi = image.halves[(word + layout.word('PyTypeObject.tp_name')) * 2 + 1];
    const nameAddress = nameHi * 2 ** 32 + nameLo;
    const ht_name = image.readAddress(
      image.addressOfWord(word) + layout.offset('PyHeapTypeObject.ht_name'),
    );
    const insideName = nameAddress > ht_name && nameAddress < ht_name + 128;
    return insideName && basicSize >= base.tp_basicsize;
  }

  private findBase(lo: number, hi: number): TypeInfo | undefined {
    if (lo === 0 && hi === 0) return undefined;
    const typeId = this.typeIdAt(lo, hi);
    return typeId < 0 ? undefined : this.types[typeId];
  }

  /** The members that `__slots__` made: PyMemberDef items behind the PyHeapTypeObject, ob_size of them. */
  private readSlots(
    word: number,
    address: number,
    basicSize: number,
  ): { offset: number; nameId: number }[] {
    const { image, layout } = this.options;
    const slots: { offset: number; nameId: number }[] = [];
    const count = Math.min(image.halves[(word + 2) * 2], MAX_SLOTS);
    // Metaclasses may be larger than PyHeapTypeObject: members follow the metatype's basicsize (PyHeapType_GET_MEMBERS).
    const metaWord = image.wordAtAddress(image.readAddress(address + 8));
    const metaSize =
      metaWord === 0
        ? layout.size('PyHeapTypeObject')
        : image.halves[(metaWord + layout.word('PyTypeObject.tp_basicsize')) * 2];
    const first = address + metaSize;
    if (!image.has(first, count * MEMBER_BYTES)) return slots;
    for (let i = 0; i < count; i++) {
      const member = first + i * MEMBER_BYTES;
      const kind = image.readI32(member + 8);
      const name = image.findCString(image.readAddress(member), 256);
      const offset = image.readI64(member + 16);
      if (name === undefined || (kind !== T_OBJECT && kind !== T_OBJECT_EX)) continue;
      if (offset < OBJECT_HEAD_BYTES || offset % 8 !== 0 || offset + 8 > basicSize) continue;
      slots.push({ offset, nameId: this.options.intern(name) });
    }
    return slots;
  }

  private nameOf(address: number, tp_name: string, isHeapType: boolean): string {
    if (!isHeapType) return tp_name.startsWith('builtins.') ? tp_name.slice(9) : tp_name;
    const { image, layout } = this.options;
    const qualname =
      findStrText(
        image,
        layout,
        image.readAddress(address + layout.offset('PyHeapTypeObject.ht_qualname')),
      ) ?? tp_name;
    const dict = image.readAddress(address + layout.offset('PyTypeObject.tp_dict'));
    const module = dict === 0 ? undefined : findInDict(image, layout, dict, '__module__');
    const moduleName = module === undefined ? undefined : findStrText(image, layout, module);
    if (moduleName === undefined || moduleName === 'builtins') return qualname;
    return `${moduleName}.${qualname}`;
  }
}

/** Offsets of pointers in the body that slots, the instance dict and the weak reference list explain. */
function explainedOffsets(
  slots: readonly { offset: number }[],
  tp_dictoffset: number,
  tp_weaklistoffset: number,
  base: TypeInfo | undefined,
): Set<number> {
  const offsets = new Set(slots.map((slot) => slot.offset));
  offsets.add(tp_dictoffset).add(tp_weaklistoffset);
  for (let type = base, i = 0; type !== undefined && i < MAX_BASES; type = type.base, i++) {
    offsets.add(type.tp_dictoffset).add(type.tp_weaklistoffset);
  }
  return offsets;
}

function unexplainedRanges(
  structSize: number,
  basicSize: number,
  explained: ReadonlySet<number>,
): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  const first = Math.ceil(structSize / 8) * 8;
  for (let offset = first; offset + 8 <= basicSize; offset += 8) {
    if (explained.has(offset)) continue;
    const last = ranges.at(-1);
    if (last !== undefined && last.end === offset) last.end = offset + 8;
    else ranges.push({ start: offset, end: offset + 8 });
  }
  return ranges;
}
