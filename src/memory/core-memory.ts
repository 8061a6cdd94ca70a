// The memory of the process of a core at any address: out of the core, or where that leaves pages out, out of the file that
// was mapped there. What the core should have and does not (it was cut off) cannot be read: the file may have other bytes.

import { readSync } from 'node:fs';
import { findRange } from './address-ranges.ts';
import { ByteMemory } from './byte-memory.ts';
import type { CoreFile } from './core-file.ts';
import type { CoreLibraries } from './core-libraries.ts';
import { notedPathOf } from './core-mappings.ts';
import type { Mapping } from './mappings.ts';
import type { Address } from './memory-reader.ts';

/** Reads of the core are some microseconds each: nothing is kept. `core` and `libraries` stay the caller's to close. */
export function makeCoreMemory(
  core: CoreFile,
  libraries: CoreLibraries,
  mappings: readonly Mapping[],
): ByteMemory {
  /** Bytes that could be had from `address` on, up to the end of what holds them. */
  const readPart = (address: Address, room: Uint8Array): number => {
    const segment = findRange(core.segments, address);
    if (segment !== undefined && address < segment.dumpedEnd) {
      const count = Math.min(room.length, Math.max(0, segment.heldEnd - address));
      const at = segment.fileOffset + address - segment.start;
      return core.source.read(at, room.subarray(0, count));
    }
    const mapping = findRange(mappings, address);
    if (mapping === undefined) return 0;
    const count = Math.min(room.length, mapping.end - address);
    return fillFromFile(libraries, mapping, address, room.subarray(0, count)) ? count : 0;
  };
  return new ByteMemory(
    (address, target, offset, byteCount) => {
      let done = 0;
      while (done < byteCount) {
        const room = target.subarray(offset + done, offset + byteCount);
        const count = readPart(address + done, room);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    () => {},
  );
}

/** Fills `room` with what the file of a mapping has from `address` on, zeros behind its end; false if it was not found. */
export function fillFromFile(
  libraries: CoreLibraries,
  mapping: Mapping,
  address: Address,
  room: Uint8Array,
): boolean {
  const library = libraries.find(notedPathOf(mapping));
  if (library === undefined) return false;
  const at = mapping.offset + address - mapping.start;
  let done = 0;
  try {
    while (done < room.length) {
      const count = readSync(library.fd, room, done, room.length - done, at + done);
      if (count === 0) break;
      done += count;
    }
  } catch {
    // A damaged disk: as if there were no file.
    return false;
  }
  room.fill(0, done);
  return done > 0;
}
