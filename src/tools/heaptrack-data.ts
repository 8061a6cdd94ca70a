// Turns what heaptrack_interpret prints into loss records: every block that was allocated and not freed, summed up by call
// stack. Source of truth: heaptrack's src/analyze/accumulatedtracedata.cpp and src/util/linereader.h (1.2 to 1.5, file
// versions 1 to 3). Lines: `s` string, `i` instruction, `t` node of the tree of call stacks, `a` allocation of one size at
// one stack, `+`/`-` allocated and freed, `c` milliseconds since the start; numbers are hexadecimal, indices begin at 1 (0: none), `a`'s at 0.

import { UnsupportedError } from '../base/errors.ts';
import type { LossRecord, NativeFrame, Quarters } from './loss-record.ts';

const NEWEST_FILE_VERSION = 3;
const MAX_FRAMES = 64;
/** Counts of live blocks are kept at this many moments; then every other is dropped. */
const MAX_SNAPSHOTS = 32;
const FIRST_INTERVAL_MS = 50;
const NEWLINE = 0x0a;
const PLUS = 0x2b;
const MINUS = 0x2d;

interface Snapshot {
  readonly ms: number;
  /** As `liveBlocks` was then. */
  readonly blocks: Int32Array;
}

export class HeaptrackDecoder {
  private rest: Buffer = Buffer.alloc(0);
  private hasSizedStrings = true;
  private readonly strings: string[] = [''];
  /** Frames of an instruction, innermost first: the function itself and those it was inlined into. */
  private readonly instructions: (readonly NativeFrame[])[] = [[]];
  private readonly traceInstruction: number[] = [0];
  private readonly traceParent: number[] = [0];
  private readonly sizes: number[] = [];
  private readonly traces: number[] = [];
  private readonly liveBlocks: number[] = [];
  private snapshots: Snapshot[] = [];
  private intervalMs = FIRST_INTERVAL_MS;
  private nowMs = 0;
  /** The first line was read: there is something to report. */
  hasBegun = false;

  /** Throws UnsupportedError for a file version that is not known. */
  write(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start);
      if (end < 0) break;
      this.decodeLine(bytes, start, end);
      start = end + 1;
    }
    this.rest = Buffer.from(bytes.subarray(start));
  }

  private decodeLine(bytes: Buffer, start: number, end: number): void {
    const kind = bytes[start];
    if (kind === PLUS || kind === MINUS) {
      const index = parseHex(bytes, start + 2, end);
      if (index < this.liveBlocks.length) this.liveBlocks[index] += kind === PLUS ? 1 : -1;
      return;
    }
    const line = bytes.toString('utf8', start, end);
    if (line[0] === 'v') this.decodeVersion(line);
    else if (line[0] === 's') this.strings.push(this.decodeString(line));
    else if (line[0] === 'i') this.instructions.push(this.decodeInstruction(line));
    else if (line[0] === 't') {
      const [instruction, parent] = numbersOf(line);
      this.traceInstruction.push(instruction);
      this.traceParent.push(parent);
    } else if (line[0] === 'a') {
      const [size, trace] = numbersOf(line);
      this.sizes.push(size);
      this.traces.push(trace);
      this.liveBlocks.push(0);
    } else if (line[0] === 'c') this.advanceTo(numbersOf(line)[0]);
  }

  private advanceTo(ms: number): void {
    this.nowMs = ms;
    const last = this.snapshots[this.snapshots.length - 1]?.ms ?? 0;
    if (ms < last + this.intervalMs) return;
    this.snapshots.push({ ms, blocks: Int32Array.from(this.liveBlocks) });
    if (this.snapshots.length <= MAX_SNAPSHOTS) return;
    this.snapshots = this.snapshots.filter((_, i) => i % 2 === 1);
    this.intervalMs *= 2;
  }

  /** `s text`, or `s length text` since file version 3. */
  private decodeString(line: string): string {
    return this.hasSizedStrings ? line.replace(/^s [0-9a-f]+ /, '') : line.slice(2);
  }

  private decodeVersion(line: string): void {
    const fileVersion = numbersOf(line)[1] ?? 0;
    this.hasBegun = true;
    this.hasSizedStrings = fileVersion >= 3;
    if (fileVersion >= 1 && fileVersion <= NEWEST_FILE_VERSION) return;
    throw new UnsupportedError({
      fact: `heaptrack writes file version ${fileVersion}`,
      reason: `versions 1 to ${NEWEST_FILE_VERSION} are known`,
      next: 'Install heaptrack 1.2 to 1.5, or use leakscope valgrind -- CMD',
    });
  }

  /** `i ip module [function file line]...` */
  private decodeInstruction(line: string): NativeFrame[] {
    const [address, module, ...places] = numbersOf(line);
    const object = this.strings[module] || undefined;
    const instruction = `0x${address.toString(16)}`;
    const frames: NativeFrame[] = [];
    for (let i = 0; i < places.length; i += 3) {
      const path = this.strings[places[i + 1] ?? 0] ?? '';
      const slash = path.lastIndexOf('/');
      frames.push({
        function: this.strings[places[i]] || undefined,
        object,
        directory: slash > 0 ? path.slice(0, slash) : undefined,
        file: path === '' ? undefined : path.slice(slash + 1),
        line: places[i + 2] || undefined,
        instruction,
      });
    }
    if (frames.length === 0) {
      frames.push({
        function: undefined,
        object,
        directory: undefined,
        file: undefined,
        line: undefined,
        instruction,
      });
    }
    return frames;
  }

  /** What is alive now, one record for each call stack; call it at the end. */
  finish(onLoss: (record: LossRecord) => void): void {
    const quarters = [0.25, 0.5, 0.75].map((share) => this.findSnapshot(share * this.nowMs));
    const byTrace = new Map<number, { bytes: number; blocks: number; quarters: number[] }>();
    for (let i = 0; i < this.liveBlocks.length; i++) {
      const blocks = this.liveBlocks[i];
      if (blocks <= 0) continue;
      const sum = byTrace.get(this.traces[i]) ?? { bytes: 0, blocks: 0, quarters: [0, 0, 0] };
      sum.bytes += blocks * this.sizes[i];
      sum.blocks += blocks;
      for (let q = 0; q < quarters.length; q++) sum.quarters[q] += quarters[q]?.blocks[i] ?? 0;
      byTrace.set(this.traces[i], sum);
    }
    for (const [trace, { bytes, blocks, quarters }] of byTrace) {
      const history: Quarters = [quarters[0], quarters[1], quarters[2], blocks];
      const frames = this.framesOf(trace);
      onLoss({ kind: 'not-freed', bytes, blocks, holdsBytes: 0, history, frames });
    }
  }

  private findSnapshot(ms: number): Snapshot | undefined {
    let nearest: Snapshot | undefined;
    for (const snapshot of this.snapshots) {
      const distance = Math.abs(snapshot.ms - ms);
      if (nearest === undefined || distance < Math.abs(nearest.ms - ms)) nearest = snapshot;
    }
    return nearest;
  }

  private framesOf(trace: number): NativeFrame[] {
    const frames: NativeFrame[] = [];
    for (let at = trace; at > 0 && frames.length < MAX_FRAMES; at = this.traceParent[at] ?? 0) {
      frames.push(...(this.instructions[this.traceInstruction[at]] ?? []));
    }
    return frames;
  }
}

const numbersOf = (line: string): number[] =>
  line
    .slice(2)
    .split(' ')
    .map((text) => Number.parseInt(text, 16));

function parseHex(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    value = value * 16 + (byte <= 0x39 ? byte - 0x30 : byte - 0x57);
  }
  return value;
}
