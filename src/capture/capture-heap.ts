// One capture of a running process: finds its Python, copies its memory while it stands still, and decodes the copy into
// a HeapGraph after it runs on. `LiveCapture` keeps what captures of the same process share: access, watchdog, location.

import { availableParallelism } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { MemoryReadError, UsageError } from '../base/errors.ts';
import { Problems } from '../base/problems.ts';
import { findUnneededArenas } from '../cpython/arena-ranges.ts';
import { findRuntime, type PythonRuntime, type RuntimeResult } from '../cpython/find-runtime.ts';
import { areTablesLocked, findIsTracing } from '../cpython/tracemalloc-state.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { redactGraph } from '../graph/redact-graph.ts';
import { type FoundAllocator, findAllocator } from '../malloc/allocators.ts';
import { type BulkRange, findBulk, isStillBulk, pointerRangesOf } from '../malloc/bulk.ts';
import { estimateHuntBytes } from '../memory/copy-runs.ts';
import { hasEnded, type LiveTarget, openTarget } from '../memory/freeze.ts';
import { copyLive, type LiveCopy } from '../memory/live-copy.ts';
import { type MappedElf, openMappedElf } from '../memory/mapped-files.ts';
import { findMappings, isAnonymousMemory, type Mapping, Pagemap } from '../memory/mappings.ts';
import { MemoryBudget } from '../memory/memory-budget.ts';
import type { PageRun } from '../memory/memory-image.ts';
import type { Address, MemoryReader } from '../memory/memory-reader.ts';
import { findProcess, findRssBytes } from '../memory/process-status.ts';
import { UnchangedPages } from '../memory/unchanged-pages.ts';
import type { NativeSource } from './build-native.ts';
import { type DecodeImageOptions, decodeImage } from './decode-image.ts';
import { DecodeThread } from './decode-thread.ts';
import { AddressNames } from './name-addresses.ts';
import { buildTraceCapture, readTraces, type TraceCapture } from './read-traces.ts';

export interface CaptureOptions {
  /** Whether to look at the memory outside of Python objects, too: ledger, blocks of C code. Default false. */
  native?: boolean;
  /** Whether to measure the proportional set as well, which makes the pause longer. Default false. */
  wantsPss?: boolean;
  /** Whether to drop what the program's data is (`redact-graph.ts`). Default false. */
  redact?: boolean;
  /** Called between phases and now and then within them; `done` is a count of objects, 0 where it is unknown. */
  onProgress?: (phase: string, done: number) => void;
  /** What this process may allocate; by default what the machine and the control group have left. */
  budget?: MemoryBudget | undefined;
  /** Copies of this size and more are decoded by two threads, where there are two processors. For tests. */
  sharedFromBytes?: number;
  /** Aborts between phases with the signal's reason; the target is never left stopped. */
  signal?: AbortSignal;
}

export type TraceOptions = Pick<CaptureOptions, 'onProgress' | 'signal' | 'budget'>;

type CopyFacts = Pick<
  LiveCopy,
  'at' | 'pauseMs' | 'totalPauseMs' | 'copiedBytes' | 'rssBytes' | 'tries'
>;

/** Below, a thread is not ready before it has nothing left to do. */
const SHARED_FROM_BYTES = 48e6;

/** What a thread takes by itself, and what a capture by two takes in all, per byte of the copy. */
const THREAD_BYTES = 100e6;
const BYTES_PER_COPIED = 3;

/** Tables that are found by their content fit it a little later, if they were just being changed. */
const TRACE_TRIES = 4;

/** Opened once, captured any number of times, closed in the end. */
export class LiveCapture {
  readonly pid: number;
  private readonly target: LiveTarget;
  private readonly location: PythonRuntime;
  private readonly elves: readonly MappedElf[];
  private allocator: FoundAllocator | undefined;
  private names: AddressNames | undefined;

  /** See `openCapture`. */
  constructor(target: LiveTarget, runtime: PythonRuntime, elves: readonly MappedElf[]) {
    this.pid = target.pid;
    this.target = target;
    this.location = runtime;
    this.elves = elves;
  }

  /** Python's version, for a first line before anything was copied. */
  get python(): string {
    return this.location.version.text;
  }

  /** Whether the process that was opened still runs. */
  get isAlive(): boolean {
    return this.target.isAlive;
  }

  /** Its resident set now, in bytes; undefined when it has ended. */
  findRssBytes(): number | undefined {
    return findRssBytes(this.pid);
  }

  /**
   * Stops the target for the copy only. Throws AccessError when it has ended or cannot be stopped, UnsupportedError when the
   * budget does not allow it.
   */
  async capture(options: CaptureOptions = {}): Promise<HeapGraph> {
    const { signal, onProgress, budget = new MemoryBudget() } = options;
    let huntBytes: number | undefined;
    const report = async (phase: string, done = 0, neededBytes = 0) => {
      onProgress?.(phase, done);
      budget.require(neededBytes, `capture process ${this.pid}`, huntBytes);
      // Lets signals (Ctrl-C) and timers in, which a long calculation keeps out.
      await setImmediate();
      signal?.throwIfAborted();
    };
    await report('copying memory');
    this.target.prepare();
    let thread: DecodeThread | undefined;
    const sharedFromBytes = options.sharedFromBytes ?? findSharedFromBytes();
    try {
      const copy = copyLive(this.target, {
        findSkipped: this.prepareSkipping(),
        wantsPss: options.wantsPss === true,
        budget,
        isShared: (copyBytes) => {
          // Where memory is scarce, one thread does it with less.
          const isRoomy = budget.hasRoom(THREAD_BYTES + copyBytes * BYTES_PER_COPIED);
          if (copyBytes >= sharedFromBytes && isRoomy) thread = new DecodeThread();
          return thread !== undefined;
        },
        check: (memory) =>
          this.location.collectingAddresses.every((address) => isZero(memory, address)) &&
          !areTablesLocked(memory, this.location),
      });
      huntBytes = estimateHuntBytes(copy.copiedBytes);
      await report('decoding');
      const graph = await this.decode(copy, options.native === true, thread, report);
      return options.redact === true ? redactGraph(graph) : graph;
    } finally {
      await (thread as DecodeThread | undefined)?.close();
    }
  }

  private async decode(
    copy: LiveCopy,
    native: boolean,
    thread: DecodeThread | undefined,
    onProgress: DecodeImageOptions['onProgress'],
  ): Promise<HeapGraph> {
    const files = native ? new UnchangedPages(this.pid, this.target.memory) : undefined;
    try {
      return await decodeImage({
        image: copy.image,
        thread,
        location: this.location,
        heapRanges: copy.mappings.filter(isAnonymousMemory),
        facts: this.facts(copy),
        listsAreStable: copy.checkPassed,
        threads: copy.threads,
        mainThreadId: findProcess(this.pid)?.namespacePids.at(-1) ?? this.pid,
        native: files === undefined ? undefined : this.nativeSource(copy, files),
        onProgress,
      });
    } finally {
      files?.close();
    }
  }

  /** Whether tracemalloc is on now; undefined where only a copy, or the program itself, could tell. */
  isTracing(): boolean | undefined {
    return findIsTracing(this.target.memory, this.location);
  }

  /**
   * What tracemalloc has recorded, without the objects of the heap; stops the target for the copy, and not at all if the
   * tracer is off. Throws as `capture`.
   */
  async captureTraces(options: TraceOptions = {}): Promise<TraceCapture> {
    const { location } = this;
    if (findIsTracing(this.target.memory, location) === false) {
      const rssBytes = this.findRssBytes() ?? 0;
      const at = new Date().toISOString();
      const still = { at, rssBytes, pauseMs: 0, totalPauseMs: 0, copiedBytes: 0, tries: 0 };
      return buildTraceCapture({ tracer: { state: 'off' } }, this.facts(still), location);
    }
    const findBulkRanges = this.prepareSkipping();
    for (let tries = 1; ; tries++) {
      options.onProgress?.('copying memory', 0);
      // Lets signals (Ctrl-C) in.
      await setImmediate();
      options.signal?.throwIfAborted();
      const copy = copyLive(this.target, {
        findSkipped: (frozen) => [
          ...findBulkRanges(frozen),
          ...findUnneededArenas(frozen ?? this.target.memory, location),
        ],
        check: (memory) => !areTablesLocked(memory, location),
        budget: options.budget ?? new MemoryBudget(),
      });
      options.onProgress?.('decoding traces', 0);
      const found = readTraces(copy.image, location, new Problems());
      if (found.tracer.state !== 'unreadable' || tries === TRACE_TRIES) {
        return buildTraceCapture(found, this.facts(copy), location);
      }
    }
  }

  /** Blocks of data without pointers are not copied, if they still are that when the target stands still. */
  private prepareSkipping(): (frozen: MemoryReader | undefined) => readonly BulkRange[] {
    const mappings = findMappings(this.pid) ?? [];
    const pointers = pointerRangesOf(mappings);
    const runs: PageRun[] = [];
    const pagemap = Pagemap.open(this.pid);
    for (const { start, end } of mappings.filter(isAnonymousMemory)) {
      pagemap?.appendRuns(start, end, false, runs);
    }
    pagemap?.close();
    const bulk = findBulk(this.target.memory, runs, mappings, pointers);
    return (frozen) =>
      frozen === undefined ? bulk : bulk.filter((range) => isStillBulk(frozen, range, pointers));
  }

  private nativeSource(copy: LiveCopy, files: UnchangedPages): NativeSource {
    this.allocator ??= findProcessAllocator(this.pid, copy.mappings, this.target.memory);
    this.names ??= new AddressNames((mappings, path) =>
      openMappedElf(this.pid, mappings, path, this.target.memory),
    );
    return {
      mappings: copy.mappings,
      threads: copy.threads,
      residency: copy.residency,
      skippedRuns: copy.skippedRuns,
      commonRuns: copy.commonRuns,
      rssBytes: copy.rssBytes,
      pssBytes: copy.pssBytes,
      allocator: this.allocator,
      nameAddress: this.names.namerFor(copy.mappings),
      readFromFile: (mapping, address, room) => files.fill(mapping, address, room),
    };
  }

  private facts(copy: CopyFacts) {
    const status = findProcess(this.pid);
    return {
      at: copy.at,
      pid: this.pid,
      processStartedAt: status?.processStartedAt ?? 0,
      command: status?.command ?? [],
      pauseMs: copy.pauseMs,
      copiedBytes: copy.copiedBytes,
      rssBytes: copy.rssBytes,
      method: [`stopped ${copy.tries} times, ${copy.totalPauseMs.toFixed(1)} ms in all`],
    };
  }

  close(): void {
    for (const elf of this.elves) elf.close();
    this.target.close();
  }
}

const findSharedFromBytes = (): number =>
  availableParallelism() > 1 ? SHARED_FROM_BYTES : Number.POSITIVE_INFINITY;

/** Also when it cannot be read: the copy that follows finds out why and says so. */
function isZero(memory: MemoryReader, address: Address): boolean {
  try {
    return memory.readI32(address) === 0;
  } catch (error) {
    if (error instanceof MemoryReadError) return true;
    throw error;
  }
}

/**
 * Tests access, finds the interpreter; sends no signal. Throws AccessError, UnsupportedError, and UsageError for a
 * process that is no Python.
 */
export function openCapture(pid: number): LiveCapture {
  const target = openTarget(pid);
  const elves: MappedElf[] = [];
  try {
    const result = findRuntimeOf(target, elves);
    if (result.kind === 'not-python') {
      throw new UsageError({
        fact: `Process ${pid} is not a Python that can be read`,
        reason: result.reason,
        next: 'Run `leakscope ps` to see the Python processes.',
      });
    }
    return new LiveCapture(target, result.runtime, elves);
  } catch (error) {
    for (const elf of elves) elf.close();
    target.close();
    // What ends while it is looked at is no Python that cannot be read.
    throw target.isAlive ? error : hasEnded(pid);
  }
}

function findRuntimeOf(target: LiveTarget, elves: MappedElf[]): RuntimeResult {
  const { pid, memory } = target;
  const mappings = findMappings(pid) ?? [];
  return findRuntime({
    memory,
    mappings,
    openElf: (path) => {
      const elf = openMappedElf(pid, mappings, path, memory);
      if (elf !== undefined) elves.push(elf);
      return elf;
    },
  });
}

/** Which allocator stands behind malloc in a process, by its mappings and the symbols of its program. */
export function findProcessAllocator(
  pid: number,
  mappings: readonly Mapping[] = findMappings(pid) ?? [],
  memory?: MemoryReader,
): FoundAllocator {
  const opened: MappedElf[] = [];
  try {
    return findAllocator(mappings, (path) => {
      const elf = openMappedElf(pid, mappings, path, memory);
      if (elf !== undefined) opened.push(elf);
      return elf;
    });
  } finally {
    for (const elf of opened) elf.close();
  }
}

/** One capture of `pid`. */
export async function captureHeap(pid: number, options: CaptureOptions = {}): Promise<HeapGraph> {
  const capture = openCapture(pid);
  try {
    return await capture.capture(options);
  } finally {
    capture.close();
  }
}
