// Words that are numbers and never addresses of the heap: marks them in a set of the image's words, so that a search for
// pointers does not take the flags of a type, bytecode, or a table of a library for one. That matters most where the heap
// lies at low addresses (an interpreter that is no PIE): there any number of 32 bits may lead into a large block.
//
// - words of a library's data that are as they are in its file: no address of the heap was known when it was linked;
// - numbers in structs of CPython. Source: Include/cpython/object.h, code.h, Modules/_sre/sre.h (3.8 to 3.15).
//
// Not known: which fields of C code's own structs are numbers.

import { type BitSet, makeBitSet, setBit } from '../base/bit-set.ts';
import type { Layout } from '../cpython/layout.ts';
import type { TypeInfo } from '../cpython/object-reader.ts';
import { NodeFlag } from '../graph/heap-graph.ts';
import { isFileMapping, type Mapping } from '../memory/mappings.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { SortedObjects } from './sort-found.ts';

/** Fills `room` with what the mapped file has from `address` on; false if it is not to be had. */
export type ReadFromFile = (mapping: Mapping, address: number, room: Uint8Array) => boolean;

const TYPE_SUBCLASS = 1 << 31;
const TYPE_NUMBERS = [
  'tp_basicsize',
  'tp_itemsize',
  'tp_vectorcall_offset',
  'tp_flags',
  'tp_weaklistoffset',
  'tp_dictoffset',
  'tp_version_tag',
].map((field) => `PyTypeObject.${field}`);

/** Of built-in types: fields that are numbers, and the one from which on all of the object is. */
const STRUCTS: Record<string, { fields: readonly string[]; tail: string }> = {
  code: {
    fields: [
      'PyCodeObject.co_argcount',
      'PyCodeObject.co_flags',
      'PyCodeObject.co_firstlineno',
      'PyCodeObject.co_version',
      'PyCodeObject._co_unique_id',
    ],
    tail: 'PyCodeObject.co_code_adaptive',
  },
  're.Pattern': { fields: ['PatternObject.flags'], tail: 'PatternObject.code' },
};

const PART_WORDS = 1 << 15;

/**
 * One bit per word of the image; `mappings` are those whose files are looked at. About 10 ns an object, some ms a MB of
 * libraries' data.
 */
export function findNumberWords(
  sorted: SortedObjects,
  layout: Layout,
  mappings: readonly Mapping[],
  readFromFile: ReadFromFile,
): BitSet {
  const numbers = makeBitSet(sorted.found.image.endWord);
  markStructs(numbers, sorted, layout);
  for (const mapping of mappings) {
    if (isFileMapping(mapping) && mapping.isPrivate) {
      markAsInFile(numbers, sorted.found.image, mapping, readFromFile);
    }
  }
  return numbers;
}

function markStructs(numbers: BitSet, { found }: SortedObjects, layout: Layout): void {
  const ofType = found.types.map((type) => findNumbers(type, layout));
  const words = found.word.array;
  const typeIds = found.typeId.array;
  const sizes = found.shallowSize.array;
  const flags = found.flags.array;
  for (let node = 0; node < found.word.length; node++) {
    const word = words[node];
    // The reference count.
    if ((flags[node] & NodeFlag.static) !== 0) setBit(numbers, word);
    const known = ofType[typeIds[node]];
    if (known === undefined) continue;
    for (const each of known.words) setBit(numbers, word + each);
    if (known.tail === 0) continue;
    const bytes = sizes[node] - found.types[typeIds[node]].preheaderBytes;
    const end = Math.min(word + Math.floor(bytes / 8), found.image.runEnd(word));
    for (let each = word + known.tail; each < end; each++) setBit(numbers, each);
  }
}

/** `words` from the start of the object; from `tail` on all are numbers, none if it is 0. */
interface Numbers {
  words: readonly number[];
  tail: number;
}

/** undefined where none is known. */
function findNumbers({ tp_name, tp_flags }: TypeInfo, layout: Layout): Numbers | undefined {
  const wordOf = (field: string) => Math.floor(layout.offset(field) / 8);
  if ((tp_flags & TYPE_SUBCLASS) !== 0) return { words: TYPE_NUMBERS.map(wordOf), tail: 0 };
  const struct = STRUCTS[tp_name];
  if (struct === undefined) return undefined;
  return {
    words: struct.fields.filter((field) => layout.has(field)).map(wordOf),
    tail: layout.has(struct.tail) ? layout.word(struct.tail) : 0,
  };
}

function markAsInFile(
  numbers: BitSet,
  image: MemoryImage,
  mapping: Mapping,
  readFromFile: ReadFromFile,
): void {
  const room = new Uint32Array(PART_WORDS * 2);
  const { halves } = image;
  image.forEachCopiedPart(mapping.start, mapping.end, (from, to) => {
    for (let first = from; first < to; first += PART_WORDS) {
      const count = Math.min(PART_WORDS, to - first);
      const bytes = new Uint8Array(room.buffer, 0, count * 8);
      if (!readFromFile(mapping, image.addressOfWord(first), bytes)) return;
      for (let i = 0; i < count; i++) {
        const at = 2 * (first + i);
        if (halves[at] === room[2 * i] && halves[at + 1] === room[2 * i + 1]) {
          setBit(numbers, first + i);
        }
      }
    }
  });
}
