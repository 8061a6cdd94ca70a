// `npm run bench [-- SIZES...]`: measures leakscope on heaps of some sizes (objects; default 0.1, 1 and 5 million) beside
// the in-process ways on the same heaps in the same run, and prints Markdown tables. `--write` puts them into
// docs/benchmarks.md. `--scale` measures large heaps instead (bench-scale.ts). Every measurement of leakscope runs in a fresh Node.js process, on compiled code.
//
// Other programs on the machine make times longer and not shorter: it repeats and takes the least.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import type {
  GraphMeasurement,
  PauseMeasurement,
  SyntheticMeasurement,
} from '../tests/bench/measure.ts';
import {
  type BenchPython,
  HeapProcess,
  installRivals,
  WAYS,
  type Way,
  type WayResult,
} from '../tests/bench/rivals.ts';
import {
  type Facts,
  formatFacts,
  formatLeakscope,
  formatRatios,
  formatSynthetic,
  formatWays,
  type HeapMeasurement,
  replaceBetweenMarkers,
} from '../tests/bench/tables.ts';
import { pathOf } from './bench-page.ts';
import { compileBench } from './compile-bench.ts';
import { findPyenvVersions } from './pyenv.ts';

const DEFAULT_SIZES = [100_000, 1_000_000, 5_000_000];
const DEFAULT_SYNTHETIC_NODES = 10_000_000;
const SYNTHETIC_RUNS = 3;
const WAY_RUNS = 3;
const WAY_BUDGET_MS = 15_000;

const note = (text: string): void => void process.stderr.write(`${text}\n`);

/** Runs measure.ts in a process of its own. */
function measure<T>(...args: (string | number)[]): T {
  const child = spawnSync(
    process.execPath,
    [pathOf('.cache/bench/tests/bench/measure.js'), ...args.map(String)],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    },
  );
  if (child.status !== 0) throw new Error(`measure ${args.join(' ')} failed`);
  return JSON.parse(child.stdout) as T;
}

function findBenchPython(program: string | undefined): BenchPython {
  if (program === undefined) {
    const newest = findPyenvVersions().at(-1);
    if (newest !== undefined) return newest;
  }
  const command = program ?? 'python3';
  const code = 'import sys; print("%d.%d" % sys.version_info[:2])';
  const asked = spawnSync(command, ['-c', code], { encoding: 'utf8' });
  if (asked.status !== 0) throw new Error(`cannot run ${command}: name a Python with --python`);
  return { program: command, minor: asked.stdout.trim() };
}

interface Setup {
  python: BenchPython;
  pythonPath: string;
  repeat: number;
  ways: readonly Way[];
}

async function measureHeap(
  setup: Setup,
  asked: number,
): Promise<{ measurement: HeapMeasurement; version: string }> {
  note(`${asked} objects: building the heap`);
  const { heap, python } = await HeapProcess.start(setup.python, setup.pythonPath, asked);
  try {
    const graphs: GraphMeasurement[] = [];
    for (let i = 0; i < setup.repeat; i++) {
      const graph = measure<GraphMeasurement>('graph', heap.pid);
      graphs.push(graph);
      note(
        `  ${graph.nodeCount} objects, ${graph.edgeCount} references: pause ${graph.pauseMs.toFixed(1)} ms, ` +
          `graph ${graph.captureMs.toFixed(0)} ms, total ${graph.totalMs.toFixed(0)} ms, ` +
          `peak ${(graph.capturePeakBytes / 1e6).toFixed(0)} MB`,
      );
    }
    const pause = measure<PauseMeasurement>('pause', heap.pid, setup.repeat);
    const ways: WayResult[] = [];
    for (const way of setup.ways) ways.push(...(await runWay(heap, way)));
    return { measurement: { asked, graphs, pause, ways }, version: python };
  } finally {
    await heap.stop();
  }
}

async function runWay(heap: HeapProcess, way: Way): Promise<WayResult[]> {
  const results: WayResult[] = [];
  let spentMs = 0;
  while (results.length < WAY_RUNS && spentMs < WAY_BUDGET_MS) {
    const result = await heap.run(way);
    results.push(result);
    note(`  ${way}: ${result.ms?.toFixed(0) ?? result.missing ?? result.failed} ms`);
    if (result.ms === undefined) break;
    spentMs += result.ms;
  }
  return results;
}

function describeMachine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} cores (${cpus()[0].model.trim()}), ${memory} GiB, Linux ${release()}`;
}

const loadNow = (): string => loadavg()[0].toFixed(1);

if (process.argv.includes('--scale')) {
  process.argv = process.argv.filter((argument) => argument !== '--scale');
  await (await import('./bench-scale.ts')).runScaleBench();
  process.exit();
}
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: 'boolean', default: false },
    python: { type: 'string' },
    repeat: { type: 'string', default: '5' },
    'no-rivals': { type: 'boolean', default: false },
    synthetic: { type: 'string', default: String(DEFAULT_SYNTHETIC_NODES) },
  },
});
const sizes = positionals.length > 0 ? positionals.map(Number) : DEFAULT_SIZES;
const syntheticNodes = Number(values.synthetic);
const repeat = Number(values.repeat);
if (![...sizes, syntheticNodes, repeat].every((value) => Number.isInteger(value) && value >= 0)) {
  throw new Error('sizes, --synthetic and --repeat are whole numbers');
}

const loadBefore = loadNow();
compileBench();
const python = findBenchPython(values.python);
const rivals = values['no-rivals'] ? { folder: '', problems: [] } : installRivals(python);
for (const problem of rivals.problems) note(problem);
const setup: Setup = {
  python,
  pythonPath: rivals.folder,
  repeat,
  ways: values['no-rivals'] ? [] : WAYS,
};
const heaps: HeapMeasurement[] = [];
let version = '';
for (const size of sizes) {
  const result = await measureHeap(setup, size);
  heaps.push(result.measurement);
  version = result.version;
}
const facts: Facts = {
  command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])]
    .join(' ')
    .replace(/--python[= ]\S+/, '--python ...'),
  date: new Date().toISOString().slice(0, 10),
  machine: describeMachine(),
  load: `Load average when it began ${loadBefore}, at the end ${loadNow()}: above 1 others were at work too.`,
  node: `Node.js ${process.versions.node}`,
  python: version,
  heap: 'tests/bench/heap.py: instances, dicts, lists, tuples, str, int, float, slots',
  problems: rivals.problems,
  repeat,
};
const tables = [formatFacts(facts), formatLeakscope(heaps)];
if (setup.ways.length > 0) tables.push(formatWays(heaps), formatRatios(heaps));
if (syntheticNodes > 0) {
  note(`generated graph of ${syntheticNodes} objects`);
  const runs = Array.from({ length: SYNTHETIC_RUNS }, () =>
    measure<SyntheticMeasurement>('synthetic', syntheticNodes),
  );
  tables.push(formatSynthetic(runs));
}
const text = tables.join('\n\n');
console.log(text);
if (values.write) {
  const file = pathOf('docs/benchmarks.md');
  if (!existsSync(file)) throw new Error(`${file} is missing`);
  writeFileSync(file, replaceBetweenMarkers(readFileSync(file, 'utf8'), 'bench', `\n${text}\n`));
}
