// Micro releases have moved fields inside PyInterpreterState: where a field lies, from the layout and from where others were
// seen to lie. Fields far behind those that every interpreter shows (see interpreters.ts) are looked for here.
// Source: Include/internal/pycore_interp_structs.h, pycore_global_objects.h (3.12 to 3.15).

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findInDict } from './dict-entries.ts';
import { DICT_SUBCLASS, isObject, STR_SUBCLASS } from './known-objects.ts';
import type { Layout } from './layout.ts';

/** How far from its place a moved field is looked for, in bytes. */
export const SEARCH_BYTES = 2048;

/** PyInterpreterState's fields at or behind `from` (bytes, as in the layout) lie `bytes` further in this build. */
export interface FieldShift {
  from: number;
  bytes: number;
}

/** The first of the layout's fields with one of these names; undefined if this version has none of them. */
export function findOffset(layout: Layout, names: readonly string[]): number | undefined {
  const name = names.find((candidate) => layout.has(candidate));
  return name === undefined ? undefined : layout.offset(name);
}

/** Offset of a PyInterpreterState field in this build: the layout's, moved by what the anchors showed. */
export function interpreterOffset(
  layout: Layout,
  shifts: readonly FieldShift[],
  field: string,
): number {
  const offset = layout.offset(field);
  let bytes = 0;
  for (const shift of shifts) if (shift.from <= offset) bytes = shift.bytes;
  return offset + bytes;
}

/** The offset nearest to `expected` at which all checks hold. */
export function searchOffset(
  searchBytes: number,
  expected: number,
  ...checks: readonly ((offset: number) => boolean)[]
): number | undefined {
  for (let distance = 0; distance <= searchBytes; distance += 8) {
    for (const offset of distance === 0 ? [expected] : [expected - distance, expected + distance]) {
      if (offset >= 0 && checks.every((check) => unlessUnreadable(() => check(offset))))
        return offset;
    }
  }
  return undefined;
}

export function unlessUnreadable(check: () => boolean): boolean {
  try {
    return check();
  } catch (error) {
    if (error instanceof MemoryReadError) return false;
    throw error;
  }
}

/** Far behind the anchors, in order: what the interpreter keeps of static types, and its dict of interned strings. */
const LATE_FIELDS = {
  staticTypes: [
    'PyInterpreterState.types.builtins.initialized',
    'PyInterpreterState.types.builtins',
  ],
  interned: ['PyInterpreterState.cached_objects.interned_strings'],
};

/**
 * `shifts`, and those of the late fields that were found where the shifts so far do not lead. `builtins` is a dict.
 */
export function locateLate(
  memory: MemoryReader,
  layout: Layout,
  main: Address,
  shifts: readonly FieldShift[],
  builtins: Address,
): FieldShift[] {
  const { isFirst, isInterned } = lateChecks(memory, layout, builtins);
  const all = [...shifts];
  const locate = (names: readonly string[], check: (place: Address) => boolean) => {
    const name = names.find((candidate) => layout.has(candidate));
    if (name === undefined) return;
    // The whole struct that it lies in: such structs move as one.
    const from = layout.offset(name.split('.', 2).join('.'));
    const expected = interpreterOffset(layout, all, name);
    const found =
      searchOffset(SEARCH_BYTES, expected, (offset) => check(main + offset)) ?? expected;
    if (found !== expected) all.push({ from, bytes: found - layout.offset(name) });
  };
  locate(LATE_FIELDS.staticTypes, isFirst);
  locate(LATE_FIELDS.interned, isInterned);
  return all;
}

/** What an interpreter keeps of one static type (since 3.12), by the names that the struct had. */
export const findStaticTypeStruct = (layout: Layout): string | undefined =>
  ['managed_static_type_state', 'static_builtin_state'].find((name) => layout.hasSize(name));

function lateChecks(memory: MemoryReader, layout: Layout, builtins: Address) {
  const object = findInDict(memory, layout, builtins, 'object');
  const struct = findStaticTypeStruct(layout);
  const typeOffset = struct === undefined ? 0 : layout.offset(`${struct}.type`);
  return {
    /** `object` is the first static type. */
    isFirst: (place: Address) => memory.readAddress(place + typeOffset) === object,
    /** Its keys are its values. */
    isInterned: (place: Address) => {
      const dict = memory.readAddress(place);
      const text = isObject(memory, layout, dict, DICT_SUBCLASS)
        ? findInDict(memory, layout, dict, 'BaseException')
        : undefined;
      return text !== undefined && isObject(memory, layout, text, STR_SUBCLASS);
    },
  };
}

export const describeShifts = (shifts: readonly FieldShift[]): string =>
  `PyInterpreterState differs from the known micro release: ${shifts
    .map((shift) => `fields from ${shift.from} on lie ${shift.bytes} bytes further`)
    .join(', ')}`;
