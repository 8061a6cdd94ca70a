// Names addresses: turns the symbols of an ELF file into an index from an address to the symbol around it. Names of C++ are
// told as the compiler wrote them, but for tables of virtual functions: `vtable for ns::Big`.
// Source: Itanium C++ ABI, 5.1 (mangling), of which only plain and nested names are read.

import type { ElfFile } from './elf.ts';
import type { Address } from './memory-reader.ts';

const MAX_SYMBOLS = 1 << 21;
/** How far behind the last symbol of unknown size an address may lie. */
const MAX_DISTANCE = 1 << 16;

/** Name of the symbol that `vaddr` (before the load bias is added) lies in; undefined if there is none. */
export type FindSymbolName = (vaddr: Address) => string | undefined;

/** One pass over the file's symbols: some 50 ns each. Names are looked up when they are asked for. */
export function buildSymbolIndex(elf: ElfFile): FindSymbolName {
  const rows: { vaddr: number; sizeBytes: number; name: () => string }[] = [];
  elf.forEachSymbol((symbol, name) => {
    if (rows.length >= MAX_SYMBOLS || symbol.vaddr === 0) return;
    rows.push({ vaddr: symbol.vaddr, sizeBytes: symbol.sizeBytes, name });
  });
  rows.sort((a, b) => a.vaddr - b.vaddr || a.sizeBytes - b.sizeBytes);
  return (vaddr) => {
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (rows[middle].vaddr <= vaddr) low = middle + 1;
      else high = middle;
    }
    while (low > 0 && rows[low - 1].name() === '') low--;
    if (low === 0) return undefined;
    const row = rows[low - 1];
    const size = row.sizeBytes === 0 ? MAX_DISTANCE : row.sizeBytes;
    return vaddr < row.vaddr + size ? readableName(row.name()) : undefined;
  };
}

const TABLES: readonly [prefix: string, text: string][] = [
  ['_ZTV', 'vtable for '],
  ['_ZTI', 'typeinfo for '],
];

/** `_ZTVN2ns3BigE` -> `vtable for ns::Big`; other names as they are. */
export function readableName(name: string): string {
  for (const [prefix, text] of TABLES) {
    if (!name.startsWith(prefix)) continue;
    const parts = splitName(name.slice(prefix.length));
    if (parts !== undefined) return text + parts.join('::');
  }
  return name;
}

/** `N2ns3BigE` and `3Big`; undefined for templates and the like. */
function splitName(mangled: string): string[] | undefined {
  const isNested = mangled.startsWith('N') && mangled.endsWith('E');
  let rest = isNested ? mangled.slice(1, -1) : mangled;
  const parts: string[] = [];
  while (rest !== '') {
    const digits = /^\d+/.exec(rest)?.[0];
    if (digits === undefined) return undefined;
    const part = rest.slice(digits.length, digits.length + Number(digits));
    if (part.length !== Number(digits)) return undefined;
    parts.push(part);
    rest = rest.slice(digits.length + part.length);
  }
  return parts.length === 0 || (!isNested && parts.length > 1) ? undefined : parts;
}
