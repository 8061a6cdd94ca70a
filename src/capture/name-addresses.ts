// Names addresses of a target by the symbols of the files that are mapped there, each file opened once and only if asked.

import { findRange } from '../memory/address-ranges.ts';
import type { MappedElf } from '../memory/mapped-files.ts';
import { isFileMapping, type Mapping } from '../memory/mappings.ts';
import type { Address } from '../memory/memory-reader.ts';
import { buildSymbolIndex, type FindSymbolName } from '../memory/symbol-index.ts';
import type { NameAddress } from './block-signatures.ts';

interface KnownFile {
  bias: Address;
  findName: FindSymbolName;
}

/** Symbols of at most this many files are read; further ones go without. */
const MAX_FILES = 64;

/** The ELF file that is mapped from `path`; undefined where it is not to be had. */
export type OpenMappedElf = (mappings: readonly Mapping[], path: string) => MappedElf | undefined;

export class AddressNames {
  private readonly openElf: OpenMappedElf;
  private readonly files = new Map<string, KnownFile | undefined>();

  constructor(openElf: OpenMappedElf) {
    this.openElf = openElf;
  }

  /** Answers for addresses in files of `mappings`, and nothing else; the symbol is empty where none is known. */
  namerFor(mappings: readonly Mapping[]): NameAddress {
    return (address) => {
      const mapping = findRange(mappings, address);
      if (mapping === undefined || !isFileMapping(mapping)) return undefined;
      if (!this.files.has(mapping.path) && this.files.size < MAX_FILES) {
        this.files.set(mapping.path, this.open(mappings, mapping.path));
      }
      const file = this.files.get(mapping.path);
      const symbol = file?.findName(address - file.bias) ?? '';
      return { symbol, library: mapping.path };
    };
  }

  private open(mappings: readonly Mapping[], path: string): KnownFile | undefined {
    const elf = this.openElf(mappings, path);
    if (elf === undefined) return undefined;
    try {
      return { bias: elf.bias, findName: buildSymbolIndex(elf.elf) };
    } finally {
      elf.close();
    }
  }
}
