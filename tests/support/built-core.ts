// Core files built in code, for tests of single parts: what the kernel writes, in its order (headers, notes, memory).

import { EM_X86_64, ET_CORE } from '../../src/memory/elf.ts';

export interface BuiltSegment {
  address: number;
  /** What the core has of it. */
  bytes: Uint8Array;
  /** Default: the length of `bytes`. */
  memoryBytes?: number;
  /** 4 read, 2 write, 1 execute. */
  flags?: number;
}

export interface BuiltThread {
  tid: number;
  /** Register by its index in elf_prstatus. */
  registers: Record<number, number>;
}

export interface CoreParts {
  segments?: readonly BuiltSegment[];
  threads?: readonly BuiltThread[];
  files?: readonly { start: number; end: number; page: number; path: string }[];
  auxiliary?: readonly [type: number, value: number][];
  argumentsText?: string;
  signal?: number;
  machine?: number;
  type?: number;
  /** Count the segments in the first section, as of 65 535 on. */
  extended?: boolean;
}

const PAGE = 4096;

export function note(type: number, description: Buffer, name = 'CORE'): Buffer {
  const padded = (bytes: Buffer) =>
    Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(name.length + 1, 0);
  head.writeUInt32LE(description.length, 4);
  head.writeUInt32LE(type, 8);
  return Buffer.concat([head, padded(Buffer.from(`${name}\0`)), padded(description)]);
}

const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [i, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), i * 8);
  return bytes;
};

function buildNotes(parts: CoreParts): Buffer {
  const notes: Buffer[] = [];
  for (const { tid, registers } of parts.threads ?? [{ tid: 1, registers: {} }]) {
    const status = Buffer.alloc(parts.machine === 183 ? 392 : 336);
    status.writeInt32LE(tid, 32);
    for (const [index, value] of Object.entries(registers)) {
      status.writeBigInt64LE(BigInt(value), 112 + Number(index) * 8);
    }
    // Between those that are used lie others, as a kernel writes them.
    notes.push(
      note(1, status),
      note(2, Buffer.alloc(512)),
      note(0x202, Buffer.alloc(11008), 'LINUX'),
    );
  }
  const info = Buffer.alloc(136);
  info.writeInt32LE(4242, 24);
  info.write('python', 40);
  info.write(parts.argumentsText ?? 'python app.py ', 56);
  const siginfo = Buffer.alloc(128);
  siginfo.writeInt32LE(parts.signal ?? 6, 0);
  const files = parts.files ?? [];
  notes.push(
    note(3, info),
    note(0x53494749, siginfo),
    note(6, words(...(parts.auxiliary ?? []).flat(), 0, 0)),
    note(
      0x46494c45,
      Buffer.concat([
        words(files.length, PAGE, ...files.flatMap(({ start, end, page }) => [start, end, page])),
        ...files.map(({ path }) => Buffer.from(`${path}\0`)),
      ]),
    ),
  );
  return Buffer.concat(notes);
}

export function buildCore(parts: CoreParts = {}): Buffer {
  const segments = parts.segments ?? [];
  const notes = buildNotes(parts);
  const headers = Buffer.alloc(64 + 56 * (segments.length + 1));
  headers.write('7f454c4602010100', 'hex');
  headers.writeUInt16LE(parts.type ?? ET_CORE, 16);
  headers.writeUInt16LE(parts.machine ?? EM_X86_64, 18);
  headers.writeBigUInt64LE(64n, 32);
  headers.writeUInt16LE(56, 54);
  headers.writeUInt16LE(parts.extended ? 0xffff : segments.length + 1, 56);
  let offset = Math.ceil((headers.length + notes.length) / PAGE) * PAGE;
  const memory: Buffer[] = [Buffer.alloc(offset - headers.length - notes.length)];
  const rows = [
    {
      type: 4,
      flags: 0,
      offset: headers.length,
      address: 0,
      fileBytes: notes.length,
      memoryBytes: 0,
    },
    ...segments.map(({ address, bytes, memoryBytes = bytes.length, flags = 6 }) => {
      memory.push(Buffer.from(bytes));
      const row = { type: 1, flags, offset, address, fileBytes: bytes.length, memoryBytes };
      offset += bytes.length;
      return row;
    }),
  ];
  for (const [i, row] of rows.entries()) {
    const at = 64 + i * 56;
    headers.writeUInt32LE(row.type, at);
    headers.writeUInt32LE(row.flags, at + 4);
    for (const [j, value] of [
      row.offset,
      row.address,
      0,
      row.fileBytes,
      row.memoryBytes,
    ].entries()) {
      headers.writeBigUInt64LE(BigInt(value), at + 8 + j * 8);
    }
  }
  const all = [headers, notes, ...memory];
  if (parts.extended) {
    headers.writeBigUInt64LE(BigInt(offset), 40);
    headers.writeUInt16LE(64, 58);
    headers.writeUInt16LE(1, 60);
    const section = Buffer.alloc(64);
    section.writeUInt32LE(rows.length, 44);
    all.push(section);
  }
  return Buffer.concat(all);
}
