// A capture of a core file: finds the Python in it, copies what a capture of the running process would copy, and decodes
// the copy into the same HeapGraph. Says what the core cannot tell: files of the process that were not found, what was cut
// off. Not in a core: names of threads, the kernel's resident set, when the process began.

import { setImmediate } from 'node:timers/promises';
import { MemoryReadError, UnsupportedError, UsageError } from '../base/errors.ts';
import { formatBytes } from '../base/format.ts';
import { Problems } from '../base/problems.ts';
import { findUnneededArenas } from '../cpython/arena-ranges.ts';
import { findRuntime, type PythonRuntime } from '../cpython/find-runtime.ts';
import type { CaptureFacts, CoreFacts, HeapGraph } from '../graph/heap-graph.ts';
import { findAllocator } from '../malloc/allocators.ts';
import { findBulk, pointerRangesOf } from '../malloc/bulk.ts';
import { type AddressRange, findRange } from '../memory/address-ranges.ts';
import type { ByteMemory } from '../memory/byte-memory.ts';
import { estimateHuntBytes } from '../memory/copy-runs.ts';
import { type CoreCopy, copyCore } from '../memory/core-copy.ts';
import { type CoreFile, openCore } from '../memory/core-file.ts';
import { CoreLibraries, type CoreSearch } from '../memory/core-libraries.ts';
import { buildCoreMappings, notedPathOf } from '../memory/core-mappings.ts';
import { fillFromFile, makeCoreMemory } from '../memory/core-memory.ts';
import { CorePages } from '../memory/core-pages.ts';
import { findLostStacks, findSignalName, readCommand } from '../memory/core-process.ts';
import { computeLoadBias, MappedElf } from '../memory/mapped-files.ts';
import { isAnonymousMemory, isFileMapping, type Mapping } from '../memory/mappings.ts';
import { MemoryBudget } from '../memory/memory-budget.ts';
import type { PageRun } from '../memory/memory-image.ts';
import type { ThreadState } from '../memory/threads.ts';
import type { NativeSource } from './build-native.ts';
import type { CaptureOptions, TraceOptions } from './capture-heap.ts';
import { decodeImage } from './decode-image.ts';
import { AddressNames } from './name-addresses.ts';
import { buildTraceCapture, readTraces, type TraceCapture } from './read-traces.ts';

const MAX_NAMED_FILES = 5;

/** Opened once, captured any number of times, closed in the end. */
export class CoreCapture {
  private readonly core: CoreFile;
  private readonly libraries: CoreLibraries;
  private readonly mappings: readonly Mapping[];
  private readonly memory: ByteMemory;
  private readonly location: PythonRuntime;

  /** See `openCoreCapture`. */
  constructor(opened: OpenedCore, location: PythonRuntime) {
    this.core = opened.core;
    this.libraries = opened.libraries;
    this.mappings = opened.mappings;
    this.memory = opened.memory;
    this.location = location;
  }

  /** As a capture of a process: throws UnsupportedError when the interpreter cannot be read, or the budget is too small. */
  async capture(options: Omit<CaptureOptions, 'wantsPss'> = {}): Promise<HeapGraph> {
    const { signal, onProgress, budget = new MemoryBudget() } = options;
    let huntBytes: number | undefined;
    const report = async (phase: string, done = 0, neededBytes = 0) => {
      onProgress?.(phase, done);
      budget.require(neededBytes, `capture ${this.core.path}`, huntBytes);
      // Lets signals (Ctrl-C) and timers in, which a long calculation keeps out.
      await setImmediate();
      signal?.throwIfAborted();
    };
    const { core, mappings, location } = this;
    await report('copying memory');
    const copy = await copyCore(core, this.libraries, mappings, this.memory, {
      skipped: this.findSkipped(),
      budget,
      report: () => report('copying memory'),
    });
    huntBytes = estimateHuntBytes(copy.copiedBytes);
    await report('decoding');
    const { notes } = core;
    const threads = findLostStacks(notes.threads, this.memory);
    return decodeImage({
      image: copy.image,
      location,
      heapRanges: mappings.filter(isAnonymousMemory),
      facts: this.facts(copy),
      listsAreStable: this.collectorWasIdle(),
      threads,
      mainThreadId: notes.pid ?? notes.threads[0]?.tid ?? 0,
      native: options.native === true ? this.nativeSource(copy, threads) : undefined,
      onProgress: report,
    });
  }

  /** What tracemalloc has recorded, without the objects of the heap. Throws as `capture`. */
  async captureTraces(options: TraceOptions = {}): Promise<TraceCapture> {
    const { signal, onProgress, budget = new MemoryBudget() } = options;
    const { location } = this;
    const copy = await copyCore(this.core, this.libraries, this.mappings, this.memory, {
      skipped: [...this.findSkipped(), ...findUnneededArenas(this.memory, location)],
      budget,
      report: async () => {
        onProgress?.('copying memory', 0);
        await setImmediate();
        signal?.throwIfAborted();
      },
    });
    onProgress?.('decoding traces', 0);
    const found = readTraces(copy.image, location, new Problems());
    return buildTraceCapture(found, this.facts(copy), location);
  }

  /** Blocks of data without pointers. */
  private findSkipped(): AddressRange[] {
    const { mappings } = this;
    const pages = new CorePages(this.core, this.libraries, mappings);
    const runs: PageRun[] = [];
    for (const { start, end } of mappings.filter(isAnonymousMemory)) {
      pages.appendRuns(start, end, false, runs);
    }
    return findBulk(this.memory, runs, mappings, pointerRangesOf(mappings));
  }

  private collectorWasIdle(): boolean {
    return this.location.collectingAddresses.every((address) => {
      try {
        return this.memory.readI32(address) === 0;
      } catch (error) {
        if (error instanceof MemoryReadError) return false;
        throw error;
      }
    });
  }

  private nativeSource(copy: CoreCopy, threads: readonly ThreadState[]): NativeSource {
    const { libraries, mappings } = this;
    const names = new AddressNames((_, path) => findElf(libraries, mappings, path));
    return {
      mappings,
      threads,
      residency: copy.residency,
      skippedRuns: copy.skippedRuns,
      commonRuns: copy.zeroRuns,
      rssBytes: copy.inCoreBytes,
      pssBytes: undefined,
      allocator: findAllocator(mappings, (path) => findElf(libraries, mappings, path)),
      nameAddress: names.namerFor(mappings),
      readFromFile: (mapping, address, room) => fillFromFile(libraries, mapping, address, room),
    };
  }

  private facts(copy: CoreCopy): Omit<CaptureFacts, 'problems' | 'coverage' | 'python' | 'build'> {
    const { core } = this;
    const facts = this.coreFacts(copy);
    return {
      at: new Date(core.writtenAtMs).toISOString(),
      pid: core.notes.pid ?? 0,
      processStartedAt: 0,
      command: readCommand(core, this.mappings, this.memory),
      pauseMs: 0,
      copiedBytes: copy.copiedBytes,
      rssBytes: copy.inCoreBytes,
      method: [
        `core file of ${formatBytes(core.sizeBytes)}, dumped by ${facts.signal ?? 'request'}`,
      ],
      core: facts,
    };
  }

  private coreFacts({ unreadableByFile }: CoreCopy): CoreFacts {
    const { core, libraries } = this;
    return {
      signal: findSignalName(core) ?? null,
      missingFiles: libraries.missing
        .map(({ path, reason }) => ({ path, reason, bytes: unreadableByFile.get(path) ?? 0 }))
        .sort((a, b) => b.bytes - a.bytes),
      unverifiedFiles: [...libraries.unverified],
      cutOffBytes: core.cutOffBytes,
    };
  }

  close(): void {
    closeOpened({ core: this.core, libraries: this.libraries });
  }
}

interface OpenedCore {
  core: CoreFile;
  libraries: CoreLibraries;
  mappings: readonly Mapping[];
  memory: ByteMemory;
}

function closeOpened({ core, libraries }: Pick<OpenedCore, 'core' | 'libraries'>): void {
  libraries.close();
  core.close();
}

/**
 * Opens a core file and finds the interpreter in it. Throws UsageError for a file that cannot be read and for a core of no
 * Python, UnsupportedError for one that cannot be read correctly or whose Python is missing.
 */
export function openCoreCapture(path: string, search: CoreSearch = {}): CoreCapture {
  const core = openCore(path);
  const libraries = new CoreLibraries(core, search);
  try {
    const mappings = buildCoreMappings(core, libraries);
    const memory = makeCoreMemory(core, libraries, mappings);
    const opened = { core, libraries, mappings, memory };
    return new CoreCapture(opened, findRuntimeOf(opened));
  } catch (error) {
    closeOpened({ core, libraries });
    throw error;
  }
}

function findRuntimeOf({ core, libraries, mappings, memory }: OpenedCore): PythonRuntime {
  const result = (() => {
    try {
      return findRuntime({
        machine: core.machine,
        memory,
        mappings,
        openElf: (path) => findElf(libraries, mappings, path),
      });
    } catch (error) {
      throw error instanceof UnsupportedError
        ? (explainMissing(core, libraries, error) ?? error)
        : error;
    }
  })();
  if (result.kind === 'not-python') {
    const missing = explainMissing(core, libraries);
    if (missing !== undefined) throw missing;
    throw new UsageError({
      fact: `${core.path} is not the core of a Python that can be read`,
      reason: result.reason,
      next: 'Give a core of a Python process.',
    });
  }
  // Found by its data alone: the names of types and much else are in the pages that the core leaves out.
  const file = findRange(mappings, result.runtime.runtimeAddress);
  const isMissing =
    file !== undefined && isFileMapping(file) && libraries.find(notedPathOf(file)) === undefined;
  const missing = isMissing ? explainMissing(core, libraries) : undefined;
  if (missing !== undefined) throw missing;
  return result.runtime;
}

/** The error for a core of which programs or libraries are not found; undefined if all are there. */
function explainMissing(
  core: CoreFile,
  { missing }: CoreLibraries,
  cause?: UnsupportedError,
): UnsupportedError | undefined {
  if (missing.length === 0 && core.cutOffBytes === 0) return undefined;
  const named = missing.slice(0, MAX_NAMED_FILES).map(({ path, reason }) => `${path}: ${reason}`);
  const more = missing.length > named.length ? [`${missing.length - named.length} more`] : [];
  const parts = [
    ...(missing.length === 0
      ? []
      : [`files of the process are missing (${[...named, ...more].join('; ')})`]),
    ...(core.cutOffBytes === 0
      ? []
      : [`${formatBytes(core.cutOffBytes)} of its memory are missing: the file was cut off`]),
  ];
  return new UnsupportedError(
    {
      fact: `Cannot find the Python in ${core.path}`,
      reason: parts.join('; '),
      next:
        missing.length === 0
          ? 'Dump again with enough room on the disk.'
          : 'Give the program with --exe FILE, or a folder with the files of its machine or image with --sysroot DIR.',
    },
    { cause },
  );
}

/** The file that is mapped from `path`, of several the one mapped lowest; it stays open as long as the libraries do. */
function findElf(
  libraries: CoreLibraries,
  mappings: readonly Mapping[],
  path: string,
): MappedElf | undefined {
  const first = mappings.find((mapping) => mapping.path === path && mapping.inode !== 0);
  const library = first === undefined ? undefined : libraries.find(notedPathOf(first));
  if (first === undefined || library === undefined) return undefined;
  const ofFile = mappings.filter(({ inode }) => inode === first.inode);
  const bias = computeLoadBias(library.elf, ofFile);
  if (bias === undefined) return undefined;
  return new MappedElf(path, library.openedAs, library.elf, bias, () => {});
}
