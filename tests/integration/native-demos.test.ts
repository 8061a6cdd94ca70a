// The demos that compile an extension module: ready, losing what they say they lose, and nothing left behind. What hunt
// says about them is tested with hunt.

import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { valgrindSchema } from '../../src/report/native-sites-schema.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { finishCommand, runCommand, startCommand, untilStderr } from '../support/command-line.ts';
import { findHeaders, findPythonForExtensions, hasTool } from '../support/native-extensions.ts';
import { describeEachPython, startPython, type TestPython } from '../support/pythons.ts';

const FOLDER = fileURLToPath(new URL('../../demos/', import.meta.url));
const DEMOS = ['native_lost', 'missing_decref'];

interface Ready {
  pid: number;
  language: string;
}

const workFolders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('leakscope-demo-'));

async function runDemo(python: TestPython, demo: string, env: Record<string, string> = {}) {
  const before = workFolders();
  const target = await startPython<Ready>(python, `${FOLDER}${demo}.py`, {
    env: { LEAKSCOPE_DEMO_SECONDS: '0.5', ...env },
  });
  const counted = JSON.parse(await target.nextLine()) as { blocks: number; bytes: number };
  await expect(target.nextLine()).rejects.toThrow('the program ended');
  const isClean = () => workFolders().every((name) => before.includes(name));
  expect({ stderr: target.stderr(), isClean: await becomesTrue(isClean, 5000) }).toEqual({
    stderr: '',
    isClean: true,
  });
  return { ready: target.ready, counted };
}

describeEachPython('the demos that compile', (python) => {
  if (findHeaders(python) !== undefined && hasTool('gcc')) {
    test('are ready, work and leave no folder behind', async () => {
      for (const demo of DEMOS) {
        const { ready, counted } = await runDemo(python, demo, { LEAKSCOPE_DEMO_CYTHON: '0' });
        expect(ready.language).toBe('c');
        expect(counted.blocks).toBeGreaterThan(10);
      }
    });
  } else {
    test('say what is missing', async () => {
      const start = startPython(python, `${FOLDER}native_lost.py`);
      await expect(start).rejects.toThrow(
        /Python\.h is missing: apt-get install python3-dev|no C compiler/,
      );
    });
  }
});

const extensions = findPythonForExtensions();

describe('with Cython', () => {
  test.runIf(extensions?.hasCython)('the class is made of the .pyx file', async () => {
    const { ready } = await runDemo(extensions!.python, 'native_lost');
    expect(ready.language).toBe('cython');
  });
});

describe('the command line', () => {
  test('lists them and takes hyphens for underscores', async () => {
    const { stdout } = await runCommand('demo', '--list');
    for (const demo of [...DEMOS, 'freed']) expect(stdout).toContain(`${demo} `);

    const child = startCommand(['demo', 'native-lost', '--snapshots', '2', '--progress']);
    const finished = finishCommand(child);
    await untilStderr(child, /demos\/native_lost\.py/);
    child.kill('SIGINT');
    expect((await finished).code).toBe(130);
  });

  const canCheck = extensions !== undefined && hasTool('valgrind') && hasTool('gcc');
  test.runIf(canCheck)('valgrind finds the reference that is not given up', async () => {
    const demo = `${FOLDER}missing_decref.py`;
    const args = ['valgrind', '--json', '--', ...extensions!.python.command, demo];
    const env = { ...extensions!.python.env, LEAKSCOPE_DEMO_SECONDS: '1' };
    const { code, stdout, stderr } = await finishCommand(startCommand(args, { env }));

    const report = valgrindSchema.parse(JSON.parse(stdout));
    const counted = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { blocks: number };
    expect({ code, verdict: report.verdict }).toEqual({ code: 1, verdict: 'leak' });
    expect(report.sites[0]).toMatchObject({
      function: 'checksum',
      module: 'checksum',
      // Its caller is not on the stack where that was a tail call.
      allocator: expect.stringMatching(/^Py(Unicode_AsUTF8String|Bytes_FromStringAndSize)$/),
      makesObject: true,
    });
    // The last one is still pointed at from somewhere on the stack, at times.
    expect(counted.blocks - report.sites[0].blocks).toBeLessThanOrEqual(2);
    expect(report.sites[0].blocks).toBeLessThanOrEqual(counted.blocks);
  });
});
