// Finds the tables of tracemalloc where there are neither symbols nor fields of _PyRuntime for them (stripped builds of 3.8
// to 3.11): by words of the interpreter's static data that point at hash tables whose entries are what the tracer keeps.
// They are believed only if the sizes of all traces add up to a number that stands beside them: the traced memory.
// Source: Modules/_tracemalloc.c (3.8 to 3.11).

import { MemoryReadError } from '../base/errors.ts';
import { Problems } from '../base/problems.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import type { RuntimeLocation } from './find-runtime.ts';
import { collectEntries, findHashTable, type HashTable } from './hashtables.ts';
import { isObject, STR_SUBCLASS } from './known-objects.ts';
import type { TracerTables } from './tracemalloc-state.ts';

const TWO_32 = 2 ** 32;
/** The interpreter has a handful of such tables. */
const MAX_CANDIDATES = 64;
/** How far from the pointer to the traces the traced memory may stand: the variables of one C file. */
const NEAR_BYTES = 512;
const SAMPLES = 200;
/** What is more is an address, or no number at all. */
const MAX_PEAK_BYTES = 2 ** 40;

interface Candidate {
  /** Address of the variable that points at it. */
  place: Address;
  table: HashTable;
  entries: Uint32Array;
}

type FoundTables = Omit<TracerTables, 'maxFrames'>;

/** undefined unless exactly this was found. Some 10 ns per word of static data, and a walk of the tables. */
export function searchTracerTables(
  image: MemoryImage,
  location: RuntimeLocation,
  maxFrames: number,
): FoundTables | undefined {
  const search = new TableSearch(image, location, maxFrames);
  try {
    return search.find();
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}

class TableSearch {
  private readonly image: MemoryImage;
  private readonly location: RuntimeLocation;
  private readonly maxFrames: number;

  constructor(image: MemoryImage, location: RuntimeLocation, maxFrames: number) {
    this.image = image;
    this.location = location;
    this.maxFrames = maxFrames;
  }

  find(): FoundTables | undefined {
    const candidates = this.listCandidates();
    const traces = this.only(candidates, (each) => this.areTraces(each));
    const tracebacks = this.only(candidates, (each) => this.areTracebacks(each));
    const filenames = this.only(candidates, (each) => this.areFileNames(each));
    if (traces === undefined || tracebacks === undefined) return undefined;
    const domains = candidates.find((each) => this.areDomains(each));
    let tracedBytes = this.sumSizes(traces.table, traces.entries);
    for (const table of this.tablesOf(domains)) {
      tracedBytes += this.sumSizes(table, collectEntries(this.image, table, new Problems()));
    }
    const counter = this.findWordNear(traces.place, (value) => value === tracedBytes);
    if (counter === undefined || tracedBytes === 0) return undefined;
    return {
      tracedBytes,
      peakBytes: this.findPeak(counter, tracedBytes),
      filenames: filenames?.table.address ?? 0,
      tracebacks: tracebacks.table.address,
      traces: traces.table.address,
      domains: domains?.table.address ?? 0,
      method: 'tracemalloc by a search in static data that agrees with the traced memory',
    };
  }

  private listCandidates(): Candidate[] {
    const { image, location } = this;
    const candidates: Candidate[] = [];
    for (const range of location.staticRanges) {
      for (let at = Math.ceil(range.start / 8) * 8; at < range.end; at += 8) {
        const word = image.wordAtAddress(at);
        if (word === 0) continue;
        const lo = image.halves[word * 2];
        const hi = image.halves[word * 2 + 1];
        // malloc gives out multiples of 16.
        if ((lo & 15) !== 0 || image.wordAt(lo, hi) === 0) continue;
        const table = this.findTable(lo + hi * TWO_32);
        if (table === undefined) continue;
        const entries = collectEntries(image, table, new Problems());
        if (entries.length !== table.entryCount) continue;
        candidates.push({ place: at, table, entries });
        if (candidates.length === MAX_CANDIDATES) return candidates;
      }
    }
    return candidates;
  }

  private findTable(address: Address): HashTable | undefined {
    try {
      return findHashTable(this.image, this.location.layout, address);
    } catch (error) {
      if (error instanceof MemoryReadError) return undefined;
      throw error;
    }
  }

  /** The one that passes; two that do are none. */
  private only(
    candidates: readonly Candidate[],
    isIt: (candidate: Candidate) => boolean,
  ): Candidate | undefined {
    const found = candidates.filter((each) => each.entries.length > 0 && isIt(each));
    return found.length === 1 ? found[0] : undefined;
  }

  /** Whether what all of some entries spread over the table have passes. */
  private every({ entries }: Candidate, passes: (word: number) => boolean): boolean {
    const step = Math.max(1, Math.floor(entries.length / SAMPLES));
    for (let i = 0; i < entries.length; i += step) if (!passes(entries[i])) return false;
    return true;
  }

  private areTraces(candidate: Candidate): boolean {
    const { table } = candidate;
    if (table.keyBytes > 0 && table.valueBytes !== 16) return false;
    return this.every(candidate, (word) => {
      const trace = this.traceOf(table, word);
      if (trace === 0) return false;
      const { halves } = this.image;
      return this.isTraceback(this.image.wordAt(halves[trace + 2], halves[trace + 3]), undefined);
    });
  }

  private areTracebacks(candidate: Candidate): boolean {
    if (candidate.table.valueBytes !== 0) return false;
    const { halves } = this.image;
    return this.every(candidate, (word) => {
      const key = (word + 2) * 2;
      // The hash of the key is kept in both.
      return this.isTraceback(this.image.wordAt(halves[key], halves[key + 1]), word + 1);
    });
  }

  private areFileNames(candidate: Candidate): boolean {
    if (candidate.table.valueBytes !== 0) return false;
    const { image, location } = this;
    return this.every(candidate, (word) => {
      const key = (word + 2) * 2;
      const address = image.halves[key] + image.halves[key + 1] * TWO_32;
      return isObject(image, location.layout, address, STR_SUBCLASS);
    });
  }

  private areDomains(candidate: Candidate): boolean {
    if (candidate.entries.length === 0 || candidate.table.keyBytes > 0) return false;
    return this.tablesOf(candidate).length === candidate.entries.length;
  }

  private tablesOf(domains: Candidate | undefined): HashTable[] {
    const { halves } = this.image;
    const tables: HashTable[] = [];
    for (const word of domains?.entries ?? []) {
      const value = (word + 3) * 2;
      const table = this.findTable(halves[value] + halves[value + 1] * TWO_32);
      if (table !== undefined) tables.push(table);
    }
    return tables;
  }

  /** Index among the halves of the trace_t of an entry, 0 if there is none. */
  private traceOf({ keyBytes }: HashTable, word: number): number {
    const { image } = this;
    if (keyBytes > 0) return (word + 2) * 2 + keyBytes / 4;
    const value = (word + 3) * 2;
    const trace = image.wordAt(image.halves[value], image.halves[value + 1]);
    return trace + 2 > image.runEnd(trace) ? 0 : trace * 2;
  }

  /** `hashWord`: the word that has the same hash, if that is known. */
  private isTraceback(word: number, hashWord: number | undefined): boolean {
    const { image, location, maxFrames } = this;
    if (word === 0 || word + 3 > image.runEnd(word)) return false;
    const { halves } = image;
    if (hashWord !== undefined) {
      const isSame =
        halves[word * 2] === halves[hashWord * 2] &&
        halves[word * 2 + 1] === halves[hashWord * 2 + 1];
      if (!isSame) return false;
    }
    const cell = halves[word * 2 + 2];
    const hasTotal = location.layout.has('traceback_t.total_nframe');
    const frameCount = hasTotal ? cell & 0xffff : cell;
    return frameCount > 0 && frameCount <= maxFrames;
  }

  private sumSizes(table: HashTable, entries: Uint32Array): number {
    const { halves } = this.image;
    let bytes = 0;
    for (let i = 0; i < entries.length; i++) {
      const trace = this.traceOf(table, entries[i]);
      if (trace !== 0) bytes += halves[trace] + halves[trace + 1] * TWO_32;
    }
    return bytes;
  }

  /** Address of the word nearest to `place` that passes. */
  private findWordNear(place: Address, passes: (value: number) => boolean): Address | undefined {
    for (let distance = 8; distance <= NEAR_BYTES; distance += 8) {
      for (const at of [place - distance, place + distance]) {
        if (this.image.has(at, 8) && passes(this.image.readI64(at))) return at;
      }
    }
    return undefined;
  }

  /** The peak stands beside the traced memory; undefined where it is not clear on which side. */
  private findPeak(counter: Address, tracedBytes: number): number | undefined {
    const { image } = this;
    const values = [counter - 8, counter + 8]
      .filter((at) => image.has(at, 8))
      .map((at) => image.readI64(at))
      .filter((value) => value >= tracedBytes && value < MAX_PEAK_BYTES)
      .filter((value) => image.wordAtAddress(value) === 0);
    return values.length === 1 ? values[0] : undefined;
  }
}
