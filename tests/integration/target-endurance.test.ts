// A program must never die of a console, nor see an error that it would not see without: hundreds of commands of every kind in
// programs whose threads do all the time what a stand-in for sys.stdout, a list of all objects or the end of a tracer could
// break. The program itself tells what went wrong; a crash ends it.

import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openRemote } from '../../src/remote/open-remote.ts';
import type { RemoteSession } from '../../src/remote/remote-session.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/endure.py', import.meta.url));
/** The commands of one test, or as many as a busy machine does in this time. */
const COMMANDS = 600;
const LIMIT_MS = 8000;
/** Consoles come and go, too. */
const COMMANDS_OF_A_CONSOLE = 25;

interface Ready {
  pid: number;
  /** Address of a str that no object but a list refers to. */
  text: number;
}

interface State {
  errors: string[];
  errorCount: number;
  results: number[];
  names: string[];
  ownStreams: boolean;
}

/** One of them at a time; each adds its number to the program's results, or says nothing of it. */
const COMMANDS_THAT_PRINT = [
  () => '1 + 1',
  (i: number) => `import __main__; __main__.results.append(${i}); print(${i})`,
  () => 'import threading; threading.Thread(target=lambda: print("in", "a", "thread")).start()',
  () => 'import logging; logging.getLogger("console").error("of %s", "a console")',
  () => 'import sys; sys.stdout.buffer.write(b"bytes"); sys.stderr.write("text")',
  () => 'import contextlib, io\nwith contextlib.redirect_stderr(io.StringIO()): 1',
];

describeEachPython('a Python whose threads do everything at once', (python) => {
  test('prints on while commands come and go', async () => {
    const target = await startPython<Ready>(python, PROGRAM, { args: ['prints'] });
    await endure(target, async (remote, i) => {
      const code = COMMANDS_THAT_PRINT[i % 3](i);
      await remote.request('run', { code });
    });
  });

  test('sees no error of commands of every kind', async () => {
    const target = await startPython<Ready>(python, PROGRAM);
    const added: number[] = [];
    const state = await endure(target, async (remote, i) => {
      await useEveryWay(remote, i, target.ready);
      if (i % COMMANDS_THAT_PRINT.length === 1) added.push(i);
    });
    expect(state.results).toEqual(added);
  });
});

async function useEveryWay(remote: RemoteSession, i: number, ready: Ready): Promise<void> {
  const code = COMMANDS_THAT_PRINT[i % COMMANDS_THAT_PRINT.length](i);
  const { failed } = await remote.request('run', { code });
  expect(failed).toBe(undefined);
  if (i % 10 === 3) expect((await remote.request('obj', { address: ready.text })).type).toBe('str');
  if (i % 10 === 6) await remote.request('stack');
  if (i % 10 === 9) await remote.request('run', { code: 'await __import__("asyncio").sleep(0)' });
  if (i % 25 === 12) {
    await remote.request('tracemalloc', { action: 'start', frames: 2 });
    await remote.request('tracemalloc', { action: 'stop' });
  }
}

/** Consoles, one after the other, in which `use` is called with the numbers from 0; then what the program says of itself. */
async function endure(
  target: RunningPython<Ready>,
  use: (remote: RemoteSession, i: number) => Promise<void>,
): Promise<State> {
  try {
    const before = await ask(target);
    const until = performance.now() + LIMIT_MS;
    let count = 0;
    while (count < COMMANDS && performance.now() < until) {
      const remote = await openRemote(target.pid);
      for (let i = 0; i < COMMANDS_OF_A_CONSOLE; i++) await use(remote, count++);
      await remote.close();
    }
    expect(count).toBeGreaterThan(COMMANDS_OF_A_CONSOLE);
    const state = await ask(target);
    expect(state).toMatchObject({ errors: [], errorCount: 0, ownStreams: true });
    expect(state.names).toEqual(before.names);
    expect(target.stderr()).toBe('');
    return state;
  } finally {
    await target.stop();
  }
}

async function ask(target: RunningPython<Ready>): Promise<State> {
  target.send('state');
  return JSON.parse(await target.nextLine()) as State;
}
