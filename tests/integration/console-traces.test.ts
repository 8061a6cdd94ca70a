// What a console leaves in a program, and what the program sees of it meanwhile: children that it forks, output that it
// redirects, functions that a command gave to it, and the end of leakscope while a command prints. The program is asked.

import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openRemote } from '../../src/remote/open-remote.ts';
import type { RemoteSession } from '../../src/remote/remote-session.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/told.py', import.meta.url));
/** Runs until the program is told to let it end. */
const WAIT = 'import __main__, time\nwhile not __main__.go_on: time.sleep(0.01)';
const UNTOUCHED = { own: [true, true], text: true, modules: [], logging: 'logging' };

describeEachPython('a program into which a console came', (python) => {
  let target: RunningPython;
  /** Its streams, sockets and threads at first. */
  let before: object;
  beforeEach(async () => {
    target = await startPython(python, PROGRAM, { args: ['pipe'] });
    before = (await ask('streams()')) as object;
    expect(before).toMatchObject(UNTOUCHED);
  });
  afterEach(async () => {
    await target.stop();
  });

  const ask = async (expression: string): Promise<unknown> => {
    target.send(expression);
    return JSON.parse(await target.nextLine());
  };
  const run = async (remote: RemoteSession, code: string) => {
    const reply = await remote.request('run', { code });
    expect(reply.failed).toBe(undefined);
    return reply.value;
  };

  test('forks children that have none of it', async () => {
    const remote = await openRemote(target.pid);
    const { reply } = remote.start('run', { code: WAIT });
    const isRouted = { own: [false, false], text: true };
    await expect.poll(() => ask('streams()')).toMatchObject(isRouted);

    expect(await ask('fork()')).toEqual({ ...before, threads: expect.anything() });

    expect(await ask('release()')).toBe(true);
    await reply;
    await remote.close();
    expect(await ask('streams()')).toEqual(before);
  });

  test('has its output where it redirected it, also while commands come and go', async () => {
    const remote = await openRemote(target.pid);
    const { reply } = remote.start('run', { code: WAIT });
    await expect.poll(() => ask('streams()')).toMatchObject({ own: [false, false] });
    expect(await ask('redirect()')).toBe(true);
    expect(await ask('say("within")')).toBe('"within"\n');
    expect(await ask('release()')).toBe(true);
    await reply;
    expect(await run(remote, '1 + 1')).toBe('2');
    expect(await ask('say("more")')).toBe('"within"\n"more"\n');
    await remote.close();
    // What it puts back is the stand-in that it found.
    expect(await ask('stack.close()')).toBe(null);
    const second = await openRemote(target.pid);
    expect(await run(second, 'print("here")')).toBe(undefined);
    await second.close();
    target.send('say("outside")');
    expect([await target.nextLine(), await target.nextLine()]).toEqual(['"outside"', '"stdout"']);
  });

  test('keeps the functions that a command gave to it, and nothing else', async () => {
    const remote = await openRemote(target.pid);
    await run(remote, 'import __main__\nbox = __main__.Box()\ndef unused(): return box');
    await remote.close();
    await expect.poll(() => ask('len(boxes)')).toBe(0);

    const second = await openRemote(target.pid);
    const code =
      'import __main__, json\nbox = __main__.Box()\ndef tell(): return json.dumps(len(__main__.boxes)), box is None\n__main__.given = tell';
    await run(second, code);
    await second.close();
    expect(await ask('given()')).toEqual(['1', false]);
  });

  test('lives on with the default action for SIGPIPE when leakscope ends while a command prints', async () => {
    const remote = await openRemote(target.pid);
    let isPrinting = false;
    const code = 'while True: print("x" * 1000)';
    const onOutput = () => {
      isPrinting = true;
    };
    remote.request('run', { code }, { onOutput }).catch(() => {});
    await expect.poll(() => isPrinting).toBe(true);

    remote.destroy();

    await expect.poll(() => ask('streams()'), { timeout: 15_000 }).toEqual(before);
  });

  test('has no thread more for a command that logged', async () => {
    const remote = await openRemote(target.pid);
    let printed = '';
    const onOutput = (text: string) => {
      printed += text;
    };
    const code =
      'import logging, sys\nlogging.getLogger("x").error("of %s", "a command")\nsys.stdout.buffer.write(b"bytes\\n")';
    await remote.request('run', { code }, { onOutput });
    await remote.close();
    expect(printed).toBe('ERROR:x:of a command\nbytes\n');
    expect(await ask('streams()')).toEqual(before);
    expect(target.stderr()).toBe('');
  });
});
