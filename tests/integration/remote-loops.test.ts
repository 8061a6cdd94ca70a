// Consoles in programs on gevent, eventlet and uvloop: they run there, or are refused or taken back with a sentence, and
// the program works on.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openRemote } from '../../src/remote/open-remote.ts';
import { findPythonWithPackages, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/other_loops.py', import.meta.url));
const python = findPythonWithPackages();
const folders = python === undefined ? [] : readdirSync(python.env.PYTHONPATH);
const isThere = ['eventlet', 'gevent', 'uvloop'].every((name) => folders.includes(name));

describe.skipIf(!isThere)('a console in a program on', () => {
  test.each([
    ['gevent', 'busy', undefined],
    ['gevent', 'idle', undefined],
    ['uvloop', 'busy', undefined],
    ['uvloop', 'idle', /taken back: its main thread waits for events/],
    ['eventlet', 'busy', /eventlet has replaced/],
  ])('%s, %s', async (kind, state, refusal) => {
    const target = await startPython(python!, PROGRAM, { args: [kind, state] });
    try {
      const threads = () => readdirSync(`/proc/${target.pid}/task`).length;
      const before = threads();
      const opened = openRemote(target.pid, { timeoutMs: refusal === undefined ? 10_000 : 1000 });
      if (refusal === undefined) {
        const remote = await opened;
        // The program goes on while a command of ours blocks its own thread.
        const code =
          'import __main__, time\nbefore = __main__.ticks[0]\nf = __import__("select").select([], [], [], 0.3)\n__main__.ticks[0] - before';
        const { value } = await remote.request('run', { code }, { timeoutMs: 10_000 });
        if (state === 'busy') expect(Number(value)).toBeGreaterThan(3);
        else expect(value).toBe('0');
        await remote.close();
      } else await expect(opened).rejects.toThrow(refusal);
      await expect.poll(threads).toBe(before);
      expect(target.stderr()).toBe('');
    } finally {
      await target.stop();
    }
  });
});
