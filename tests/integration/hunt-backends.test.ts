// What a backend has, hunted as a user would: leaks of the kinds that people write, named by holder, counted as the program
// counts them, with advice that fits; and healthy programs whose memory moves. See tests/programs/trials.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type HuntReport, huntSchema } from '../../src/report/schemas.ts';
import { runJson } from '../support/command-line.ts';
import { onePythonPerMinor, startPython, type TestPython } from '../support/pythons.ts';

interface Truth {
  leak: boolean;
  type?: string;
  /** Regular expression. */
  holder?: string;
}

const PROGRAMS = fileURLToPath(new URL('../programs/trials/', import.meta.url));
const pythons = onePythonPerMinor();
/** Every program runs on this version, or the newest there is; a few on the oldest and the newest. */
const usual = pythons.find((python) => python.minor === '3.12') ?? pythons.at(-1);
const folder = mkdtempSync(join(tmpdir(), 'leakscope-hunt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Hunted {
  truth: Truth;
  report: HuntReport;
  /** Per round: what the program itself counted. */
  counted: number[];
}

/** `theme`: the file that the program is in. */
async function hunt(python: TestPython, theme: string, name: string): Promise<Hunted> {
  const journal = join(folder, `${name}-${python.minor}`);
  const running = await startPython<Truth>(python, `${PROGRAMS}${theme}.py`, {
    args: [name, journal],
    // Beside the program.
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  });
  try {
    const report = await runJson(huntSchema, 'hunt', `${running.pid}`, '--every', '1s');
    const lines = readFileSync(journal, 'latin1').trim().split('\n');
    const notes = lines.map((line) => line.split(' ').map(Number));
    const countAt = (at: string) =>
      notes.findLast(([second]) => second <= Date.parse(at) / 1000)?.[1] ?? 0;
    const counts = report.captures.map((capture) => countAt(capture.at));
    const counted = counts.slice(1).map((count, i) => count - counts[i]);
    return { truth: running.ready, report, counted };
  } finally {
    await running.stop();
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

async function expectLeak(
  python: TestPython,
  theme: string,
  name: string,
  advice: RegExp,
): Promise<void> {
  const { truth, report, counted } = await hunt(python, theme, name);
  const { verdict, suspects } = report;
  expect({ verdict, holders: suspects.map(({ holder }) => holder) }).toEqual({
    verdict: 'leak',
    holders: [expect.stringMatching(truth.holder as string)],
  });
  const [suspect] = suspects;
  const types = [suspect.type, ...suspect.contents.map((content) => content.type)];
  expect(types).toContain(truth.type);
  expect(suspect.advice).toMatch(advice);
  // Of a few kilobytes, what the program does besides is a large part.
  if (suspect.bytes > 20_000) expect(suspect.explains).toBeGreaterThan(0.4);
  if (suspect.measure === 'bytes') return;
  const real = sum(counted);
  expect(Math.abs(suspect.count - real), `${suspect.count} of ${real}`).toBeLessThanOrEqual(
    Math.max(3, real * 0.05),
  );
}

async function expectNoLeak(python: TestPython, name: string): Promise<void> {
  const { report } = await hunt(python, 'healthy', name);
  const { verdict, summary, suspects } = report;
  expect({ verdict, shapes: suspects.map(({ shape }) => shape) }, summary).toEqual({
    verdict: 'no-leak',
    shapes: [],
  });
}

const LEAKS: [theme: string, name: string, advice: RegExp][] = [
  [
    'references',
    'signal_closures',
    /`receivers` is named in __main__\.Signal\.__init__ at .*Signal\.connect at/,
  ],
  [
    'references',
    'weak_key_holds_itself',
    /the value, which refers to its own key\. `sessions_by_key` is named/,
  ],
  ['references', 'finalizers', /Nothing is removed from `kept`/],
  ['references', 'wrapped_again', /decorated or patched again and again/],
  ['concurrency', 'contextvar_list', /Nothing is removed from `steps`/],
  ['concurrency', 'thread_locals', /Nothing is removed from `seen`/],
  ['concurrency', 'threads_never_end', /They run __main__\.threads_never_end\.<locals>\.poll at/],
  ['concurrency', 'timers', /wait for something that does not come/],
  ['concurrency', 'queue_without_consumer', /Nothing is removed from `jobs`/],
  ['stores', 'cached_properties', /What is added under `customers` stays/],
  ['stores', 'datetimes', /Nothing is removed from `seen_at`/],
  ['stores', 'growing_array', /One array\.array gets longer and longer: `samples`/],
  ['stores', 'flags_of_shared_values', /Nothing is removed from `flags`/],
  ['references', 'default_argument', /A default is made once .* what __main__\.collect at .* adds/],
  ['stores', 'logger_per_request', /logging\.getLogger\(\) keeps every logger/],
  ['stores', 'warnings_registry', /./],
  ['stores', 'dynamic_modules', /Modules stay in sys\.modules/],
  ['references', 'mock_calls', /^A Mock keeps every call/],
  ['references', 'tee_behind', /^`audit`, an iterator of itertools\.tee\(\), is behind/],
  ['references', 'exit_stack', /^An ExitStack keeps what it was given .* `resources` is named in/],
  [
    'references',
    'errors_chained',
    /refers to the one before \(__cause__.*last error in `last_error`/,
  ],
];

const HEALTHY = [
  'ring_in_list',
  'histogram',
  'ttl_short',
  'ttl_full',
  'batches',
  'cursors',
  'loads_once',
  'tasks_discarded',
  'timeouts',
  'regular_expressions',
  'classes_collected',
  'grows_then_plateau',
];

describe.skipIf(usual === undefined)('a leak is named and counted', () => {
  test.each(LEAKS)('%s: %s', (theme, name, advice) =>
    expectLeak(usual as TestPython, theme, name, advice),
  );
});

describe.skipIf(usual === undefined)('what is healthy is no leak', () => {
  test.each(HEALTHY)('%s', (name) => expectNoLeak(usual as TestPython, name));

  test('a cache that fills ever more slowly is not called a leak', async () => {
    const { report } = await hunt(usual as TestPython, 'healthy', 'warm_up_of_cache');

    expect(report.verdict).not.toBe('leak');
  });
});

describe('the oldest and the newest Python', () => {
  const ends = [...new Set([pythons[0], pythons.at(-1)])].filter((each) => each !== undefined);
  test.each(ends.map((python) => ({ name: python.name, python })))('$name', async ({ python }) => {
    await expectLeak(
      python,
      'stores',
      'cached_properties',
      /What is added under `customers` stays/,
    );
    await expectLeak(python, 'concurrency', 'thread_locals', /Nothing is removed from `seen`/);
    await expectNoLeak(python, 'ring_in_list');
  });
});
