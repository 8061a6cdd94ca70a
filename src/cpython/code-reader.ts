// Understands code objects through any MemoryReader: their names, the names of their variables, and which line an
// instruction belongs to. For frames and tasks; the code objects of the heap are decoded by `decode-functions.ts`.
// Source: Include/cpython/code.h, Objects/codeobject.c (3.8 to 3.15).

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findStrText } from './dict-entries.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { findBytesContent, findTypeAddress, isObject, readTuple } from './known-objects.ts';
import type { Layout } from './layout.ts';
import { lineByLnotab, lineSince310, lineSince311 } from './line-tables.ts';
import type { VersionFeatures } from './version.ts';

const MAX_VARIABLES = 1 << 16;
const MAX_STACK = 1 << 16;
/** Bits of co_localspluskinds (3.11). */
const CO_FAST_CELL = 0x40;
const CO_FAST_FREE = 0x80;

export interface CodeVariable {
  name: string;
  /** Variables of kind `cell` and `free` hold a cell object (once it has been made), which holds the value. */
  kind: 'local' | 'cell' | 'free';
}

export interface CodeFacts {
  address: Address;
  co_name: string;
  /** co_name before 3.11. */
  co_qualname: string;
  co_filename: string;
  co_firstlineno: number;
  co_stacksize: number;
  /** In the order of a frame's `localsplus`. */
  variables: readonly CodeVariable[];
  /** Address of the first instruction (3.11 and later), from which instructions are counted; 0 before. */
  instructions: Address;
  /** Content of co_lnotab or co_linetable; empty if it cannot be read. */
  lineTable: Uint8Array;
}

/** For reading many code objects: each is understood once. */
export interface CodeReader {
  memory: MemoryReader;
  layout: Layout;
  features: VersionFeatures;
  /** PyCode_Type, 0 where it has no symbol: then anything that looks like one is taken for a code object. */
  codeType: Address;
  known: Map<Address, CodeFacts | undefined>;
}

export const makeCodeReader = (memory: MemoryReader, runtime: PythonRuntime): CodeReader => ({
  memory,
  layout: runtime.layout,
  features: runtime.features,
  codeType: runtime.findSymbol('PyCode_Type') ?? 0,
  known: new Map(),
});

/** The code object at `address`; undefined if there is none or it cannot be read. */
export function findCode(reader: CodeReader, address: Address): CodeFacts | undefined {
  const known = reader.known.get(address);
  if (known !== undefined || reader.known.has(address)) return known;
  let code: CodeFacts | undefined;
  try {
    code = decodeCode(reader, address);
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
  }
  reader.known.set(address, code);
  return code;
}

function decodeCode(reader: CodeReader, address: Address): CodeFacts | undefined {
  const { memory, layout, codeType } = reader;
  if (!isObject(memory, layout, address)) return undefined;
  if (codeType !== 0 && findTypeAddress(memory, layout, address) !== codeType) return undefined;
  const at = (field: string) => address + layout.offset(`PyCodeObject.${field}`);
  const text = (field: string) => findStrText(memory, layout, memory.readAddress(at(field)));
  const co_name = text('co_name');
  const co_filename = text('co_filename');
  const co_firstlineno = memory.readI32(at('co_firstlineno'));
  const co_stacksize = memory.readI32(at('co_stacksize'));
  if (co_name === undefined || co_filename === undefined || co_firstlineno < 0) return undefined;
  if (co_stacksize < 0 || co_stacksize > MAX_STACK) return undefined;
  const table = layout.has('PyCodeObject.co_linetable') ? 'co_linetable' : 'co_lnotab';
  return {
    address,
    co_name,
    co_qualname:
      (layout.has('PyCodeObject.co_qualname') ? text('co_qualname') : co_name) ?? co_name,
    co_filename,
    co_firstlineno,
    co_stacksize,
    variables: decodeCodeVariables(reader, address),
    instructions: layout.has('PyCodeObject.co_code_adaptive') ? at('co_code_adaptive') : 0,
    lineTable: findBytesContent(memory, layout, memory.readAddress(at(table))) ?? new Uint8Array(0),
  };
}

/** Names and kinds of the variables of the code object at `address`, as a frame stores them. Throws MemoryReadError. */
function decodeCodeVariables(reader: CodeReader, address: Address): CodeVariable[] {
  const { memory, layout } = reader;
  const at = (field: string) => address + layout.offset(`PyCodeObject.${field}`);
  const names = (field: string) =>
    readTuple(memory, layout, memory.readAddress(at(field)), MAX_VARIABLES).map(
      (name) => findStrText(memory, layout, name) ?? '?',
    );
  if (!layout.has('PyCodeObject.co_localsplusnames')) {
    return [
      ...names('co_varnames').map((name) => ({ name, kind: 'local' as const })),
      ...names('co_cellvars').map((name) => ({ name, kind: 'cell' as const })),
      ...names('co_freevars').map((name) => ({ name, kind: 'free' as const })),
    ];
  }
  const kinds = findBytesContent(memory, layout, memory.readAddress(at('co_localspluskinds')));
  return names('co_localsplusnames').map((name, i) => ({
    name,
    kind: kindOfVariable(kinds?.[i] ?? 0),
  }));
}

const kindOfVariable = (bits: number): CodeVariable['kind'] =>
  (bits & CO_FAST_FREE) !== 0 ? 'free' : (bits & CO_FAST_CELL) !== 0 ? 'cell' : 'local';

/**
 * The line of the instruction at `offset` bytes from the code's first one; the function's first line for what lies before
 * it, undefined for an instruction that belongs to no line (and when the table cannot be read).
 */
export function lineOfInstruction(
  reader: CodeReader,
  code: CodeFacts,
  offset: number,
): number | undefined {
  if (offset < 0) return code.co_firstlineno;
  switch (reader.features.lineTable) {
    case 'lnotab':
      return lineByLnotab(code.lineTable, code.co_firstlineno, offset);
    case 'since310':
      return lineSince310(code.lineTable, code.co_firstlineno, offset);
    case 'since311':
      return lineSince311(code.lineTable, code.co_firstlineno, offset);
  }
}
