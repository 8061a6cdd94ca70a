// leakscope killed at each step from where it swaps the handler of a signal in a target: a guard process puts it back, so that
// the next Ctrl-C is what it was, in both ways in which Python tells of one. The target is the oracle.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openRemote } from '../../src/remote/open-remote.ts';
import { describeEachPython, type RunningPython } from '../support/pythons.ts';
import {
  expectUnchanged,
  injectAndDie,
  readState,
  startRemoteTarget,
  type TargetState,
} from '../support/remote-targets.ts';

const MAX_STEPS = 20;

describeEachPython(
  'a Python whose main thread waits',
  (python) => {
    test('has its Ctrl-C when leakscope is killed while it makes it harmless', async () => {
      const target = await startRemoteTarget(python, 'interruptible');
      try {
        const before = await readState(target);
        const { kills, swaps } = await killWhileSwapped(target, before, async (count) => {
          process.kill(target.pid, 'SIGINT');
          await expect.poll(async () => (await readState(target)).results.length).toBe(count * 2);
        });
        expect(kills).toBeGreaterThan(6);
        expect(swaps).toBeGreaterThan(3);
        // Once for each SIGINT that this test has sent, and none of leakscope's.
        const { results } = await readState(target);
        expect(results.filter((each) => each === 'KeyboardInterrupt').length).toBe(kills);
        expect(results.filter((each) => each === 'wakeup 2').length).toBe(kills);
        expect(await runIn(target.pid)).toBe('4');
        await expectUnchanged(target, before);
      } finally {
        await target.stop();
      }
    });
  },
  { minors: ['3.12', '3.13', '3.14', '3.15'] },
);

describeEachPython(
  'a Python with an idle event loop',
  (python) => {
    test('has its signal 64 when leakscope is killed while it wakes the loop by it', async () => {
      const target = await startRemoteTarget(python, 'idle');
      try {
        const before = await readState(target);
        const { kills, swaps } = await killWhileSwapped(target, before, async () => {});
        expect(kills).toBeGreaterThan(6);
        expect(swaps).toBeGreaterThan(1);
        expect(await runIn(target.pid)).toBe('4');
        await expectUnchanged(target, before);
        process.kill(target.pid, 'SIGINT');
        await expect.poll(() => target.stderr()).toContain('KeyboardInterrupt');
      } finally {
        await target.stop();
      }
    });
  },
  { minors: ['3.12', '3.13'] },
);

/**
 * Kills leakscopes, one at each step; calls `check` with how many were killed when the guards of the last one have ended and
 * the handlers are as before. `swaps` is how often the target was seen with another handler.
 */
async function killWhileSwapped(
  target: RunningPython,
  before: TargetState,
  check: (kills: number) => Promise<void>,
): Promise<{ kills: number; swaps: number }> {
  let kills = 0;
  let swaps = 0;
  for (let step = 1; step <= MAX_STEPS; step++) {
    const mark = `LEAKSCOPE_TEST_STEP=${target.pid}-${step}`;
    const [name, value] = mark.split('=');
    const { signal, code } = await injectAndDie(target.pid, step, {
      ofSignals: true,
      env: { [name]: value },
    });
    if (signal === null) {
      expect(code).toBe(0);
      break;
    }
    kills++;
    const { handlers } = await readState(target);
    if (`${handlers}` !== `${before.handlers}`) swaps++;
    await expect.poll(() => findProcessesWith(mark), { timeout: 5000 }).toEqual([]);
    expect((await readState(target)).handlers, `step ${step}`).toEqual(before.handlers);
    await check(kills);
  }
  return { kills, swaps };
}

/** Pids of processes that have `NAME=value` in their environment. */
function findProcessesWith(variable: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(variable);
    } catch {
      return false;
    }
  });
}

async function runIn(pid: number): Promise<unknown> {
  const remote = await openRemote(pid, { nudge: true });
  try {
    return (await remote.request('run', { code: '2 + 2' })).value;
  } finally {
    await remote.close();
  }
}
