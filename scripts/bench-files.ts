// `npm run bench:files`: what a snapshot file takes and how soon it answers, as Markdown: bytes per object and time to write
// and read of a real heap and of a generated one of 10 million objects, and the built command line on the latter. `--write`
// puts it into docs/benchmarks.md. The least of several runs: other programs on the machine make times longer.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { captureHeap } from '../src/capture/capture-heap.ts';
import { readWholeSnapshot, writeSnapshotFile } from '../src/capture/snapshot-file.ts';
import type { HeapGraph } from '../src/graph/heap-graph.ts';
import { CELL_BYTES } from '../src/graph/snapshot-columns.ts';
import { buildLargeGraph } from '../tests/support/random-graph.ts';
import { CLI, pathOf, runBenchPage } from './bench-page.ts';

const REAL_OBJECTS = 1_000_000;
const GENERATED_OBJECTS = 10_000_000;
const COUNT_TYPES = 'select type, count(*), sum(shallow_bytes) from objects group by 1';
const RUNS = 3;
const COMMAND_RUNS = 7;

const note = (text: string): void => void process.stderr.write(`${text}\n`);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

interface Timed {
  ms: number;
  /** Of processor time, all threads. */
  cpuMs: number;
}

async function leastOf(run: () => unknown): Promise<Timed> {
  const times: Timed[] = [];
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    const cpu = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(cpu);
    times.push({ ms: performance.now() - start, cpuMs: (user + system) / 1000 });
  }
  return {
    ms: Math.min(...times.map(({ ms }) => ms)),
    cpuMs: Math.min(...times.map(({ cpuMs }) => cpuMs)),
  };
}

async function measureGraph(name: string, graph: HeapGraph, path: string): Promise<string> {
  note(`${name}: writing and reading`);
  const write = await leastOf(() => writeSnapshotFile(path, graph));
  const { byteLength, index } = readWholeSnapshot(path);
  const read = await leastOf(() => readWholeSnapshot(path));
  const plain = index.sections.reduce(
    (sum, { type, length }) => sum + CELL_BYTES[type] * length,
    0,
  );
  const rate = ({ cpuMs }: Timed): string => `${Math.round(plain / cpuMs / 1000)} MB/s`;
  return `| ${name} | ${graph.nodeCount} | ${graph.edgeCount} | ${(plain / 1e6).toFixed(0)} MB | ${(byteLength / 1e6).toFixed(1)} MB | **${(byteLength / graph.nodeCount).toFixed(1)}** | ${seconds(write.ms)}, ${rate(write)} | ${seconds(read.ms)}, ${rate(read)} |`;
}

async function captureReal(python: string): Promise<HeapGraph> {
  note('building the real heap');
  const heap = spawn(python, [pathOf('tests/bench/heap.py'), `${REAL_OBJECTS}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(createInterface(heap.stdout), 'line');
  const graph = await captureHeap(heap.pid as number, { native: true });
  heap.stdin.end();
  await once(heap, 'exit');
  return graph;
}

function timeCommand(...args: string[]): string {
  const times = Array.from({ length: COMMAND_RUNS }, () => {
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`leakscope ${args.join(' ')}: ${stderr}`);
    return performance.now() - start;
  });
  return seconds(Math.min(...times));
}

async function measure(python: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'leakscope-bench-'));
  const [real, generated] = ['real', 'generated'].map((name) => join(folder, `${name}.lscope`));
  try {
    const rows = [
      await measureGraph('tests/bench/heap.py', await captureReal(python), real),
      await measureGraph('generated', buildLargeGraph(GENERATED_OBJECTS, 3), generated),
    ];
    note('the command line');
    return [
      ...rows,
      '',
      '| 10 M objects, start to end | goal | |',
      '| --- | ---: | ---: |',
      `| \`leakscope info FILE\` | < 1 s | ${timeCommand('info', generated)} |`,
      `| \`leakscope top FILE --types\` | < 1 s | ${timeCommand('top', generated, '--types')} |`,
      `| \`leakscope verify FILE\` | | ${timeCommand('verify', generated)} |`,
      `| \`leakscope sql FILE "${COUNT_TYPES}"\` | | ${timeCommand('sql', generated, COUNT_TYPES)} |`,
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await runBenchPage({
  name: 'files',
  measure,
  target: `tests/bench/heap.py and a generated graph; times are the least of ${RUNS} runs, MB/s those of columns in memory by processor time.`,
  head: [
    '| file of | objects | references | in memory | on disk | bytes per object | write | read and check |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ],
});
