// `npm run bench -- --scale`: two captures of heaps of 1, 5, 20 and 50 million objects, compared and judged, with time and
// memory of each phase, and what the same heaps cost in-process tools. Needs 24 GB of memory for the largest.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { HeapProcess, installRivals, type Way } from '../tests/bench/rivals.ts';
import type { ScaleMeasurement } from '../tests/bench/scale.ts';
import { pathOf, runBenchPage } from './bench-page.ts';
import { compileBench } from './compile-bench.ts';
import { findPyenvVersions } from './pyenv.ts';

const MILLIONS = [1, 5, 20, 50];
/** What the reader may have resident at most, for the largest. */
const GOAL_BYTES = 16e9;
/** In the order of their cost; each is given up for larger heaps when it took longer than this. */
const WAYS: Way[] = ['counter', 'objgraph', 'guppy', 'muppy'];
const PATIENCE_MS = 60_000;

interface Row {
  scale: ScaleMeasurement;
  ways: Map<Way, { ms: number; grownBytes: number }>;
}

async function measureAt(millions: number, python: string, given: Set<Way>): Promise<Row> {
  const minor = findPyenvVersions().find(({ program }) => program === python)?.minor ?? '3.13';
  const bench = { minor, program: python };
  const { folder } = installRivals(bench);
  process.stderr.write(`${millions} million objects: building the heap\n`);
  const { heap } = await HeapProcess.start(bench, folder, millions * 1e6);
  try {
    const scale = await measureTwoCaptures(heap);
    process.stderr.write(`  ${JSON.stringify(scale)}\n`);
    const ways: Row['ways'] = new Map();
    for (const way of WAYS) {
      if (given.has(way)) continue;
      const { ms, grownBytes = 0 } = await heap.run(way);
      if (ms !== undefined) ways.set(way, { ms, grownBytes });
      if (ms === undefined || ms > PATIENCE_MS) given.add(way);
      process.stderr.write(`  ${way}: ${ms?.toFixed(0)} ms\n`);
    }
    return { scale, ways };
  } finally {
    await heap.stop();
  }
}

async function measureTwoCaptures(heap: HeapProcess): Promise<ScaleMeasurement> {
  const child = spawn(
    process.execPath,
    [pathOf('.cache/bench/tests/bench/scale.js'), String(heap.pid)],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the measurement ended early');
    return JSON.parse(value);
  };
  await next();
  await heap.run('grow');
  child.stdin.write('go on\n');
  return (await next()) as ScaleMeasurement;
}

const count = (value: number): string =>
  Math.round(value).toLocaleString('en').replaceAll(',', ' ');
const seconds = (ms: number): string => (ms / 1000).toFixed(ms < 10_000 ? 2 : 1);
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);

function formatRows(rows: readonly Row[]): string[] {
  const line = (name: string, value: (row: Row) => string): string =>
    `| ${name} | ${rows.map(value).join(' | ')} |`;
  const scaleLine = (name: string, value: (scale: ScaleMeasurement) => string): string =>
    line(name, ({ scale }) => value(scale));
  const wayLine = (way: Way): string =>
    line(
      `\`${way}\` in the process: time in which it does not answer, s; more memory, GB`,
      ({ ways }) => {
        const found = ways.get(way);
        return found === undefined ? '-' : `${seconds(found.ms)}; ${gigabytes(found.grownBytes)}`;
      },
    );
  return [
    scaleLine('objects', ({ objects }) => count(objects)),
    scaleLine('references', ({ references }) => count(references)),
    scaleLine('copied, GB', ({ copiedBytes }) => gigabytes(copiedBytes)),
    scaleLine('**pause**, ms', ({ pauseMs }) => count(pauseMs)),
    scaleLine('first capture to graph, s', ({ captureMs }) => seconds(captureMs)),
    scaleLine('its paths and shapes, s', ({ firstShapesMs }) => seconds(firstShapesMs)),
    scaleLine('second capture, s', ({ secondCaptureMs }) => seconds(secondCaptureMs)),
    scaleLine('compared with the first, s', ({ compareMs }) => seconds(compareMs)),
    scaleLine('growth, dominators, suspects, s', ({ judgeMs }) => seconds(judgeMs)),
    scaleLine('**all of it**, s', ({ totalMs }) => seconds(totalMs)),
    scaleLine('... microseconds an object', ({ totalMs, objects }) =>
      ((totalMs * 1000) / objects).toFixed(2),
    ),
    scaleLine('peak memory of the reader, one capture, GB', ({ capturePeakBytes }) =>
      gigabytes(capturePeakBytes),
    ),
    scaleLine(
      `**peak memory of the reader**, GB (goal: under ${gigabytes(GOAL_BYTES)} for 50 million)`,
      (scale) => gigabytes(scale.peakBytes),
    ),
    scaleLine('... bytes an object', ({ peakBytes, objects }) => count(peakBytes / objects)),
    scaleLine('the two largest suspects', ({ suspects }) => suspects.slice(0, 2).join(', ')),
    ...WAYS.map(wayLine),
  ];
}

export async function runScaleBench(): Promise<void> {
  compileBench();
  await runBenchPage({
    name: 'scale',
    command: 'npm run bench -- --scale',
    target:
      'tests/bench/heap.py; between the captures it gains 20 000 orders and events. One run; in-process ways are given up above a minute.',
    head: [
      `| | ${MILLIONS.map((millions) => `${millions} M`).join(' | ')} |`,
      `| --- | ${MILLIONS.map(() => '---:').join(' | ')} |`,
    ],
    measure: async (python) => {
      const rows: Row[] = [];
      const given = new Set<Way>();
      for (const millions of MILLIONS) rows.push(await measureAt(millions, python, given));
      return formatRows(rows);
    },
  });
}
