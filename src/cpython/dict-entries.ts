// Walks the entries of one CPython dict through any MemoryReader: for the few dicts that are looked up by name
// (`sys.modules`, `sys.__dict__`, a type's `tp_dict`). The dicts of the heap are decoded by `decode-containers.ts`.
// Source: Objects/dictobject.c, Include/internal/pycore_dict.h (3.8 to 3.15). Split tables and unicode keys included.

import { MemoryReadError } from '../base/errors.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import type { Layout } from './layout.ts';

const MAX_ENTRIES = 1 << 20;
const MAX_STR_LENGTH = 4096;

/** Calls `visit` with the addresses of each key and value, in insertion order, until it returns true. */
export function forEachDictEntry(
  memory: MemoryReader,
  layout: Layout,
  dict: Address,
  // biome-ignore lint/suspicious/noConfusingVoidType: a visitor that never stops returns nothing
  visit: (key: Address, value: Address) => boolean | void,
): void {
  const keys = memory.readAddress(dict + layout.offset('PyDictObject.ma_keys'));
  const values = memory.readAddress(dict + layout.offset('PyDictObject.ma_values'));
  const entryCount = Math.min(
    memory.readI64(keys + layout.offset('PyDictKeysObject.dk_nentries')),
    MAX_ENTRIES,
  );
  const { firstEntry, entryBytes } = entriesOf(memory, layout, keys);
  const general = entryBytes === 24;
  const firstValue = layout.has('PyDictValues.values')
    ? values + layout.offset('PyDictValues.values')
    : values;
  for (let i = 0; i < entryCount; i++) {
    const entry = firstEntry + i * entryBytes;
    const key = memory.readAddress(general ? entry + 8 : entry);
    const value = memory.readAddress(
      values !== 0 ? firstValue + i * 8 : general ? entry + 16 : entry + 8,
    );
    if (key !== 0 && value !== 0 && visit(key, value) === true) return;
  }
}

function entriesOf(
  memory: MemoryReader,
  layout: Layout,
  keys: Address,
): { firstEntry: Address; entryBytes: number } {
  const indices = keys + layout.offset('PyDictKeysObject.dk_indices');
  if (layout.has('PyDictKeysObject.dk_log2_index_bytes')) {
    const log2 = memory.readU8(keys + layout.offset('PyDictKeysObject.dk_log2_index_bytes'));
    const kind = memory.readU8(keys + layout.offset('PyDictKeysObject.dk_kind'));
    return { firstEntry: indices + 2 ** log2, entryBytes: kind === 0 ? 24 : 16 };
  }
  const size = memory.readI64(keys + layout.offset('PyDictKeysObject.dk_size'));
  const indexBytes = size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8;
  return { firstEntry: indices + size * indexBytes, entryBytes: 24 };
}

/** The value of the entry whose key is the str `name`; undefined if there is none or it cannot be read. */
export function findInDict(
  memory: MemoryReader,
  layout: Layout,
  dict: Address,
  name: string,
): Address | undefined {
  let found: Address | undefined;
  try {
    forEachDictEntry(memory, layout, dict, (key, value) => {
      if (findStrText(memory, layout, key) !== name) return false;
      found = value;
      return true;
    });
  } catch (error) {
    if (!(error instanceof MemoryReadError)) throw error;
  }
  return found;
}

/** The text of the compact str at `address` (at most 4096 characters); undefined if it is not a readable compact str. */
export function findStrText(
  memory: MemoryReader,
  layout: Layout,
  address: Address,
): string | undefined {
  try {
    const length = memory.readI64(address + layout.offset('PyASCIIObject.length'));
    if (length < 0 || length > MAX_STR_LENGTH) return undefined;
    // interned:2 kind:3 compact:1 ascii:1 in GIL builds of all versions.
    const state = memory.readU32(address + layout.offset('PyASCIIObject.state'));
    const kind = (state >>> 2) & 7;
    const compact = ((state >>> 5) & 1) === 1;
    const ascii = ((state >>> 6) & 1) === 1;
    if (!compact || (kind !== 1 && kind !== 2 && kind !== 4)) return undefined;
    const data = address + layout.size(ascii ? 'PyASCIIObject' : 'PyCompactUnicodeObject');
    const bytes = memory.bytesAt(data, length * kind);
    if (kind === 1) return Buffer.from(bytes).toString('latin1');
    if (kind === 2) return new TextDecoder('utf-16le').decode(bytes);
    return decodeUtf32(bytes);
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

function decodeUtf32(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let i = 0; i + 4 <= bytes.length; i += 4) {
    const codePoint = view.getUint32(i, true);
    text += String.fromCodePoint(codePoint <= 0x10ffff ? codePoint : 0xfffd);
  }
  return text;
}
