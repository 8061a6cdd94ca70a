// Real processes are stopped and continued, and leakscope is killed, stopped and hung meanwhile.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AccessError } from '../../src/base/errors.ts';
import { describeAccess } from '../../src/memory/access.ts';
import { type LiveTarget, openTarget } from '../../src/memory/freeze.ts';
import { waitMs } from '../../src/memory/guard-process.ts';
import {
  childrenOf,
  findProcess,
  findProcessStat,
  listThreads,
} from '../../src/memory/process-status.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';

const COUNT = fileURLToPath(new URL('../programs/count_in_threads.py', import.meta.url));
const FREEZE_AND_HANG = fileURLToPath(new URL('../programs/freeze_and_hang.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

interface Counting {
  pid: number;
  counters: number;
}

const python = allPythons()[0];

const stateOf = (pid: number): string | undefined => findProcessStat(pid)?.state;

describe('a busy target with four threads', () => {
  let running: RunningPython<Counting>;
  let target: LiveTarget;

  beforeEach(async () => {
    running = await startPython<Counting>(python, COUNT);
    target = openTarget(running.ready.pid);
  });

  afterEach(async () => {
    target.close();
    await running.stop();
  });

  const readCounters = (): number[] =>
    [0, 8, 16, 24].map((offset) => target.memory.readAddress(running.ready.counters + offset));

  test('stands still in every one of 500 freezes, and counts on after each', () => {
    let moved = 0;
    let previous = readCounters();
    for (let i = 0; i < 500; i++) {
      const { value, pauseMs } = target.withFrozen(() => {
        const first = readCounters();
        waitMs(0.5);
        expect(readCounters()).toEqual(first);
        return first;
      });
      expect(pauseMs).toBeLessThan(1500);
      if (value.some((count, row) => count > previous[row])) moved++;
      previous = value;
      waitMs(10);
    }
    expect(moved).toBeGreaterThan(400);
    expect(target.isAlive).toBe(true);
    expect(childrenOf(process.pid).filter(isWatchdog)).toHaveLength(1);
  });

  test('goes on and its watchdog ends when leakscope is done', async () => {
    target.withFrozen(() => 0);
    const [watchdog] = childrenOf(process.pid).filter(isWatchdog);
    target.close();
    expect(await becomesTrue(() => stateOf(watchdog) === undefined, 2000)).toBe(true);
    expect(stateOf(running.ready.pid)).not.toBe('T');
    target = openTarget(running.ready.pid);
  });

  test('is frozen again after its watchdog was killed', async () => {
    target.withFrozen(() => 0);
    const [watchdog] = childrenOf(process.pid).filter(isWatchdog);
    process.kill(watchdog, 'SIGKILL');
    await becomesTrue(() => stateOf(watchdog) === undefined, 2000);
    target.withFrozen(() => 0);
    const [successor] = childrenOf(process.pid).filter(isWatchdog);
    expect(successor).toBeDefined();
    expect(successor).not.toBe(watchdog);
  });

  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
    'goes on within a second when leakscope gets %s in the middle',
    async (signal) => {
      const { leakscope } = await hangWhileFrozen(running.ready.pid, 10_000, 60_000);
      expect(stateOf(running.ready.pid)).toBe('T');
      leakscope.kill(signal);
      expect(await becomesTrue(() => stateOf(running.ready.pid) !== 'T', 1000)).toBe(true);
      const before = readCounters();
      expect(await becomesTrue(() => readCounters()[0] > before[0], 1000)).toBe(true);
    },
  );

  test('goes on when leakscope is stopped in the middle, which then refuses its copy', async () => {
    const { leakscope, nextLine } = await hangWhileFrozen(running.ready.pid, 500, 1000);
    leakscope.kill('SIGSTOP');
    expect(stateOf(running.ready.pid)).toBe('T');
    expect(await becomesTrue(() => stateOf(running.ready.pid) !== 'T', 1500)).toBe(true);
    leakscope.kill('SIGCONT');
    expect(await nextLine()).toMatch(/AccessError.*continued by somebody else/);
  });

  test('is refused while it is stopped, and stays stopped', async () => {
    const { pid } = running.ready;
    process.kill(pid, 'SIGSTOP');
    expect(await becomesTrue(() => stateOf(pid) === 'T', 1000)).toBe(true);
    expect(() => target.withFrozen(() => 0)).toThrow(/stopped already/);
    expect(() => openTarget(pid)).toThrow(AccessError);
    expect(stateOf(pid)).toBe('T');
    expect(describeAccess(pid)).toMatchObject({ readable: true, facts: ['it is stopped'] });
    process.kill(pid, 'SIGCONT');
    await becomesTrue(() => stateOf(pid) !== 'T', 1000);
    target.withFrozen(() => 0);
  });

  test('is refused after it has ended', async () => {
    await running.stop();
    expect(() => target.withFrozen(() => 0)).toThrow(AccessError);
    expect(() => openTarget(running.ready.pid)).toThrow(AccessError);
    expect(target.isAlive).toBe(false);
  });

  test('is not continued by the watchdog of an earlier freeze when somebody stops it', async () => {
    const { pid } = running.ready;
    target.withFrozen(() => 0);
    process.kill(pid, 'SIGSTOP');
    await becomesTrue(() => stateOf(pid) === 'T', 1000);
    const [watchdog] = childrenOf(process.pid).filter(isWatchdog);
    target.close();
    await becomesTrue(() => stateOf(watchdog) === undefined, 2000);
    expect(stateOf(pid)).toBe('T');
    process.kill(pid, 'SIGCONT');
    target = openTarget(pid);
  });
});

const isWatchdog = (pid: number): boolean => findProcessStat(pid)?.name === 'leakscope-guard';

/** Another leakscope that has frozen `pid` and does nothing then. */
async function hangWhileFrozen(
  pid: number,
  silenceLimitMs: number,
  hangMs: number,
): Promise<{ leakscope: ChildProcess; nextLine: () => Promise<string> }> {
  const args = ['--import', TSX, FREEZE_AND_HANG, `${pid}`, `${silenceLimitMs}`, `${hangMs}`];
  const leakscope = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: leakscope.stdout! })[Symbol.asyncIterator]();
  const nextLine = async () => String((await lines.next()).value);
  expect(await nextLine()).toBe('frozen');
  return { leakscope, nextLine };
}

test('a zombie is refused', async () => {
  const code = `
import json, os, sys
child = os.fork()
if child == 0:
    os._exit(0)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(json.dumps(child), flush=True)
sys.stdin.read()
`;
  const running = await startPython<number>(python, code);
  try {
    expect(findProcess(running.ready)?.state).toBe('Z');
    expect(() => openTarget(running.ready)).toThrow(/zombie/);
  } finally {
    await running.stop();
  }
});

test('a process that a debugger holds is refused', async () => {
  const code = `
import ctypes, json, os, signal, sys
child = os.fork()
if child == 0:
    signal.pause()
PTRACE_SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(PTRACE_SEIZE, child, None, None) != 0:
    raise OSError(ctypes.get_errno(), 'ptrace')
print(json.dumps(child), flush=True)
sys.stdin.read()
`;
  const running = await startPython<number>(python, code);
  const child = running.ready;
  try {
    expect(() => openTarget(child)).toThrow(`process ${running.pid} holds it as a debugger`);
  } finally {
    // The child first: it holds the pipes that `stop` waits for.
    process.kill(child, 'SIGKILL');
    await running.stop();
  }
});

test('a thread is refused and its process named', async () => {
  const running = await startPython<Counting>(python, COUNT);
  try {
    const { pid } = running.ready;
    const tid = listThreads(pid)[1];
    expect(findProcess(tid)?.processId).toBe(pid);
    expect(() => openTarget(tid)).toThrow(`it is a thread of process ${pid}`);
  } finally {
    await running.stop();
  }
});

// Only root can start leakscope as somebody else.
test.runIf(process.getuid?.() === 0)(
  "another user's process is refused before any signal",
  async () => {
    const running = await startPython<Counting>(python, COUNT);
    try {
      const args = ['--import', TSX, FREEZE_AND_HANG, `${running.ready.pid}`, '1000', '0'];
      const asNobody = spawn(process.execPath, args, {
        stdio: ['ignore', 'ignore', 'pipe'],
        uid: 65534,
        gid: 65534,
      });
      let stderr = '';
      asNobody.stderr?.on('data', (text) => {
        stderr += text;
      });
      await once(asNobody, 'close');
      expect(stderr).toContain('it belongs to user 0 and leakscope runs as user 65534');
    } finally {
      await running.stop();
    }
  },
);
