// The command line as a user meets it: exit codes, messages, pipes, wrappers, Ctrl-C. Reports are parsed with their schemas.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findProcessStat } from '../../src/memory/process-status.ts';
import {
  captureSchema,
  doctorSchema,
  graphSchema,
  growthSchema,
  huntSchema,
  newSchema,
  pathSchema,
  psSchema,
  showSchema,
  topSchema,
} from '../../src/report/schemas.ts';
import {
  finishCommand,
  runCommand,
  runJson,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';

const DEMO = fileURLToPath(new URL('../../demos/unbounded_cache.py', import.meta.url));
const python = allPythons()[0];

let target: RunningPython<{ pid: number }>;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-'));
  target = await startPython(python, DEMO);
});
afterAll(async () => {
  await target.stop();
  rmSync(folder, { recursive: true });
});

describe('wrong use', () => {
  test.each([
    [['hunt'], 'neither a pid nor files nor a program'],
    [['hunt', 'abc'], 'neither a pid nor a file'],
    [['hunt', '0'], 'not a pid'],
    [['top', 'no-such-file.lscope'], 'neither a pid nor a file'],
    [['top', '/'], 'not a snapshot file'],
    [['top', '1', '--limit', 'many'], 'whole number'],
    [['hunt', '1', '--every', 'soon'], 'duration'],
    [['show', '1', 'xyz'], 'address'],
    [['nonsense'], 'unknown command'],
    [['top', '1', '--nonsense'], 'unknown option'],
    [['top', '--', 'python'], 'start programs'],
    [['hunt', '--'], 'What to hunt'],
    [['hunt', '--', 'no-such-program-at-all'], 'no such program'],
    [['demo', 'no-such-demo'], 'leakscope demo --list'],
    [['graph', '1', '0x1000', '-o', 'x.jpeg'], '.svg, .png'],
  ])('%j ends with 2 and says why', async (args, words) => {
    const { code, stdout, stderr } = await runCommand(...args);

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(words);
  });

  test('help ends with 0 and shows examples, for every command', async () => {
    const { stdout } = await runCommand('--help');
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) .*$/gm)].map((match) => match[1]);

    expect(commands.length).toBeGreaterThanOrEqual(13);
    for (const command of commands) {
      const help = await runCommand(command, '--help');
      expect({ command, code: help.code }).toEqual({ command, code: 0 });
      expect(help.stdout).toContain('Examples:');
      // A program that is run has its own output, and no report.
      if (command !== 'run') expect(help.stdout).toContain('--json');
    }
  });

  test('a file that is no snapshot is refused', async () => {
    const file = join(folder, 'random.lscope');
    writeFileSync(file, 'this is no snapshot');

    const { code, stderr } = await runCommand('top', file);

    expect(code).toBe(2);
    expect(stderr).toContain('random.lscope');
  });
});

describe('a process that cannot be read', () => {
  test('a pid that is not in use ends with 3', async () => {
    const { code, stderr } = await runCommand('top', '4194303');

    expect(code).toBe(3);
    expect(stderr).toContain('no such process');
  });

  test('a process that is no Python ends with 2', async () => {
    const sleeper = spawn('sleep', ['60']);
    try {
      const { code, stderr } = await runCommand('top', `${sleeper.pid}`);

      expect(code).toBe(2);
      expect(stderr).toContain('not a Python');
    } finally {
      sleeper.kill();
    }
  });

  test("a wrapper's pid is answered with the pid of its Python", async () => {
    const [program, ...args] = python.command;
    const wrapper = spawn('timeout', ['60', program, ...args, DEMO], {
      env: { ...process.env, ...python.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const ready = await new Promise<string>((resolve) =>
        wrapper.stdout.once('data', (chunk) => resolve(String(chunk))),
      );
      const { pid } = JSON.parse(ready) as { pid: number };

      const { code, stderr } = await runCommand('top', `${wrapper.pid}`);

      expect(code).toBe(2);
      expect(stderr).toContain(`Python child is ${pid}`);
    } finally {
      wrapper.kill();
    }
  });
});

describe('reports follow their schemas', () => {
  test('ps lists the target as readable', async () => {
    const report = await runJson(psSchema, 'ps');

    const line = report.processes.find((each) => each.pid === target.pid);
    expect(line).toMatchObject({ readable: true, reason: null });
  });

  test('doctor finds nothing wrong with it', async () => {
    const report = await runJson(doctorSchema, 'doctor', `${target.pid}`);

    expect(report.checks.filter((check) => check.state === 'failed')).toEqual([]);
  });

  test('top, path, show and graph lead from a type to the picture of an object', async () => {
    const top = await runJson(topSchema, 'top', `${target.pid}`);
    expect(top.types.map((line) => line.type)).toContain('__main__.Profile');

    const path = await runJson(pathSchema, 'path', `${target.pid}`, 'Profile');
    expect(path.path?.text).toMatch(/^__main__\._profiles\[\d+\] -> __main__\.Profile$/);

    const { address } = path.object;
    const show = await runJson(showSchema, 'show', `${target.pid}`, address);
    expect(show.refersTo.map((line) => line.text)).toContain('.scores');
    expect(show.referredBy.map((line) => line.type)).toContain('dict');

    const file = join(folder, 'picture.svg');
    const graph = await runJson(graphSchema, 'graph', `${target.pid}`, address, '-o', file);
    expect(graph.nodes).toBeGreaterThan(1);
    expect(readFileSync(file, 'utf8')).toContain('Profile');
  });

  test('captures are private files that can be compared', async () => {
    const [before, after] = ['before', 'after'].map((name) => join(folder, `${name}.lscope`));
    const first = await runJson(captureSchema, 'capture', `${target.pid}`, '-o', before);
    expect(first.fileBytes).toBe(statSync(before).size);
    expect(statSync(before).mode & 0o777).toBe(0o600);
    await runJson(captureSchema, 'capture', `${target.pid}`, '-o', after);

    const growth = await runJson(growthSchema, 'growth', before, after);
    const grown = growth.types.find((line) => line.type === '__main__.Profile');
    expect(grown?.countGrowth).toBeGreaterThan(0);

    const added = await runJson(newSchema, 'new', before, after, '--type', 'Profile');
    expect(added.totals.objects).toBe(grown?.countGrowth);
  });

  test('a capture does not replace a file unless told to', async () => {
    const file = join(folder, 'precious.lscope');
    writeFileSync(file, 'precious');

    const { code } = await runCommand('capture', `${target.pid}`, '-o', file);

    expect(code).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });

  test('an address without an object ends with 2', async () => {
    const { code, stderr } = await runCommand('show', `${target.pid}`, '0x1008');

    expect(code).toBe(2);
    expect(stderr).toContain('no object at 0x1008');
  });
});

describe('text', () => {
  test('in a pipe there are no colours and no progress', async () => {
    const { stdout, stderr } = await runCommand('top', `${target.pid}`, '-n', '3');

    expect(stdout).not.toContain('\u001b');
    expect(stderr).toBe('');
  });

  test('--progress shows phases where stderr is no terminal', async () => {
    const { stderr } = await runCommand('top', `${target.pid}`, '--progress');

    expect(stderr).toContain('retained sizes');
  });

  test('a reader that goes away early is no error', async () => {
    const child = startCommand(['top', `${target.pid}`, '-n', '100000']);
    child.stdout?.once('data', () => child.stdout?.destroy());

    const { code, stderr } = await finishCommand(child);

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('Ctrl-C', () => {
  test('in the middle of a hunt ends with 130, and the target runs on', async () => {
    const child = startCommand(['hunt', `${target.pid}`, '--every', '60s', '--progress']);
    const result = finishCommand(child);
    await untilStderr(child, /capture 2 of/);

    child.kill('SIGINT');

    expect((await result).code).toBe(130);
    expect(findProcessStat(target.pid)?.state).not.toBe('T');
  });

  test('ends the program that leakscope started', async () => {
    const [program, ...args] = python.command;
    const child = startCommand(
      ['hunt', '--every', '60s', '--progress', '--', 'timeout', '60', program, ...args, DEMO],
      { env: python.env },
    );
    const result = finishCommand(child);
    const text = await untilStderr(child, /capture 1 of|capture 2 of/);
    const pid = Number(/"pid": (\d+)/.exec(text)?.[1]);
    expect(findProcessStat(pid)).toBeDefined();

    child.kill('SIGINT');

    expect((await result).code).toBe(130);
    expect(findProcessStat(pid)?.state ?? 'gone').toMatch(/^(gone|Z)$/);
  });
});

describe('a program behind --', () => {
  test('is hunted through its wrapper and ended, and its output is not on stdout', async () => {
    const [program, ...args] = python.command;
    const child = startCommand(
      ['hunt', '--every', '1s', '--json', '--', 'timeout', '60', program, ...args, DEMO],
      { env: python.env },
    );
    const { code, stdout, stderr } = await finishCommand(child);

    const report = huntSchema.parse(JSON.parse(stdout));
    const pid = Number(/"pid": (\d+)/.exec(stderr)?.[1]);
    expect(report.target.pid).toBe(pid);
    expect(code).toBe({ leak: 1, 'no-leak': 0, inconclusive: 5 }[report.verdict]);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  test('that ends at once is an error with its exit code', async () => {
    const { code, stderr } = await runCommand('hunt', '--', 'sh', '-c', 'exit 7');

    expect(code).toBe(3);
    expect(stderr).toContain('exit code 7');
  });
});
