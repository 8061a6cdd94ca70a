// Decodes frames and what embeds them: frame objects, generators, coroutines, async generators and their helpers. Locals
// become edges with their names, the evaluation stack edges with positions, the awaited object an attribute.
// Source: Objects/frameobject.c, Objects/genobject.c, Python/frame.c, Include/internal/pycore_frame.h, pycore_interpframe.h
// and pycore_stackref.h (3.8 to 3.15).
//
// A frame object whose interpreter frame is on a thread's stack or in a generator does not own it and emits no locals:
// the thread or generator does. Borrowed stack references (3.14) are emitted as edges all the same: what a frame borrows
// lives as long as the frame, and a path through it is what the user looks for; they exceed reference counts.
// The stack of a frame that executes in 3.11 to 3.13 is not written to memory: only its locals are emitted.

import { EdgeKind } from '../graph/heap-graph.ts';
import { type CodeSlots, makeCodeSlots } from './code-slots.ts';
import {
  decodersOfTables,
  findWord,
  inSequence,
  makeDecodeFields,
  makeLabels,
  type ReferenceFields,
  type StructTable,
} from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject, ObjectDecoder, ObjectReader } from './object-reader.ts';

/** Values of _PyInterpreterFrame.owner. */
const OWNED_BY_FRAME_OBJECT = 2;

const HELPER_TABLES: readonly StructTable[] = [
  {
    types: ['async_generator_asend'],
    struct: 'PyAsyncGenASend',
    fields: { ags_gen: '', ags_sendval: '' },
  },
  {
    types: ['async_generator_athrow'],
    struct: 'PyAsyncGenAThrow',
    fields: { agt_gen: '', agt_args: '', agt_typ: '', agt_tb: '', agt_val: '' },
  },
  {
    types: ['async_generator_wrapped_value'],
    struct: '_PyAsyncGenWrappedValue',
    fields: { agw_val: '' },
  },
  { types: ['coroutine_wrapper'], struct: 'PyCoroWrapper', fields: { cw_coroutine: '' } },
  {
    types: ['FrameLocalsProxy'],
    struct: 'PyFrameLocalsProxyObject',
    fields: { frame: '' },
  },
];

/** The three kinds of generators: type, struct, prefix of its fields and of its attributes in Python. */
const GENERATORS = [
  { type: 'generator', struct: 'PyGenObject', prefix: 'gi', awaited: 'gi_yieldfrom' },
  { type: 'coroutine', struct: 'PyCoroObject', prefix: 'cr', awaited: 'cr_await' },
  { type: 'async_generator', struct: 'PyAsyncGenObject', prefix: 'ag', awaited: 'ag_await' },
] as const;

type GeneratorSpec = (typeof GENERATORS)[number];

export function frameDecoders(layout: Layout): [string, ObjectDecoder][] {
  const isSince311 = layout.hasSize('_PyInterpreterFrame');
  const decoders: [string, ObjectDecoder][] = decodersOfTables(layout, HELPER_TABLES);
  decoders.push(['frame', isSince311 ? frameDecoderSince311(layout) : frameDecoderOf38(layout)]);
  for (const spec of GENERATORS) {
    const decoder = isSince311
      ? generatorDecoderSince311(layout, spec)
      : generatorDecoderOf38(layout, spec);
    decoders.push([spec.type, decoder]);
    // A generator that types.coroutine() made awaitable has the type `generator`; a wrapper class has its own.
  }
  return decoders;
}

// --- 3.8 to 3.10: frames are objects with their locals and stack behind them ------------------------------------------

function frameDecoderOf38(layout: Layout): ObjectDecoder {
  const f_code = layout.word('PyFrameObject.f_code');
  const f_localsplus = layout.word('PyFrameObject.f_localsplus');
  const structBytes = layout.size('PyFrameObject');
  const slotsOf = makeCodeSlots(layout);
  const stackDepth = makeFindStackDepthOf38(layout);
  const decodeFields = makeDecodeFields(layout, 'PyFrameObject', {
    f_back: 'f_back',
    f_code: 'f_code',
    f_builtins: 'f_builtins',
    f_globals: 'f_globals',
    f_locals: 'f_locals',
    f_trace: 'f_trace',
  });
  return {
    structSize: structBytes,
    ignoresObSize: true,
    explainsBody: true,
    decode: (reader, word, type) => {
      decodeFields(reader, word, type);
      const slots = slotsOf(reader, reader.follow(word + f_code));
      const localCount = slots.names.length;
      const slotCount = localCount + slots.stackSize;
      reader.shallowBytes = type.preheaderBytes + structBytes + (slotCount - 1) * 8;
      const first = word + f_localsplus;
      if (first + slotCount > reader.image.runEnd(word)) {
        reader.problem('frame-cut-off', word);
        return;
      }
      decodeLocals(reader, first, slots, localCount);
      const depth = Math.min(stackDepth(reader, word, first + localCount), slots.stackSize);
      for (let i = 0; i < depth; i++) {
        reader.referenceAt(first + localCount + i, EdgeKind.stackValue, i);
      }
    },
  };
}

type FindStackDepth = (reader: ObjectReader, word: number, stackWord: number) => number;

/** Values on the stack of a frame object; 0 while it executes (they are there, but how many is in a register). */
function makeFindStackDepthOf38(layout: Layout): FindStackDepth {
  if (layout.has('PyFrameObject.f_stackdepth')) {
    const depth = layout.offset('PyFrameObject.f_stackdepth') / 4;
    return (reader, word) => Math.max(0, reader.halves[word * 2 + depth] | 0);
  }
  const f_stacktop = layout.word('PyFrameObject.f_stacktop');
  return (reader, word, stackWord) => {
    const top = reader.follow(word + f_stacktop);
    return top === 0 ? 0 : Math.max(0, top - stackWord);
  };
}

function generatorDecoderOf38(layout: Layout, spec: GeneratorSpec): ObjectDecoder {
  const { struct, prefix } = spec;
  return {
    structSize: layout.size(struct),
    decode: makeDecodeFields(layout, struct, {
      [`${prefix}_frame`]: `${prefix}_frame`,
      [`${prefix}_code`]: `${prefix}_code`,
      ...generatorFields(prefix),
      [`${prefix}_exc_state.exc_type`]: '',
      [`${prefix}_exc_state.exc_traceback`]: '',
      cr_origin: 'cr_origin',
      ag_finalizer: '',
    }),
  };
}

/** A plain generator's `gi_origin_or_finalizer` is never written to: it is left out. */
const generatorFields = (prefix: string): ReferenceFields => ({
  [`${prefix}_name`]: '__name__',
  [`${prefix}_qualname`]: '__qualname__',
  [`${prefix}_exc_state.exc_value`]: '',
  cr_origin_or_finalizer: 'cr_origin',
  ag_origin_or_finalizer: '',
});

function decodeLocals(reader: ObjectReader, first: number, slots: CodeSlots, count: number): void {
  const halves = reader.halves;
  for (let i = 0, at = first * 2; i < count; i++, at += 2) {
    reader.reference(halves[at], halves[at + 1], EdgeKind.local, slots.names[i]);
  }
}

// --- 3.11 and newer: a _PyInterpreterFrame is part of the frame object or generator ------------------------------------

/**
 * Emits what the _PyInterpreterFrame at `frame` owns for the object that embeds it. `awaited`: label of the attribute for
 * the top of the stack, -1 if that is an ordinary value. Returns the number of slots (locals and stack) of its code.
 */
export type DecodeInterpreterFrame = (
  reader: ObjectReader,
  frame: number,
  labels: FrameLabels,
  awaited: number,
) => void;

/** StringIds of the attributes under which the owner shows its frame's own fields. */
export interface FrameLabels {
  frameObject: number;
  code: number;
  function: number;
  locals: number;
}

export function makeDecodeInterpreterFrame(layout: Layout): DecodeInterpreterFrame {
  const field = (name: string) => findWord(layout, `_PyInterpreterFrame.${name}`);
  const codeWord = Math.max(field('f_executable'), field('f_code'));
  const functionWord = Math.max(field('f_funcobj'), field('f_func'));
  const f_locals = field('f_locals');
  const frame_obj = field('frame_obj');
  const localsplus = layout.word('_PyInterpreterFrame.localsplus');
  const slotsOf = makeCodeSlots(layout);
  const countSlots = makeCountUsedSlots(layout);
  // Plain pointers have these bits clear.
  const isTagged = layout.has('_PyInterpreterFrame.stackpointer');
  const mask = isTagged ? ~3 : ~0;

  return (reader, frame, labels, awaited) => {
    const { halves, image } = reader;
    const emit = (word: number, kind: EdgeKind, label: number): void => {
      const lo = halves[word * 2];
      // Both bits set: an integer, no reference.
      if (isTagged && (lo & 3) === 3) return;
      reader.reference((lo & mask) >>> 0, halves[word * 2 + 1], kind, label);
    };
    emit(frame + codeWord, EdgeKind.attribute, labels.code);
    emit(frame + functionWord, EdgeKind.internal, labels.function);
    emit(frame + f_locals, EdgeKind.internal, labels.locals);
    emit(frame + frame_obj, EdgeKind.attribute, labels.frameObject);
    const codeAt = (frame + codeWord) * 2;
    const slots = slotsOf(reader, image.wordAt((halves[codeAt] & mask) >>> 0, halves[codeAt + 1]));
    const first = frame + localsplus;
    const localCount = slots.names.length;
    const most = localCount + slots.stackSize;
    if (first + most > image.runEnd(frame)) {
      reader.problem('frame-cut-off', frame);
      return;
    }
    const used = countSlots(reader, frame, first, localCount);
    if (used > most) {
      reader.problem('frame-stack-damaged', frame);
      return;
    }
    for (let i = 0; i < used; i++) {
      if (i < localCount) emit(first + i, EdgeKind.local, slots.names[i]);
      else if (i === used - 1 && awaited >= 0) emit(first + i, EdgeKind.attribute, awaited);
      else emit(first + i, EdgeKind.stackValue, i - localCount);
    }
  };
}

type CountUsedSlots = (
  reader: ObjectReader,
  frame: number,
  first: number,
  localCount: number,
) => number;

/** Slots that hold values: locals and the stack, without the stack where its end is in a register. */
function makeCountUsedSlots(layout: Layout): CountUsedSlots {
  if (layout.has('_PyInterpreterFrame.stackpointer')) {
    const stackpointer = layout.word('_PyInterpreterFrame.stackpointer');
    return (reader, frame, first, localCount) => {
      const top = reader.follow(frame + stackpointer);
      return top < first ? localCount : top - first;
    };
  }
  const stacktop = layout.offset('_PyInterpreterFrame.stacktop') / 4;
  return (reader, frame, _first, localCount) => {
    const used = reader.halves[frame * 2 + stacktop] | 0;
    return used < 0 ? localCount : used;
  };
}

/** Bytes that follow the fixed part of a frame object or generator: locals and stack of its code. */
function makeFrameSlotBytes(layout: Layout): (reader: ObjectReader, frame: number) => number {
  const codeField = layout.has('_PyInterpreterFrame.f_executable') ? 'f_executable' : 'f_code';
  const codeWord = layout.word(`_PyInterpreterFrame.${codeField}`);
  const mask = layout.has('_PyInterpreterFrame.stackpointer') ? ~3 : ~0;
  const slotsOf = makeCodeSlots(layout);
  return (reader, frame) => {
    const at = (frame + codeWord) * 2;
    const lo = (reader.halves[at] & mask) >>> 0;
    const slots = slotsOf(reader, reader.image.wordAt(lo, reader.halves[at + 1]));
    return (slots.names.length + slots.stackSize) * 8;
  };
}

const makeFrameLabels = (prefix: string): ((reader: ObjectReader) => FrameLabels) => {
  const labelsOf = makeLabels([`${prefix}_frame`, `${prefix}_code`, 'f_funcobj', 'f_locals']);
  let owner: ObjectReader | undefined;
  let labels: FrameLabels = { frameObject: 0, code: 0, function: 0, locals: 0 };
  return (reader) => {
    if (reader !== owner) {
      owner = reader;
      const [frameObject, code, func, locals] = labelsOf(reader);
      labels = { frameObject, code, function: func, locals };
    }
    return labels;
  };
};

function frameDecoderSince311(layout: Layout): ObjectDecoder {
  const f_frame = layout.word('PyFrameObject.f_frame');
  const embedded = layout.word('PyFrameObject._f_frame_data');
  const owner = layout.offset('_PyInterpreterFrame.owner');
  const fixedBytes =
    layout.offset('PyFrameObject._f_frame_data') + layout.offset('_PyInterpreterFrame.localsplus');
  const decodeFields = makeDecodeFields(layout, 'PyFrameObject', {
    f_back: 'f_back',
    f_trace: 'f_trace',
    f_extra_locals: '',
    f_locals_cache: '',
    f_overwritten_fast_locals: '',
  });
  const decodeFrame = makeDecodeInterpreterFrame(layout);
  const labelsOf = makeFrameLabels('f');
  const slotBytes = makeFrameSlotBytes(layout);
  return {
    structSize: fixedBytes,
    ignoresObSize: true,
    explainsBody: true,
    decode: (reader, word, type) => {
      decodeFields(reader, word, type);
      const frame = reader.follow(word + f_frame);
      if (frame === 0 || frame + owner / 8 >= reader.image.runEnd(frame)) {
        reader.problem('frame-not-copied', word);
        return;
      }
      reader.shallowBytes = type.preheaderBytes + fixedBytes + slotBytes(reader, frame);
      const ownerByte = (reader.halves[frame * 2 + (owner >> 2)] >>> ((owner & 3) * 8)) & 0xff;
      if (ownerByte !== OWNED_BY_FRAME_OBJECT || frame !== word + embedded) return;
      decodeFrame(reader, frame, labelsOf(reader), -1);
    },
  };
}

/** Values of gi_frame_state as unsigned bytes. */
export interface FrameStates {
  created: number;
  executing: number;
  /** Stopped at a `yield`; before 3.13 also at an `await`. */
  suspended: readonly number[];
  /** Stopped at `yield from` or `await`: the top of the stack is what is awaited. */
  suspendedYieldFrom: readonly number[];
  cleared: number;
}

/** pycore_frame.h; the fields named are those of the same release, because there is none for the change itself. */
export function frameStatesOf(layout: Layout): FrameStates {
  if (layout.has('PyAsyncGenAThrow.agt_typ')) {
    return { created: 0, executing: 4, suspended: [1], suspendedYieldFrom: [2, 3], cleared: 5 };
  }
  const since311 = { executing: 0, cleared: 4 };
  if (layout.has('PyFrameObject.f_locals_cache')) {
    return { ...since311, created: 0xfd, suspended: [0xfe], suspendedYieldFrom: [0xff] };
  }
  return { ...since311, created: 0xfe, suspended: [0xff], suspendedYieldFrom: [] };
}

function generatorDecoderSince311(layout: Layout, spec: GeneratorSpec): ObjectDecoder {
  const { struct, prefix } = spec;
  const stateOffset = layout.offset(`${struct}.${prefix}_frame_state`);
  const iframe = layout.word(`${struct}.${prefix}_iframe`);
  const fixedBytes =
    layout.offset(`${struct}.${prefix}_iframe`) + layout.offset('_PyInterpreterFrame.localsplus');
  const states = frameStatesOf(layout);
  // A coroutine can only stop at an await.
  const awaitStates =
    prefix === 'cr' && states.suspendedYieldFrom.length === 0
      ? states.suspended
      : states.suspendedYieldFrom;
  const decodeFields = makeDecodeFields(layout, struct, {
    [`${prefix}_code`]: `${prefix}_code`,
    ...generatorFields(prefix),
  });
  const decodeFrame = makeDecodeInterpreterFrame(layout);
  const decodeCode = makeDecodeClearedFrame(layout);
  const labelsOf = makeFrameLabels(prefix);
  const awaitedOf = makeLabels([spec.awaited]);
  const slotBytes = makeFrameSlotBytes(layout);
  const decode: DecodeObject = (reader, word, type) => {
    const frame = word + iframe;
    reader.shallowBytes = type.preheaderBytes + fixedBytes + slotBytes(reader, frame);
    const state = (reader.halves[word * 2 + (stateOffset >> 2)] >>> ((stateOffset & 3) * 8)) & 0xff;
    if (state === states.cleared) decodeCode(reader, frame, labelsOf(reader));
    else {
      const isAwaiting = awaitStates.includes(state);
      decodeFrame(reader, frame, labelsOf(reader), isAwaiting ? awaitedOf(reader)[0] : -1);
    }
  };
  return {
    structSize: fixedBytes,
    ignoresObSize: true,
    explainsBody: true,
    decode: inSequence(decodeFields, decode),
  };
}

/** A generator that has ended keeps its code since 3.12, when gi_code went into the frame. */
function makeDecodeClearedFrame(
  layout: Layout,
): (reader: ObjectReader, frame: number, labels: FrameLabels) => void {
  if (layout.has('PyGenObject.gi_code')) return () => {};
  const codeField = layout.has('_PyInterpreterFrame.f_executable') ? 'f_executable' : 'f_code';
  const codeWord = layout.word(`_PyInterpreterFrame.${codeField}`);
  const mask = layout.has('_PyInterpreterFrame.stackpointer') ? ~3 : ~0;
  return (reader, frame, labels) => {
    const at = (frame + codeWord) * 2;
    const lo = (reader.halves[at] & mask) >>> 0;
    reader.reference(lo, reader.halves[at + 1], EdgeKind.attribute, labels.code);
  };
}
