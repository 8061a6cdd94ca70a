// Programs that leak in a known way, and healthy ones, hunted as a user would: through the command line, as JSON. The
// program prints the truth about itself first. See tests/programs/leaks.py.

import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { type HuntResult, huntByCommand } from '../support/hunting.ts';
import {
  onePythonPerMinor,
  type RunningPython,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

interface Truth {
  leak: boolean;
  kind?: string;
  type?: string;
  holder?: string | null;
}

const PROGRAM = fileURLToPath(new URL('../programs/leaks.py', import.meta.url));
/** Every scenario runs on this version; a few run on all. */
const MINOR = '3.12';

let running: RunningPython<Truth> | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

async function hunt(python: TestPython, scenario: string): Promise<HuntResult & { truth: Truth }> {
  running = await startPython<Truth>(python, PROGRAM, { args: [scenario] });
  const result = await huntByCommand(running.pid, '--every', '1s');
  return { truth: running.ready, ...result };
}

/** Expects the verdict that the program told of itself. */
async function check(python: TestPython, scenario: string): Promise<void> {
  const { truth, report, exitCode } = await hunt(python, scenario);
  const told = { verdict: report.verdict, exitCode, suspects: report.suspects };
  if (!truth.leak) {
    expect(told).toMatchObject({ verdict: 'no-leak', exitCode: 0, suspects: [] });
    return;
  }
  expect(told).toMatchObject({ verdict: 'leak', exitCode: 1 });
  const suspect = report.suspects[0];
  const types = suspect.contents.map((content) => content.type);
  const text = [suspect.type, ...types, ...suspect.path, suspect.holder ?? '', suspect.shape].join(
    ' ',
  );
  expect({ kind: suspect.kind, names: text.includes(`${truth.type}`) }).toEqual({
    kind: truth.kind,
    names: true,
  });
  const lastName = truth.holder?.split('.').at(-1);
  if (lastName !== undefined) expect(text).toContain(lastName);
}

describe('a leak is named by type, holder and kind', () => {
  test.each([
    'registry_dict',
    'slow_dicts',
    'callback_list',
    'unbounded_lru',
    'exceptions_kept',
    'thread_local_list',
    'linked_list',
    'class_attribute_set',
    'generators_kept',
    'uncollected_cycles',
    'pending_tasks',
  ])('%s', async (scenario) => {
    for (const python of onePythonPerMinor().filter((each) => each.minor === MINOR)) {
      await check(python, scenario);
    }
  });
});

describe('a healthy program gets no suspect', () => {
  test.each([
    'healthy_churn',
    'healthy_fill_once',
    'healthy_queue',
    'healthy_sawtooth',
    'healthy_lru',
    'healthy_weak',
  ])('%s', async (scenario) => {
    for (const python of onePythonPerMinor().filter((each) => each.minor === MINOR)) {
      await check(python, scenario);
    }
  });
});

describe('every supported Python', () => {
  test.each(onePythonPerMinor().map((python) => ({ name: python.name, python })))(
    'finds the holder, and no leak where there is none, on $name',
    async ({ python }) => {
      await check(python, 'registry_dict');
      await running?.stop();
      await check(python, 'pending_tasks');
      await running?.stop();
      await check(python, 'healthy_churn');
    },
  );
});
