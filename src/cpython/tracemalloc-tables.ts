// Turns the copied tables of tracemalloc into columns: every trace, each traceback once, each line of a file once.
// Source: Modules/_tracemalloc.c (3.8 to 3.12), Python/tracemalloc.c (3.13 to 3.15). 3.8 keeps traces in the entries of one
// table, with keys that have the domain where there is one beside 0; since 3.9 an entry points at its trace, and each
// other domain has a table. File names are str objects, since 3.15 UTF-8 text.
//
// Nothing is believed: a trace or traceback that cannot be read is counted, and loops end whatever the pointers say.

import { growableUint32, type Uint32Column } from '../base/columns.ts';
import { PairIndex } from '../base/pair-index.ts';
import type { Problems } from '../base/problems.ts';
import type { AllocationTraces } from '../graph/allocation-traces.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { findStrText } from './dict-entries.ts';
import type { RuntimeLocation } from './find-runtime.ts';
import {
  collectEntries,
  findHashTable,
  type HashTable,
  type OwnBlock,
  sizeOfTable,
} from './hashtables.ts';
import type { Layout } from './layout.ts';
import type { TracerTables } from './tracemalloc-state.ts';

const TWO_32 = 2 ** 32;
const MAX_DOMAINS = 1 << 16;
const MAX_PATH_BYTES = 4096;
const NO_NAME = 0xffffffff;
const UNKNOWN = '<unknown>';
/** No block is larger. */
const MAX_BLOCK_BYTES = 2 ** 47;

/** `own` is told of the tracer's own blocks. Throws MemoryReadError if a table was not copied. Some 0.3 microseconds a trace. */
export function decodeTraces(
  image: MemoryImage,
  location: RuntimeLocation,
  tables: TracerTables,
  problems: Problems,
  own?: OwnBlock,
): AllocationTraces {
  const { layout } = location;
  const sink = new TraceSink(image, location, tables.maxFrames, problems, own);
  const traces = findHashTable(image, layout, tables.traces);
  let tracerBytes = measureNames(image, layout, tables, problems, own);
  if (traces === undefined) problems.add('trace-table-damaged', tables.traces);
  else {
    tracerBytes += sizeOfTable(layout, traces);
    const entries = collectEntries(image, traces, problems, own);
    if (traces.keyBytes > 0) decodeInlineTraces(sink, traces, entries);
    else {
      decodePointedTraces(sink, 0, entries);
      tracerBytes += traces.entryCount * layout.size('trace_t');
    }
  }
  for (const { domain, table } of findDomains(image, layout, tables, problems, own)) {
    decodePointedTraces(sink, domain, collectEntries(image, table, problems, own));
    tracerBytes += sizeOfTable(layout, table) + table.entryCount * layout.size('trace_t');
  }
  return sink.finish(tables, tracerBytes);
}

/** The tables of tracebacks and file names, and the tracebacks themselves. */
function measureNames(
  image: MemoryImage,
  layout: Layout,
  { filenames, tracebacks, maxFrames }: TracerTables,
  problems: Problems,
  own: OwnBlock | undefined,
): number {
  let bytes = 0;
  const names = findHashTable(image, layout, filenames);
  if (names !== undefined) {
    bytes += sizeOfTable(layout, names);
    collectEntries(image, names, problems, own);
  }
  const table = findHashTable(image, layout, tracebacks);
  if (table === undefined) return bytes;
  bytes += sizeOfTable(layout, table);
  const frames = layout.offset('traceback_t.frames');
  // sizeof has room for one frame before 3.15.
  const headBytes = layout.size('traceback_t') - (layout.size('traceback_t') === frames ? 0 : 12);
  const entries = collectEntries(image, table, problems, own);
  for (let i = 0; i < entries.length; i++) {
    const key = (entries[i] + 2) * 2;
    const word = image.wordAt(image.halves[key], image.halves[key + 1]);
    const frameCount = word === 0 ? 0 : countFrames(image, layout, word);
    own?.(word);
    if (frameCount <= maxFrames) bytes += headBytes + 12 * frameCount;
  }
  return bytes;
}

function countFrames(image: MemoryImage, layout: Layout, word: number): number {
  const cell = image.halves[word * 2 + layout.offset('traceback_t.nframe') / 4];
  return layout.has('traceback_t.total_nframe') ? cell & 0xffff : cell;
}

function findDomains(
  image: MemoryImage,
  layout: Layout,
  { domains }: TracerTables,
  problems: Problems,
  own: OwnBlock | undefined,
): { domain: number; table: HashTable }[] {
  const found: { domain: number; table: HashTable }[] = [];
  const all = domains === 0 ? undefined : findHashTable(image, layout, domains);
  if (all === undefined) return found;
  const { halves } = image;
  for (const word of collectEntries(image, all, problems, own).subarray(0, MAX_DOMAINS)) {
    const value = (word + 3) * 2;
    const address = halves[value] + halves[value + 1] * TWO_32;
    const table = findHashTable(image, layout, address);
    if (table === undefined) problems.add('trace-table-damaged', address);
    else found.push({ domain: halves[(word + 2) * 2], table });
  }
  return found;
}

/** Since 3.9: key and pointer to a trace_t. */
function decodePointedTraces(sink: TraceSink, domain: number, entries: Uint32Array): void {
  const { image, problems } = sink;
  const { halves } = image;
  sink.reserve(entries.length);
  for (let i = 0; i < entries.length; i++) {
    const key = (entries[i] + 2) * 2;
    const trace = image.wordAt(halves[key + 2], halves[key + 3]);
    if (trace === 0 || trace + 2 > image.runEnd(trace)) {
      problems.add('trace-unreadable', image.addressOfWord(entries[i]));
    } else {
      sink.own?.(trace);
      sink.add(halves[key], halves[key + 1], domain, trace * 2);
    }
  }
}

/** 3.8: the trace_t behind the key, which is an address, or an address and a domain of 4 bytes. */
function decodeInlineTraces(
  sink: TraceSink,
  { keyBytes, valueBytes }: HashTable,
  entries: Uint32Array,
): void {
  const { image, problems } = sink;
  const { halves } = image;
  const hasDomain = keyBytes === 12;
  if ((!hasDomain && keyBytes !== 8) || valueBytes !== 16) {
    problems.add('trace-table-damaged', 0);
    return;
  }
  sink.reserve(entries.length);
  for (let i = 0; i < entries.length; i++) {
    const key = (entries[i] + 2) * 2;
    if (key + 7 > image.runEnd(entries[i]) * 2) continue;
    const domain = hasDomain ? halves[key + 2] : 0;
    sink.add(halves[key], halves[key + 1], domain, key + keyBytes / 4);
  }
}

/** Where traces come together; looks up their tracebacks, and decodes each once. */
class TraceSink {
  readonly image: MemoryImage;
  readonly problems: Problems;
  readonly own: OwnBlock | undefined;
  private readonly layout: Layout;
  private readonly readName: (address: Address) => string | undefined;
  private readonly maxFrames: number;
  private count = 0;
  private address = new Float64Array(0);
  private size = new Float64Array(0);
  private domain = new Uint32Array(0);
  private traceback = new Uint32Array(0);
  private readonly tracebackRows = new PairIndex(1 << 12);
  private readonly firstFrame: Uint32Column = growableUint32();
  private readonly frameSite: Uint32Column = growableUint32();
  private readonly siteRows = new PairIndex(1 << 12);
  private readonly siteFile: Uint32Column = growableUint32();
  private readonly siteLine: Uint32Column = growableUint32();
  private readonly nameRows = new PairIndex();
  /** Per name by its address: row of `files`. Names that are equal share one. */
  private readonly fileOfName: Uint32Column = growableUint32();
  private readonly files: string[] = [];
  private readonly fileByText = new Map<string, number>();
  /** More frames than the copy has room for are damage. */
  private framesLeft: number;

  constructor(
    image: MemoryImage,
    { layout, features }: RuntimeLocation,
    maxFrames: number,
    problems: Problems,
    own: OwnBlock | undefined,
  ) {
    this.image = image;
    this.own = own;
    this.problems = problems;
    this.layout = layout;
    this.maxFrames = Math.max(1, maxFrames);
    this.framesLeft = image.sizeBytes / 12;
    this.readName = features.tracedFilesAreText
      ? (address) => findText(image, address)
      : (address) => findStrText(image, layout, address);
  }

  reserve(count: number): void {
    const room = this.count + count;
    const grow = <A extends Float64Array | Uint32Array>(from: A, to: A): A => {
      to.set(from.subarray(0, this.count));
      return to;
    };
    this.address = grow(this.address, new Float64Array(room));
    this.size = grow(this.size, new Float64Array(room));
    this.domain = grow(this.domain, new Uint32Array(room));
    this.traceback = grow(this.traceback, new Uint32Array(room));
  }

  /** `trace`: index among the halves of a trace_t. Room must be reserved. */
  add(lo: number, hi: number, domain: number, trace: number): void {
    const { halves } = this.image;
    const sizeBytes = halves[trace] + halves[trace + 1] * TWO_32;
    if (sizeBytes > MAX_BLOCK_BYTES || hi > 0xffff) {
      this.problems.add('trace-unreadable', lo + (hi & 0x1fffff) * TWO_32);
      return;
    }
    const row = this.count++;
    this.address[row] = lo + hi * TWO_32;
    this.size[row] = sizeBytes;
    this.domain[row] = domain;
    this.traceback[row] = this.addTraceback(halves[trace + 2], halves[trace + 3]);
  }

  /** Row of the traceback_t at this address. */
  private addTraceback(lo: number, hi: number): number {
    const row = this.tracebackRows.add(lo, hi);
    if (row < this.firstFrame.length) return row;
    this.firstFrame.push(this.frameSite.length);
    const { image, frameSite, maxFrames } = this;
    const word = (lo & 7) === 0 ? image.wordAt(lo, hi) : 0;
    const start = word * 2 + this.layout.offset('traceback_t.frames') / 4;
    const frameCount = word === 0 ? 0 : countFrames(image, this.layout, word);
    const isReadable =
      frameCount > 0 &&
      frameCount <= maxFrames &&
      frameCount <= this.framesLeft &&
      start + frameCount * 3 <= image.runEnd(word) * 2;
    if (!isReadable) {
      this.problems.add('traceback-unreadable', lo + (hi & 0x1fffff) * TWO_32);
      frameSite.push(this.addSite(this.addFile(UNKNOWN), 0));
      return row;
    }
    this.framesLeft -= frameCount;
    for (let frame = 0; frame < frameCount; frame++) {
      const at = start + frame * 3;
      const file = this.addName(image.halves[at], image.halves[at + 1]);
      frameSite.push(this.addSite(file, image.halves[at + 2]));
    }
    return row;
  }

  private addSite(file: number, line: number): number {
    const row = this.siteRows.add(file, line);
    if (row === this.siteFile.length) {
      this.siteFile.push(file);
      this.siteLine.push(line);
    }
    return row;
  }

  private addName(lo: number, hi: number): number {
    const row = this.nameRows.add(lo, hi);
    if (row === this.fileOfName.length) {
      const address = lo + (hi & 0x1fffff) * TWO_32;
      const text = this.readName(address);
      if (text === undefined) this.problems.add('trace-file-unreadable', address);
      this.fileOfName.push(this.addFile(text ?? UNKNOWN));
    }
    return this.fileOfName.array[row];
  }

  private addFile(text: string): number {
    const known = this.fileByText.get(text);
    if (known !== undefined) return known;
    this.fileByText.set(text, this.files.length);
    return this.files.push(text) - 1;
  }

  finish({ maxFrames, tracedBytes, peakBytes }: TracerTables, tracerBytes: number) {
    const { count, siteFile } = this;
    this.firstFrame.push(this.frameSite.length);
    const traces: AllocationTraces = {
      traceAddress: this.address.subarray(0, count),
      traceSize: this.size.subarray(0, count),
      traceDomain: this.domain.subarray(0, count),
      traceTraceback: this.traceback.subarray(0, count),
      firstFrame: this.firstFrame.finish(),
      frameSite: this.frameSite.finish(),
      siteFile: siteFile.finish(),
      siteLine: this.siteLine.finish(),
      siteFunction: new Uint32Array(siteFile.length).fill(NO_NAME),
      facts: { maxFrames, tracedBytes, peakBytes, tracerBytes, files: this.files, functions: [] },
    };
    return traces;
  }
}

/** Zero-terminated UTF-8. */
function findText(image: MemoryImage, address: Address): string | undefined {
  const text = image.findCString(address, MAX_PATH_BYTES);
  return text === undefined ? undefined : Buffer.from(text, 'latin1').toString('utf8');
}
