// Decodes one frame: the code that it runs, the line it is at, its variables and the values on its evaluation stack.
// A frame is a PyFrameObject up to 3.10 and a _PyInterpreterFrame since 3.11, which lies in a thread's data stack, in a
// generator or in a frame object. Source: Objects/frameobject.c, Include/internal/pycore_frame.h (pycore_interpframe.h
// and pycore_stackref.h since 3.14).
//
// While a frame executes up to 3.13, it has not stored how deep its stack is: `stackIsExact` is then false and the values
// are whatever lies in the slots, some of them left over.

import { MemoryReadError } from '../base/errors.ts';
import type { Address } from '../memory/memory-reader.ts';
import { type CodeFacts, type CodeReader, findCode, lineOfInstruction } from './code-reader.ts';
import { isObject } from './known-objects.ts';

/** enum _frameowner */
const FRAME_OWNED_BY_GENERATOR = 1;
const FRAME_OWNED_BY_FRAME_OBJECT = 2;
const CODE_UNIT_BYTES = 2;

export interface FrameVariable {
  name: string;
  /** Of kind `cell` and `free`: usually a cell object, which holds the value. */
  kind: 'local' | 'cell' | 'free';
  address: Address;
}

/** Where a frame is. */
export interface FramePlace {
  code: CodeFacts;
  /** co_firstlineno where the instruction has no line. */
  line: number;
}

export interface Frame extends FramePlace {
  /** Of the PyFrameObject or _PyInterpreterFrame. */
  address: Address;
  /** PyFrameObject; 0 if none was made. */
  frameObject: Address;
  /** The variables that have a value. */
  variables: readonly FrameVariable[];
  /** Values on the evaluation stack, from its bottom; 0 for NULL and tagged integers. */
  stack: readonly Address[];
  /** Whether `stack` is what the frame holds, and not what lies in the slots that it may use. */
  stackIsExact: boolean;
  /** The function object (3.11 and later); 0 if none or unknown. */
  func: Address;
  f_globals: Address;
  f_builtins: Address;
  /** The dict of a module or class body; 0 in functions. */
  f_locals: Address;
  /** The generator or coroutine that owns the frame; 0 otherwise. What it holds belongs to that object. */
  generator: Address;
}

/** Decodes PyFrameObject (3.8 to 3.10); undefined if none lies there. */
export function findFrameObject(reader: CodeReader, address: Address): Frame | undefined {
  return unlessUnreadable(() => decodeFrameObject(reader, address));
}

/** Decodes _PyInterpreterFrame; undefined if none lies there or it is one of the interpreter's own without code. */
export function findFrameSince311(reader: CodeReader, address: Address): Frame | undefined {
  return unlessUnreadable(() => decodeFrameSince311(reader, address));
}

function unlessUnreadable<T>(decode: () => T | undefined): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

/** Code and line of a frame alone: of the PyFrameObject (3.8 to 3.10) or _PyInterpreterFrame there. Cheaper than the whole. */
export function findFramePlace(reader: CodeReader, address: Address): FramePlace | undefined {
  return unlessUnreadable(() =>
    reader.features.frames === 'objects'
      ? placeOfFrameObject(reader, address)
      : placeOfFrameSince311(reader, address),
  );
}

function placeOfFrameObject(reader: CodeReader, address: Address): FramePlace | undefined {
  const { memory, layout } = reader;
  const at = (field: string) => address + layout.offset(`PyFrameObject.${field}`);
  const code = findCode(reader, memory.readAddress(at('f_code')));
  if (code === undefined) return undefined;
  const lasti = memory.readI32(at('f_lasti'));
  // 3.10 counts code units, older versions bytes.
  const isInUnits = layout.has('PyFrameObject.f_stackdepth');
  return { code, line: lineOf(reader, code, isInUnits ? lasti * CODE_UNIT_BYTES : lasti) };
}

function placeOfFrameSince311(reader: CodeReader, address: Address): FramePlace | undefined {
  const { memory, layout } = reader;
  const at = (field: string) => address + layout.offset(`_PyInterpreterFrame.${field}`);
  const codeField = layout.has('_PyInterpreterFrame.f_code') ? 'f_code' : 'f_executable';
  const code = findCode(reader, readStackRef(reader, at(codeField)));
  if (code === undefined) return undefined;
  const instr = memory.readAddress(
    at(layout.has('_PyInterpreterFrame.instr_ptr') ? 'instr_ptr' : 'prev_instr'),
  );
  return { code, line: lineOf(reader, code, instr - code.instructions) };
}

function decodeFrameObject(reader: CodeReader, address: Address): Frame | undefined {
  const { memory, layout } = reader;
  if (!isObject(memory, layout, address)) return undefined;
  const at = (field: string) => address + layout.offset(`PyFrameObject.${field}`);
  const place = placeOfFrameObject(reader, address);
  if (place === undefined) return undefined;
  const { code } = place;
  const localsplus = at('f_localsplus');
  const stackBase = memory.readAddress(at('f_valuestack'));
  let depth = -1;
  if (layout.has('PyFrameObject.f_stackdepth')) depth = memory.readI32(at('f_stackdepth'));
  else {
    const top = memory.readAddress(at('f_stacktop'));
    if (top !== 0) depth = (top - stackBase) / 8;
  }
  const stack = readStack(reader, code, stackBase, depth);
  const gen = memory.readAddress(at('f_gen'));
  return {
    address,
    frameObject: address,
    ...place,
    variables: readVariables(reader, code, localsplus),
    ...stack,
    func: 0,
    f_globals: memory.readAddress(at('f_globals')),
    f_builtins: memory.readAddress(at('f_builtins')),
    f_locals: memory.readAddress(at('f_locals')),
    generator: gen,
  };
}

function decodeFrameSince311(reader: CodeReader, address: Address): Frame | undefined {
  const { memory, layout } = reader;
  if (address === 0 || address % 8 !== 0) return undefined;
  const at = (field: string) => address + layout.offset(`_PyInterpreterFrame.${field}`);
  const place = placeOfFrameSince311(reader, address);
  if (place === undefined) return undefined;
  const { code } = place;
  const localsplus = at('localsplus');
  const funcField = layout.has('_PyInterpreterFrame.f_func') ? 'f_func' : 'f_funcobj';
  const owner = memory.readU8(at('owner'));
  const generator =
    owner === FRAME_OWNED_BY_GENERATOR ? address - layout.offset('PyGenObject.gi_iframe') : 0;
  return {
    address,
    frameObject:
      owner === FRAME_OWNED_BY_FRAME_OBJECT
        ? address - layout.offset('PyFrameObject._f_frame_data')
        : memory.readAddress(at('frame_obj')),
    ...place,
    variables: readVariables(reader, code, localsplus),
    ...readStack(
      reader,
      code,
      localsplus + code.variables.length * 8,
      stackDepthSince311(reader, address, code),
    ),
    func: readStackRef(reader, at(funcField)),
    f_globals: memory.readAddress(at('f_globals')),
    f_builtins: memory.readAddress(at('f_builtins')),
    f_locals: memory.readAddress(at('f_locals')),
    generator,
  };
}

/** Values on the stack of a frame that has stored its depth; -1 of one that executes. */
function stackDepthSince311(reader: CodeReader, address: Address, code: CodeFacts): number {
  const { memory, layout } = reader;
  const localsplus = address + layout.offset('_PyInterpreterFrame.localsplus');
  const stackBase = localsplus + code.variables.length * 8;
  if (!layout.has('_PyInterpreterFrame.stackpointer')) {
    const stacktop = memory.readI32(address + layout.offset('_PyInterpreterFrame.stacktop'));
    return stacktop - code.variables.length;
  }
  const top = memory.readAddress(address + layout.offset('_PyInterpreterFrame.stackpointer'));
  return top === 0 ? -1 : (top - stackBase) / 8;
}

function readStack(
  reader: CodeReader,
  code: CodeFacts,
  base: Address,
  depth: number,
): { stack: Address[]; stackIsExact: boolean } {
  const stackIsExact = Number.isInteger(depth) && depth >= 0 && depth <= code.co_stacksize;
  const count = stackIsExact ? depth : code.co_stacksize;
  const stack: Address[] = [];
  for (let i = 0; i < count; i++) stack.push(readStackRef(reader, base + i * 8));
  return { stack, stackIsExact };
}

function readVariables(reader: CodeReader, code: CodeFacts, localsplus: Address): FrameVariable[] {
  const variables: FrameVariable[] = [];
  for (let i = 0; i < code.variables.length; i++) {
    const address = readStackRef(reader, localsplus + i * 8);
    if (address !== 0) variables.push({ ...code.variables[i], address });
  }
  return variables;
}

/**
 * The object that a slot refers to; 0 for NULL and for integers without an object. Since 3.14 a slot is a _PyStackRef,
 * whose low two bits say that it owns no reference (1) or is no pointer (3).
 */
function readStackRef(reader: CodeReader, slot: Address): Address {
  const value = reader.memory.readAddress(slot);
  if (!reader.features.hasTaggedStackRefs) return value;
  const tag = value % 4;
  return tag === 3 ? 0 : value - tag;
}

const lineOf = (reader: CodeReader, code: CodeFacts, offset: number): number =>
  lineOfInstruction(reader, code, offset) ?? code.co_firstlineno;
