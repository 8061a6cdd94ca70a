// Which thread holds the GIL. Source: Python/ceval_gil.c, Include/internal/pycore_gil.h (struct _gil_runtime_state): in
// _PyRuntime until 3.11, behind a pointer of each interpreter since 3.12.
//
// A thread that waits in a system call has usually let it go: then nobody holds it.

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { interpreterOffset } from './field-shifts.ts';
import type { PythonRuntime } from './find-runtime.ts';

const RUNTIME_FIELD = '_PyRuntimeState.ceval.gil';
const INTERPRETER_FIELD = 'PyInterpreterState.ceval.gil';

/** Addresses of the PyThreadStates that hold a GIL: at most one for each interpreter that has its own. */
export function findGilHolders(memory: MemoryReader, runtime: PythonRuntime): Set<Address> {
  const { layout } = runtime;
  const holders = new Set<Address>();
  for (const gil of listGils(memory, runtime)) {
    try {
      const locked = memory.readI32(gil + layout.offset('_gil_runtime_state.locked'));
      const holder = memory.readAddress(gil + layout.offset('_gil_runtime_state.last_holder'));
      if (locked === 1 && holder !== 0) holders.add(holder);
    } catch (error) {
      if (!(error instanceof MemoryReadError)) throw error;
    }
  }
  return holders;
}

function listGils(memory: MemoryReader, runtime: PythonRuntime): Address[] {
  const { layout, shifts, runtimeAddress, interpreters } = runtime;
  if (layout.has(RUNTIME_FIELD)) return [runtimeAddress + layout.offset(RUNTIME_FIELD)];
  const offset = interpreterOffset(layout, shifts, INTERPRETER_FIELD);
  return interpreters.flatMap(({ address }) => {
    try {
      const gil = memory.readAddress(address + offset);
      return gil === 0 || gil % 8 !== 0 ? [] : [gil];
    } catch (error) {
      if (error instanceof MemoryReadError) return [];
      throw error;
    }
  });
}
