// What users get wrong and what goes wrong around leakscope, through the command line: each is one error with its exit
// code, nothing on stdout, no stack trace, and the target as it was. Interruptions: interruptions.test.ts.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { findProcessStat } from '../../src/memory/process-status.ts';
import { topSchema } from '../../src/report/schemas.ts';
import {
  type CommandResult,
  commandLine,
  finishCommand,
  runCommand,
  startCommand,
} from '../support/command-line.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';

const BAD_TARGET = fileURLToPath(new URL('../programs/bad_target.py', import.meta.url));
const IDLE = 'import json, os, sys; print(json.dumps({"pid": os.getpid()})); sys.stdin.read()';
const python = allPythons()[0];
const isRoot = process.getuid?.() === 0;

let folder: string;
const running: RunningPython[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-bad-'));
});
afterEach(() => Promise.all(running.splice(0).map((each) => each.stop())));
afterAll(() => rmSync(folder, { recursive: true }));

async function startTarget(program: string, ...args: string[]): Promise<RunningPython<Ready>> {
  const target = await startPython<Ready>(python, program, { args });
  running.push(target);
  return target;
}

interface Ready {
  pid: number;
}

/** One error as every command prints it: `leakscope: fact: reason.` and the next step on a line of its own. */
function expectError(result: CommandResult, code: number, ...words: string[]): void {
  const { stdout, stderr } = result;
  expect({ code: result.code, stdout, stderr }).toMatchObject({ code, stdout: '' });
  expect(stderr).toMatch(/^leakscope: [^\n]+\n(\(Did you mean[^\n]+\n)?[^\n]+\n$/);
  expect(stderr).not.toMatch(/\bat .*\.[jt]s:\d+|bug in leakscope|undefined|\[object/);
  for (const word of words) expect(stderr).toContain(word);
}

/** Commands that read a process, with what else they need. */
const readers = (pid: number): string[][] => [
  ['hunt', `${pid}`],
  ['top', `${pid}`, '--json'],
  ['capture', `${pid}`, '-o', join(folder, 'never.lscope')],
];

async function expectAllRefuse(pid: number, code: number, ...words: string[]): Promise<void> {
  for (const args of readers(pid)) expectError(await runCommand(...args), code, ...words);
  expect(readdirSync(folder)).not.toContain('never.lscope');
}

describe('a process that cannot be read', () => {
  test('a pid that nobody has, for every command', async () => {
    const nobody = '4194303';
    await expectAllRefuse(Number(nobody), 3, 'no such process');
    for (const args of [
      ['path', nobody, 'dict'],
      ['show', nobody, '0x1000'],
      ['graph', nobody, '0x1000'],
      ['growth', nobody, '--every', '1s'],
    ]) {
      expectError(await runCommand(...args), 3, 'no such process');
    }
  });

  test('a process that is no Python', async () => {
    const sleeper = spawn('sleep', ['60']);
    try {
      await expectAllRefuse(sleeper.pid!, 2, 'no CPython interpreter', 'leakscope ps');
    } finally {
      sleeper.kill();
    }
  });

  test('a thread instead of its process', async () => {
    const tid = Number(readdirSync(`/proc/${process.pid}/task`).at(-1));
    expectError(await runCommand('top', `${tid}`), 3, `a thread of process ${process.pid}`);
  });

  test.each([
    ['timeout', (command: readonly string[]) => ['timeout', '100', ...command]],
    ['sh', (command: readonly string[]) => ['sh', '-c', `"$@"; true`, 'sh', ...command]],
    [
      'sh and timeout',
      (command: readonly string[]) => ['sh', '-c', `timeout 100 "$@"; true`, 'sh', ...command],
    ],
  ])("the pid of a wrapper (%s) is answered with its Python's", async (_, wrap) => {
    const [program, ...args] = wrap([...python.command, '-c', IDLE]);
    const wrapper = spawn(program, args, { env: { ...process.env, ...python.env } });
    try {
      const line = await new Promise<string>((resolve) =>
        wrapper.stdout.once('data', (chunk) => resolve(String(chunk))),
      );
      const { pid } = JSON.parse(line) as Ready;
      await expectAllRefuse(wrapper.pid!, 2, `its Python child is ${pid}`, `Give that pid: ${pid}`);
    } finally {
      wrapper.stdin.end();
      wrapper.kill();
    }
  });

  test('a wrapper of several Pythons is answered with all of them', async () => {
    const wrapper = spawn(
      'sh',
      ['-c', '"$@"; true', 'sh', ...python.command, BAD_TARGET, 'two-children'],
      {
        env: { ...process.env, ...python.env },
      },
    );
    try {
      const line = await new Promise<string>((resolve) =>
        wrapper.stdout.once('data', (chunk) => resolve(String(chunk))),
      );
      const { pid } = JSON.parse(line) as Ready;
      const { stderr, code } = await runCommand('top', `${wrapper.pid}`);
      expect(code).toBe(2);
      expect(stderr).toContain(`3 Python processes run below it: ${pid}, `);
    } finally {
      wrapper.stdin.end();
      wrapper.kill();
    }
  });

  test('a process that is stopped already stays stopped', async () => {
    const { pid } = await startTarget(IDLE);
    process.kill(pid, 'SIGSTOP');
    await expectAllRefuse(pid, 3, 'stopped already', `kill -CONT ${pid}`);
    expect(findProcessStat(pid)?.state).toBe('T');
  });

  test('a zombie', async () => {
    const { ready } = await startTarget(BAD_TARGET, 'zombie');
    expect(findProcessStat(ready.pid)?.state).toBe('Z');
    await expectAllRefuse(ready.pid, 3, 'zombie');
  });

  test('a process that a debugger holds', async ({ skip }) => {
    const { ready } = await startTarget(BAD_TARGET, 'traced');
    if (ready.pid === null) return skip('ptrace is not permitted here');
    await expectAllRefuse(ready.pid, 3, 'as a debugger', 'Detach');
    expect(findProcessStat(ready.pid)?.state).toBe('S');
  });

  test("another user's process", async ({ skip }) => {
    if (!isRoot || spawnSync('setpriv', ['--version']).status !== 0) {
      return skip('needs root and setpriv');
    }
    const { ready } = await startTarget(BAD_TARGET, 'other-user');
    for (const args of readers(ready.pid)) {
      const [program, ...rest] = commandLine(...args);
      const withoutCapabilities = ['--bounding-set=-all', '--inh-caps=-all', program, ...rest];
      const result = await finishCommand(
        spawn('setpriv', withoutCapabilities, { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      expectError(result, 3, 'it belongs to user 65534 and leakscope runs as user 0');
    }
    expect(findProcessStat(ready.pid)?.state).toBe('S');
  });
});

describe('a file that cannot be read', () => {
  let good: string;
  beforeAll(async () => {
    const target = await startPython<Ready>(python, IDLE);
    good = join(folder, 'good.lscope');
    const { code, stderr } = await runCommand('capture', `${target.pid}`, '-o', good);
    await target.stop();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  /** A copy of the good snapshot with some of its bytes changed. */
  function damagedCopy(name: string, change: (bytes: Buffer) => void): string {
    const file = join(folder, name);
    const bytes = readFileSync(good);
    change(bytes);
    writeFileSync(file, bytes);
    return file;
  }

  test('the good one can be', async () => {
    const { code, stdout } = await runCommand('top', good, '--json');
    expect(code).toBe(0);
    expect(topSchema.parse(JSON.parse(stdout)).types.length).toBeGreaterThan(5);
  });

  test('one that does not exist, and a folder, for every command', async () => {
    const commands = ['top', 'show', 'path', 'graph', 'growth', 'new', 'info', 'verify', 'redact'];
    for (const command of commands) {
      const rest = {
        show: ['0x1000'],
        graph: ['0x1000'],
        path: ['dict'],
        growth: [good],
        new: [good],
        redact: ['-o', join(folder, 'never.lscope')],
      };
      const more = rest[command as keyof typeof rest] ?? [];
      expectError(await runCommand(command, join(folder, 'none'), ...more), 2, 'none');
      expectError(await runCommand(command, folder, ...more), 2, 'no regular file');
    }
  });

  test.each([0, 7, 23, 24, 1000, 0.5, 0.999])('one that was cut off after %d', async (at) => {
    const file = join(folder, 'cut.lscope');
    copyFileSync(good, file);
    truncateSync(file, at < 1 ? Math.floor(statSync(good).size * at) : at);
    for (const command of ['top', 'info', 'verify']) {
      expectError(await runCommand(command, file), 2, `Cannot read ${file}`, 'apture');
    }
  });

  test('one with a changed byte', async () => {
    const size = statSync(good).size;
    for (const at of [9, 100, Math.floor(size / 2), size - 1]) {
      const file = damagedCopy('flipped.lscope', (bytes) => {
        bytes[at] ^= 0x10;
      });
      expectError(await runCommand('verify', file), 2, 'the snapshot is damaged');
    }
  });

  test('one of a newer format', async () => {
    const file = damagedCopy('newer.lscope', (bytes) => {
      bytes.writeUInt32LE(3, 8);
      bytes.writeUInt32LE(crc32(bytes.subarray(0, 20)), 20);
    });
    expectError(await runCommand('top', file), 2, 'its format is version 3', 'update this one');
  });

  test('something else', async () => {
    expectError(await runCommand('top', BAD_TARGET), 2, 'it is not a leakscope snapshot');
    expectError(await runCommand('growth', good, BAD_TARGET), 2, 'it is not a leakscope snapshot');
  });
});

describe('a place that cannot be written', () => {
  let pid: number;
  let address: string;
  let target: RunningPython<Ready>;
  beforeAll(async () => {
    target = await startPython<Ready>(python, IDLE);
    pid = target.pid;
    const { stdout } = await runCommand('top', `${pid}`, '--json');
    address = topSchema.parse(JSON.parse(stdout)).biggest![0].address;
  });
  afterAll(() => target.stop());

  test('a full disk leaves no part of a file', async ({ skip }) => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    const mount = ['-t', 'tmpfs', '-o', 'size=16k', 'leakscope-test', disk];
    if (!isRoot || spawnSync('mount', mount).status !== 0) return skip('a disk cannot be mounted');
    try {
      const file = join(disk, 'a.lscope');
      expectError(await runCommand('capture', `${pid}`, '-o', file), 2, 'the disk is full');
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(16_384));
      const picture = join(disk, 'a.svg');
      expectError(await runCommand('graph', `${pid}`, address, '-o', picture), 2, 'disk is full');
      expect(readdirSync(disk)).toEqual(['ballast']);
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  test('a full disk behind stdout is told once, and ends', async ({ skip }) => {
    if (!existsSync('/dev/full')) return skip('no /dev/full');
    const full = openSync('/dev/full', 'w');
    try {
      for (const args of [
        ['top'],
        ['top', '--json'],
        ['hunt', '--snapshots', '2', '--every', '1s'],
      ]) {
        const [command, ...rest] = args;
        const child = startCommand([command, `${pid}`, ...rest], {
          stdio: ['ignore', full, 'pipe'],
        });
        const { code, stderr } = await finishCommand(child);
        expect(code).toBe(2);
        expect(stderr).toBe(
          'leakscope: Cannot print the report: the disk is full.\nFree some space, or write to another disk.\n',
        );
      }
    } finally {
      closeSync(full);
    }
  });

  test('a device, a folder, and a folder that is missing', async () => {
    const capture = (file: string) => runCommand('capture', `${pid}`, '--force', '-o', file);
    // A device of our own would do no harm if it were replaced, but only root can make one.
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expectError(await capture(pipe), 2, 'no regular file');
    expect(statSync(pipe).isFIFO()).toBe(true);
    expectError(await capture(folder), 2, 'it is a folder');
    expectError(await capture(join(folder, 'missing', 'a.lscope')), 2, 'there is no such folder');
    expectError(await capture(''), 2, 'name of a file');
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  test('a link is written through', async () => {
    const file = join(folder, 'linked.lscope');
    writeFileSync(file, 'earlier');
    symlinkSync(file, join(folder, 'link'));
    const { code } = await runCommand('capture', `${pid}`, '--force', '-o', join(folder, 'link'));
    expect(code).toBe(0);
    expect(statSync(file).size).toBeGreaterThan(1000);
  });
});

describe('words that leakscope does not know', () => {
  test.each([
    [['nonsense'], 'unknown command'],
    [['top', '1', '--nonsense'], "unknown option '--nonsense'"],
    [['top', '1', '--jsn'], 'Did you mean --json'],
    [['top'], "missing required argument 'target'"],
    [['hunt', '1', '--snapshots', '1'], 'whole number from 2'],
    [['hunt', '1', '--every', '-5s'], 'duration'],
    [['hunt', '99999999999'], 'not a pid'],
    [['hunt', '-1'], 'neither a pid nor a file'],
    [['top', '1', '2'], 'too many arguments'],
    [['top', '1', '--quiet', '--progress'], 'cannot be used with'],
    [['show', '1', '0xzz'], 'address'],
    [['capture', '1'], "required option '-o, --output <file>'"],
  ])('%j', async (args, words) => {
    expectError(await runCommand(...args), 2, words);
  });
});
