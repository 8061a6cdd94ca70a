// Where generators, coroutines and async generators stand: created, suspended on a line, running, or finished.
// Source: Objects/genobject.c, Include/internal/pycore_frame.h (enum _framestate, 3.8 to 3.15); lines by frames.ts.
//
// Not handled: coroutines of C extensions (Cython's), which have no frame.

import { MemoryReadError } from '../base/errors.ts';
import { GeneratorState } from '../graph/execution.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { CodeReader } from './code-reader.ts';
import { frameStatesOf } from './decode-frames.ts';
import { type FramePlace, findFramePlace } from './frames.ts';
import type { Layout } from './layout.ts';

/** tp_name of the types whose objects are generators, and their structs. */
export const GENERATOR_STRUCTS: Readonly<Record<string, { struct: string; prefix: string }>> = {
  generator: { struct: 'PyGenObject', prefix: 'gi' },
  coroutine: { struct: 'PyCoroObject', prefix: 'cr' },
  async_generator: { struct: 'PyAsyncGenObject', prefix: 'ag' },
};

export interface GeneratorPlace {
  state: GeneratorState;
  /** undefined for one that has ended, and where it cannot be read. */
  place: FramePlace | undefined;
}

/** Reads the generator object at `address`, whose type has that `tp_name`; undefined if it cannot be read. */
export type FindGenerator = (address: Address, typeName: string) => GeneratorPlace | undefined;

/** About 2 microseconds a generator. */
export function makeFindGenerator(reader: CodeReader): FindGenerator {
  const find =
    reader.features.frames === 'objects' ? makeFindOf38(reader) : makeFindSince311(reader);
  return (address, typeName) => {
    try {
      return find(address, typeName);
    } catch (error) {
      if (error instanceof MemoryReadError) return undefined;
      throw error;
    }
  };
}

function makeFindOf38(reader: CodeReader): FindGenerator {
  const { memory, layout } = reader;
  const isExecuting = makeIsExecutingOf38(reader);
  const f_lasti = layout.offset('PyFrameObject.f_lasti');
  return (address, typeName) => {
    const { struct, prefix } = GENERATOR_STRUCTS[typeName];
    const frame = memory.readAddress(address + layout.offset(`${struct}.${prefix}_frame`));
    if (frame === 0) return { state: GeneratorState.finished, place: undefined };
    const place = findFramePlace(reader, frame);
    if (isExecuting(frame)) return { state: GeneratorState.running, place };
    const hasBegun = memory.readI32(frame + f_lasti) >= 0;
    return { state: hasBegun ? GeneratorState.suspended : GeneratorState.created, place };
  };
}

/** f_executing until 3.9, f_state in 3.10, where 0 is FRAME_EXECUTING. */
function makeIsExecutingOf38({ memory, layout }: CodeReader): (frame: Address) => boolean {
  if (layout.has('PyFrameObject.f_executing')) {
    const f_executing = layout.offset('PyFrameObject.f_executing');
    return (frame) => memory.readU8(frame + f_executing) !== 0;
  }
  const f_state = layout.offset('PyFrameObject.f_state');
  return (frame) => memory.readU8(frame + f_state) === 0;
}

function makeFindSince311(reader: CodeReader): FindGenerator {
  const { memory, layout } = reader;
  const stateOf = makeDecodeState(layout);
  return (address, typeName) => {
    const { struct, prefix } = GENERATOR_STRUCTS[typeName];
    const byte = memory.readU8(address + layout.offset(`${struct}.${prefix}_frame_state`));
    const state = stateOf(byte);
    if (state === GeneratorState.finished) return { state, place: undefined };
    const frame = address + layout.offset(`${struct}.${prefix}_iframe`);
    return { state, place: findFramePlace(reader, frame) };
  };
}

function makeDecodeState(layout: Layout): (byte: number) => GeneratorState {
  const { created, executing, suspended, suspendedYieldFrom } = frameStatesOf(layout);
  const isSuspended = new Set([...suspended, ...suspendedYieldFrom]);
  return (byte) => {
    if (byte === created) return GeneratorState.created;
    if (byte === executing) return GeneratorState.running;
    return isSuspended.has(byte) ? GeneratorState.suspended : GeneratorState.finished;
  };
}
