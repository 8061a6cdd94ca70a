// Fixed hunt reports, one for each form that the text can take.

import type { HuntReport, PathStep, Suspect } from '../../src/report/schemas.ts';

const captureAt = (second: number, rssBytes: number, pauseMs: number, coverage = 0.99991) => ({
  core: null,
  at: new Date(Date.UTC(2026, 10, 23, 12, 0, second)).toISOString(),
  pauseMs,
  copiedBytes: 310_000_000,
  rssBytes,
  objects: 1_160_000,
  coverage,
});

const step = (text: string, type: string, more: Partial<PathStep> = {}): PathStep => ({
  text,
  type,
  address: '0x7f3a2c1d0000',
  length: null,
  retainedBytes: null,
  growsHere: false,
  omitted: 0,
  ...more,
});

const sessionSteps: PathStep[] = [
  step('module app.sessions', 'module'),
  step('.registry', 'app.sessions.SessionRegistry'),
  step('._open', 'dict', { length: 41_204, growsHere: true }),
  step('[38812]', 'app.sessions.Session', { retainedBytes: 7_500 }),
];

export const sessionSuspect: Suspect = {
  kind: 'retained',
  verdict: 'leaking',
  fingerprint: '5f2c91ab',
  type: 'app.sessions.Session',
  measure: 'objects',
  count: 2400,
  bytes: 18_100_000,
  bytesPerHour: 4.34e9,
  countPerSecond: 160,
  explains: 0.95,
  perRound: [
    { count: 803, bytes: 6_050_000 },
    { count: 799, bytes: 6_020_000 },
    { count: 798, bytes: 6_030_000 },
  ],
  path: sessionSteps.map((s) => s.text),
  shape: 'module app.sessions.registry._open[*] -> app.sessions.Session',
  steps: sessionSteps,
  holder: 'app.sessions.registry._open',
  holderType: 'dict',
  holderLength: 41_204,
  contents: [
    { type: 'app.sessions.Session', count: 2400, bytes: 134_400 },
    { type: 'str', count: 4800, bytes: 9_000_000 },
    { type: 'dict', count: 2400, bytes: 6_000_000 },
  ],
  namedIn: [],
  waitsAt: null,
  hints: [],
  alsoHeldBy: [],
  allocatedAt: [{ file: 'app/sessions.py', line: 48, function: 'SessionRegistry.open' }],
  example: { address: '0x7f3a2c1d9e50', repr: "<Session user_id=118 state='open'>" },
  reasons: ['grew in each of 3 rounds', 'one container holds every new object'],
  advice:
    'Entries are added at sessions.py:48 and no code that names `_open` removes any. Remove on close, or bound it.',
};

export const leak: HuntReport = {
  schema: 'leakscope/hunt@1',
  leakscope: '0.1.0',
  target: {
    pid: 4242,
    python: '3.11.7',
    build: 'x86-64, shared libpython3.11.so.1.0, pymalloc',
    command: ['python', '-m', 'app.main'],
    startedAt: '2026-11-23T08:48:00.000Z',
    redacted: false,
  },
  verdict: 'leak',
  summary: 'one suspect explains 95 % of the growth',
  reasons: [],
  nextMeasurement: null,
  seconds: 15,
  captures: [
    captureAt(0, 412_000_000, 41.2),
    captureAt(5, 418_000_000, 39.1),
    captureAt(10, 425_000_000, 43.7),
    captureAt(15, 431_000_000, 40.4),
  ],
  rss: [412, 413, 415, 417, 419, 421, 423, 426, 428, 431].map((megabytes, i) => ({
    at: new Date(Date.UTC(2026, 10, 23, 12, 0, i)).toISOString(),
    bytes: megabytes * 1e6,
  })),
  growth: { bytes: 19_000_000, bytesPerHour: 4.56e9 },
  ledger: {
    first: {
      pythonObjects: 300e6,
      pythonBuffers: 30e6,
      pymallocFreePools: 9e6,
      unexplained: 73e6,
    },
    last: {
      pythonObjects: 317.9e6,
      pythonBuffers: 30.8e6,
      pymallocFreePools: 8.9e6,
      unexplained: 73.4e6,
    },
    growth: {
      pythonObjects: 17.9e6,
      pythonBuffers: 0.8e6,
      pymallocFreePools: -0.1e6,
      unexplained: 0.4e6,
    },
  },
  suspects: [sessionSuspect],
  findings: [],
  problems: [],
  next: ['leakscope show 4242 0x7f3a2c1d9e50', 'leakscope path 4242 0x7f3a2c1d9e50'],
};

const coroutineSteps: PathStep[] = [
  step('interpreter asyncio', 'module'),
  step('._scheduled_tasks', '_weakrefset.WeakSet'),
  step('{<Task>}', '_asyncio.Task'),
  step('<task_coro>', 'coroutine'),
  step("local 'data' of leaking_coro (main.py:31)", 'list', { length: 5200, growsHere: true }),
  step('[5199]', 'str', { retainedBytes: 15_049 }),
];

/** Two suspects, other holders, findings, problems, hostile text from the target, and a long command. */
export const leakWithEverything: HuntReport = {
  ...leak,
  target: {
    ...leak.target,
    pid: 3120047,
    python: '3.14.0rc2',
    command: [
      '/opt/venv/bin/python',
      '-m',
      'gunicorn',
      '--workers',
      '1',
      '--bind',
      '0.0.0.0:8000',
      'app.wsgi:make_application()',
    ],
    startedAt: null,
  },
  summary: 'two suspects explain 71 % of the growth',
  reasons: ['the rest is spread over 31 types that did not grow in every round'],
  suspects: [
    {
      ...sessionSuspect,
      type: 'str',
      contents: [{ type: 'str', count: 1200, bytes: 18_100_000 }],
      namedIn: [],
      waitsAt: null,
      hints: [],
      count: 1200,
      fingerprint: 'c1aa0e42',
      path: coroutineSteps.map((s) => s.text),
      steps: coroutineSteps,
      shape: "local 'data' of leaking_coro -> list[*] -> str",
      holder: "local 'data' of leaking_coro (main.py:31)",
      holderType: 'list',
      holderLength: 5200,
      alsoHeldBy: [
        'app.cache._recent[*] (dict, 512 entries)',
        "local 'item' of worker (worker.py:88)",
      ],
      allocatedAt: null,
      example: { address: '0x7f3a2c1d9e50', repr: "'\u001b[2Jxxxxxxxx…'" },
      advice:
        'The coroutine never returns: what it appends to `data` stays. Bound the list or write it out.',
    },
    {
      ...sessionSuspect,
      kind: 'cycles',
      verdict: 'unknown',
      type: 'app.tree.Node',
      contents: [],
      namedIn: [],
      waitsAt: null,
      hints: [],
      count: 300,
      bytes: 96_000,
      countPerSecond: 0.3,
      fingerprint: '00c0ffee',
      path: [],
      steps: [],
      shape: 'cycle app.tree.Node.parent -> app.tree.Node.children',
      holder: null,
      holderType: null,
      holderLength: null,
      alsoHeldBy: null,
      allocatedAt: [],
      example: null,
      perRound: [
        { count: 100, bytes: 32_000 },
        { count: 101, bytes: 32_000 },
        { count: 99, bytes: 32_000 },
      ],
      reasons: ['no collection of the oldest generation ran during the measurement'],
      advice:
        'Unreachable cycles wait for the collector: see whether gc.disable() or gc.freeze() is in use.',
    },
  ],
  findings: [
    {
      kind: 'delayed-garbage',
      bytes: 4_200_000,
      text: 'unreachable cycles of 12 types wait for the collector; they come and go and are no leak by themselves',
    },
    {
      kind: 'warm-up',
      bytes: null,
      text: 'the re module filled its cache in the first round and stopped',
    },
  ],
  problems: [
    { kind: 'list-items-unreadable', count: 12, examples: ['0x7f3a2c100000'] },
    { kind: 'pool-count-differs', count: 1, examples: [] },
  ],
};

export const noLeak: HuntReport = {
  ...leak,
  verdict: 'no-leak',
  summary: 'nothing grew in every round; the resident set moved by 0.1 %',
  growth: { bytes: 400_000, bytesPerHour: 9.6e7 },
  captures: leak.captures.map((capture) => ({ ...capture, rssBytes: 412_400_000 })),
  rss: leak.rss.map((sample, i) => ({ ...sample, bytes: 412_000_000 + (i % 2) * 400_000 })),
  ledger: { first: {}, last: {}, growth: { pythonObjects: 120_000, unexplained: 280_000 } },
  suspects: [],
  next: [],
};

export const inconclusive: HuntReport = {
  ...leak,
  verdict: 'inconclusive',
  summary: 'the process grew by 19.0 MB and Python objects explain 2 % of it',
  reasons: ['17.9 MB of growth lie outside of the Python heap, which this version cannot explain'],
  nextMeasurement: 'leakscope hunt 4242 --every 30s --snapshots 6, under the same load',
  ledger: { first: {}, last: {}, growth: { pythonObjects: 400_000, unexplained: 18.6e6 } },
  suspects: [],
  next: ['leakscope hunt 4242 --every 30s --snapshots 6'],
};
