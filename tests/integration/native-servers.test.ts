// Servers of Flask and aiohttp under load from outside, with an extension in C: while they are healthy, `native` and `hunt`
// accuse no C code and the growth is explained; what one endpoint loses is told, as many blocks per round as the extension
// itself counted. See tests/programs/native_servers.py.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nativeSchema } from '../../src/report/native-schema.ts';
import type { HuntReport } from '../../src/report/schemas.ts';
import { runJson } from '../support/command-line.ts';
import { type HttpClient, openHttpClient, startHttpLoad } from '../support/http-load.ts';
import { huntByCommand, huntRounds } from '../support/hunting.ts';
import {
  compileExtension,
  findPythonForExtensions,
  hasTool,
} from '../support/native-extensions.ts';
import { startPython, type TestPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/native_servers.py', import.meta.url));
const SERVERS = ['flask', 'flask_threads', 'aiohttp'];
const OF_C_CODE = ['native-lost', 'native-retained', 'refcount', 'mappings', 'threads'];
const REQUESTS_PER_ROUND = 200;

const extensions = findPythonForExtensions();
/** Where there is Cython, there are the other packages, too. */
const canRun = extensions?.hasCython === true && hasTool('gcc');

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-servers-'));
  if (canRun) compileExtension(extensions!.python, 'c_losses.c', folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Served {
  pid: number;
  port: number;
  client: HttpClient;
}

async function withServer<Result>(
  name: string,
  run: (served: Served) => Promise<Result>,
): Promise<Result> {
  const python = extensions?.python as TestPython;
  const env = { PYTHONPATH: `${folder}:${python.env.PYTHONPATH}` };
  const server = await startPython<{ pid: number; port: number }>(python, PROGRAM, {
    args: [name],
    env,
  });
  // One request at a time needs one connection: others would wait for it to close.
  const client = openHttpClient(server.ready.port, name === 'flask' ? 1 : 4);
  try {
    return await run({ ...server.ready, client });
  } finally {
    client.close();
    await server.stop();
  }
}

let asked = 0;
const paths = (name: string, count: number): string[] =>
  Array.from({ length: count }, () => `/${name}/${asked++}`);

async function workHealthily({ client }: Served): Promise<void> {
  await client.getAll(paths('article', REQUESTS_PER_ROUND));
  await client.order(asked++);
}

const suspectsOf = (report: HuntReport) =>
  report.suspects.map(({ kind, verdict, type, count }) => ({ kind, verdict, type, count }));

const near = (count: number) =>
  expect.toSatisfy((value: number) => Math.abs(value - count) <= count * 0.05);

describe.runIf(canRun).each(SERVERS)('%s under load', (name) => {
  test('accuses no C code while it is healthy', { timeout: 120_000 }, async () => {
    await withServer(name, async (served) => {
      // What a server fills once: caches of names, buffers of connections.
      for (let i = 0; i < 5; i++) await workHealthily(served);
      const report = await huntRounds(served.pid, () => workHealthily(served));
      expect(
        { verdict: report.verdict, suspects: suspectsOf(report), reasons: report.reasons },
        JSON.stringify(report.suspects),
      ).toEqual({ verdict: 'no-leak', suspects: [], reasons: [] });

      const native = await runJson(nativeSchema, 'native', `${served.pid}`);
      expect(native.lost.bytes, JSON.stringify(native.groups[0])).toBeLessThan(16 << 10);
      expect(native.lostReferences).toEqual([]);
    });
  });

  test('is told to lose what its extension counted', { timeout: 120_000 }, async () => {
    await withServer(name, async (served) => {
      const { client, pid } = served;
      const counted: { blocks: number; bytes: number }[] = [];
      for (let i = 0; i < 3; i++) await workHealthily(served);
      const report = await huntRounds(pid, async () => {
        await workHealthily(served);
        await client.getAll([...paths('thumbnail', 150), ...paths('title', 100)]);
        counted.push(await client.ask('/counted'));
      });
      const perRound = counted.slice(1).map(({ blocks }, i) => blocks - counted[i].blocks);
      expect({ verdict: report.verdict, perRound }).toEqual({
        verdict: 'leak',
        perRound: [400, 400, 400],
      });
      const told = report.suspects.map(({ kind, type, perRound }) => ({
        kind,
        type,
        counts: perRound.map(({ count }) => count),
      }));
      expect(told.sort((a, b) => (a.type < b.type ? -1 : 1))).toEqual([
        lost(/^blocks of 2\.0 kB/, 150),
        lost(/^blocks of 3\d\d B/, 150),
        { ...lost(/^bytes$/, 100), kind: 'refcount' },
      ]);
      const bytes = report.suspects.reduce((sum, each) => sum + each.bytes, 0);
      // The allocator's own bytes come on top.
      const countedBytes = counted[3].bytes - counted[0].bytes;
      expect(bytes).toBeGreaterThan(countedBytes * 0.95);
      expect(bytes).toBeLessThan(countedBytes * 1.05);
    });
  });
});

const lost = (type: RegExp, perRound: number) => ({
  kind: 'native-lost',
  type: expect.stringMatching(type),
  counts: [near(perRound), near(perRound), near(perRound)],
});

test.runIf(canRun)('a healthy server is hunted while requests come in', async () => {
  await withServer('flask_threads', async ({ pid, port, client }) => {
    await client.getAll(paths('article', 500));
    const load = startHttpLoad(port, { hasOrders: true });
    const { report } = await huntByCommand(pid, '--after', '1s', '--every', '1s');
    const { answered, errors } = await load.stop();
    expect(errors).toEqual([]);
    expect(answered).toBeGreaterThan(100);
    const accused = suspectsOf(report).filter(({ kind }) => OF_C_CODE.includes(kind));
    expect({ accused, verdict: report.verdict }, JSON.stringify(report)).toEqual({
      accused: [],
      verdict: 'no-leak',
    });
  });
});
