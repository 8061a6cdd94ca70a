// `leakscope heaptrack` on extensions that count what they lose. It sees what was not freed, exactly; whether that is a
// leak it says only where it grew in every quarter of the run.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type HeaptrackReport,
  heaptrackSchema,
  type NativeSite,
} from '../../src/report/native-sites-schema.ts';
import {
  type CommandResult,
  finishCommand,
  runCommand,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import {
  compileExtension,
  findPythonForExtensions,
  hasTool,
  LOSE,
} from '../support/native-extensions.ts';

const LOSE_SLOWLY = join(dirname(LOSE), 'lose_slowly.py');
const extensions = findPythonForExtensions();
const hasHeaptrack = hasTool('heaptrack');
const canRun = extensions !== undefined && hasHeaptrack && hasTool('gcc') && hasTool('g++');

let folder: string;
let environment: NodeJS.ProcessEnv;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-test-heaptrack-'));
  environment = { TMPDIR: mkdtempSync(join(folder, 'tmp-')) };
  if (!canRun) return;
  const { python, hasCython } = extensions;
  compileExtension(python, 'c_losses.c', folder);
  compileExtension(python, 'cpp_losses.cpp', folder);
  if (hasCython) compileExtension(python, 'cy_losses.pyx', folder);
  const paths = [folder, python.env.PYTHONPATH].filter((path) => path !== undefined);
  environment = { ...environment, ...python.env, PYTHONPATH: paths.join(':') };
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...args: string[]): Promise<CommandResult> =>
  finishCommand(startCommand(['heaptrack', ...args], { env: environment }));

const check = (program: string, ...args: string[]): Promise<CommandResult> =>
  run('--json', '--', ...extensions!.python.command, program, ...args);

function parse({ stdout, stderr }: CommandResult): HeaptrackReport {
  if (stdout === '') throw new Error(`no report: ${stderr}`);
  return heaptrackSchema.parse(JSON.parse(stdout));
}

function findCounted(stderr: string): Record<string, { blocks: number; bytes: number }> {
  const line = stderr.split('\n').find((each) => each.startsWith('{'));
  return (JSON.parse(line ?? '') as { counts: Record<string, { blocks: number; bytes: number }> })
    .counts;
}

const findSite = (report: HeaptrackReport, name: RegExp): NativeSite | undefined =>
  report.sites.find((site) => name.test(site.function ?? ''));

const expectNothingLeft = (): void => {
  const names = readdirSync(environment.TMPDIR as string);
  expect(names.filter((name) => !name.startsWith('tsx-'))).toEqual([]);
};

describe.runIf(canRun)('what was not freed', () => {
  test('in C: blocks and bytes are exact, but a short run does not tell lost from kept', async () => {
    const result = await check(LOSE, 'c_losses.lose:500:24', 'c_losses.give_back:100');

    const report = parse(result);
    const { blocks, bytes } = findSite(report, /^lose$/)!;
    expect({ blocks, bytes }).toEqual(findCounted(result.stderr).c_losses);
    expect(findSite(report, /^give_back$/)).toBeUndefined();
    expect({ code: result.code, verdict: report.verdict }).toEqual({
      code: 5,
      verdict: 'inconclusive',
    });
    expect(report.nextMeasurement).toContain('leakscope valgrind');
    expectNothingLeft();
  });

  test('in C++: at the lines of the extension', async () => {
    const result = await check(LOSE, 'cpp_losses.lose_matrix:300:1000');

    const sites = parse(result).sites.filter((site) => /cpp_losses\.cpp$/.test(site.file ?? ''));
    expect({
      blocks: sites.reduce((sum, site) => sum + site.blocks, 0),
      bytes: sites.reduce((sum, site) => sum + site.bytes, 0),
    }).toEqual(findCounted(result.stderr).cpp_losses);
  });

  test.runIf(extensions?.hasCython)('in Cython: as Python calls it', async () => {
    const result = await check(LOSE, 'cy_losses.lose_grid:400:500');

    const site = parse(result).sites.find((each) => each.python === 'cy_losses.Grid.__cinit__');
    expect({ blocks: site?.blocks, bytes: site?.bytes }).toEqual(
      findCounted(result.stderr).cy_losses,
    );
  });

  test('objects of extensions are seen with --malloc', async () => {
    const args = [...extensions!.python.command, LOSE, 'c_losses.forget_bytes:300'];
    const result = await run('--malloc', '--json', '--', ...args);

    const { blocks, bytes } = findSite(parse(result), /^forget_bytes$/)!;
    expect({ blocks, bytes }).toEqual(findCounted(result.stderr).c_losses);
  });

  test('a program without extensions leaks nothing', async () => {
    const { code, stdout } = await run('--', ...extensions!.python.command, '-c', 'import json');

    expect(code).toBe(0);
    expect(stdout).toContain('NO LEAK');
  });
});

describe.runIf(canRun)('growth', () => {
  test('in every quarter of the run is a leak; what was kept from the beginning is none', async () => {
    const result = await check(LOSE_SLOWLY, '3');

    const report = parse(result);
    expect({ code: result.code, verdict: report.verdict }).toEqual({ code: 1, verdict: 'leak' });
    expect(report.sites.filter((site) => site.counts).map((site) => site.function)).toEqual([
      'lose',
    ]);
    const { blocks, bytes, history } = report.sites[0];
    expect({ blocks, bytes }).toEqual(findCounted(result.stderr).c_losses);
    expect(history).toEqual([...history!].sort((a, b) => a - b));
    expect(findSite(report, /^keep$/)?.counts).toBe(false);
  });

  test('of a program that a signal ended is not decided', async () => {
    const result = await check(LOSE_SLOWLY, '2.5', 'end=SIGTERM');

    expect({ code: result.code, signal: parse(result).program.signal }).toEqual({
      code: 5,
      signal: 'SIGTERM',
    });
    expectNothingLeft();
  });

  test('Ctrl-C ends the program and gives the result so far', async () => {
    const args = [...extensions!.python.command, LOSE, 'c_losses.lose:100:24', 'end=wait'];
    const child = startCommand(['heaptrack', '--json', '--', ...args], { env: environment });
    const finished = finishCommand(child);
    await untilStderr(child, /"counts"/);
    child.kill('SIGINT');
    const result = await finished;

    const report = parse(result);
    expect(report.program.interrupted).toBe(true);
    expect(findSite(report, /^lose$/)?.blocks).toBe(100);
    expectNothingLeft();
  });
});

describe('what cannot be run', () => {
  const runWith = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    finishCommand(startCommand(args, { env: { ...environment, ...env } }));

  test('without heaptrack', async () => {
    const result = await runWith({ PATH: folder }, 'heaptrack', '--', '/bin/echo');
    expect(result).toMatchObject({ code: 4, stdout: '' });
    expect(result.stderr).toContain('apt-get install heaptrack');
  });

  test('with one that is too old, or not complete', async () => {
    const bin = mkdtempSync(join(folder, 'bin-'));
    const write = (version: string) => {
      writeFileSync(join(bin, 'heaptrack'), `#!/bin/sh\necho heaptrack ${version}\n`);
      chmodSync(join(bin, 'heaptrack'), 0o755);
    };
    write('1.0.0');
    const old = await runWith({ PATH: bin }, 'heaptrack', '--', '/bin/echo');
    write('1.4.0');
    const incomplete = await runWith({ PATH: bin }, 'heaptrack', '--', '/bin/echo');

    expect([old.code, incomplete.code]).toEqual([4, 4]);
    expect(old.stderr).toContain('1.0.0 is too old');
    expect(incomplete.stderr).toContain('is not complete');
  });

  test.runIf(hasHeaptrack)('a program that does not exist, or a shell', async () => {
    const missing = await runCommand('heaptrack', '--', 'no-such-program');
    const shell = await runCommand('heaptrack', '--', 'sh', '-c', 'python3 app.py');

    expect([missing.code, shell.code]).toEqual([2, 2]);
    expect(missing.stderr).toContain('no such program');
    expect(shell.stderr).toContain('would follow the shell');
  });

  test.runIf(hasHeaptrack)('a file that is no program', async () => {
    const file = join(folder, 'text');
    writeFileSync(file, 'this is no program');
    chmodSync(file, 0o755);
    const result = await runWith({}, 'heaptrack', '--', file);

    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('Cannot start');
    expectNothingLeft();
  });

  test.runIf(canRun)('a program that heaptrack does not get into is inconclusive', async () => {
    const [source, program] = [join(folder, 'static.c'), join(folder, 'static')];
    writeFileSync(source, 'int main(void) { return 0; }\n');
    const compiled = spawnSync('gcc', ['-static', source, '-o', program], { encoding: 'utf8' });
    expect(compiled.stderr).toBe('');
    const result = await run('--json', '--', program);

    const report = parse(result);
    expect(result.code).toBe(5);
    expect(report).toMatchObject({ verdict: 'inconclusive', complete: false });
    expect(report.reasons.join()).toContain('linked statically');
    expectNothingLeft();
  });
});
