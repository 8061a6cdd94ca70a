// `leakscope console` as a user meets it: consent, -c, stdin, JSON, and the console on a terminal with several lines,
// completion, Ctrl-C and a history that is there the next time.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { consoleSchema } from '../../src/report/console-schema.ts';
import { commandLine, finishCommand, runCommand, startCommand } from '../support/command-line.ts';
import { allPythons, type RunningPython } from '../support/pythons.ts';
import {
  expectUnchanged,
  listChannelFolders,
  readState,
  startRemoteTarget,
  type TargetState,
} from '../support/remote-targets.ts';

const TYPE_INTO = fileURLToPath(new URL('../programs/type_into.py', import.meta.url));
const python = allPythons().find((each) => each.minor === '3.13') ?? allPythons()[0];

describe('leakscope console', () => {
  let target: RunningPython;
  let before: TargetState;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'leakscope-console-'));
    target = await startRemoteTarget(python, 'asyncio');
    before = await readState(target);
  });
  afterAll(async () => {
    await expectUnchanged(target, before);
    await target.stop();
    rmSync(folder, { recursive: true });
  });

  test('touches nothing without consent', async () => {
    const { code, stdout, stderr } = await runCommand('console', `${target.pid}`, '-c', '1');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('--yes');
  });

  test('prints what the code prints and gives, each where it belongs', async () => {
    const code = 'import sys; print("out"); print("err", file=sys.stderr); 40 + 2';
    const result = await runCommand('console', `${target.pid}`, '--yes', '-c', code);
    expect(result).toMatchObject({ code: 0, stdout: 'out\n42\n' });
    expect(result.stderr).toMatch(
      /^err\nran 1 command in process \d+ through .*; its threads there have ended and nothing is left\n$/,
    );
    const quiet = await runCommand('console', `${target.pid}`, '--yes', '--quiet', '-c', code);
    expect(quiet).toMatchObject({ code: 0, stdout: 'out\n42\n', stderr: 'err\n' });
  });

  test('ends with 1 when the code raises', async () => {
    const result = await runCommand('console', `${target.pid}`, '--yes', '-c', '1/0');
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toMatch(/^Traceback[\s\S]*ZeroDivisionError: division by zero\nran 1 /);
  });

  test('reports as JSON', async () => {
    const args = ['console', `${target.pid}`, '--yes', '--json', '-c', 'print(1); "two"'];
    const report = consoleSchema.parse(JSON.parse((await runCommand(...args)).stdout));
    expect(report).toMatchObject({ pid: target.pid, stdout: '1\n', value: "'two'", failed: null });
  });

  test('runs what is on stdin', async () => {
    const child = startCommand(['console', `${target.pid}`, '--yes'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin?.end('def f(n):\n    return n * 2\n\nprint(f(4))\n');
    expect(await finishCommand(child)).toMatchObject({ code: 0, stdout: '8\n' });
  });

  test.each([
    ['%tasks', /^4 tasks of 1 running event loop\n +3 {2}pending/],
    ['%stack', /thread MainThread\n/],
    ['%gc collect', /collected .*\ncollector on/],
    ['%help', /%tasks[\s\S]*%growth/],
    ['%growth', /^noted [\d ]+ objects of [\d ]+ types, paused [\d.]+ ms/],
  ])('answers %s', async (code, expected) => {
    const result = await runCommand('console', `${target.pid}`, '--yes', '-c', code);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(expected) });
  });

  test('Ctrl-C interrupts the code and leaves the program alone', async () => {
    const child = startCommand(
      ['console', `${target.pid}`, '--yes', '-c', 'print("on", flush=True)\nwhile True: pass'],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const finished = finishCommand(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGINT');
    expect(await finished).toMatchObject({ code: 130 });
    expect(listChannelFolders(child.pid as number)).toEqual([]);
  });

  test('Ctrl-C leaves a command that waits in C code, and says that it is still there', async () => {
    const code = 'import time; print("on", flush=True); time.sleep(8)';
    const child = startCommand(['console', `${target.pid}`, '--yes', '-c', code]);
    const finished = finishCommand(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGINT');
    const { code: exitCode, stderr } = await finished;
    expect(exitCode).toBe(130);
    expect(stderr).toContain('one still runs there, in C code that cannot be interrupted');

    const [text] = typeInto([
      ['>>> ', '__import__("time").sleep(8)\r'],
      ['sleep\\(8\\)', '\x03'],
      ['it ends\r\nwhen that returns', '\x03'],
    ]);
    expect(text).toContain('one still runs there, in C code');
  });

  test('Ctrl-C ends %top without its result', () => {
    const [text] = typeInto([
      ['>>> ', '%top\r'],
      ['top', '\x03'],
      ['KeyboardInterrupt\r\n>>> ', '1 + 1\r'],
      ['2\r\n>>> ', 'exit\r'],
    ]);
    expect(text).not.toContain('retained');
    expect(text).toContain('ran 3 commands');
  });

  test('says what is wrong with what it cannot do', async () => {
    const unknown = await runCommand('console', `${target.pid}`, '--yes', '-c', '%nonsense');
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.stderr).toContain('there is no %nonsense');
    const gone = await runCommand('console', '4194303', '--yes', '-c', '1');
    expect(gone).toMatchObject({ code: 3 });
  });

  test('is a console on a terminal', () => {
    const [text] = typeInto([
      ['>>> ', 'visible = 6 * 7\r'],
      ['>>> ', 'visible\r'],
      ['42\r\n>>> ', 'def f(n):\r'],
      ['\\.\\.\\. ', '  return n + visible\r'],
      ['\\.\\.\\. ', '\r'],
      ['>>> ', 'f(1)\r'],
      ['43\r\n>>> ', 'visi\t'],
      ['visible', ' + 1\r'],
      ['43\r\n>>> ', 'await __import__("asyncio").sleep(0.01, "slept")\r'],
      ["'slept'\r\n>>> ", 'while True: pass\r\r'],
      ['pass', '\x03'],
      ['KeyboardInterrupt', '_\r'],
      ["'slept'\r\n>>> ", '%gc\r'],
      ['collector on', '\x04'],
    ]);
    expect(text).toContain('its threads there have ended and nothing is left');
    expect(readFileSync(join(folder, 'leakscope', 'console_history'), 'utf8')).toContain('f(1)\n');
    const [again] = typeInto([
      ['>>> ', '"new" + "er"\r'],
      ['newer', '\x1b[A\x1b[A\r'],
      ['collector on', 'exit()\r'],
    ]);
    expect(again).toContain('ran 3 commands');
  });

  test('shows what has grown since the last %growth', () => {
    const [text] = typeInto([
      ['>>> ', '%growth\r'],
      ['noted [\\d ]+ objects[\\s\\S]*>>> ', 'grown = [bytearray(1000) for _ in range(500)]\r'],
      ['>>> ', 'sum(__import__("sys").getsizeof(each) for each in grown)\r'],
      ['\\d+\r\n>>> ', '%growth\r'],
      ['bytearray\r\n[\\s\\S]*>>> ', '%growth\r'],
      ['after [\\s\\S]*>>> ', '\x04'],
    ]);
    const bytes = Number(/\r\n(\d+)\r\n/.exec(text)?.[1]);
    expect(bytes).toBeGreaterThan(500_000);
    // One row, of the second %growth: not of the first or the third.
    const rows = text.split('\r\n').filter((line) => line.endsWith(' bytearray'));
    expect(rows).toEqual([expect.stringMatching(/^ *\+500 +\d+ +\+\d+ kB +\d+ kB +bytearray$/)]);
    const kilobytes = Number(/\+(\d+) kB/.exec(rows[0])?.[1]);
    expect(Math.abs(kilobytes * 1000 - bytes)).toBeLessThan(1000);
  });

  test('asks on a terminal, and takes no for an answer', () => {
    const [text, code] = typeInto([['\\[y/N\\] ', 'n\r']], []);
    expect(code).toBe(2);
    expect(text).toContain('was not touched');
    const [yes] = typeInto(
      [
        ['\\[y/N\\] ', 'y\r'],
        ['>>> ', '\x04'],
      ],
      [],
    );
    expect(yes).toContain('nothing is left');
  });

  /** [What the terminal showed, exit code] when each text is typed once its pattern was shown. */
  function typeInto(
    steps: [pattern: string, text: string][],
    options = ['--yes'],
  ): [string, number | null] {
    const command = commandLine('console', `${target.pid}`, ...options);
    const { stdout, stderr, status } = spawnSync(
      'python3',
      [TYPE_INTO, JSON.stringify({ command, steps })],
      {
        encoding: 'utf8',
        timeout: 60_000,
        env: { ...process.env, XDG_STATE_HOME: folder, TERM: 'xterm', NO_COLOR: '1' },
      },
    );
    if (stderr !== '') throw new Error(`${stderr}\nshown so far:\n${stdout}`);
    return [stdout, status];
  }
});

describe('leakscope console and a program that serves', () => {
  test('fails no request while a console works in it', async () => {
    const target = await startRemoteTarget(python, 'serving');
    try {
      const { port } = target.ready as unknown as { port: number };
      const load = spawn('python3', ['-c', LOAD, `${port}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const finished = finishCommand(load);
      const result = await runCommand(
        'console',
        `${target.pid}`,
        '--yes',
        '-c',
        'import time\nfor i in range(50): print(i); time.sleep(0.01)\nawait __import__("asyncio").sleep(0.1, "done")',
      );
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining("'done'") });
      const { stdout } = await finished;
      expect(JSON.parse(stdout)).toMatchObject({ failed: 0 });
      expect(JSON.parse(stdout).answered).toBeGreaterThan(100);
      expect(target.stderr()).toBe('');
    } finally {
      await target.stop();
    }
  });
});

/** Requests for 4 seconds, one connection each. */
const LOAD = `
import json, sys, time, urllib.request
answered = failed = 0
until = time.monotonic() + 4
while time.monotonic() < until:
    try:
        with urllib.request.urlopen("http://127.0.0.1:%s/" % sys.argv[1], timeout=3) as answer:
            assert answer.read() == b"hello"
        answered += 1
    except Exception:
        failed += 1
print(json.dumps({"answered": answered, "failed": failed}))`;
