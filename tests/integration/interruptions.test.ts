// Ctrl-C, SIGKILL, readers that go away and targets that end, at moments spread over a whole run: the target runs on,
// nothing is left behind, and leakscope ends soon with the right exit code.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LiveMemory, openMemory } from '../../src/memory/live-memory.ts';
import { findProcessStat } from '../../src/memory/process-status.ts';
import { huntSchema } from '../../src/report/schemas.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { commandLine, finishCommand, startCommand, untilStderr } from '../support/command-line.ts';
import { allPythons, findPython, type RunningPython, startPython } from '../support/pythons.ts';

const COUNT = fileURLToPath(new URL('../programs/count_beside_heap.py', import.meta.url));
const BAD_TARGET = fileURLToPath(new URL('../programs/bad_target.py', import.meta.url));
const OBJECTS = 400_000;
const python = findPython('3.11') ?? allPythons()[0];

interface Counting {
  pid: number;
  counter: number;
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Pids of the processes that were started with this in their environment, children of children included. */
function findProcessesOfRun(run: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(run);
      } catch {
        return false;
      }
    });
}

describe('a target with a large heap', () => {
  let target: RunningPython<Counting>;
  let memory: LiveMemory;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'leakscope-interrupted-'));
    target = await startPython<Counting>(python, COUNT, { args: [`${OBJECTS}`] });
    memory = openMemory(target.pid);
  });
  afterAll(async () => {
    memory.close();
    await target.stop();
    rmSync(folder, { recursive: true });
  });

  const stateOf = (): string | undefined => findProcessStat(target.pid)?.state;

  async function expectCountsOn(): Promise<void> {
    const before = memory.readAddress(target.ready.counter);
    const counted = () => memory.readAddress(target.ready.counter) > before + 10;
    expect(await becomesTrue(counted, 1000)).toBe(true);
    expect(stateOf()).not.toBe('T');
  }

  /** A run in a process group of its own, as a shell starts it, and a mark by which its children are found. */
  function startRun(...args: string[]): { child: ChildProcess; run: string } {
    const run = `LEAKSCOPE_TEST_RUN=${randomUUID()}`;
    const [name, value] = run.split('=');
    return { child: startCommand(args, { detached: true, env: { [name]: value } }), run };
  }

  test.each([
    { name: 'capture', args: (pid: string) => ['capture', pid, '-o', join(folder, 'a.lscope')] },
    { name: 'top', args: (pid: string) => ['top', pid, '--json'] },
    {
      name: 'hunt',
      args: (pid: string) => ['hunt', pid, '--snapshots', '3', '--every', '500ms', '--json'],
    },
  ])(
    'runs on after Ctrl-C at any moment of $name',
    async ({ args }) => {
      const whole = startRun(...args(`${target.pid}`));
      const startedAt = performance.now();
      const guards = untilTrue(() => findProcessesOfRun(whole.run).length > 1);
      expect((await finishCommand(whole.child)).code).toBeLessThan(6);
      const wholeMs = performance.now() - startedAt;
      // So that an empty list means something below.
      expect(await guards).toBe(true);
      for (const name of readdirSync(folder)) rmSync(join(folder, name));

      const moments = 8;
      for (let i = 0; i < moments; i++) {
        const afterMs = ((i + Math.random()) / moments) * wholeMs;
        const { child, run } = startRun(...args(`${target.pid}`));
        const finished = finishCommand(child);
        await wait(afterMs);
        const interruptedAt = performance.now();
        if (child.exitCode === null) process.kill(-(child.pid as number), 'SIGINT');
        const { code, signal, stdout, stderr } = await finished;
        const at = `${afterMs.toFixed(0)} of ${wholeMs.toFixed(0)} ms`;

        // Before leakscope's first line, Node itself ends by the signal, which a shell shows as 130, too.
        const ending = signal === 'SIGINT' ? 130 : code;
        const isComplete = stdout !== '' && ending !== 130;
        expect({ at, ending, stderr }).toEqual({
          at,
          ending: isComplete ? ending : 130,
          stderr: '',
        });
        if (!isComplete) expect({ at, stdout }).toEqual({ at, stdout: '' });
        expect(performance.now() - interruptedAt).toBeLessThan(6000);
        await expectCountsOn();
        const isTidy = () => findProcessesOfRun(run).length === 0;
        expect({ at, isTidy: await becomesTrue(isTidy, 2000) }).toEqual({ at, isTidy: true });
        if (!isComplete) expect({ at, files: readdirSync(folder) }).toEqual({ at, files: [] });
        for (const name of readdirSync(folder)) rmSync(join(folder, name));
      }
    },
    300_000,
  );

  test('goes on within a second when leakscope is killed while it stands still', async () => {
    for (let i = 0; i < 3; i++) {
      const { child, run } = startRun('top', `${target.pid}`);
      const finished = finishCommand(child);
      while (stateOf() !== 'T' && child.exitCode === null) await new Promise(setImmediate);
      child.kill('SIGKILL');
      expect((await finished).signal).toBe('SIGKILL');
      expect(await becomesTrue(() => stateOf() !== 'T', 1000)).toBe(true);
      await expectCountsOn();
      expect(await becomesTrue(() => findProcessesOfRun(run).length === 0, 2000)).toBe(true);
    }
  });

  test('and a reader that wants one line only', () => {
    const [program, ...args] = commandLine('top', `${target.pid}`, '-n', '100000');
    const script = '{ "$@"; echo "exit $?" >&2; } | head -1';
    const { stdout, stderr } = spawnSync('sh', ['-c', script, 'sh', program, ...args], {
      encoding: 'utf8',
    });
    expect({ lines: stdout.split('\n').length, stderr }).toEqual({ lines: 2, stderr: 'exit 0\n' });
  });

  test('and stdout and stderr that are closed from the beginning', async () => {
    for (const closed of ['>&-', '2>&-', '>&- 2>&-', '<&-']) {
      const [program, ...args] = commandLine('top', `${target.pid}`);
      const child = spawn('sh', ['-c', `"$@" ${closed}`, 'sh', program, ...args]);
      const { code, stderr } = await finishCommand(child);
      expect({ closed, stderr }).toEqual({ closed, stderr: '' });
      expect(code).toBe(0);
    }
    await expectCountsOn();
  });
});

describe('a target that ends in the middle of a hunt', () => {
  const hunt = (pid: number, ...more: string[]): string[] => [
    // Long enough for the wait between captures to be told, also where a capture takes seconds.
    ...['hunt', `${pid}`, '--snapshots', '5', '--every', '5s', '--json', '--progress', ...more],
  ];

  test('after its second capture is judged on what there is', async () => {
    const target = await startPython(python, COUNT, { args: ['1000'] });
    const child = startCommand(hunt(target.pid));
    const finished = finishCommand(child);
    await untilStderr(child, /capture 3 of 5 in/);
    await target.stop();

    const { code, stdout } = await finished;

    const report = huntSchema.parse(JSON.parse(stdout));
    expect(report.captures).toHaveLength(2);
    expect(code).toBe({ leak: 1, 'no-leak': 0, inconclusive: 5 }[report.verdict]);
  });

  test('after its first capture is an error that says so', async () => {
    const target = await startPython(python, COUNT, { args: ['1000'] });
    const child = startCommand(hunt(target.pid));
    const finished = finishCommand(child);
    await untilStderr(child, /capture 2 of 5 in/);
    await target.stop();

    const { code, stdout, stderr } = await finished;

    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/leakscope: Cannot (read|copy) process \d+: it has ended/);
  });

  test('by becoming another program is judged on what was captured before', async () => {
    const target = await startPython(python, BAD_TARGET, { args: ['none'] });
    const child = startCommand(hunt(target.pid));
    const finished = finishCommand(child);
    await untilStderr(child, /capture 3 of 5 in/);
    target.send('exec');

    const { code, stdout, stderr } = await finished;
    await target.stop();

    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.any(String) });
    expect(stdout).toContain('runs another program');
    expect(stdout).toMatch(/after 2 of 5 captures/);
  });

  test('but is only stopped by somebody else for a moment is waited for', async () => {
    const target = await startPython(python, COUNT, { args: ['1000'] });
    const child = startCommand(hunt(target.pid, '--snapshots', '3'));
    const finished = finishCommand(child);
    await untilStderr(child, /capture 2 of 3 in/);
    process.kill(target.pid, 'SIGSTOP');
    await untilStderr(child, /it is stopped already; trying again/);
    expect(findProcessStat(target.pid)?.state).toBe('T');
    process.kill(target.pid, 'SIGCONT');

    const { stdout } = await finished;
    await target.stop();

    expect(huntSchema.parse(JSON.parse(stdout)).captures).toHaveLength(3);
  });

  test('at any moment is a verdict or one error, and no hang', async () => {
    for (let i = 0; i < 6; i++) {
      const target = await startPython(python, COUNT, { args: ['50000'] });
      const child = startCommand(
        ['hunt', `${target.pid}`, '--snapshots', '3', '--every', '300ms', '--json'],
        {},
      );
      const finished = finishCommand(child);
      const afterMs = 400 + i * 250 + Math.random() * 250;
      await wait(afterMs);
      const stoppedAt = performance.now();
      await target.stop();
      const { code, stdout, stderr } = await finished;
      expect({ afterMs, code, stderr }).toMatchObject({
        code: stdout === '' ? 3 : expect.toBeOneOf([0, 1, 5]),
        stderr: stdout === '' ? expect.stringMatching(/^leakscope: Cannot [^\n]+\n[^\n]+\n$/) : '',
      });
      expect(performance.now() - stoppedAt).toBeLessThan(10_000);
    }
  });
});

const untilTrue = (isTrue: () => boolean): Promise<boolean> => becomesTrue(isTrue, 20_000);
