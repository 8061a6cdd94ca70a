// What frames need of a code object: turns it into the names of its local variables (stringIds) and the number of slots
// that its frames have. Cached per code object.
// Source: Include/cpython/code.h, Objects/codeobject.c (3.8 to 3.15).

import type { Layout } from './layout.ts';
import type { ObjectReader } from './object-reader.ts';

const MAX_LOCALS = 1 << 16;
const MAX_STACK = 1 << 16;

export interface CodeSlots {
  /** StringIds: of arguments and local variables, then cells and free variables. */
  names: Uint32Array;
  /** co_stacksize */
  stackSize: number;
}

const NO_SLOTS: CodeSlots = { names: new Uint32Array(0), stackSize: 0 };

/** The slots of the code object at `codeWord`; none if there is no readable code object. Cached for one reader. */
export function makeCodeSlots(
  layout: Layout,
): (reader: ObjectReader, codeWord: number) => CodeSlots {
  let owner: ObjectReader | undefined;
  let known = new Map<number, CodeSlots>();
  const read = makeReadCodeSlots(layout);
  return (reader, codeWord) => {
    if (reader !== owner) {
      owner = reader;
      known = new Map();
    }
    let slots = known.get(codeWord);
    if (slots === undefined) {
      slots = read(reader, codeWord);
      known.set(codeWord, slots);
    }
    return slots;
  };
}

function makeReadCodeSlots(layout: Layout): (reader: ObjectReader, codeWord: number) => CodeSlots {
  const tuples = (
    layout.has('PyCodeObject.co_localsplusnames')
      ? ['co_localsplusnames']
      : ['co_varnames', 'co_cellvars', 'co_freevars']
  ).map((field) => layout.word(`PyCodeObject.${field}`));
  const ob_item = layout.word('PyTupleObject.ob_item');
  const stacksize = layout.offset('PyCodeObject.co_stacksize') / 4;
  const codeWords = Math.floor(layout.size('PyCodeObject') / 8);
  return (reader, codeWord) => {
    const { halves, image } = reader;
    if (codeWord === 0 || codeWord + codeWords > image.runEnd(codeWord)) return NO_SLOTS;
    if (reader.findType(codeWord)?.tp_name !== 'code') return NO_SLOTS;
    const names: number[] = [];
    for (const field of tuples) {
      const tuple = reader.follow(codeWord + field);
      if (tuple === 0 || tuple + ob_item > image.runEnd(tuple)) continue;
      const room = image.runEnd(tuple) - tuple - ob_item;
      const count = Math.min(halves[(tuple + 2) * 2], room, MAX_LOCALS);
      for (let i = 0; i < count; i++) {
        const at = (tuple + ob_item + i) * 2;
        names.push(reader.internStr(halves[at], halves[at + 1]));
      }
    }
    const stackSize = Math.min(halves[codeWord * 2 + stacksize], MAX_STACK);
    return { names: Uint32Array.from(names), stackSize };
  };
}
