// `leakscope watch` on real processes: its numbers are the kernel's, it captures by itself and says what leaks, it follows a
// program that is started again, and leaves nothing behind. See tests/programs/memory_steps.py.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../support/command-line.ts';
import {
  findPython,
  onePythonPerMinor,
  type RunningPython,
  startPython,
  type TestPython,
} from '../support/pythons.ts';
import { startWatch } from '../support/watching.ts';

const PROGRAM = fileURLToPath(new URL('../programs/memory_steps.py', import.meta.url));
const pythons = onePythonPerMinor();
const python = pythons[Math.floor(pythons.length / 2)];
const ends = [...new Set([pythons[0], pythons.at(-1)])].filter((each) => each !== undefined);

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(`${tmpdir()}/leakscope watch `);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const start = (which: TestPython, ...args: string[]) =>
  startPython<{ pid: number }>(which, PROGRAM, { args });

/** Takes so many megabytes (0 frees them), and what the process itself reads of its memory then. */
async function take(running: RunningPython, megabytes: number) {
  running.send(String(megabytes));
  return JSON.parse(await running.nextLine()) as { rss: number; anonymous: number };
}

test('samples are what the process itself reads', async () => {
  const running = await start(python);
  const watch = startWatch(String(running.pid), '--every', '0.2s');
  try {
    for (const megabytes of [1, 20, 0]) {
      const own = await take(running, megabytes);
      const isClose = (bytes: number, expected: number) => Math.abs(bytes - expected) < 200_000;
      const sample = await watch.next('sample', ({ rssBytes }) => isClose(rssBytes, own.rss));
      expect(isClose(sample.anonymousBytes, own.anonymous)).toBe(true);
      expect(sample.anonymousBytes + sample.fileBytes + sample.sharedBytes).toBe(sample.rssBytes);
      expect(sample.threads).toBe(1);
      expect(sample.limit?.maxBytes).toBeGreaterThan(sample.rssBytes);
    }
    expect(await watch.interrupt()).toBe(130);
    expect(await take(running, 1)).toBeDefined();
  } finally {
    watch.child.kill('SIGKILL');
    await running.stop();
  }
});

test('a rise that goes on is a trend, and one that has ended is none', async () => {
  const running = await start(python);
  const watch = startWatch(String(running.pid), '--every', '0.1s', '--window', '3s');
  try {
    const { trend } = await (async () => {
      for (let i = 0; i < 300; i++) {
        await take(running, 1);
        const sample = await watch.next('sample');
        if (sample.trend?.direction === 'rising') return sample;
      }
      throw new Error('no trend after 300 steps');
    })();
    expect(trend?.bytesPerHour).toBeGreaterThan(1e8);
    expect(trend?.low).toBeGreaterThan(0);
    const still = await watch.next('sample', (sample) => sample.trend?.direction === 'none');
    expect(still.limit?.secondsLeft ?? null).toBeNull();
  } finally {
    watch.child.kill('SIGKILL');
    await running.stop();
  }
});

describe.each(ends.map((each) => ({ name: each.name, each })))(
  'captures ($name)',
  ({ each, name }) => {
    test('come by themselves, in bounded number, and say what leaks', async () => {
      const running = await start(each);
      const into = join(folder, name);
      const watch = startWatch(
        String(running.pid),
        ...['--every', '0.2s', '--captures', into, '--capture-every', '1s'],
        ...['--capture-gap', '100ms', '--keep', '4'],
      );
      const leak = startLeak(running);
      try {
        const captures = [await watch.next('capture')];
        expect(captures[0]).toMatchObject({ reason: 'the first, to compare with', removed: [] });
        while (captures.length < 6) captures.push(await watch.next('capture'));
        const files = captures.map(({ file }) => file);
        captures.forEach(({ accounts, removed }, i) => {
          expect(accounts.pythonObjects).toBeGreaterThan(1e6);
          expect(removed).toHaveLength(i < 4 ? 0 : 1);
          for (const gone of removed) expect(files.slice(1, i)).toContain(gone);
        });
        const verdict = await watch.next('verdict');
        expect(verdict.verdict, JSON.stringify(verdict)).toBe('leak');
        expect(verdict.suspects.map(({ type }) => type)).toEqual(['__main__.Ticket']);
        expect(verdict.suspects[0].holder).toContain('tickets');
        expect(await watch.interrupt()).toBe(130);
        const kept = readdirSync(into).sort();
        expect(kept.map((each) => join(into, each))).toEqual(
          files.filter((file) => !captures.some(({ removed }) => removed.includes(file))),
        );
        expect([into, join(into, kept[0])].map((path) => statSync(path).mode & 0o777)).toEqual([
          0o700, 0o600,
        ]);
      } finally {
        await leak.stop();
        watch.child.kill('SIGKILL');
        await running.stop();
      }
    });

    test('come when a size is reached', async () => {
      const running = await start(each);
      const watch = startWatch(
        String(running.pid),
        ...['--every', '0.2s', '--captures', join(folder, `${name} size`)],
        ...['--capture-gap', '100ms', '--capture-at', '80MB', '--capture-at', '50MB'],
      );
      try {
        await watch.next('capture');
        for (const bytes of [50e6, 80e6]) {
          while ((await take(running, 2)).rss < bytes);
          // Memory that grows like this may bring captures of its own in between.
          const capture = await watch.next('capture', ({ reason }) => reason.includes('size'));
          expect(capture.accounts.pythonObjects).toBeGreaterThan(bytes / 3);
        }
      } finally {
        await watch.interrupt();
        await running.stop();
      }
    });
  },
);

/** Ten times a second another 100 kB of tickets, until it is stopped. */
function startLeak(running: RunningPython) {
  let isOver = false;
  const leaking = (async () => {
    while (!isOver) {
      running.send('+');
      await running.nextLine();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await leaking;
    },
  };
}

test('a capture that fails is told, and the watch goes on', async () => {
  const running = await start(python);
  const into = join(folder, 'full');
  const watch = startWatch(
    String(running.pid),
    ...['--every', '0.2s', '--captures', into, '--capture-every', '1s', '--capture-gap', '100ms'],
  );
  try {
    const { file } = await watch.next('capture');
    rmSync(into, { recursive: true });
    const failed = await watch.next('capture-failed');
    expect(failed.problem).toContain('there is no such folder');
    mkdirSync(into);
    expect((await watch.next('capture')).file).not.toBe(file);
  } finally {
    await watch.interrupt();
    await running.stop();
  }
});

test('the program that is started again is followed', async () => {
  const args = [`restart-${process.pid}`];
  const first = await start(python, ...args);
  const watch = startWatch('--name', args[0], '--every', '0.1s');
  let second: RunningPython | undefined;
  try {
    await watch.next('sample', ({ pid }) => pid === first.pid);
    await first.stop();
    expect((await watch.next('ended')).pid).toBe(first.pid);
    second = await start(python, ...args);
    const started = await watch.next('started');
    expect(started).toMatchObject({ pid: second.pid, restarts: 1 });
    expect(started.command).toContain(args[0]);
    await watch.next('sample', ({ pid }) => pid === second?.pid);
  } finally {
    await watch.interrupt();
    await first.stop();
    await second?.stop();
  }
});

test('--until-end and --for end by themselves, with exit code 0', async () => {
  const running = await start(python);
  const watch = runCommand('watch', String(running.pid), '--every', '0.1s', '--until-end');
  const short = await runCommand('watch', String(running.pid), '--every', '0.1s', '--for', '0.5s');
  expect(short).toMatchObject({ code: 0, stderr: '' });
  expect(short.stdout).toMatch(/pid \d+ {3}RSS [\d.]+ MB {3}own /);
  await running.stop();
  const { code, stdout } = await watch;
  expect(code).toBe(0);
  expect(stdout).toContain(`process ${running.pid} has ended`);
});

describe('a control group with a limit', () => {
  // Version 1 with a memory controller, where root may make groups; version 2 likewise.
  const top = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].find((path) => canMakeGroup(path));
  const group = join(top ?? '', `leakscope-${process.pid}`);
  const limitFile = top?.endsWith('memory') === true ? 'memory.limit_in_bytes' : 'memory.max';

  test.runIf(top !== undefined)('is the limit, and a share of it a level', async () => {
    const running = await start(findPython('3.11') ?? python);
    mkdirSync(group);
    try {
      writeFileSync(join(group, limitFile), String(200 * 2 ** 20));
      writeFileSync(join(group, 'cgroup.procs'), String(running.pid));
      const watch = startWatch(
        String(running.pid),
        ...['--every', '0.2s', '--captures', join(folder, 'group'), '--capture-gap', '100ms'],
        ...['--capture-at', '40%'],
      );
      try {
        const sample = await watch.next('sample');
        expect(sample.limit).toMatchObject({ of: 'control group', maxBytes: 200 * 2 ** 20 });
        await watch.next('capture');
        await take(running, 100);
        const capture = await watch.next('capture');
        expect(capture.reason).toBe('40 % of the limit was reached');
      } finally {
        await watch.interrupt();
      }
    } finally {
      await running.stop();
      rmdirSync(group);
    }
  });
});

function canMakeGroup(path: string): boolean {
  const trial = join(path, `leakscope-trial-${process.pid}`);
  try {
    mkdirSync(trial);
    const files = readdirSync(trial);
    rmdirSync(trial);
    return files.includes('memory.max') || files.includes('memory.limit_in_bytes');
  } catch {
    return false;
  }
}

describe('bad input', () => {
  test.each([
    [[], 2, 'neither a pid nor --name was given'],
    [['1', '--name', 'x'], 2, 'there are both a pid and --name'],
    [
      ['--name', 'no such program 7f3a'],
      2,
      'No Python process has "no such program 7f3a" in its command',
    ],
    [[String(process.pid)], 2, 'is not a Python'],
    [['4194304'], 3, 'there is no such process'],
    [['1', '--capture-at', '120%'], 2, 'Write a share from 1% to 100%'],
    [['1', '--metrics', 'here'], 2, 'Write an address such as'],
    [['1', '--every', '1ms'], 2, 'Samples cannot come that fast'],
  ])('%j: one clear error', async (args, exitCode, message) => {
    const { code, stdout, stderr } = await runCommand('watch', ...args);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });
});
