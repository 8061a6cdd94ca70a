// Where in a process a line of text can be put for a moment: zero bytes that belong to nobody. The rest of the page behind
// .bss of Python's own file; where that is too short, slots of the queue of pending calls that are far from being used.
// Source: the ELF program headers; Linux maps whole pages (fs/binfmt_elf.c, padzero).

import { PT_LOAD } from '../memory/elf.ts';
import { PAGE_SIZE } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { LINE_START } from './bootstrap.ts';
import { isOfDeadOwner } from './channel-folder.ts';
import type { RemotePython } from './remote-python.ts';

const PF_W = 2;
const ALIGNMENT = 16;

/** `byteCount` bytes that are zero now, the first that fit into one of `ranges`. For use while the target stands still. */
export function findZeroBytes(
  python: RemotePython,
  ranges: readonly { start: Address; end: Address }[],
  byteCount: number,
): Address | undefined {
  for (const { start, end } of ranges) {
    if (end - start < byteCount) continue;
    const bytes = python.target.memory.bytesAt(start, end - start);
    let from = 0;
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] !== 0) from = (Math.floor(at / ALIGNMENT) + 1) * ALIGNMENT;
      else if (at + 1 - from >= byteCount) return start + from;
    }
  }
  return undefined;
}

/** Removes the lines of leakscopes that were killed. For use while the target stands still and no call refers to them. */
export function clearLeftovers(
  python: RemotePython,
  ranges: readonly { start: Address; end: Address }[],
): void {
  for (const { start, end } of ranges) {
    const bytes = Buffer.from(python.target.memory.bytesAt(start, end - start));
    for (let at = bytes.indexOf(LINE_START); at >= 0; at = bytes.indexOf(LINE_START, at + 1)) {
      const zero = bytes.indexOf(0, at);
      const line = bytes.toString('latin1', at, zero < 0 ? undefined : zero);
      if (!isOfDeadOwner(line)) continue;
      python.writer.write(start + at, new Uint8Array(line.length));
    }
  }
}

/** Behind .bss, up to the end of its page; empty where that page is not writable. */
export function findSlack(python: RemotePython): { start: Address; end: Address }[] {
  const { elf, mappings } = python;
  const last = elf?.elf.segments.findLast(
    (segment) => segment.type === PT_LOAD && (segment.flags & PF_W) !== 0,
  );
  if (elf === undefined || last === undefined) return [];
  const start = roundUp(elf.bias + last.vaddr + last.memorySizeBytes, ALIGNMENT) + ALIGNMENT;
  const end = roundUp(elf.bias + last.vaddr + last.memorySizeBytes, PAGE_SIZE);
  const mapping = mappings.find((each) => each.start <= start && end <= each.end);
  return start < end && mapping?.writable === true && mapping.isPrivate ? [{ start, end }] : [];
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
