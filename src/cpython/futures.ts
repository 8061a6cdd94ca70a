// The state of asyncio's futures and tasks: of C objects from their struct, of Python classes it is an attribute.
// Source: Modules/_asynciomodule.c (FutureObj_HEAD, fut_state), Lib/asyncio/futures.py, tasks.py (3.8 to 3.15).
//
// Tasks are found among the objects and not in asyncio's own lists (weak sets until 3.13, linked lists since 3.14): the
// lists lack what a class of its own or another loop has not registered, and the heap lacks none.

import { MemoryReadError } from '../base/errors.ts';
import { FutureState } from '../graph/execution.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { CodeReader } from './code-reader.ts';
import type { TypeInfo } from './object-reader.ts';

const MAX_BASES = 64;
/** Values of `enum fut_state`. */
const STATES = [FutureState.pending, FutureState.cancelled, FutureState.finished];

interface FutureStateFinder {
  isTask: boolean;
  /** undefined if it cannot be read. */
  find(address: Address): FutureState | undefined;
}

/** For objects of `type`; undefined if they are no futures of asyncio. */
export function makeFindFutureState(
  { memory, layout }: CodeReader,
  type: TypeInfo,
): FutureStateFinder | undefined {
  const kind = findFutureKind(type);
  if (kind === undefined) return undefined;
  const { isTask, base } = kind;
  if (!kind.isC) return { isTask, find: () => FutureState.inAttribute };
  const struct = isTask ? 'TaskObj' : 'FutureObj';
  const field = isTask ? 'TaskObj.task_state' : 'FutureObj.fut_state';
  // Of another micro release whose fields may lie elsewhere.
  if (base.tp_basicsize !== layout.size(struct)) return { isTask, find: () => undefined };
  const offset = layout.offset(field);
  return {
    isTask,
    find: (address) => {
      try {
        return STATES[memory.readU32(address + offset)];
      } catch (error) {
        if (error instanceof MemoryReadError) return undefined;
        throw error;
      }
    },
  };
}

function findFutureKind(
  type: TypeInfo,
): { isTask: boolean; isC: boolean; base: TypeInfo } | undefined {
  let base: TypeInfo | undefined = type;
  for (let i = 0; base !== undefined && i < MAX_BASES; i++, base = base.base) {
    switch (base.name) {
      case '_asyncio.Task':
        return { isTask: true, isC: true, base };
      case '_asyncio.Future':
        return { isTask: false, isC: true, base };
      case 'asyncio.tasks.Task':
        return { isTask: true, isC: false, base };
      case 'asyncio.futures.Future':
        return { isTask: false, isC: false, base };
    }
  }
  return undefined;
}
