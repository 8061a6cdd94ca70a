// Running Python in a process from outside: what the code did is what the target says that it did, and when leakscope has
// left, the target is as it was. Real Pythons; each snippet is an injection of its own.

import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { openRemote, type RemoteOptions } from '../../src/remote/open-remote.ts';
import type { RemoteSession } from '../../src/remote/remote-session.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { allPythons, describeEachPython, startPython } from '../support/pythons.ts';
import {
  expectUnchanged,
  injectAndDie,
  listChannelFolders,
  type Mode,
  readState,
  startRemoteTarget,
} from '../support/remote-targets.ts';

const SNIPPETS = 20;

async function runIn(pid: number, code: string, options: RemoteOptions = {}): Promise<unknown> {
  const remote = await openRemote(pid, options);
  try {
    return (await remote.request('run', { code }, { timeoutMs: 20_000 })).value;
  } finally {
    await remote.close();
  }
}

const waitsOn = (minor: string): number => Number(minor.slice(2));

describeEachPython('a Python under load', (python) => {
  test('runs every snippet once while its threads fight for the interpreter', async () => {
    const target = await startRemoteTarget(python, 'load');
    try {
      const before = await readState(target);
      for (let i = 0; i < SNIPPETS; i++) {
        const code = `import __main__\n__main__.results.append(${i})\n${i} * 2`;
        expect(await runIn(target.pid, code)).toBe(`${i * 2}`);
      }
      expect((await readState(target)).results).toEqual([...Array(SNIPPETS).keys()]);
      await expectUnchanged(target, before);
    } finally {
      await target.stop();
    }
  });

  test('lives on when leakscope is killed at any step, and the next one tidies up', async () => {
    const target = await startRemoteTarget(python, 'printing');
    try {
      const before = await readState(target);
      const dead: number[] = [];
      let leftCount = 0;
      for (let step = 1; step <= 12; step++) {
        const { signal, code, pid } = await injectAndDie(target.pid, step);
        if (signal === null) {
          expect(code).toBe(0);
          break;
        }
        dead.push(pid);
        leftCount += listChannelFolders(pid).length;
        // What it left armed is harmless: the agent finds nobody, or no file.
        await readState(target);
      }
      expect(dead.length).toBeGreaterThan(4);
      expect(leftCount).toBeGreaterThan(2);
      expect(await runIn(target.pid, '2 + 2')).toBe('4');
      // The next leakscope has removed what the killed ones had left.
      expect(listChannelFolders(...dead)).toEqual([]);
      await becomesTrue(
        () => readdirSync(`/proc/${target.pid}/task`).length === before.threads,
        3000,
      );
      await expectUnchanged(target, before);
    } finally {
      await target.stop();
    }
  });
});

describeEachPython(
  'a Python',
  (python) => {
    test.each<Mode>(['cpu', 'asyncio', 'printing'])(
      'runs code where the main thread comes by (%s)',
      async (mode) => {
        const target = await startRemoteTarget(python, mode);
        try {
          const before = await readState(target);
          expect(await runIn(target.pid, 'import os; os.getpid()')).toBe(`${target.pid}`);
          await expectUnchanged(target, before);
        } finally {
          await target.stop();
        }
      },
    );

    test('runs code in a forked worker', async () => {
      const target = await startRemoteTarget(python, 'forked');
      try {
        const { pid } = target.ready;
        expect(pid).not.toBe(target.pid);
        expect(await runIn(pid, 'import os; os.getpid()')).toBe(`${pid}`);
        const isTidy = () => readdirSync(`/proc/${pid}/task`).length === 2;
        expect(await becomesTrue(isTidy, 2000)).toBe(true);
      } finally {
        await target.stop();
      }
    });

    const hasNudge = waitsOn(python.minor) >= 12;
    test('takes the call back from a main thread that sleeps, and says so', async () => {
      const target = await startRemoteTarget(python, 'sleeping');
      try {
        const before = await readState(target);
        // Other threads stand still, too: the one that answers waits for its stdin.
        await expect(openRemote(target.pid, { timeoutMs: 1000 })).rejects.toThrow(
          hasNudge
            ? /within 1 s, so the call was taken back: its main thread (sleeps|is in|waits).* Or wake it: --nudge/
            : /within 1 s, so the call was taken back: its main thread (sleeps|is in|waits).* --nudge does not help here: before Python 3.12/,
        );
        if (!hasNudge) {
          await expect(openRemote(target.pid, { timeoutMs: 500, nudge: true })).rejects.toThrow(
            'it was not nudged: before Python 3.12',
          );
        }
        await expectUnchanged(target, before);
      } finally {
        await target.stop();
      }
    });

    const idleRuns = waitsOn(python.minor) >= 12;
    test(`${idleRuns ? 'runs code in' : 'takes the call back from'} an event loop that waits for nothing`, async () => {
      const target = await startRemoteTarget(python, 'idle');
      try {
        const before = await readState(target);
        const run = runIn(target.pid, '1 + 1', { timeoutMs: idleRuns ? 10_000 : 800 });
        if (idleRuns) expect(await run).toBe('2');
        else await expect(run).rejects.toThrow(/epoll_wait/);
        await expectUnchanged(target, before);
      } finally {
        await target.stop();
      }
    });

    test.runIf(idleRuns)(
      'wakes a main thread that sleeps, if asked to, and SIGINT is what it was',
      async () => {
        const target = await startRemoteTarget(python, 'sleeping');
        try {
          const before = await readState(target);
          expect(await runIn(target.pid, '1 + 1', { nudge: true })).toBe('2');
          await expectUnchanged(target, before);
          process.kill(target.pid, 'SIGINT');
          await expect.poll(() => target.stderr()).toContain('KeyboardInterrupt');
        } finally {
          await target.stop();
        }
      },
    );

    test.runIf(idleRuns)(
      'does not wake a main thread by a signal that the program ignores',
      async () => {
        const target = await startRemoteTarget(python, 'ignoring');
        try {
          const before = await readState(target);
          const opened = openRemote(target.pid, { nudge: true, timeoutMs: 1500 });
          await expect(opened).rejects.toThrow('it was not nudged: SIGINT is ignored there');
          await expectUnchanged(target, before);
        } finally {
          await target.stop();
        }
      },
    );

    test(`${idleRuns ? 'runs code in another thread' : 'takes the call back'} while the main thread waits for one`, async () => {
      const target = await startRemoteTarget(python, 'joined');
      try {
        const before = await readState(target);
        const run = runIn(target.pid, '1 + 1', { timeoutMs: idleRuns ? 10_000 : 800 });
        if (idleRuns) expect(await run).toBe('2');
        else await expect(run).rejects.toThrow(/waits for a lock or a thread/);
        await expectUnchanged(target, before);
      } finally {
        await target.stop();
      }
    });
  },
  { all: true },
);

describe('one Python', () => {
  const python = allPythons().find((each) => each.minor === '3.11') ?? allPythons()[0];
  const newest = allPythons().at(-1);

  async function withSession(
    mode: Mode,
    use: (
      remote: RemoteSession,
      target: Awaited<ReturnType<typeof startRemoteTarget>>,
    ) => Promise<void>,
  ) {
    const target = await startRemoteTarget(python, mode);
    try {
      const before = await readState(target);
      const remote = await openRemote(target.pid);
      await use(remote, target);
      await remote.close();
      await expectUnchanged(target, before);
    } finally {
      await target.stop();
    }
  }

  test('keeps the output of commands apart from the output of the program', async () => {
    await withSession('printing', async (remote, target) => {
      let printed = '';
      const code =
        'import time, sys, logging\nfor i in range(20):\n  print("ours", i); time.sleep(0.01)\nlogging.getLogger("x").error("bad"); sys.stderr.write("err")';
      await remote.request(
        'run',
        { code },
        {
          onOutput: (text) => {
            printed += text;
          },
        },
      );
      expect(printed.split('\n').filter((line) => line.startsWith('ours')).length).toBe(20);
      expect(printed).toContain('ERROR:x:bad\nerr');
      expect(printed).not.toContain('app');
      target.send('state');
      const numbers: number[] = [];
      for (
        let line = await target.nextLine();
        !line.startsWith('{');
        line = await target.nextLine()
      ) {
        expect(line).toMatch(/^app \d+$/);
        numbers.push(Number(line.slice(4)));
      }
      expect(numbers).toEqual(numbers.map((_, i) => numbers[0] + i));
    });
  });

  test('lets several consoles work at once, each with its own names and output', async () => {
    await withSession('asyncio', async (remote, target) => {
      const second = await openRemote(target.pid);
      const third = await openRemote(target.pid);
      const all = [remote, second, third];
      const printed = all.map(() => '');
      const code = (i: number) =>
        `import time\nfor _ in range(30):\n  print("console ${i}"); time.sleep(0.005)\nx = ${i}`;
      await Promise.all(
        all.map((each, i) =>
          each.request(
            'run',
            { code: code(i) },
            {
              onOutput: (text) => {
                printed[i] += text;
              },
            },
          ),
        ),
      );
      for (const [i, each] of all.entries()) {
        expect(printed[i]).toBe(`console ${i}\n`.repeat(30));
        expect((await each.request('run', { code: 'x' })).value).toBe(`${i}`);
      }
      await second.close();
      await third.close();
    });
  });

  test('interrupts a command that computes and one that awaits', async () => {
    await withSession('asyncio', async (remote) => {
      for (const code of ['while True: pass', 'import asyncio\nawait asyncio.sleep(3600)']) {
        const { id, reply } = remote.start('run', { code });
        expect(await becomesTrueAsync(() => remote.interrupt(id))).toBe(true);
        expect((await reply).failed).toMatch(/KeyboardInterrupt/);
      }
      expect((await remote.request('run', { code: 'await asyncio.sleep(0, "on")' })).value).toBe(
        "'on'",
      );
    });
  });

  test('ends the command of a console that was killed', async () => {
    const target = await startRemoteTarget(python, 'asyncio');
    try {
      const before = await readState(target);
      const remote = await openRemote(target.pid);
      void remote.request('run', { code: 'while True: pass' }).catch(() => {});
      await remote.request('interrupt', { of: -1 });
      remote.destroy();
      expect(
        await becomesTrue(
          () => readdirSync(`/proc/${target.pid}/task`).length === before.threads,
          5000,
        ),
      ).toBe(true);
      await expectUnchanged(target, before);
    } finally {
      await target.stop();
    }
  });

  test('finds an object by its address only while it is one', async () => {
    await withSession('asyncio', async (remote) => {
      await remote.request('run', {
        code: 'class Box: pass\nbox = Box(); text = "a text of " + str(7); keep = [text]',
      });
      const { value } = await remote.request('run', { code: 'id(box), id(text)' });
      const [box, text] = String(value).match(/\d+/g)!.map(Number);
      expect(await remote.request('obj', { address: box, type: '__console__.Box' })).toMatchObject({
        type: 'Box',
      });
      expect(await remote.request('obj', { address: text })).toMatchObject({
        value: "'a text of 7'",
      });
      await expect(remote.request('obj', { address: box, type: 'dict' })).rejects.toThrow(
        'a Box now, not a dict',
      );
      await expect(remote.request('obj', { address: box + 8 })).rejects.toThrow('no such object');
    });
  });

  test('switches tracemalloc on and off', async () => {
    await withSession('asyncio', async (remote) => {
      expect(await remote.request('tracemalloc', { action: 'start', frames: 3 })).toMatchObject({
        wasTracing: false,
        tracing: true,
        frames: 3,
      });
      expect(await remote.request('tracemalloc')).toMatchObject({ tracing: true });
      expect(await remote.request('tracemalloc', { action: 'stop' })).toMatchObject({
        wasTracing: true,
        tracing: false,
      });
    });
  });

  test('lets nobody in who has no token', async () => {
    const target = await startRemoteTarget(python, 'sleeping');
    try {
      const session = openRemote(target.pid, { timeoutMs: 1500 });
      let answer = '';
      await becomesTrue(() => listChannelFolders(process.pid).length > 0, 1000);
      const [folder] = listChannelFolders(process.pid);
      const socket = connect(`/tmp/${folder}/s`);
      socket.on('data', (data) => {
        answer += data;
      });
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.write(
        `{"hello":1,"token":"${'0'.repeat(32)}","pid":${target.pid},"python":"3.11.7"}\n`,
      );
      await closed;
      expect(answer).toBe('');
      await expect(session).rejects.toThrow('taken back');
    } finally {
      await target.stop();
    }
  });

  // A Python that another user can read, too; pyenv's may lie in the home folder of root.
  const open = allPythons().find((each) => each.name.endsWith('system'));
  test.runIf(process.getuid?.() === 0 && open !== undefined)(
    'comes into a process of another user, who alone opens the folder',
    async () => {
      const code = `
import os, sys, threading
os.setgid(65534); os.setuid(65534)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("{}", flush=True)
while True: pass`;
      const target = await startPython(open!, code);
      try {
        const modes: string[] = [];
        const remember = () => {
          for (const name of listChannelFolders(process.pid)) {
            const { uid, mode } = statSync(`/tmp/${name}`);
            modes.push(`${uid} ${(mode & 0o777).toString(8)}`);
          }
        };
        const value = await runIn(target.pid, 'import os; os.geteuid()', { onProgress: remember });
        expect(value).toBe('65534');
        expect(modes).toContain('65534 700');
        expect(target.stderr()).toBe('');
      } finally {
        await target.stop();
      }
    },
  );

  test('leaves the folders of others and of the living alone', async () => {
    const target = await startRemoteTarget(python, 'cpu');
    const living = '/tmp/leakscope-0-1-1-00000000';
    mkdirSync(living, { mode: 0o700 });
    writeFileSync(`${living}/a.py`, '');
    try {
      await runIn(target.pid, '1');
      expect(readdirSync(living)).toEqual(['a.py']);
    } finally {
      rmSync(living, { recursive: true });
      await target.stop();
    }
  });

  test('says how remote debugging was switched off', async () => {
    if (newest === undefined || waitsOn(newest.minor) < 14) return;
    const target = await startRemoteTarget(newest, 'cpu', { PYTHON_DISABLE_REMOTE_DEBUG: '1' });
    try {
      await expect(openRemote(target.pid)).rejects.toThrow('PYTHON_DISABLE_REMOTE_DEBUG');
      expect((await readState(target)).works).toBe(true);
    } finally {
      await target.stop();
    }
  });
});

async function becomesTrueAsync(isTrue: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    if (await isTrue()) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}
