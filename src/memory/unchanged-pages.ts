// The pages of mapped libraries that the process has never written to: their contents are the file's, so they are read
// there, after the target was continued and without making the kernel map them into it.
//
// Not handled: files that were overwritten in place since (the kernel then shows the process the new contents, too).

import { closeSync, readSync } from 'node:fs';
import type { LiveMemory } from './live-memory.ts';
import { openMappedFile } from './mapped-files.ts';
import type { Mapping } from './mappings.ts';

const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1');

interface KnownFile {
  isElf: boolean;
  /** undefined if the file is not to be had: its pages are then read from the process. */
  fd: number | undefined;
}

/** The ELF files behind mappings, opened before the target is stopped. */
export class UnchangedPages {
  private readonly pid: number;
  private readonly memory: LiveMemory;
  /** By inode and path. */
  private readonly known = new Map<string, KnownFile>();

  constructor(pid: number, memory: LiveMemory) {
    this.pid = pid;
    this.memory = memory;
  }

  /** Whether the mapping shows an ELF file. To be asked for all mappings in ascending order first. */
  isElf(mapping: Mapping): boolean {
    return mapping.inode !== 0 && this.find(mapping).isElf;
  }

  private find(mapping: Mapping): KnownFile {
    const key = `${mapping.inode} ${mapping.path}`;
    let file = this.known.get(key);
    if (file === undefined) {
      file = this.open(mapping);
      this.known.set(key, file);
    }
    return file;
  }

  private open(mapping: Mapping): KnownFile {
    const magic = Buffer.alloc(ELF_MAGIC.length);
    const fd = openMappedFile(this.pid, mapping);
    if (fd !== undefined) {
      if (readSync(fd, magic, 0, magic.length, 0) > 0 && magic.equals(ELF_MAGIC)) {
        return { isElf: true, fd };
      }
      closeSync(fd);
    } else if (mapping.offset === 0) {
      // Deleted since it was mapped, as after an upgrade: the file's beginning is mapped lowest.
      this.memory.readAvailable(mapping.start, magic, 0, magic.length);
      return { isElf: magic.equals(ELF_MAGIC), fd };
    }
    return { isElf: false, fd: undefined };
  }

  /** Fills `room` with what the mapping shows from `address` on where it was never written; zeros behind the file's end. */
  fill(mapping: Mapping, address: number, room: Uint8Array): boolean {
    const { fd } = this.find(mapping);
    if (fd === undefined) return false;
    const offset = mapping.offset + address - mapping.start;
    try {
      let done = 0;
      while (done < room.length) {
        const count = readSync(fd, room, done, room.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      room.fill(0, done);
      return done > 0;
    } catch {
      return false;
    }
  }

  close(): void {
    for (const { fd } of this.known.values()) if (fd !== undefined) closeSync(fd);
  }
}
