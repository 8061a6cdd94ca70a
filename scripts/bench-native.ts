// `npm run bench:native`: the time of `leakscope native` on a live process beside that of the same program under valgrind,
// and of `leakscope ledger`, as Markdown. `--write` puts it into docs/benchmarks.md. Runs the built command line, whose time
// is that of a user: start of Node.js, capture, report. The least of several runs; valgrind runs once.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { LedgerReport } from '../src/report/ledger-schema.ts';
import type { NativeReport } from '../src/report/native-schema.ts';
import { CLI, pathOf, runBenchPage } from './bench-page.ts';

const NATIVE_MEGABYTES = 200;
const LEDGER_MEGABYTES = 1000;
const LOST_BLOCKS = 20_000;
const ALL_LOST = LOST_BLOCKS + LOST_BLOCKS / 100;
const REQUESTS = 60_000;
const RUNS = 5;

const note = (text: string): void => void process.stderr.write(`${text}\n`);
const HEAP = pathOf('tests/bench/native_heap.py');

interface Timed<R> {
  report: R;
  ms: number;
}

function runLeakscope<R>(args: readonly string[]): Timed<R> {
  const start = performance.now();
  const { stdout, stderr, error } = spawnSync(process.execPath, [CLI, ...args, '--json'], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const ms = performance.now() - start;
  if (error !== undefined || stdout === '') {
    throw new Error(`leakscope ${args.join(' ')}: ${error?.message ?? stderr}`);
  }
  return { report: JSON.parse(stdout) as R, ms };
}

const programOf = (python: string, megabytes: number, requests: number): string[] => [
  python,
  HEAP,
  `${megabytes}`,
  `${LOST_BLOCKS}`,
  `${requests}`,
];

async function startHeap(
  python: string,
  megabytes: number,
  requests: number,
): Promise<{ heap: ChildProcess; ownMs: number }> {
  const [program, ...args] = programOf(python, megabytes, requests);
  const heap = spawn(program, [...args, 'live'], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (heap.stdout === null) throw new Error('no pipe');
  const [line] = await once(createInterface(heap.stdout), 'line');
  return { heap, ownMs: (JSON.parse(line) as { ms: number }).ms };
}

function repeat<R>(args: readonly string[]): Timed<R>[] {
  return Array.from({ length: RUNS }, () => runLeakscope<R>(args));
}

const least = (values: readonly number[]): number => Math.min(...values);
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

async function measureNative(python: string): Promise<string[]> {
  note(`${NATIVE_MEGABYTES} MB: building the heap`);
  const { heap, ownMs } = await startHeap(python, NATIVE_MEGABYTES, REQUESTS);
  const runs = repeat<NativeReport>(['native', `${heap.pid}`]);
  heap.stdin?.end();
  await once(heap, 'exit');
  const nativeMs = least(runs.map((run) => run.ms));
  const { capture, lost } = runs[0].report;
  const pauseMs = least(runs.map((run) => run.report.capture.pauseMs));
  note('the same under valgrind');
  const start = performance.now();
  const checked = spawnSync(
    process.execPath,
    [CLI, 'valgrind', '--json', '--', ...programOf(python, NATIVE_MEGABYTES, REQUESTS)],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  const valgrindMs = performance.now() - start;
  const { tool, sites } = JSON.parse(checked.stdout) as {
    tool: { version: string };
    sites: { blocks: number }[];
  };
  const found = sites.reduce((most, site) => Math.max(most, site.blocks), 0);
  return [
    `| RSS | ${megabytes(capture.rssBytes)} |`,
    `| the program by itself | ${seconds(ownMs)} |`,
    `| \`leakscope native\`, start to end | ${seconds(nativeMs)} |`,
    `| ... pause (goal: under 150 ms) | ${pauseMs.toFixed(0)} ms |`,
    `| ... blocks called lost, of ${ALL_LOST} | ${lost.blocks} |`,
    `| the program under valgrind ${tool.version} | ${seconds(valgrindMs)} |`,
    `| ... blocks at its largest site | ${found} |`,
    `| **valgrind / native** (goal: over 100) | ${(valgrindMs / nativeMs).toFixed(0)} |`,
  ];
}

async function measureLedger(python: string): Promise<string[]> {
  note(`${LEDGER_MEGABYTES} MB: building the heap`);
  const { heap } = await startHeap(python, LEDGER_MEGABYTES, 0);
  const runs = repeat<LedgerReport>(['ledger', `${heap.pid}`]);
  heap.stdin?.end();
  await once(heap, 'exit');
  const { rssBytes, residueBytes, capture } = runs[0].report;
  return [
    `| \`leakscope ledger\` of ${megabytes(rssBytes)}, ${capture.objects} objects | ${seconds(least(runs.map((run) => run.ms)))} |`,
    `| ... pause, PSS included | ${least(runs.map((run) => run.report.capture.pauseMs)).toFixed(0)} ms |`,
    `| ... unexplained | ${residueBytes} bytes |`,
  ];
}

await runBenchPage({
  name: 'native',
  measure: async (python) => [...(await measureNative(python)), ...(await measureLedger(python))],
  target: `tests/bench/native_heap.py; times are the least of ${RUNS} runs, of valgrind one.`,
  head: ['| what | measured |', '| --- | ---: |'],
});
