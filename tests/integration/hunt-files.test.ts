// Hunts over snapshot files: the same verdict as on the process, when that is long gone. See tests/programs/leak_by_step.py.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { huntSchema } from '../../src/report/schemas.ts';
import { runCommand } from '../support/command-line.ts';
import { onePythonPerMinor, startPython, type TestPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/leak_by_step.py', import.meta.url));
const STEP = 400;
const pythons = onePythonPerMinor();
const ends = [...new Set([pythons[0], pythons.at(-1)])].filter((each) => each !== undefined);

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(`${tmpdir()}/leakscope files `);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Four captures of a process that then ends; it leaks between them if `isLeaking`. */
async function captureFour(python: TestPython, name: string, isLeaking: boolean) {
  const running = await startPython<{ pid: number }>(python, PROGRAM);
  const files: string[] = [];
  try {
    running.send('');
    await running.nextLine();
    for (let i = 0; i < 4; i++) {
      if (isLeaking) {
        running.send('');
        await running.nextLine();
      }
      const file = join(folder, `${name}-${i}.lscope`);
      const { code, stderr } = await runCommand('capture', `${running.ready.pid}`, '-o', file);
      expect(code, stderr).toBe(0);
      files.push(file);
    }
  } finally {
    await running.stop();
  }
  return files;
}

describe.each(ends.map((python) => ({ name: python.name, python })))(
  'a hunt over files ($name)',
  ({ name, python }) => {
    test('names the leak of a process that has ended', async () => {
      const files = await captureFour(python, `leak ${name}`, true);
      const { code, stdout, stderr } = await runCommand('hunt', ...files, '--json');

      const { verdict, captures, suspects, next } = huntSchema.parse(JSON.parse(stdout));
      expect({ code, stderr, verdict, captures: captures.length }).toEqual({
        code: 1,
        stderr: '',
        verdict: 'leak',
        captures: 4,
      });
      expect(suspects).toHaveLength(1);
      expect(suspects[0]).toMatchObject({ type: '__main__.Ticket', holder: '__main__.desk.open' });
      expect(suspects[0].perRound.map((round) => round.count)).toEqual([STEP, STEP, STEP]);
      // What is told to be done next can be done: with the file.
      const example = suspects[0].example?.address ?? '';
      expect(next[0]).toBe(`leakscope show '${files[3]}' ${example}`);
      const shown = await runCommand('show', files[3], example);
      expect(shown.stdout).toContain('Ticket');
    });

    test('finds no leak where nothing stayed', async () => {
      const files = await captureFour(python, `still ${name}`, false);
      const { code, stdout } = await runCommand('hunt', ...files, '--json');

      const { verdict, suspects } = huntSchema.parse(JSON.parse(stdout));
      expect({ code, verdict, suspects }).toEqual({ code: 0, verdict: 'no-leak', suspects: [] });
    });
  },
);

describe('a hunt over files that do not belong together', () => {
  let files: string[] = [];
  let others: string[] = [];
  beforeAll(async () => {
    files = await captureFour(ends[0], 'one', true);
    others = await captureFour(ends[0], 'other', true);
  });

  const refusal = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCommand('hunt', ...args);
    return { code, stdout, stderr };
  };

  test('is refused for two processes', async () => {
    expect(await refusal(files[0], others[1])).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/are of different processes.*\n.*leakscope growth/),
    });
  });

  test('is refused for files in another order, and for one twice', async () => {
    for (const pair of [
      [files[1], files[0]],
      [files[0], files[0]],
    ]) {
      expect(await refusal(...pair)).toEqual({
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(/was not captured after .*\nGive the files in the order/),
      });
    }
  });

  test('is refused for one file, for a pid besides, and with what needs a process', async () => {
    const each: [string[], RegExp][] = [
      [[files[0]], /One snapshot file is one moment/],
      [[files[0], '4242'], /there are pids and files/],
      [['4242', '4243'], /2 pids were given/],
      [['--trace', '5', ...files], /Files are hunted as they are/],
    ];
    for (const [args, reason] of each) {
      expect(await refusal(...args)).toEqual({
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(reason),
      });
    }
  });
});
