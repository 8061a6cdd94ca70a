import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { AccessError } from '../base/errors.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { type CaptureSource, huntLive } from './hunt.ts';
import { startJudgeThread } from './hunt-judge.ts';

const refused = (): AccessError =>
  new AccessError({ fact: 'no capture', reason: 'a thread did not stop', next: 'try again' });

/** A process whose captures fail where `fails` says so: by number of the attempt, from 0. */
function source(fails: (attempt: number) => boolean): CaptureSource & { attempts: number[] } {
  const attempts: number[] = [];
  return {
    attempts,
    python: '3.12.1',
    isAlive: true,
    findRssBytes: () => 100e6,
    capture: async (): Promise<HeapGraph> => {
      attempts.push(performance.now());
      if (fails(attempts.length - 1)) throw refused();
      const { graph } = drawGraph('root module app -> app\napp: module 64');
      const at = new Date().toISOString();
      return { ...graph, capture: { ...graph.capture, at, rssBytes: 100e6, coverage: 1 } };
    },
  };
}

const options = (snapshots: number) => ({
  everySeconds: 0.2,
  snapshots,
  signal: new AbortController().signal,
  onProgress: () => {},
});

test('a capture that fails is tried again, told, and does not make the next round short', async () => {
  const live = source((attempt) => attempt === 1);

  const report = await huntLive(live, options(4));

  expect(report.findings).toEqual([
    {
      kind: 'capture-repeated',
      bytes: null,
      text: 'capture 2 failed 1 time and was tried again: a thread did not stop',
    },
  ]);
  expect(report.captures).toHaveLength(4);
  const times = report.captures.map((capture) => Date.parse(capture.at));
  for (let i = 1; i < times.length; i++) {
    expect(times[i] - times[i - 1]).toBeGreaterThanOrEqual(150);
  }
  expect(report.seconds).toBeCloseTo((times[3] - times[0]) / 1000, 2);
});

test('a process that cannot be captured any more is judged on what there is, and the report says why', async () => {
  const live = source((attempt) => attempt >= 2);

  const report = await huntLive(live, options(4));

  expect(report).toMatchObject({ verdict: 'inconclusive' });
  expect(report.reasons).toContain(
    'capture 3 failed (a thread did not stop) after 2 of 4 captures',
  );
});

test('a first capture that fails ends the hunt at once', async () => {
  const live = source(() => true);

  await expect(huntLive(live, options(4))).rejects.toThrow(AccessError);
  expect(live.attempts).toHaveLength(1);
});

/** Three captures of a dict that grows by ten strings each time, and the report on them. */
async function huntGrowing(largeHeapNodes: number, signal = new AbortController().signal) {
  let round = 0;
  const live: CaptureSource = {
    python: '3.12.1',
    isAlive: true,
    findRssBytes: () => 100e6 + round * 1e6,
    capture: async () => {
      const count = 100 + 10 * round++;
      const names = Array.from({ length: count }, (_, i) => `s${i}`);
      const items = names.map((name, i) => `[${i}] -> ${name}`).join(', ');
      const lines = ['root module app -> app', 'app: module 64 .cache -> cache'];
      lines.push(`cache: list 64 ${items}`, ...names.map((name) => `${name}: str 50000`));
      const { graph } = drawGraph(lines.join('\n'));
      const at = new Date(1.7e12 + round * 1000).toISOString();
      const native = undefined;
      return { ...graph, native, capture: { ...graph.capture, at, rssBytes: 1e8, coverage: 1 } };
    },
  };
  const progress: string[] = [];
  const report = await huntLive(live, {
    ...options(4),
    signal,
    everySeconds: 0,
    largeHeapNodes,
    onProgress: (text) => progress.push(text),
  });
  return { ...report, rss: undefined };
}

test('a thread of its own comes to the same report', async () => {
  const [here, there] = [await huntGrowing(Number.POSITIVE_INFINITY), await huntGrowing(0)];

  expect(there).toEqual(here);
  expect(here.suspects.map(({ type, count }) => `${type} ${count}`)).toEqual(['str 30']);
});

test('a hunt that is stopped while its thread compares ends at once', async () => {
  const controller = new AbortController();
  const hunt = huntGrowing(0, controller.signal);
  setTimeout(() => controller.abort(new Error('stopped by the user')), 50);

  await expect(hunt).rejects.toThrow('stopped by the user');
});

test('an error in the thread is the error of the hunt', async () => {
  const judge = startJudgeThread();
  try {
    const { graph } = drawGraph('root module app -> app');
    await judge.add({ ...graph, rootNode: undefined as never });
    await expect(judge.settle()).rejects.toThrow(TypeError);
    await expect(judge.finish([], 1)).rejects.toThrow(TypeError);
  } finally {
    await judge.close();
  }
});
