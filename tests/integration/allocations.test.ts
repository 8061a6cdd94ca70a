// tracemalloc read from outside, compared with what the target's own tracemalloc says: every trace with its size, domain
// and traceback, on every Python, with and without symbols. See tests/programs/traced.py.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { SaxesParser } from 'saxes';
import { afterEach, describe, expect, test } from 'vitest';
import { findAllocationSite } from '../../src/analysis/allocation-sites.ts';
import { captureHeap, openCapture } from '../../src/capture/capture-heap.ts';
import { readSnapshotFile, writeSnapshotFile } from '../../src/capture/snapshot-file.ts';
import type { PythonRuntime } from '../../src/cpython/find-runtime.ts';
import { areTablesLocked } from '../../src/cpython/tracemalloc-state.ts';
import { type AllocationTraces, framesOf } from '../../src/graph/allocation-traces.ts';
import { findNodeAt, type HeapGraph } from '../../src/graph/heap-graph.ts';
import type { LiveTarget } from '../../src/memory/freeze.ts';
import { allocationsSchema } from '../../src/report/allocations-schema.ts';
import { showSchema } from '../../src/report/schemas.ts';
import { runCommand, runJson } from '../support/command-line.ts';
import { huntRounds } from '../support/hunting.ts';
import {
  describeEachPython,
  onePythonPerMinor,
  type RunningPython,
  startPython,
} from '../support/pythons.ts';
import { withRuntime } from '../support/runtimes.ts';

const PROGRAM = fileURLToPath(new URL('../programs/traced.py', import.meta.url));
/** What the target allocates and frees between the capture and its own snapshot. */
const MAX_CHANGED = 12;
const MAX_CHANGED_BYTES = 6000;

type Frame = [file: string, line: number];

interface Ready {
  pid: number;
  places: Record<string, [id: number, site: Frame | null]>;
  plainLine: number;
}

interface Truth {
  rows: [domain: number, size: number, frames: Frame[]][];
  traced: number;
  peak: number;
  own: number;
  tops: Record<string, [file: string, line: number, bytes: number, count: number][]>;
}

let running: RunningPython<Ready> | undefined;
const folder = mkdtempSync(`${tmpdir()}/leakscope-allocations-`);
afterEach(() => running?.stop());
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

async function tellTruth(target: RunningPython<Ready>): Promise<Truth> {
  target.send('');
  return JSON.parse(await target.nextLine()) as Truth;
}

async function readTraces(pid: number): Promise<{ traces: AllocationTraces; method: string }> {
  const live = openCapture(pid);
  try {
    const { traces, capture } = await live.captureTraces();
    if (traces === undefined) throw new Error(JSON.stringify(capture.tracer));
    expect(capture.problems).toEqual([]);
    return { traces, method: capture.method.at(-1) ?? '' };
  } finally {
    live.close();
  }
}

/** `domain size file:line file:line ...` of each trace. */
const textsOf = (traces: AllocationTraces): string[] => {
  const frames = [...traces.firstFrame.slice(1).keys()].map((row) =>
    framesOf(traces, row)
      .map(({ file, line }) => `${file}:${line}`)
      .join(' '),
  );
  return [...traces.traceSize].map(
    (size, row) => `${traces.traceDomain[row]} ${size} ${frames[traces.traceTraceback[row]]}`,
  );
};

const textsOfTruth = ({ rows }: Truth): string[] =>
  rows.map(
    ([domain, size, frames]) =>
      `${domain} ${size} ${frames.map(([file, line]) => `${file}:${line}`).join(' ')}`,
  );

/** How many texts one side has and the other lacks, as multisets. */
function countDifferences(found: readonly string[], expected: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const text of expected) counts.set(text, (counts.get(text) ?? 0) + 1);
  for (const text of found) counts.set(text, (counts.get(text) ?? 0) - 1);
  return [...counts.values()].reduce((sum, count) => sum + Math.abs(count), 0);
}

describeEachPython(
  'tracemalloc',
  (python) => {
    test.each([
      { frames: 1, further: [] },
      { frames: 10, further: ['domains'] },
    ])(
      'has the traces that the target sees itself, $frames frames',
      async ({ frames, further }) => {
        running = await startPython<Ready>(python, PROGRAM, {
          args: [`${frames}`, '300', ...further],
        });

        const { traces, method } = await readTraces(running.pid);
        const truth = await tellTruth(running);

        const { facts } = traces;
        expect(facts.maxFrames).toBe(frames);
        expect(traces.traceSize.reduce((sum, size) => sum + size, 0)).toBe(facts.tracedBytes);
        expect(countDifferences(textsOf(traces), textsOfTruth(truth))).toBeLessThan(MAX_CHANGED);
        expect(Math.abs(facts.tracedBytes - truth.traced)).toBeLessThan(MAX_CHANGED_BYTES);
        // What tracemalloc says of itself leaves out tracebacks, of which it keeps all that there ever were, and (3.9) traces.
        const inTables = Number(python.minor !== '3.8') * 16 * traces.traceSize.length;
        const inTracebacks = traces.frameSite.length * 12 + traces.firstFrame.length * 12;
        const own = facts.tracerBytes - inTables - inTracebacks;
        expect(own).toBeGreaterThan(truth.own - MAX_CHANGED_BYTES);
        expect(own).toBeLessThan(truth.own * 1.5 + MAX_CHANGED_BYTES);
        if (facts.peakBytes !== undefined) {
          expect(Math.abs(facts.peakBytes - truth.peak)).toBeLessThan(MAX_CHANGED_BYTES);
        }
        const domains = [...new Set(traces.traceDomain)].sort((a, b) => a - b);
        expect(domains).toEqual(further.length > 0 ? [0, 7, 389047] : [0]);
        expect(method).toMatch(/^tracemalloc by/);
      },
    );

    test('tells where an object was allocated, as the target does, also from a file', async () => {
      running = await startPython<Ready>(python, PROGRAM, { args: ['3'] });
      const { places, plainLine } = running.ready;

      const graph = await captureHeap(running.pid);

      const truth = Object.fromEntries(
        Object.entries(places).map(([name, [, site]]) => [name, site]),
      );
      // 3.11 itself looks for instances with a managed dict at the wrong address.
      if (python.minor === '3.11') truth.plain = [PROGRAM, plainLine];
      const path = `${folder}/${python.name}.lscope`;
      await writeSnapshotFile(path, graph);
      for (const each of [graph, readSnapshotFile(path)]) {
        expect(sitesOf(each, places)).toEqual(truth);
      }
      expect(truth.plain?.[1]).toBe(plainLine);
      expect(findAllocationSite(graph, nodeOf(graph, places.plain[0]))?.[0].function).toBe(
        'make_plain',
      );
      expect(graph.capture.problems.filter(({ kind }) => /trace/.test(kind))).toEqual([]);
    });
  },
  { all: true },
);

const nodeOf = (graph: HeapGraph, id: number): number => {
  const node = findNodeAt(graph, id);
  if (node === undefined) throw new Error(`no object at ${id}`);
  return node;
};

const sitesOf = (graph: HeapGraph, places: Ready['places']): Record<string, Frame | null> =>
  Object.fromEntries(
    Object.entries(places).map(([name, [id]]) => {
      const site = findAllocationSite(graph, nodeOf(graph, id))?.[0];
      return [name, site === undefined ? null : [site.file, site.line]];
    }),
  );

const LEAK = `
import json, os, sys, tracemalloc
tracemalloc.start(4)
class Ticket:
    def __init__(self, number):
        self.number = number
        self.text = "ticket %d" % number
def open_ticket(number):
    return Ticket(number)
class Node:
    pass
def make_cycle():
    node = Node()
    node.itself = node
kept = []
if "cycles" in sys.argv:
    import gc
    gc.disable()
print(json.dumps({"pid": os.getpid()}), flush=True)
number = 0
for line in sys.stdin:
    for _ in range(500):
        number += 1
        if "cycles" in sys.argv:
            make_cycle()
        else:
            kept.append(open_ticket(number))
    print("{}", flush=True)
`;
const lineOf = (text: string): number =>
  LEAK.split('\n').findIndex((line) => line.includes(text)) + 1;

describeEachPython('a hunt while tracemalloc is on', (python) => {
  test('names the line at which the leaked objects are made', async () => {
    const target = await startPython(python, LEAK);
    running = target as RunningPython<Ready>;

    const report = await huntRounds(target.pid, async () => {
      target.send('go');
      await target.nextLine();
    });

    const suspect = report.suspects.find(({ type }) => /Ticket$/.test(type));
    expect(suspect?.verdict).toBe('leaking');
    expect(suspect?.allocatedAt?.slice(0, 2)).toEqual([
      { file: '<string>', line: lineOf('return Ticket'), function: 'open_ticket' },
      { file: '<string>', line: lineOf('kept.append'), function: '<module>' },
    ]);
  });

  test('takes what the tracer itself needs for no leak, and says how much it is', async () => {
    const target = await startPython(python, LEAK);
    running = target as RunningPython<Ready>;

    const report = await huntRounds(target.pid, async () => {
      for (let i = 0; i < 10; i++) {
        target.send('go');
        await target.nextLine();
      }
    });

    expect(report.suspects.map(({ kind }) => kind)).toEqual(['retained']);
    const tracer = report.findings.find(({ kind }) => kind === 'tracer');
    expect(tracer?.bytes).toBeGreaterThan(65_536);
  });
});

const BUSY = `
import json, os, sys, threading, time, tracemalloc
tracemalloc.start(2)
kept = {}
def work(seed):
    number = seed
    while True:
        number += 8
        # Grows and shrinks, so that the tracer's tables are made anew all the time.
        kept[number] = [str(number), number]
        if len(kept) > 60_000:
            kept.clear()
for seed in range(4):
    threading.Thread(target=work, args=(seed,), daemon=True).start()
while len(kept) < 1000:
    time.sleep(0.001)
print(json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.readline()
os._exit(0)
`;

describeEachPython(
  'a program that allocates all the time',
  (python) => {
    test('is stopped when its tables are in order', async () => {
      running = await startPython<Ready>(python, BUSY);
      const live = openCapture(running.pid);
      const wrong: unknown[] = [];
      for (let i = 0; i < 12; i++) {
        const { traces, capture } = await live.captureTraces();
        const sum = traces?.traceSize.reduce((total, size) => total + size, 0) ?? 0;
        // A block that is just being recorded may be in one and not in the other.
        const isOff = Math.abs(sum - (traces?.facts.tracedBytes ?? 0)) > 100_000;
        const missed = capture.problems.reduce((total, { count }) => total + count, 0);
        if (traces === undefined || isOff || missed > 1)
          wrong.push([capture.tracer, capture.problems]);
      }
      live.close();
      expect(wrong).toEqual([]);
    });
  },
  { all: true, minors: ['3.8', '3.11', '3.12', '3.15'] },
);

const SNAPSHOTS = `
import json, os, sys, threading, time, tracemalloc
tracemalloc.start()
kept = [[number] for number in range(200_000)]
def work():
    while True:
        tracemalloc._get_traces()
        time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
print(json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.readline()
os._exit(0)
`;

describeEachPython('the lock of the tables', (python) => {
  test('is seen to be taken while the target copies them, and free in between', async () => {
    running = await startPython<Ready>(python, SNAPSHOTS);
    const seen = withRuntimeFor(running.pid, 20_000, (target, runtime) =>
      areTablesLocked(target.memory, runtime),
    );
    expect(seen).toEqual(new Set([true, false]));
  });
});

/** What `ask` says until it has said two things, asked for at most so many milliseconds. */
const withRuntimeFor = <T>(
  pid: number,
  limitMs: number,
  ask: (target: LiveTarget, runtime: PythonRuntime) => T,
): Set<T> =>
  withRuntime(pid, (target, runtime) => {
    const seen = new Set<T>();
    const end = performance.now() + limitMs;
    while (seen.size < 2 && performance.now() < end) seen.add(ask(target, runtime));
    return seen;
  });

const newest = onePythonPerMinor().at(-1)!;

describe('with a Python of one version', () => {
  test('a hunt tells where cyclic garbage is made', async () => {
    const target = await startPython(newest, LEAK, { args: ['cycles'] });
    running = target as RunningPython<Ready>;

    const report = await huntRounds(target.pid, async () => {
      target.send('go');
      await target.nextLine();
    });

    const suspect = report.suspects.find(({ kind }) => kind === 'cycles');
    expect(suspect?.allocatedAt?.[0].line).toBe(lineOf('node = Node()'));
  });

  test.each(['debug', 'malloc', 'malloc_debug', 'pymalloc'])(
    'PYTHONMALLOC=%s does not move the traces of objects',
    async (allocator) => {
      running = await startPython<Ready>(newest, PROGRAM, {
        args: ['2'],
        env: { PYTHONMALLOC: allocator, PYTHONTRACEMALLOC: '2' },
      });
      const { places } = running.ready;
      const graph = await captureHeap(running.pid);
      const found = sitesOf(graph, { plain: places.plain, list: places.list, str: places.str });
      expect(found).toEqual({
        plain: places.plain[1],
        list: places.list[1],
        str: places.str[1],
      });
    },
  );

  test('the command line lists what the target lists itself', async () => {
    running = await startPython<Ready>(newest, PROGRAM, { args: ['5'] });
    const { pid, ready } = running;
    const list = async (...args: string[]) => {
      const report = await runJson(allocationsSchema, 'allocations', `${pid}`, '-n', '10', ...args);
      return report.top.map((row) => [row.file, row.line ?? 0, row.bytes, row.count]);
    };
    const found = {
      lines: await list(),
      files: await list('--by', 'file'),
      inside: await list('--include', '*/traced.py'),
      outside: await list('--exclude', '*/tra[a-d]ed.py'),
      line: await list('--include', `*/traced.py:${ready.plainLine}`),
      anywhere: await list('--include', '*/traced.py', '--all-frames'),
      nowhere: await list('--exclude', '*/traced.py', '--all-frames'),
    };
    const { tops } = await tellTruth(running);

    for (const [name, rows] of Object.entries(tops)) {
      const own = found[name as keyof typeof found];
      // What its own questions have made.
      if (rows.every(([, , , count]) => count < MAX_CHANGED)) continue;
      expect([name, own[0]?.slice(0, 2)]).toEqual([name, rows[0].slice(0, 2)]);
      for (const [i, [file, line, bytes, count]] of rows.slice(0, 3).entries()) {
        const same = own.find((row) => row[0] === file && row[1] === line);
        const wrong = [`${name} ${i}`, Number(same?.[2]) - bytes, Number(same?.[3]) - count];
        expect(Math.abs(Number(wrong[1])), `${wrong}`).toBeLessThan(2000);
        expect(Math.abs(Number(wrong[2])), `${wrong}`).toBeLessThan(MAX_CHANGED);
      }
    }
    expect(found.nowhere.some(([file]) => `${file}`.endsWith('traced.py'))).toBe(false);
  });

  test('source lines, growth, one object, a flame graph and a speedscope file', async () => {
    const target = await startPython(newest, LEAK);
    running = target as RunningPython<Ready>;
    const grow = async () => {
      target.send('go');
      await target.nextLine();
    };
    const file = (name: string) => `${folder}/${name}`;
    await grow();
    expect((await runCommand('capture', `${target.pid}`, '-o', file('a.lscope'))).code).toBe(0);
    await grow();

    const report = await runJson(
      allocationsSchema,
      ...['allocations', file('a.lscope'), `${target.pid}`, '--by', 'traceback'],
      ...['--flamegraph', file('grown.svg'), '--speedscope', file('grown.json')],
    );
    const made = report.top.find(
      ({ traceback }) => traceback?.[0].line === lineOf('return Ticket'),
    );
    expect(made?.countGrowth).toBe(500);
    expect(made?.traceback?.map(({ line }) => line)).toEqual([
      lineOf('return Ticket'),
      lineOf('kept.append'),
    ]);
    expect(report.total.bytesGrowth).toBeGreaterThan(50_000);

    const texts = parseSvgTexts(readFileSync(file('grown.svg'), 'utf8'));
    expect(texts.some((text) => text.includes(`<string>:${lineOf('return Ticket')}`))).toBe(true);
    const scope = JSON.parse(readFileSync(file('grown.json'), 'utf8'));
    const [profile] = scope.profiles;
    expect(profile.weights.reduce((a: number, b: number) => a + b, 0)).toBe(profile.endValue);
    expect(Math.max(...profile.samples.flat())).toBe(scope.shared.frames.length - 1);

    const graph = readSnapshotFile(file('a.lscope'));
    const ticket = [...graph.typeId.keys()].find((node) =>
      /Ticket$/.test(graph.types[graph.typeId[node]].name),
    );
    const address = `0x${graph.address[ticket ?? 0].toString(16)}`;
    const one = await runJson(
      allocationsSchema,
      'allocations',
      file('a.lscope'),
      '--object',
      address,
    );
    expect(one.object?.traceback?.[0]).toMatchObject({
      line: lineOf('return Ticket'),
      function: 'open_ticket',
    });
    const shown = await runJson(showSchema, 'show', file('a.lscope'), address);
    expect(shown.object.allocatedAt?.[0].line).toBe(lineOf('return Ticket'));
  });

  test('text output shows the source of a file that is as old as the program', async () => {
    running = await startPython<Ready>(newest, PROGRAM, { args: ['1'] });
    const { stdout, code } = await runCommand(
      'allocations',
      `${running.pid}`,
      '--include',
      '*/traced.py',
    );
    expect(code).toBe(0);
    expect(stdout).toContain('tracemalloc is on, 1 frame per traceback');
    expect(stdout).toContain(`traced.py:${running.ready.plainLine}`);
  });

  test('a tracer that is off is told in one sentence, and stops nothing', async () => {
    running = await startPython<Ready>(newest, PROGRAM, { args: ['0'] });
    const { stdout, stderr, code } = await runCommand('allocations', `${running.pid}`);
    expect({ code, stderr }).toEqual({ code: 5, stderr: '' });
    expect(stdout).toContain('tracemalloc is off');
    expect(stdout).toContain('PYTHONTRACEMALLOC');
    expect(stdout).not.toContain('paused');
    const report = await runJson(allocationsSchema, 'allocations', `${running.pid}`);
    expect(report).toMatchObject({ tracing: false, tracer: null, top: [] });

    const graph = await captureHeap(running.pid);
    expect(graph.traces).toBeUndefined();
    expect(graph.capture.tracer).toEqual({ state: 'off' });
  });
});

/** Texts and titles; throws unless it is well-formed XML. */
function parseSvgTexts(svg: string): string[] {
  const texts: string[] = [];
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('text', (text) => texts.push(text));
  parser.write(svg).close();
  return texts;
}
