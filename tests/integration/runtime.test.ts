// The interpreter as leakscope finds it from outside, against what the target prints about itself: version, addresses,
// tracked objects, blocks, threads with frames and variables. On every build of every version.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { Problems } from '../../src/base/problems.ts';
import { findRuntime, type PythonRuntime, readRuntime } from '../../src/cpython/find-runtime.ts';
import type { Frame } from '../../src/cpython/frames.ts';
import { readTrackedObjects } from '../../src/cpython/gc-lists.ts';
import {
  type HeldReference,
  readHeldReferences,
  readStaticTypeStates,
} from '../../src/cpython/held-references.ts';
import { Layout } from '../../src/cpython/layout.ts';
import {
  blockSizeAt,
  findBlockStart,
  forEachLiveBlock,
  readPymalloc,
} from '../../src/cpython/pymalloc.ts';
import type { RuntimeElf } from '../../src/cpython/runtime-candidates.ts';
import { readThreads } from '../../src/cpython/threads.ts';
import { openTarget } from '../../src/memory/freeze.ts';
import { copyLive } from '../../src/memory/live-copy.ts';
import { openMappedElf } from '../../src/memory/mapped-files.ts';
import { findMappings } from '../../src/memory/mappings.ts';
import type { MemoryImage } from '../../src/memory/memory-image.ts';
import {
  describeEachPython,
  type RunningPython,
  type StartOptions,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/runtime_truth.py', import.meta.url));

interface TruthFrame {
  name: string;
  file: string;
  line: number;
  locals: Record<string, number>;
  globals: number;
}

interface Truth {
  hexversion: number;
  typeType: number;
  sysdict: number;
  modules: number;
  builtins: number;
  threads: { ident: number; native: number; frames: TruthFrame[] }[];
  plain: { address: number; bytes: number };
  bytes: { address: number; bytes: number }[];
  held: { garbage: number; callbacks: number; handled: number; on_exit: number };
  tracked: number;
  blocks: number;
}

interface Inspected {
  truth: Truth;
  image: MemoryImage;
  runtime: PythonRuntime;
  problems: Problems;
}

const running: RunningPython[] = [];
afterEach(async () => {
  for (const python of running.splice(0)) await python.stop();
});

/** Symbols that only .symtab has: without them a build is as good as stripped. */
const LOCAL_SYMBOLS = ['arenas', 'maxarenas', 'raw_allocated_blocks', 'interned', 'unicode_latin1'];

async function inspect(
  python: TestPython,
  options: StartOptions = {},
  hiddenSymbols: readonly string[] = [],
): Promise<Inspected> {
  const process = await startPython<Truth>(python, PROGRAM, options);
  running.push(process);
  const target = openTarget(process.pid);
  try {
    const found = find(process.pid, hiddenSymbols);
    if (found.kind !== 'python') throw new Error(found.reason);
    const { image } = copyLive(target);
    const runtime = readRuntime(image, found.runtime);
    return { truth: process.ready, image, runtime, problems: new Problems() };
  } finally {
    target.close();
  }
}

function find(pid: number, hiddenSymbols: readonly string[] = [], hidesSections = false) {
  const target = openTarget(pid);
  const mappings = findMappings(pid) ?? [];
  const open = (path: string): RuntimeElf | undefined => {
    const elf = openMappedElf(pid, mappings, path, target.memory);
    if (elf === undefined) return undefined;
    return {
      path,
      is64Bit: elf.is64Bit,
      findSymbol: (name) => (hiddenSymbols.includes(name) ? undefined : elf.findSymbol(name)),
      findSection: (name) => (hidesSections ? undefined : elf.findSection(name)),
    };
  };
  try {
    return findRuntime({ memory: target.memory, mappings, openElf: open });
  } finally {
    target.close();
  }
}

/** Checks one frame and that each of its variables leads to the object that the target said. */
function expectFrame(inspected: Inspected, frame: Frame, expected: TruthFrame): void {
  const { image, runtime } = inspected;
  const found = {
    name: frame.code.co_name,
    file: frame.code.co_filename,
    line: frame.line,
    globals: frame.f_globals,
  };
  const { locals, ...rest } = expected;
  expect(found).toEqual(rest);
  const values: Record<string, number> = {};
  for (const { name, kind, address } of frame.variables) {
    if (!(name in locals)) continue;
    const ob_ref = address + runtime.layout.offset('PyCellObject.ob_ref');
    const isCell = kind !== 'local' && address !== locals[name];
    values[name] = isCell ? image.readAddress(ob_ref) : address;
  }
  expect(values).toEqual(locals);
}

describeEachPython(
  'the runtime of a running Python',
  (python) => {
    test('is found with its version and its own objects', async () => {
      const { truth, runtime } = await inspect(python);
      expect(runtime.version.hex).toBe(truth.hexversion);
      expect(runtime.typeType).toBe(truth.typeType);
      expect(runtime.interpreters).toHaveLength(1);
      const [{ id, sysdict, modules, builtins }] = runtime.interpreters;
      const { sysdict: s, modules: m, builtins: b } = truth;
      expect({ id, sysdict, modules, builtins }).toEqual({
        id: 0,
        sysdict: s,
        modules: m,
        builtins: b,
      });
      expect(runtime.shifts).toEqual([]);
    });

    test('has the tracked objects that gc.get_objects() counts', async () => {
      const { truth, image, runtime, problems } = await inspect(python, { args: ['many'] });
      const tracked = readTrackedObjects(image, runtime, problems);
      expect(problems.list()).toEqual([]);
      expect(tracked.words).toHaveLength(truth.tracked);
      expect(new Set(tracked.words).size).toBe(truth.tracked);
    });

    test('has the objects that gc.freeze() put away', async () => {
      const { truth, image, runtime, problems } = await inspect(python, { args: ['frozen'] });
      const tracked = readTrackedObjects(image, runtime, problems);
      expect(tracked.words).toHaveLength(truth.tracked);
      expect(tracked.countByGeneration[3]).toBeGreaterThan(1000);
    });

    test('has as many live blocks as sys.getallocatedblocks() counts', async () => {
      const { truth, image, runtime, problems } = await inspect(python, { args: ['many'] });
      const pymalloc = readPymalloc(image, runtime, problems);
      expect(problems.list()).toEqual([]);
      expect(pymalloc.allocator).toBe('pymalloc');
      const raw = pymalloc.rawAllocatedBlocks;
      const counted = pymalloc.totals.liveBlocks + (raw ?? 0);
      // Blocks above 512 bytes are counted by a variable that stripped builds and 3.8 do not show.
      if (raw === undefined) {
        expect(counted).toBeLessThan(truth.blocks);
        expect(counted).toBeGreaterThan(truth.blocks * 0.97);
      } else expect(Math.abs(counted - truth.blocks)).toBeLessThan(20);
      let visited = 0;
      let visitedBytes = 0;
      forEachLiveBlock(image, pymalloc, (_word, bytes) => {
        visited++;
        visitedBytes += bytes;
      });
      expect(visited).toBe(pymalloc.totals.liveBlocks);
      expect(visitedBytes).toBe(pymalloc.totals.liveBytes);
      expectBlocks(truth, image, runtime, problems);
    });

    test('has the same blocks without a symbol table', async () => {
      const { truth, image, runtime, problems } = await inspect(
        python,
        { args: ['many'] },
        LOCAL_SYMBOLS,
      );
      const pymalloc = readPymalloc(image, runtime, problems);
      expect(problems.list()).toEqual([]);
      expect(pymalloc.method[0]).toMatch(/^arenas by .* 0 more by their headers$/);
      expect(pymalloc.totals.liveBlocks).toBeGreaterThan(truth.blocks * 0.97);
    });

    test('has the threads, frames, lines and variables that it prints', async () => {
      const inspected = await inspect(python);
      const { truth, image, runtime, problems } = inspected;
      const threads = readThreads(image, runtime, problems);
      expect(problems.list()).toEqual([]);
      expect(threads.map((thread) => thread.threadId).sort()).toEqual(
        truth.threads.map((thread) => thread.ident).sort(),
      );
      for (const expected of truth.threads) {
        const thread = threads.find((each) => each.threadId === expected.ident)!;
        expect(thread.nativeId).toBe(expected.native);
        const names = thread.frames.map((frame) => frame.code.co_name);
        expect(names).toEqual(expected.frames.map((frame) => frame.name));
        expected.frames.forEach((frame, i) => {
          expectFrame(inspected, thread.frames[i], frame);
        });
      }
      const main = threads.find((thread) => thread.frames.length > 4)!;
      const generators = main.frames.filter((frame) => frame.generator !== 0);
      expect(generators.map((frame) => frame.code.co_name)).toEqual(['generator', 'coroutine']);
    });

    test('holds what it was told to hold', async () => {
      const { truth, image, runtime, problems } = await inspect(python);
      const threads = readThreads(image, runtime, problems);
      const held = readHeldReferences(image, runtime, threads);
      const nameAt = (address: number) => held.find((each) => each.address === address)?.name;
      expect(nameAt(truth.held.garbage)).toBe('gc.garbage');
      expect(nameAt(truth.held.callbacks)).toBe('gc.callbacks');
      expect(nameAt(truth.held.handled)).toMatch(/^exc_state/);
      expect(nameAt(truth.modules)).toMatch(/modules$/);
      expect(held.some((each) => each.kind === 'atexit')).toBe(true);
      if (runtime.layout.has('PyInterpreterState.atexit.ncallbacks')) {
        expect(nameAt(truth.held.on_exit)).toBe('atexit callback');
      }
      const states = readStaticTypeStates(image, runtime);
      const hasStates = runtime.layout.has('PyInterpreterState.types.builtins');
      expect(states.length > 100).toBe(hasStates);
      expect(states.every((state) => state.tp_dict !== 0)).toBe(true);
    });

    test.each(['debug', 'malloc', 'malloc_debug', 'mimalloc'])(
      'is read with PYTHONMALLOC=%s',
      async (allocator) => {
        const hasMimalloc = ['3.13', '3.14', '3.15'].includes(python.minor);
        if (allocator === 'mimalloc' && !hasMimalloc) return;
        const { truth, image, runtime, problems } = await inspect(python, {
          env: { PYTHONMALLOC: allocator },
        });
        const pymalloc = readPymalloc(image, runtime, problems);
        expect(pymalloc.allocator).toBe(allocator === 'debug' ? 'pymalloc_debug' : allocator);
        expect(readTrackedObjects(image, runtime, problems).words).toHaveLength(truth.tracked);
        expect(problems.list()).toEqual([]);
        if (allocator === 'debug') expectBlocks(truth, image, runtime, problems);
        else expect(pymalloc.totals.liveBlocks).toBe(0);
      },
    );

    test('is read with its subinterpreters', async () => {
      const { truth, image, runtime, problems } = await inspect(python, {
        args: ['subinterpreters'],
      });
      expect(runtime.interpreters.map((interpreter) => interpreter.id).sort()).toEqual([0, 1, 2]);
      const tracked = readTrackedObjects(image, runtime, problems);
      // 3.8 has one collector for all; the others count what is in the main interpreter.
      const own = runtime.features.gcInRuntime ? 0 : 1000;
      expect(tracked.words.length).toBeGreaterThanOrEqual(truth.tracked + own);
      readPymalloc(image, runtime, problems);
      expect(problems.list()).toEqual([]);
    });

    test.each([24, -16])(
      'is read when a micro release has moved fields by %i bytes',
      async (bytes) => {
        const { image, runtime, problems } = await inspect(python);
        const moved = readRuntime(image, { ...runtime, layout: movedLayout(python.minor, bytes) });
        expect(moved.interpreters).toEqual(runtime.interpreters);
        expect(moved.shifts.at(-1)?.bytes).toBe(-bytes);
        expect(moved.method.join()).toContain('PyInterpreterState differs');
        const expected = readPymalloc(image, runtime, problems);
        const found = readPymalloc(image, moved, problems);
        expect(found.totals).toEqual(expected.totals);
        const threads = readThreads(image, runtime, problems);
        expect(readHeldReferences(image, moved, threads)).toEqual(
          readHeldReferences(image, runtime, threads),
        );
        expect(problems.list()).toEqual([]);
      },
    );

    // Older versions have no such fields.
    if (Number(python.minor.slice(2)) >= 12) {
      test('is read when only fields far behind have moved', async () => {
        const { image, runtime, problems } = await inspect(python);
        const layout = movedLayout(python.minor, 40, 'PyInterpreterState.types');
        const moved = readRuntime(image, { ...runtime, layout });
        expect(moved.shifts.at(-1)?.bytes).toBe(-40);
        expect(readStaticTypeStates(image, moved)).toEqual(readStaticTypeStates(image, runtime));
        const threads = readThreads(image, runtime, problems);
        // The layout that was moved makes the field before them longer.
        const found = new Set(readHeldReferences(image, moved, threads).map(keyOf));
        const missed = readHeldReferences(image, runtime, threads).filter(
          (each) => !found.has(keyOf(each)),
        );
        expect(missed).toEqual([]);
      });
    }

    test('is found without its symbols, where another way exists', async () => {
      const process = await startPython<Truth>(python, PROGRAM);
      running.push(process);
      const hidden = ['_PyRuntime', 'PyType_Type', 'Py_Version'];
      const bySection = find(process.pid, hidden);
      const hasSection = !['3.8', '3.9'].includes(python.minor);
      expect(bySection.kind).toBe(hasSection ? 'python' : 'not-python');
      if (bySection.kind === 'python') {
        expect(bySection.runtime.version.hex).toBe(process.ready.hexversion);
        expect(bySection.runtime.method[0]).toContain('by section .PyRuntime');
      }
      const byCookie = find(process.pid, hidden, true);
      const hasCookie = ['3.13', '3.14', '3.15'].includes(python.minor);
      expect(byCookie.kind).toBe(hasCookie ? 'python' : 'not-python');
      if (byCookie.kind === 'python') {
        expect(byCookie.runtime.version.hex).toBe(process.ready.hexversion);
        expect(byCookie.runtime.method[0]).toContain('by cookie');
      }
    });

    test('is found at any moment of a program that never rests', async () => {
      const code = `
import gc, sys, threading
def down(n):
    return down(n - 1) if n else [[i] for i in range(50)]
def loop():
    while True:
        down(15)
threading.Thread(target=loop, daemon=True).start()
print("1", flush=True)
while True:
    gc.collect()
    sys.modules["temporary"] = sys
    del sys.modules["temporary"]
`;
      const process = await startPython<number>(python, code);
      running.push(process);
      for (let i = 0; i < 20; i++) {
        const found = find(process.pid);
        expect(found.kind).toBe('python');
        if (found.kind === 'python') expect(found.runtime.shifts).toEqual([]);
      }
    });
  },
  { all: true },
);

const keyOf = ({ kind, name, address }: HeldReference): string => `${kind} ${name} ${address}`;

/** The layout of a version, with what lies behind the thread list in PyInterpreterState moved. */
function movedLayout(minor: string, bytes: number, from?: string): Layout {
  const url = new URL(`../../layouts/cpython-${minor}-x86_64.json`, import.meta.url);
  const file = JSON.parse(readFileSync(url, 'utf8'));
  const first =
    file.offsets[from ?? 'PyInterpreterState.gc'] ?? file.offsets['PyInterpreterState.modules'];
  for (const [name, offset] of Object.entries<number>(file.offsets)) {
    if (!name.startsWith('PyInterpreterState.') || offset < first) continue;
    file.offsets[name] = offset + bytes;
  }
  file.sizes.PyInterpreterState += bytes;
  return new Layout(file);
}

/** A plain object and bytes of known sizes lie at the start of a live block of the right size, or in no pool. */
function expectBlocks(
  truth: Truth,
  image: MemoryImage,
  runtime: PythonRuntime,
  problems: Problems,
): void {
  const pymalloc = readPymalloc(image, runtime, problems);
  const debugBytes = pymalloc.dataOffsetWords === 0 ? 0 : 24;
  for (const { address, bytes } of [truth.plain, ...truth.bytes]) {
    const word = image.wordAtAddress(address);
    const start = findBlockStart(pymalloc, word);
    if (bytes + debugBytes > 512) {
      expect(start).toBe(0);
      continue;
    }
    expect(start).toBe(word - pymalloc.dataOffsetWords);
    const blockBytes = blockSizeAt(pymalloc, word);
    expect(blockBytes).toBeGreaterThanOrEqual(bytes + debugBytes);
    expect(blockBytes).toBeLessThan(bytes + debugBytes + 24);
  }
}

describe('a process that is no Python', () => {
  test('is said to be none', async () => {
    const child = spawn(process.execPath, ['-e', 'console.log(1); process.stdin.resume()'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      expect(find(child.pid!)).toEqual({
        kind: 'not-python',
        reason: 'no CPython interpreter is mapped into it',
      });
    } finally {
      child.kill('SIGKILL');
    }
  });
});
