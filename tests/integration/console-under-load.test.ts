// A console that is open and used in a server of aiohttp under load: no request fails, the server's own output has its own
// lines and no others, and at the end nothing is left. See tests/programs/counting_shop.py.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openRemote } from '../../src/remote/open-remote.ts';
import type { RemoteSession } from '../../src/remote/remote-session.ts';
import { finishCommand, runCommand, startCommand } from '../support/command-line.ts';
import { startHttpLoad } from '../support/http-load.ts';
import { findPythonWithPackages, type RunningPython, startPython } from '../support/pythons.ts';
import { listChannelFolders } from '../support/remote-targets.ts';

const PROGRAM = fileURLToPath(new URL('../programs/counting_shop.py', import.meta.url));
const python = findPythonWithPackages();
const ROUNDS = 25;
/** A command that takes longer was held up by the load, or by the program. */
const SLOW_MS = 2000;

describe.skipIf(python === undefined)('a console in a server of aiohttp under load', () => {
  test('fails no request and leaves nothing', async () => {
    const server = await startPython<{ port: number }>(python!, PROGRAM);
    const threadsBefore = threadCount(server.pid);
    const load = startHttpLoad(server.ready.port, { hasOrders: true });
    try {
      const remote = await openRemote(server.pid);
      const latencies = await useConsole(remote);
      expect(await remote.close()).toBe(true);
      const tasks = startCommand(['console', `${server.pid}`, '--yes', '-c', '%tasks']);
      expect(await finishCommand(tasks)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/of 1 running event loop/),
      });
      const growth = await runCommand('console', `${server.pid}`, '--yes', '-c', '%growth');
      expect(growth).toMatchObject({ code: 0, stdout: expect.stringContaining('noted ') });

      const { answered, errors } = await load.stop();
      expect(errors).toEqual([]);
      expect(answered).toBeGreaterThan(100);
      await expectOwnLines(server, answered);
      await expect.poll(() => threadCount(server.pid)).toBe(threadsBefore);
      expect(listChannelFolders(process.pid, tasks.pid ?? 0)).toEqual([]);
      expect(server.stderr()).toBe('');
      expect(latencies.length).toBe(ROUNDS * 4);
      expect(Math.max(...latencies), `${latencies}`).toBeLessThan(SLOW_MS);
    } finally {
      await load.stop();
      await server.stop();
    }
  });
});

/** Milliseconds of each command. */
async function useConsole(remote: RemoteSession): Promise<number[]> {
  const latencies: number[] = [];
  const time = async <T>(reply: Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    const value = await reply;
    latencies.push(performance.now() - startedAt);
    return value;
  };
  for (let round = 0; round < ROUNDS; round++) {
    let printed = '';
    const onOutput = (text: string) => {
      printed += text;
    };
    const print = { code: `for i in range(100): print("ours", ${round}, i)` };
    await time(remote.request('run', print, { onOutput }));
    const ours = Array.from({ length: 100 }, (_, i) => `ours ${round} ${i}\n`);
    expect(printed).toBe(ours.join(''));

    const { tasks } = await time(remote.request('tasks'));
    expect((tasks as unknown[]).length).toBeGreaterThan(0);

    expect(await time(remote.request('run', { code: ON_LOOP }))).toMatchObject({ value: 'True' });

    const code = 'import __main__; next(iter(__main__.asyncio.all_tasks(__main__.loop))).done()';
    expect(await time(remote.request('run', { code }))).toMatchObject({ value: 'False' });
  }
  return latencies;
}

const ON_LOOP = `import asyncio, __main__
async def where():
    await asyncio.sleep(0.01)
    return asyncio.get_running_loop() is __main__.loop

await where()`;

/** Its stdout is one line for each request, in order: nothing is missing and nothing came between. */
async function expectOwnLines(server: RunningPython, answered: number): Promise<void> {
  const lines: string[] = [];
  for (let i = 0; i < answered; i++) lines.push(await server.nextLine());
  expect(lines).toEqual(lines.map((_, i) => `served ${i}`));
}

const threadCount = (pid: number): number => readdirSync(`/proc/${pid}/task`).length;
