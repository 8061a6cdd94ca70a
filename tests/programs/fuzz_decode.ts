// Decodes damaged copies of a Python: `fuzz_decode.ts PID FIRST_SEED COUNT [DAMAGE]`. Prints `seed N` before each, a line of JSON
// after each, and never ends by an exception other than those that decoding may throw.

import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { computeDominators, computeRetainedSizes } from '../../src/analysis/dominators.ts';
import { computePathTree } from '../../src/analysis/paths.ts';
import { computeRetainedByType } from '../../src/analysis/retained-by-type.ts';
import { computeTasks } from '../../src/analysis/tasks.ts';
import { UnsupportedError } from '../../src/base/errors.ts';
import { decodeImage } from '../../src/capture/decode-image.ts';
import { findRuntime, type PythonRuntime } from '../../src/cpython/find-runtime.ts';
import { checkGraph } from '../../src/graph/check-graph.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import { openTarget } from '../../src/memory/freeze.ts';
import { copyLive, type LiveCopy } from '../../src/memory/live-copy.ts';
import { type MappedElf, openMappedElf } from '../../src/memory/mapped-files.ts';
import { findMappings } from '../../src/memory/mappings.ts';
import { allocateImageStorage, MemoryImage, PAGE_SIZE } from '../../src/memory/memory-image.ts';
import { buildLedgerReport, formatLedger } from '../../src/report/ledger-report.ts';
import { buildNativeReport, formatNative } from '../../src/report/native-report.ts';
import { buildStacksReport, formatStacks } from '../../src/report/stacks-report.ts';
import { buildTasksReport, formatTasks } from '../../src/report/tasks-report.ts';
import { buildTopReport, formatTop } from '../../src/report/top-report.ts';
import { makeRandom } from '../support/random-numbers.ts';

/** A decode that takes longer hangs: its stack is printed, and the program ends with 3. */
const LIMIT_MS = 20_000;
const begunAt = new Float64Array(new SharedArrayBuffer(8));
const hangWatch = new Worker(
  `const { workerData } = require('node:worker_threads');
  const { Session } = require('node:inspector');
  setInterval(() => {
    const at = workerData.begunAt[0];
    if (at === 0 || Date.now() - at < workerData.limitMs) return;
    const session = new Session();
    session.connectToMainThread();
    session.on('Debugger.paused', ({ params }) => {
      const lines = params.callFrames.map((frame) =>
        '  ' + frame.functionName + ' ' + frame.url.split('/').pop() + ':' + (frame.location.lineNumber + 1));
      require('node:fs').writeSync(2, 'hangs in\\n' + lines.join('\\n') + '\\n');
      process.kill(process.pid, 'SIGKILL');
    });
    session.post('Debugger.enable');
    session.post('Debugger.pause');
  }, 1000);`,
  { eval: true, workerData: { begunAt, limitMs: LIMIT_MS } },
);
hangWatch.unref();

const [pid, firstSeed, count] = process.argv.slice(2, 5).map(Number);
const onlyDamage = process.argv[5];

function takeCopy(): { copy: LiveCopy; runtime: PythonRuntime } {
  const target = openTarget(pid);
  const elves: MappedElf[] = [];
  const mappings = findMappings(pid) ?? [];
  const result = findRuntime({
    memory: target.memory,
    mappings,
    openElf: (path) => {
      const elf = openMappedElf(pid, mappings, path, target.memory);
      if (elf !== undefined) elves.push(elf);
      return elf;
    },
  });
  if (result.kind !== 'python') throw new Error(result.reason);
  const copy = copyLive(target);
  target.close();
  return { copy, runtime: result.runtime };
}

const { copy, runtime } = takeCopy();
const original = copy.image.halves.slice();
const { runs } = copy.image;
const heapRanges = copy.mappings.filter(
  ({ writable, isPrivate, inode, path }) =>
    writable && isPrivate && inode === 0 && (path === '' || path === '[heap]'),
);
const allMemory = [{ start: 0, end: 2 ** 47 }];

type Random = (below: number) => number;

/** A word of the writable part, where damage is more telling than in code. */
const writableWords: number[] = [];
runs.forEach(({ address, pageCount }) => {
  const mapping = copy.mappings.find(({ start, end }) => start <= address && address < end);
  if (mapping?.writable !== true) return;
  const word = copy.image.wordAtAddress(address);
  for (let w = word; w < word + (pageCount * PAGE_SIZE) / 8; w += 512) writableWords.push(w);
});
const anyWord = (random: Random): number =>
  (writableWords[random(writableWords.length)] ?? 512) + random(512);

const addressOfWord = (word: number): number => copy.image.addressOfWord(word);

/** Values that decoders take for something: pointers, small numbers, large ones, flags. */
function oddValue(random: Random, halves: Uint32Array): [lo: number, hi: number] {
  const pointer = (address: number): [number, number] => [
    address % 2 ** 32,
    Math.floor(address / 2 ** 32),
  ];
  const other = anyWord(random) * 2;
  switch (random(9)) {
    case 0:
      return [0, 0];
    case 1:
      return [random(300), 0];
    case 2:
      return [0xffffffff, 0xffffffff];
    case 3:
      return [0xffffffff, 0x7fffffff];
    case 4:
      return pointer(addressOfWord(anyWord(random)));
    case 5:
      return pointer(addressOfWord(anyWord(random)) + 1 + random(7));
    case 6:
      return [halves[other], halves[other + 1]];
    case 7:
      return [1 << random(31), 1 << random(16)];
    default:
      return [random(2 ** 32), random(2 ** 32)];
  }
}

const damages: Record<string, (random: Random, halves: Uint32Array) => void> = {
  bits(random, halves) {
    for (let i = 1 << random(15); i > 0; i--) {
      halves[anyWord(random) * 2 + random(2)] ^= 1 << random(32);
    }
  },
  words(random, halves) {
    for (let i = 1 << random(15); i > 0; i--) {
      const at = anyWord(random) * 2;
      [halves[at], halves[at + 1]] = oddValue(random, halves);
    }
  },
  /** Objects: the first words of what a type pointer says is one. */
  headers(random, halves) {
    for (let i = 1 << random(12); i > 0; i--) {
      const found = goodObjects[random(goodObjects.length)];
      const at = (copy.image.wordAtAddress(found) + random(12)) * 2;
      [halves[at], halves[at + 1]] = oddValue(random, halves);
    }
  },
  /** Types, of which every object of theirs is read. */
  types(random, halves) {
    for (let i = 1 << random(6); i > 0; i--) {
      const found = goodTypes[random(goodTypes.length)];
      const at = (copy.image.wordAtAddress(found) + random(110)) * 2;
      [halves[at], halves[at + 1]] = oddValue(random, halves);
    }
  },
  /** The interpreter's own structs. */
  runtime(random, halves) {
    const places = [
      [runtime.runtimeAddress, layoutSize('_PyRuntimeState')],
      ...runtime.interpreters.map(({ address }) => [address, layoutSize('PyInterpreterState')]),
      ...runtime.interpreters.map(({ threadsHead }) => [threadsHead, layoutSize('PyThreadState')]),
      ...runtime.interpreters.map(({ gcState }) => [gcState, 256]),
    ];
    for (let i = 1 << random(7); i > 0; i--) {
      const [address, size] = places[random(places.length)];
      const word = copy.image.wordAtAddress(address + random(Math.floor(size / 8)) * 8);
      if (word === 0) continue;
      [halves[word * 2], halves[word * 2 + 1]] = oddValue(random, halves);
    }
  },
  /** Pointers to pages: what pymalloc keeps of its arenas and pools. */
  pages(random, halves) {
    for (let i = 1 << random(9); i > 0; i--) {
      const at = pagePointers[random(pagePointers.length)] * 2 - 32 + random(64);
      if (at < 1024 || at + 2 > halves.length) continue;
      [halves[at & ~1], halves[(at & ~1) + 1]] = oddValue(random, halves);
    }
  },
  swapped(random, halves) {
    for (let i = 1 << random(8); i > 0; i--) {
      const a = writableWords[random(writableWords.length)] * 2;
      const b = writableWords[random(writableWords.length)] * 2;
      const kept = halves.slice(a, a + 1024);
      halves.copyWithin(a, b, b + 1024);
      halves.set(kept, b);
    }
  },
  noise(random, halves) {
    const share = 1 + random(100);
    for (const word of writableWords) {
      if (random(100) >= share) continue;
      for (let i = word * 2; i < word * 2 + 1024; i++) halves[i] = random(2 ** 32);
    }
  },
  zeros(random, halves) {
    for (let i = 1 << random(8); i > 0; i--) {
      const a = writableWords[random(writableWords.length)] * 2;
      halves.fill(random(2) === 0 ? 0 : 0xffffffff, a, a + 1024);
    }
  },
};

function layoutSize(struct: string): number {
  return runtime.layout.size(struct);
}

/** The image with some of its pages left out. */
function withoutPages(random: Random, halves: Uint32Array): MemoryImage {
  const percent = [0, 1, 5, 30, 90][random(5)];
  const kept: { address: number; pageCount: number; word: number }[] = [];
  for (const { address, pageCount } of runs) {
    for (let page = 0; page < pageCount; page++) {
      if (random(100) < percent) continue;
      const at = address + page * PAGE_SIZE;
      kept.push({ address: at, pageCount: 1, word: copy.image.wordAtAddress(at) });
    }
  }
  const storage = allocateImageStorage(kept.length + 1);
  kept.forEach(({ word }, i) => {
    storage.set(halves.subarray(word * 2, word * 2 + 1024), (i + 1) * 1024);
  });
  return new MemoryImage(kept, storage);
}

async function decode(image: MemoryImage, random?: Random): Promise<HeapGraph> {
  return decodeImage({
    image,
    location: runtime,
    heapRanges: random !== undefined && random(4) === 0 ? allMemory : heapRanges,
    facts: {
      at: copy.at,
      pid,
      processStartedAt: 0,
      command: ['python'],
      pauseMs: 0,
      copiedBytes: 0,
      rssBytes: 0,
      method: [],
    },
    listsAreStable: random === undefined || random(8) !== 0,
    mainThreadId: pid,
    native: {
      ...copy,
      allocator: { name: 'glibc', evidence: 'of the trial' },
      nameAddress: (address) =>
        address % 3 === 0 ? { symbol: 'some_symbol', library: '/lib/some.so' } : undefined,
      readFromFile: (_, address) => address % 3 === 0,
    },
    onProgress: () => Promise.resolve(),
  });
}

const good = await decode(new MemoryImage(runs, original.slice()));
const goodObjects = [...good.address].filter((address) => copy.image.wordAtAddress(address) !== 0);
const goodTypes = good.types.flatMap(({ node }) =>
  node < good.nodeCount && copy.image.wordAtAddress(good.address[node]) !== 0
    ? [good.address[node]]
    : [],
);

const pagePointers: number[] = [];
for (const first of writableWords) {
  for (let word = first; word < first + 512; word++) {
    const lo = original[word * 2];
    if (lo % PAGE_SIZE !== 0 || copy.image.wordAt(lo, original[word * 2 + 1]) === 0) continue;
    pagePointers.push(word);
  }
}

/** What a user would look at. */
function analyse(graph: HeapGraph): number {
  computePathTree(graph);
  const tree = computeDominators(graph);
  const retainedSize = computeRetainedSizes(tree, graph.allocatedSize);
  const report = buildTopReport(graph, {
    retainedSize: retainedSize.subarray(0, graph.nodeCount),
    retainedByType: computeRetainedByType(graph, tree, retainedSize),
    order: 'retained',
    limit: 50,
  });
  const { native, execution } = graph;
  if (execution === undefined) throw new Error('the graph does not tell of threads');
  const findSourceLine = () => undefined;
  const stacks = buildStacksReport(graph, execution, { wantsLocals: true, findSourceLine });
  const tasks = buildTasksReport(graph, execution, computeTasks(graph), {
    wantsEnded: true,
    limit: 1000,
    findSourceLine,
  });
  if (native === undefined) throw new Error('the graph does not tell of C memory');
  const ledger = buildLedgerReport(graph, native);
  const lost = buildNativeReport(undefined, { graph, native }, { limit: 20, redact: false });
  return (
    formatTop(report).length +
    formatLedger(ledger, true).length +
    formatNative(lost).length +
    formatStacks(stacks).length +
    formatTasks(tasks).length +
    JSON.stringify([report, ledger, lost, stacks, tasks]).length
  );
}

for (let seed = firstSeed; seed < firstSeed + count; seed++) {
  const random = makeRandom(seed);
  const names = Object.keys(damages);
  const name = onlyDamage ?? names[random(names.length)];
  writeSync(1, `seed ${seed} ${name}\n`);
  const startedAt = performance.now();
  begunAt[0] = Date.now();
  const halves = original.slice();
  damages[name](random, halves);
  const image = random(3) === 0 ? withoutPages(random, halves) : new MemoryImage(runs, halves);
  let outcome: string;
  let nodes = 0;
  try {
    const graph = await decode(image, random);
    nodes = graph.nodeCount;
    const contradiction = checkGraph(graph);
    if (contradiction !== undefined) throw new Error(`inconsistent graph: ${contradiction}`);
    analyse(graph);
    outcome = 'graph';
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    outcome = 'refused';
  }
  begunAt[0] = 0;
  const ms = Math.round(performance.now() - startedAt);
  writeSync(1, `${JSON.stringify({ seed, name, outcome, nodes, ms })}\n`);
}
writeSync(
  1,
  `${JSON.stringify({ good: good.nodeCount, maxRssMib: process.resourceUsage().maxRSS >> 10 })}\n`,
);
