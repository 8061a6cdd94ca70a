// Programs such as people run, under load, hunted through the command line: the leak is named with its holder and the
// functions to look into, and a healthy program gets `no-leak`. See tests/programs/real_apps.py.

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type HttpLoad, startHttpLoad } from '../support/http-load.ts';
import { type HuntResult, huntByCommand } from '../support/hunting.ts';
import {
  allPythons,
  findPython,
  findPythonWithPackages,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/real_apps.py', import.meta.url));
/** What serves make_shop's application. */
const SHOPS = ['aiohttp_sessions', 'aiohttp_healthy'];
const plain = findPython('3.12') ?? allPythons().at(-1);
const withPackages = findPythonWithPackages();
const WITHOUT_PACKAGES = withPackages === undefined ? ' (skipped: no packages of PyPI)' : '';

interface Started {
  /** The process to hunt. */
  pid: number;
  /** 0 if it makes its own load. */
  port: number;
}

async function huntApp(python: TestPython, name: string, isIdle = false): Promise<HuntResult> {
  const running = await startPython<Started>(python, PROGRAM, { args: [name] });
  const { pid, port } = running.ready;
  let load: HttpLoad | undefined;
  try {
    if (port > 0 && !isIdle) load = startHttpLoad(port, { hasOrders: SHOPS.includes(name) });
    return await huntByCommand(pid, '--after', '1s', '--every', '1s');
  } finally {
    const done = await load?.stop();
    await running.stop();
    expect(done?.errors ?? []).toEqual([]);
    if (load !== undefined) expect(done?.answered).toBeGreaterThan(100);
  }
}

interface Leak {
  name: string;
  /** Of the suspect, or of something that came with each object. */
  type: string;
  holder: RegExp;
  /** A function that the suspect tells to look into; undefined where none names the holder. */
  namedIn?: RegExp;
  advice: RegExp;
}

const LEAKS: readonly Leak[] = [
  {
    name: 'http_server_leak',
    type: 'http.client.HTTPMessage',
    holder: /^__main__\.RememberingHandler\.visits$/,
    namedIn: /^__main__\.RememberingHandler\.do_GET at real_apps\.py:\d+$/,
    advice: /Nothing is removed from `visits`/,
  },
  {
    name: 'logging_handlers',
    type: 'logging.StreamHandler',
    holder: /^logging\.Logger\.manager\.loggerDict\['shop\.requests'\]\.handlers$/,
    namedIn: /^__main__\.request_logger at real_apps\.py:\d+$/,
    advice: /add handlers once/,
  },
  {
    name: 'lru_method',
    type: '__main__.Report',
    holder: /^__main__\.Report\.render<cache>$/,
    advice: /on a method, so it keeps every `self`/,
  },
  {
    name: 'asyncio_tasks',
    type: '_asyncio.Task',
    holder: /^local 'mailer' of asyncio_tasks.*\.pending$/,
    namedIn: /^__main__\.Mailer\.post at real_apps\.py:\d+$/,
    advice: /await them with a timeout/,
  },
  {
    name: 'prefork',
    type: 'http.client.HTTPMessage',
    holder: /^__main__\.RememberingHandler\.visits$/,
    namedIn: /do_GET at real_apps\.py/,
    advice: /Nothing is removed from `visits`/,
  },
];

const LEAKS_WITH_PACKAGES: readonly Leak[] = [
  {
    name: 'aiohttp_sessions',
    type: 'dict',
    holder: /\['sessions'\]$/,
    namedIn: /^__main__\.make_shop\.<locals>\.sessions at real_apps\.py:\d+$/,
    advice: /Nothing is removed from `sessions`/,
  },
  {
    name: 'aiohttp_requests',
    type: 'aiohttp.web_request.Request',
    holder:
      /^local 'audit' of aiohttp_requests \(real_apps\.py:\d+\) -> __main__\.Audit\.requests$/,
    namedIn: /^__main__\.Audit\.note at real_apps\.py:\d+$/,
    advice: /Nothing is removed from `requests`/,
  },
  {
    name: 'gunicorn_failures',
    type: 'LookupError',
    holder: /^closure 'failures' of __main__\.flask_shop\.<locals>\.article \(real_apps\.py:\d+\)$/,
    namedIn: /^__main__\.flask_shop\.<locals>\.article at real_apps\.py:\d+$/,
    advice: /Nothing is removed from `failures`/,
  },
  {
    name: 'numpy_views',
    type: 'numpy.ndarray',
    holder: /^__main__\.history$/,
    namedIn: /measure at real_apps\.py:\d+$/,
    advice: /Nothing is removed from `history`/,
  },
];

function expectLeak({ report, exitCode }: HuntResult, leak: Leak): void {
  expect({ verdict: report.verdict, exitCode, reasons: report.reasons }).toEqual({
    verdict: 'leak',
    exitCode: 1,
    reasons: [],
  });
  const others = report.suspects.slice(1).map(({ shape, perRound }) => ({ shape, perRound }));
  expect(others).toEqual([]);
  const [suspect] = report.suspects;
  expect(suspect).toMatchObject({ kind: 'retained', verdict: 'leaking' });
  expect(suspect.holder).toMatch(leak.holder);
  expect([suspect.type, ...suspect.contents.map((content) => content.type)]).toContain(leak.type);
  if (leak.namedIn !== undefined) {
    expect(suspect.namedIn).toContainEqual(expect.stringMatching(leak.namedIn));
  }
  expect(suspect.advice).toMatch(leak.advice);
  expect(suspect.explains).toBeGreaterThan(0.7);
}

const expectNoLeak = ({ report, exitCode }: HuntResult): void => {
  const { verdict, reasons, suspects, summary } = report;
  expect({ verdict, exitCode, reasons, suspects }, summary).toEqual({
    verdict: 'no-leak',
    exitCode: 0,
    reasons: [],
    suspects: [],
  });
};

describe.skipIf(plain === undefined)('programs of the standard library', () => {
  test.each(LEAKS)('the leak of $name is named', async (leak) => {
    expectLeak(await huntApp(plain as TestPython, leak.name), leak);
  });

  test.each(['wsgi_healthy', 'asyncio_idle', 'sqlite_worker'])('%s does not leak', async (name) => {
    expectNoLeak(await huntApp(plain as TestPython, name, name === 'asyncio_idle'));
  });
});

describe.skipIf(withPackages === undefined)(`programs with packages${WITHOUT_PACKAGES}`, () => {
  test.each(LEAKS_WITH_PACKAGES)('the leak of $name is named', async (leak) => {
    expectLeak(await huntApp(withPackages as TestPython, leak.name), leak);
  });

  test.each(['aiohttp_healthy', 'gunicorn_healthy'])('%s does not leak', async (name) => {
    expectNoLeak(await huntApp(withPackages as TestPython, name));
  });
});
