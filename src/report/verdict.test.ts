import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import type { CaptureFacts } from '../graph/heap-graph.ts';
import { EvidenceCollector } from './evidence.ts';
import { type HuntReport, huntSchema } from './schemas.ts';
import { judgeHunt } from './verdict.ts';

interface Given {
  captures?: number;
  wanted?: number;
  /** Text of the graph at each capture. */
  draw: (capture: number) => string;
  facts?: (capture: number) => Partial<CaptureFacts>;
}

const START_MS = Date.UTC(2026, 0, 1);

/** The report on captures five seconds apart. */
function judge({ captures = 4, wanted = captures, draw, facts }: Given): HuntReport {
  const collector = new EvidenceCollector();
  for (let i = 0; i < captures; i++) {
    const { graph } = drawGraph(draw(i));
    const at = new Date(START_MS + i * 5000).toISOString();
    const capture = { ...graph.capture, at, rssBytes: 100e6, coverage: 1, ...facts?.(i) };
    collector.add({ ...graph, capture });
  }
  const evidence = collector.finish([], wanted);
  if (evidence === undefined) throw new Error('no capture');
  return huntSchema.parse(judgeHunt(evidence));
}

const list = (count: number, text: (i: number) => string, separator: string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join(separator);

const address = (area: number, i: number): string =>
  `@0x${(area * 0x1000000 + i * 0x40).toString(16)}`;

/** `app.open`, a container of `count` tickets. */
const holding = (count: number, container = 'list', preview = ''): string => `
  root module app -> app
  app: module 64 ${address(1, 0)} .open -> open
  open: ${container} 232 ${address(1, 1)} ${preview} ${list(count, (i) => `[${i}] -> t${i}`, ', ')}
  ${list(count, (i) => `t${i}: app.Ticket 4096 ${address(2, i)}`, '\n')}
`;

/** Two objects that hold each other, `count` times, and no root. */
const cycles = (count: number): string => `
  root module app -> app
  app: module 64 ${address(1, 0)}
  ${list(count, (i) => `a${i}: app.Node 4096 tracked rc=1 ${address(2, i)} .other -> b${i}`, '\n')}
  ${list(count, (i) => `b${i}: app.Node 4096 tracked rc=1 ${address(3, i)} .other -> a${i}`, '\n')}
`;

const collector = (enabled: boolean) => () => ({
  collector: { enabled, thresholds: [700, 10, 10], collections: undefined },
});

describe('growth in some rounds that stays', () => {
  const judgeSteps = (...counts: number[]) =>
    judge({ captures: counts.length, draw: (i) => holding(counts[i]) });

  test.each([[[10, 400, 800, 800]], [[10, 400, 800, 800, 1200]], [[10, 10, 10, 800]]])(
    'is not called healthy: %j',
    (counts) => {
      const report = judgeSteps(...counts);
      expect(report.verdict).toBe('inconclusive');
      expect(report.reasons.join()).toContain('most of it app.Ticket (+');
      expect(report.nextMeasurement).toContain('a longer hunt under steady load');
    },
  );

  test.each([[[10, 800, 800, 800]], [[10, 800, 100, 800]], [[10, 400, 800, 800, 800]]])(
    'is what fills once, or comes and goes: %j',
    (counts) => {
      expect(judgeSteps(...counts).verdict).toBe('no-leak');
    },
  );
});

describe('a leak', () => {
  test('is told with its holder, its path, its rate and what to do', () => {
    const report = judge({ draw: (i) => holding(10 + i * 10) });

    expect(report).toMatchObject({ verdict: 'leak', nextMeasurement: null, seconds: 15 });
    expect(report.suspects).toHaveLength(1);
    expect(report.suspects[0]).toMatchObject({
      kind: 'retained',
      verdict: 'leaking',
      type: 'app.Ticket',
      count: 30,
      countPerSecond: 2,
      holder: 'app.open',
      holderLength: 40,
      alsoHeldBy: [],
      perRound: [10, 10, 10].map((count) => ({ count, bytes: count * 4096 })),
    });
    expect(report.suspects[0].advice).toContain('`open`');
  });

  test('of one buffer is told in bytes, with the object that owns it', () => {
    const report = judge({
      draw: (i) => `
        root module app -> app
        app: module 64 ${address(1, 0)} .transcript -> transcript
        transcript: _io.StringIO 96 ${address(1, 1)} <buffer> -> buffer
        buffer: str ${100_000 * (i + 1)} ${address(1, 2)} "'text'"
      `,
    });

    expect(report).toMatchObject({
      verdict: 'leak',
      suspects: [{ measure: 'bytes', count: 0, bytes: 300_000, holder: 'app.transcript' }],
    });
    expect(report.suspects[0].advice).toContain('One _io.StringIO gets longer and longer');
  });

  test('of uncollected cycles needs the collector to be off', () => {
    const off = judge({ draw: (i) => cycles(5 + i * 5), facts: collector(false) });
    const on = judge({ draw: (i) => cycles(5 + i * 5), facts: collector(true) });

    expect(off).toMatchObject({
      verdict: 'leak',
      suspects: [{ kind: 'cycles', type: 'app.Node' }],
    });
    expect(on).toMatchObject({ verdict: 'no-leak', suspects: [] });
  });

  test('of cycles that the collector leaves, although it ran in every round', () => {
    const ran =
      (freedPerRound: number, collectionsPerRound: (i: number) => number) => (i: number) => ({
        collector: {
          enabled: true,
          thresholds: [700, 10, 10],
          collections: [0, 0, collectionsPerRound(i)],
          freedCount: i * freedPerRound,
        },
      });
    const draw = (i: number) => cycles(5 + i * 5);
    const left = judge({ draw, facts: ran(1, (i) => i) });
    expect(left).toMatchObject({
      verdict: 'leak',
      suspects: [{ kind: 'cycles', type: 'app.Node', count: 30, verdict: 'leaking' }],
    });
    expect(left.suspects[0].advice).toContain('ran and did not free');

    // In one round it did not run.
    const rare = judge({ draw, facts: ran(1, (i) => Math.min(i, 2)) });
    expect(rare).toMatchObject({ verdict: 'inconclusive', suspects: [{ verdict: 'unknown' }] });
    // It freed so many that these may be others.
    const busy = judge({ draw, facts: ran(1000, (i) => i) });
    expect(busy).toMatchObject({ verdict: 'inconclusive', suspects: [{ verdict: 'unknown' }] });
    const never = judge({ draw, facts: ran(0, () => 7) });
    expect(never).toMatchObject({ verdict: 'no-leak', suspects: [] });
    // Each round has more garbage than the one before, and none of its.
    const others = (i: number) =>
      cycles(5 + i * 5).replace(/@0x([23])/g, (_, area: string) => `@0x${Number(area) + i * 2}`);
    const fresh = judge({ draw: others, facts: ran(1, (i) => i) });
    expect(fresh).toMatchObject({ verdict: 'no-leak', suspects: [] });
  });
});

describe('no leak', () => {
  test('when nothing changes', () => {
    expect(judge({ draw: () => holding(50) })).toMatchObject({ verdict: 'no-leak', suspects: [] });
  });

  test('when a bounded container fills up', () => {
    const report = judge({
      draw: (i) => holding(10 + i * 10, 'collections.deque', '"deque(maxlen=500)"'),
    });

    expect(report.suspects).toEqual([]);
    expect(report.findings).toMatchObject([{ kind: 'warm-up' }]);
  });

  test('when new objects only take the places of None in a container of a fixed length', () => {
    const report = judge({
      draw: (capture) => `
        root module app -> app
        app: module 64 ${address(1, 0)} .ring -> ring
        ring: list 232 ${address(1, 1)} ${list(60, (i) => `[${i}] -> ${i < 10 + capture * 10 ? `t${i}` : 'none'}`, ', ')}
        none: NoneType 16 ${address(1, 2)} immortal
        ${list(10 + capture * 10, (i) => `t${i}: app.Ticket 4096 ${address(2, i)}`, '\n')}
      `,
    });

    expect(report).toMatchObject({ verdict: 'no-leak', suspects: [] });
    expect(report.findings).toMatchObject([
      { kind: 'warm-up', text: expect.stringContaining('its length stays 60') },
    ]);
  });

  test('when values of their own take the place of shared ones in entries that come and go', () => {
    // A cache of about sixty dicts, of which each round drops the oldest: ever more of them have a large int.
    const lengths = [60, 62, 61, 62];
    const report = judge({
      draw: (capture) => {
        const first = capture * 20;
        const numbers = Array.from({ length: lengths[capture] }, (_, i) => first + i);
        const large = numbers.filter((i) => i >= 60);
        return `
          root module app -> app
          app: module 64 ${address(1, 0)} .cache -> cache
          cache: list 600 ${address(1, 1)} ${numbers.map((i, at) => `[${at}] -> d${i}`).join(', ')}
          small: int 28 ${address(1, 2)} "7" immortal
          number: str 55 ${address(1, 3)} "'number'"
          ${numbers.map((i) => `d${i}: dict 184 ${address(2, i)} [number] -> ${i >= 60 ? `n${i}` : 'small'}`).join('\n')}
          ${large.map((i) => `n${i}: int 28 ${address(3, i)} "${i + 1000}"`).join('\n')}
        `;
      },
    });

    expect(report).toMatchObject({ verdict: 'no-leak', suspects: [] });
  });

  test.each([
    [500, 'no-leak'],
    [1e9, 'leak'],
  ])('when the object of a cache says that it keeps %i at most: %s', (maxsize, verdict) => {
    const report = judge({
      draw: (capture) => `
        root module app -> app
        app: module 64 ${address(1, 0)} .cache -> cache
        cache: app.Cache 64 ${address(1, 1)} ._entries -> entries, ._maxsize -> size
        size: int 28 ${address(1, 2)} "${maxsize}"
        entries: list 232 ${address(1, 3)} ${list(10 + capture * 10, (i) => `[${i}] -> t${i}`, ', ')}
        ${list(10 + capture * 10, (i) => `t${i}: app.Ticket 4096 ${address(2, i)}`, '\n')}
      `,
    });

    expect(report.verdict).toBe(verdict);
  });

  test('when one round brought nothing', () => {
    const counts = [10, 20, 20, 40];

    expect(judge({ draw: (i) => holding(counts[i]) }).suspects).toEqual([]);
  });
});

describe('inconclusive', () => {
  test('with two rounds, and says which hunt would decide', () => {
    const report = judge({ captures: 3, draw: (i) => holding(10 + i * 10) });

    expect(report).toMatchObject({ verdict: 'inconclusive', suspects: [{ verdict: 'unknown' }] });
    expect(report.nextMeasurement).toMatch(/leakscope hunt \d+ --every \d+s --snapshots \d+/);
  });

  test('when it grows ever more slowly, as a cache does that fills up', () => {
    const counts = [10, 210, 310, 350];
    const report = judge({ draw: (i) => holding(counts[i]) });

    expect(report).toMatchObject({ verdict: 'inconclusive', suspects: [{ verdict: 'unknown' }] });
    expect(report.suspects[0].reasons).toEqual([
      'it grows ever more slowly (+40/s, +20/s, +8.0/s), as a cache does that fills up',
    ]);
  });

  test('with one capture', () => {
    expect(judge({ captures: 1, draw: () => holding(10) }).verdict).toBe('inconclusive');
  });

  test('when the resident set grows and Python objects do not', () => {
    const report = judge({
      draw: () => holding(50),
      facts: (i) => ({ rssBytes: 100e6 + i * 10e6 }),
    });

    expect(report.verdict).toBe('inconclusive');
    expect(report.summary).toContain('30.0 MB');
  });

  test('when too much of the heap was not understood', () => {
    const report = judge({ draw: () => holding(50), facts: () => ({ coverage: 0.9 }) });

    expect(report.verdict).toBe('inconclusive');
    expect(report.reasons.join()).toContain('90.0 %');
  });
});

test('a process that ended early is judged on what was captured, and the report says so', () => {
  const report = judge({ captures: 4, wanted: 8, draw: (i) => holding(10 + i * 10) });

  expect(report.verdict).toBe('leak');
  expect(report.reasons).toContain('the process ended after 4 of 8 captures');
});
