// `leakscope valgrind` on extensions that count what they lose: in C, C++ and Cython, from 24 B to 2 MB. Per place, blocks
// and bytes are those that the program counted, but for the last block or two, which stale pointers may keep reachable.

import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type NativeSite,
  type ValgrindReport,
  valgrindSchema,
} from '../../src/report/native-sites-schema.ts';
import { becomesTrue } from '../support/becomes-true.ts';
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

const extensions = findPythonForExtensions();
const hasCpp = hasTool('g++');
const canRun = extensions !== undefined && hasTool('valgrind') && hasTool('gcc');

let folder: string;
let environment: NodeJS.ProcessEnv;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-test-native-'));
  // Of its own, so that what is left behind is seen.
  environment = { TMPDIR: mkdtempSync(join(folder, 'tmp-')) };
  if (!canRun) return;
  const { python, hasCython } = extensions;
  compileExtension(python, 'c_losses.c', folder);
  if (hasCpp) compileExtension(python, 'cpp_losses.cpp', folder);
  if (hasCython) compileExtension(python, 'cy_losses.pyx', folder);
  const paths = [folder, python.env.PYTHONPATH].filter((path) => path !== undefined);
  environment = { ...environment, ...python.env, PYTHONPATH: paths.join(':') };
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Counted {
  pid: number;
  counts: Record<string, { blocks: number; bytes: number }>;
}

const startLosing = (options: string[], ...losses: string[]): ChildProcess => {
  const program = [...extensions!.python.command, LOSE, ...losses];
  return startCommand(['valgrind', ...options, '--', ...program], { env: environment });
};

async function checkLosses(...losses: string[]): Promise<{
  report: ValgrindReport;
  counted: Counted['counts'];
  code: number | null;
}> {
  const { code, stdout, stderr } = await finishCommand(startLosing(['--json'], ...losses));
  return { report: parse({ stdout, stderr }), counted: findCounted(stderr), code };
}

function parse({ stdout, stderr }: Pick<CommandResult, 'stdout' | 'stderr'>): ValgrindReport {
  if (stdout === '') throw new Error(`no report: ${stderr}`);
  return valgrindSchema.parse(JSON.parse(stdout));
}

/** The line in which the program says what it lost, untouched between other output. */
function findCounted(stderr: string): Counted['counts'] {
  const line = stderr.split('\n').find((each) => each.startsWith('{'));
  return (JSON.parse(line ?? '') as Counted).counts;
}

const findSite = (report: ValgrindReport, name: RegExp): NativeSite | undefined =>
  report.sites.find((site) => name.test(site.function ?? ''));

/** Of all ways of being lost at one site. */
function sumLosses({ losses }: NativeSite): { blocks: number; bytes: number } {
  const all = [losses.definite, losses.indirect, losses.possible];
  return {
    blocks: all.reduce((sum, loss) => sum + loss.blocks, 0),
    bytes: all.reduce((sum, loss) => sum + loss.bytes, 0),
  };
}

function expectNearly(
  found: { blocks: number; bytes: number },
  counted: { blocks: number; bytes: number },
): void {
  expect(found.blocks).toBeLessThanOrEqual(counted.blocks);
  expect(counted.blocks - found.blocks).toBeLessThanOrEqual(2);
  // Within what the missing blocks are: at most two of an equal share, or of the largest.
  expect(found.bytes / counted.bytes).toBeGreaterThan((counted.blocks - 2) / counted.blocks - 0.01);
  expect(found.bytes).toBeLessThanOrEqual(counted.bytes);
}

const expectNothingLeft = (): void => {
  // tsx keeps its cache there.
  const names = readdirSync(environment.TMPDIR as string);
  expect(names.filter((name) => !name.startsWith('tsx-'))).toEqual([]);
};

describe.runIf(canRun)('an extension in C', () => {
  test.each([
    { size: 24, count: 500 },
    { size: 5000, count: 200 },
    { size: 2_000_000, count: 20 },
  ])('$count blocks of $size B are found at their line', async ({ size, count }) => {
    const { report, counted, code } = await checkLosses(`c_losses.lose:${count}:${size}`);

    const site = findSite(report, /^lose$/);
    expect({ code, verdict: report.verdict }).toEqual({ code: 1, verdict: 'leak' });
    expectNearly(sumLosses(site!), counted.c_losses);
    expect(site).toMatchObject({ kind: 'definite', module: 'c_losses', allocator: 'malloc' });
    expect(site?.file).toMatch(/c_losses\.c$/);
    const source = readFileSync(site!.file!, 'utf8').split('\n');
    expect(source[site!.line! - 1]).toContain('malloc(size)');
    expect(report.sites[0]).toEqual(site);
    expectNothingLeft();
  });

  test('the blocks of lost lists are told apart by what leads to them', async () => {
    const { report, counted } = await checkLosses('c_losses.lose_list:10:20');

    const site = findSite(report, /^lose_list$/);
    expectNearly(sumLosses(site!), counted.c_losses);
    expect(site?.losses.definite.blocks).toBeGreaterThanOrEqual(8);
    expect(site?.losses.definite.blocks).toBeLessThanOrEqual(10);
    expect(site?.holdsBytes).toBe(site?.losses.indirect.bytes);
  });

  test('a missing Py_DECREF is named after the function that made the object', async () => {
    const { report, counted, code } = await checkLosses('c_losses.forget_bytes:300');

    const site = findSite(report, /^forget_bytes$/);
    expect(code).toBe(1);
    expectNearly(sumLosses(site!), counted.c_losses);
    expect(site).toMatchObject({ makesObject: true, allocator: 'PyBytes_FromStringAndSize' });
    expect(site?.advice).toContain('Py_DECREF');
  });

  test('what is kept, given back or made at import is no leak', async () => {
    const { report, code } = await checkLosses(
      'c_losses.keep:100',
      'c_losses.give_back:100',
      'c_losses.make_tuple:200',
    );

    expect({ code, verdict: report.verdict, finalized: report.finalized }).toEqual({
      code: 0,
      verdict: 'no-leak',
      finalized: true,
    });
    expect(
      report.sites.map(({ function: name, once, counts }) => ({ name, once, counts })),
    ).toEqual([{ name: 'prepare', once: true, counts: false }]);
  });

  test("what the program still uses when it ends without freeing it isn't taken for lost", async () => {
    const { report, code } = await checkLosses(
      'c_losses.make_tuple:200',
      'c_losses.lose:50:24',
      'end=os._exit',
    );

    expect({ code, exitCode: report.program.exitCode }).toEqual({ code: 1, exitCode: 3 });
    expect(report.finalized).toBe(false);
    expect(report.sites.filter((site) => site.counts).map((site) => site.function)).toEqual([
      'lose',
    ]);
  });
});

describe.runIf(canRun && hasCpp)('an extension in C++', () => {
  test('vectors are found where the extension made them, not within the library', async () => {
    const { report, counted } = await checkLosses('cpp_losses.lose_matrix:300:1000');

    const holder = findSite(report, /^lose_matrix$/);
    const cells = report.sites.find((site) => site.losses.indirect.blocks > 0);
    expect(holder?.losses.definite.blocks).toBeGreaterThanOrEqual(298);
    expect(cells?.file).toMatch(/cpp_losses\.cpp$/);
    expectNearly(
      {
        blocks: sumLosses(holder!).blocks + sumLosses(cells!).blocks,
        bytes: sumLosses(holder!).bytes + sumLosses(cells!).bytes,
      },
      counted.cpp_losses,
    );
    expect(report.sites[0]).toEqual(holder);
  });

  test('an allocator of its own, inlined, is a function of the extension', async () => {
    const { report, counted } = await checkLosses('cpp_losses.lose_buffer:20:100000');

    const sites = report.sites.filter((site) => /cpp_losses\.cpp$/.test(site.file ?? ''));
    const sums = sites.map(sumLosses);
    expectNearly(
      {
        blocks: sums.reduce((sum, each) => sum + each.blocks, 0),
        bytes: sums.reduce((sum, each) => sum + each.bytes, 0),
      },
      counted.cpp_losses,
    );
  });
});

describe.runIf(canRun && extensions.hasCython)('a class of Cython', () => {
  test('is named as Python calls it, with the line of its source', async () => {
    const { report, counted } = await checkLosses(
      'cy_losses.lose_grid:400:500',
      'cy_losses.Row().grow:1:100',
    );

    const grid = report.sites.find((site) => site.python === 'cy_losses.Grid.__cinit__');
    const row = report.sites.find((site) => site.python === 'cy_losses.Row.grow');
    expectNearly(
      {
        blocks: sumLosses(grid!).blocks + 1,
        bytes: sumLosses(grid!).bytes + 100,
      },
      counted.cy_losses,
    );
    expect(grid?.pythonSource).toBe('cy_losses.pyx:13');
    expect(grid?.advice).toContain('__dealloc__');
    // Its one block may be pointed at by the object that the program still has in its list at the end, freed by then.
    expect(row === undefined || row.blocks <= 1).toBe(true);
  });
});

describe.runIf(canRun)('the run', () => {
  test('Ctrl-C ends the program and gives the result so far', async () => {
    const child = startLosing(['--json', '--progress'], 'c_losses.lose:100:24', 'end=wait');
    const finished = finishCommand(child);
    await untilStderr(child, /"counts"/);
    child.kill('SIGINT');
    const result = await finished;

    const report = parse(result);
    expect({ code: result.code, verdict: report.verdict }).toEqual({ code: 1, verdict: 'leak' });
    expect(report.program).toMatchObject({ interrupted: true, signal: 'SIGINT' });
    expect(findSite(report, /^lose$/)?.blocks).toBeGreaterThanOrEqual(98);
    expect(result.stderr).toMatch(/memcheck runs programs 20 to 50 times slower: \d/);
    expectNothingLeft();
  });

  test('Ctrl-C twice ends everything', async () => {
    const child = startLosing([], 'c_losses.lose:1:24', 'end=wait');
    const finished = finishCommand(child);
    const pid = JSON.parse(
      (await untilStderr(child, /"counts".*\n/)).split('\n').find((line) => line.startsWith('{'))!,
    ).pid as number;
    child.kill('SIGINT');
    await untilStderr(child, /Ctrl-C again/);
    child.kill('SIGINT');
    const { code, stdout } = await finished;

    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(await becomesTrue(() => !isAlive(pid), 3000)).toBe(true);
    expectNothingLeft();
  });

  test('a program that is killed is inconclusive', async () => {
    const child = startLosing(['--json'], 'c_losses.lose:100:24', 'end=wait');
    const finished = finishCommand(child);
    const line = (await untilStderr(child, /"counts".*\n/))
      .split('\n')
      .find((each) => each.startsWith('{'));
    process.kill((JSON.parse(line ?? '') as Counted).pid, 'SIGKILL');
    const result = await finished;

    const report = parse(result);
    expect(result.code).toBe(5);
    expect(report).toMatchObject({ verdict: 'inconclusive', complete: false });
    expect(report.reasons.join()).toContain('SIGKILL ended memcheck before its leak check');
    expect(report.nextMeasurement).not.toBeNull();
    expectNothingLeft();
  });

  test('its output and input are untouched, and its exit code is told', async () => {
    const program = 'import sys; print(sys.stdin.read(), end=""); sys.exit(7)';
    const args = ['valgrind', '--', ...extensions!.python.command, '-c', program];
    const child = startCommand(args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment });
    child.stdin?.end('line 1\nline 2');
    const { code, stdout, stderr } = await finishCommand(child);

    expect({ code, stderr }).toEqual({ code: 0, stderr: 'line 1\nline 2' });
    expect(stdout).toContain('ended with exit code 7');
    expect(stdout).not.toContain('line 1');
  });

  test('a program that replaces itself is inconclusive, and checked with --trace-children', async () => {
    const python = extensions!.python.command[0];
    const program = `import os, sys; os.execv(sys.executable, [sys.executable, ${JSON.stringify(LOSE)}, "c_losses.lose:50:24"])`;
    const alone = await runHere('valgrind', '--json', '--', python, '-c', program);
    const traced = await runHere(
      'valgrind',
      '--trace-children',
      '--json',
      '--',
      python,
      '-c',
      program,
    );

    expect(alone.code).toBe(5);
    expect(parse(alone).reasons.join()).toContain('replaced itself');
    expect(traced.code).toBe(1);
    expect(findSite(parse(traced), /^lose$/)?.blocks).toBeGreaterThanOrEqual(48);
  });

  test('programs that it starts are checked with --trace-children only', async () => {
    const python = extensions!.python.command[0];
    const arguments_ = `[sys.executable, ${JSON.stringify(LOSE)}, "c_losses.lose:50:24"]`;
    const program = `import os, subprocess, sys\nif os.fork() == 0: os._exit(0)\nos.wait(); subprocess.run(${arguments_})`;
    const alone = parse(await runHere('valgrind', '--json', '--', python, '-c', program));
    const traced = parse(
      await runHere('valgrind', '--trace-children', '--json', '--', python, '-c', program),
    );

    expect([alone.verdict, alone.program.processes]).toEqual(['inconclusive', 1]);
    expect(alone.reasons[0]).toMatch(
      /^(a process|2 processes) that the program started \(\d+.* ran without a leak check$/,
    );
    expect(alone.nextMeasurement).toContain('--trace-children');
    expect([traced.verdict, traced.program.processes]).toEqual(['leak', 2]);
  });

  test('suppressions of the user are added to ours', async () => {
    const file = join(folder, 'mine.supp');
    writeFileSync(file, '{\n mine\n Memcheck:Leak\n fun:malloc\n fun:lose\n}\n');
    const { code, stdout, stderr } = await finishCommand(
      startLosing(['--json', '--suppressions', file], 'c_losses.lose:100:24'),
    );

    expect({ code, verdict: parse({ stdout, stderr }).verdict }).toEqual({
      code: 0,
      verdict: 'no-leak',
    });
    expect(parse({ stdout, stderr }).suppressed).toBeGreaterThan(0);
  });

  test('--html writes one file that needs nothing else', async () => {
    const file = join(folder, 'lost.html');
    const { code } = await finishCommand(
      startLosing(['--html', file, '--quiet'], 'c_losses.lose:100:24'),
    );

    const html = readFileSync(file, 'utf8');
    expect(code).toBe(1);
    expect(html).toContain('lose at c_losses.c:');
    expect(html).not.toMatch(/<script|src=|href=|url\(|https?:/);
  });

  test('a program that is no Python is checked, and said to be none', async () => {
    const { code, stdout } = await runHere('valgrind', '--', '/bin/echo', 'hello');

    expect(code).toBe(0);
    expect(stdout).toContain('not a Python program');
  });
});

const runHere = (...args: string[]): Promise<CommandResult> =>
  finishCommand(startCommand(args, { env: environment }));

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe('what cannot be run', () => {
  function expectError(result: CommandResult, code: number, ...words: string[]): void {
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: '' });
    expect(result.stderr).toMatch(/^leakscope: [^\n]+\n[^\n]+\n$/);
    for (const word of words) expect(result.stderr).toContain(word);
    expectNothingLeft();
  }

  /** PATH with nothing but a fake valgrind. */
  function fakeTool(script: string): NodeJS.ProcessEnv {
    const bin = mkdtempSync(join(folder, 'bin-'));
    writeFileSync(join(bin, 'valgrind'), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, 'valgrind'), 0o755);
    return { ...environment, PATH: bin };
  }

  const run = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    finishCommand(startCommand(args, { env: { ...environment, ...env } }));

  test('without valgrind', async () => {
    const result = await run({ PATH: join(folder, 'nowhere') }, 'valgrind', '--', '/bin/echo');
    expectError(result, 4, 'valgrind is not installed', 'apt-get install valgrind');
  });

  test('with a valgrind that is too old', async () => {
    const env = fakeTool('echo valgrind-3.10.0');
    expectError(await run(env, 'valgrind', '--', '/bin/echo'), 4, '3.10.0 is too old', '3.14');
  });

  test('with something else that is called valgrind', async () => {
    const env = fakeTool('echo hello');
    expectError(await run(env, 'valgrind', '--', '/bin/echo'), 4, 'does not print a version');
  });

  test('with a valgrind that gives up', async () => {
    const env = fakeTool(
      'if [ "$1" = --version ]; then echo valgrind-3.19.0; exit; fi\n' +
        'for each in "$@"; do case $each in --log-file=*) log=$each;; esac; done\n' +
        'echo "valgrind: Fatal error at startup: a function redirection" > $(echo $log | /usr/bin/cut -d= -f2); exit 1',
    );
    const result = await run(env, 'valgrind', '--', '/bin/echo');
    expectError(result, 4, 'did not check the program', 'a function redirection');
  });

  test('without a program, or one that does not exist', async () => {
    expectError(await runCommand('valgrind'), 2, 'no program');
    expectError(await runCommand('valgrind', '--'), 2, 'no program');
    if (!hasTool('valgrind')) return;
    expectError(await runCommand('valgrind', '--', 'no-such-program'), 2, 'no such program');
  });

  test.runIf(hasTool('valgrind'))('a shell, which would be checked instead of Python', async () => {
    const script = join(folder, 'shim');
    writeFileSync(script, '#!/usr/bin/env bash\nexec python3 "$@"\n');
    chmodSync(script, 0o755);
    expectError(await runCommand('valgrind', '--', script), 2, 'run by bash', '--trace-children');
  });

  test.runIf(hasTool('valgrind'))('suppressions that are not there', async () => {
    const args = ['valgrind', '--suppressions', 'no-such-file', '--', '/bin/echo'];
    expectError(await runCommand(...args), 2, 'no such file');
  });
});
