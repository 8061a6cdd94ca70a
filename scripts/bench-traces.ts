// `npm run bench:traces [-- --write]`: a million traces of tracemalloc read from outside, beside
// take_snapshot() and statistics() in the process itself, as Markdown; `--write` puts it into docs/benchmarks.md. The least
// of several runs of each; from outside the time is that of a user: start of Node.js, copy, sums, text.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { AllocationsReport } from '../src/report/allocations-schema.ts';
import { CLI, pathOf, runBenchPage } from './bench-page.ts';

const TRACES = 1_000_000;
const RUNS = 5;

interface Inside {
  traces: number;
  snapshotMs: number;
  statisticsMs: number;
  grownBytes: number;
}

type Target = ChildProcessByStdio<Writable, Readable, null>;

interface Outside {
  report: AllocationsReport;
  ms: number;
}

function readOutside(pid: number): Outside {
  const start = performance.now();
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [CLI, 'allocations', `${pid}`, '-n', '10', '--json'],
    { encoding: 'utf8' },
  );
  const ms = performance.now() - start;
  if (stdout === '') throw new Error(stderr);
  return { report: JSON.parse(stdout) as AllocationsReport, ms };
}

async function measure(python: string, frames: number): Promise<string[]> {
  const args = [pathOf('tests/bench/traced_heap.py'), `${TRACES}`, `${frames}`];
  const target: Target = spawn(python, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(target.stdout)[Symbol.asyncIterator]();
  const nextLine = async () => JSON.parse((await lines.next()).value as string);
  try {
    await nextLine();
    const outside: Outside[] = [];
    for (let i = 0; i < RUNS; i++) outside.push(readOutside(target.pid ?? 0));
    const inside: Inside[] = [];
    for (let i = 0; i < RUNS; i++) {
      target.stdin.write('snapshot\n');
      inside.push((await nextLine()) as Inside);
    }
    return formatRows(frames, outside, inside);
  } finally {
    target.stdin.end();
    await once(target, 'exit');
  }
}

function formatRows(frames: number, outside: readonly Outside[], inside: readonly Inside[]) {
  const least = (values: readonly number[]): number => Math.min(...values);
  const outsideMs = least(outside.map(({ ms }) => ms));
  const pauseMs = least(outside.map(({ report }) => report.capture.pauseMs));
  const [{ report }] = outside;
  const snapshotMs = least(inside.map((run) => run.snapshotMs));
  const bothMs = least(inside.map((run) => run.snapshotMs + run.statisticsMs));
  const grown = inside[0].grownBytes;
  const cells = [
    `${frames}`,
    `${report.tracer?.traces}`,
    `${(outsideMs / 1000).toFixed(2)} s`,
    `${pauseMs.toFixed(0)} ms`,
    `${(snapshotMs / 1000).toFixed(2)} s`,
    `${(bothMs / 1000).toFixed(2)} s`,
    `${Math.round(grown / 1e6)} MB`,
    `**${(snapshotMs / pauseMs).toFixed(1)}**`,
    `${(bothMs / outsideMs).toFixed(1)}`,
  ];
  return [`| ${cells.join(' | ')} |`];
}

await runBenchPage({
  name: 'traces',
  measure: async (python) => [...(await measure(python, 1)), ...(await measure(python, 10))],
  target: `tests/bench/traced_heap.py; times are the least of ${RUNS} runs.`,
  head: [
    '| frames | traces | `leakscope allocations`, start to end | ... pause of the target | `take_snapshot()` | ... and `statistics()` | ... memory in the target | **`take_snapshot()` / pause** | ... and `statistics()` / start to end |',
    '| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ],
});
