import { describe, expect, test } from 'vitest';
import { type DrawnGraph, drawGraph } from '../../tests/support/drawn-graph.ts';
import { buildCaptureTrack, type CaptureTrack, withoutObjects } from './capture-track.ts';
import { computeGrowth, type Growth, type GrowthRow } from './growth.ts';
import { computePathTree } from './paths.ts';

interface Hunted extends Growth {
  last: DrawnGraph;
}

/** The growth from capture to capture of a program that is drawn at each. */
function hunt(draw: (capture: number) => string, captureCount = 4): Hunted {
  const tracks: CaptureTrack[] = [];
  for (let i = 0; i < captureCount; i++) {
    const drawn = drawGraph(draw(i));
    const tree = computePathTree(drawn.graph);
    tracks.push(buildCaptureTrack(drawn.graph, tree, tracks.at(-1)));
    if (i > 0) tracks[i - 1] = withoutObjects(tracks[i - 1]);
    if (i === captureCount - 1) {
      return { last: drawn, ...computeGrowth(tracks, drawn.graph, tree, { minBytes: 1000 }) };
    }
  }
  throw new Error('at least one capture');
}

/** Objects `from`..`to` - 1, each as `draw` writes it, at an address of its own. */
const range = (from: number, to: number, draw: (i: number) => string): string =>
  Array.from({ length: to - from }, (_, i) => draw(from + i)).join('\n');

const at = (area: number, i: number): string => `@0x${(area * 0x1000000 + i * 0x40).toString(16)}`;

const entries = (from: number, to: number, draw: (i: number) => string): string =>
  Array.from({ length: to - from }, (_, i) => draw(from + i)).join(', ');

/** What a row says, in short. */
const told = ({ last }: Hunted, row: GrowthRow) => ({
  text: row.text,
  perRound: row.perRound.map((round) => round.count),
  holder: row.holder && last.nameOf(row.holder.node),
});

/** A dict of tickets, each with a list and a str of its own. */
const registry = (ticketCount: number, area = 1): string => `
  root module app -> app
  app: module 64 ${at(area, 0)} .registry -> registry
  registry: app.Registry 48 ${at(area, 1)} ._open -> open
  open: dict 232 ${at(area, 2)} ${entries(0, ticketCount, (i) => `[k${i}] -> t${i}`)}
  ${range(0, ticketCount, (i) => `k${i}: int 28 ${at(area, 1000 + i)} "${i}"`)}
  ${range(0, ticketCount, (i) => `t${i}: app.Ticket 48 ${at(area + 1, i)} .tags -> l${i}, .name -> s${i}`)}
  ${range(0, ticketCount, (i) => `l${i}: list 56 ${at(area + 2, i)}`)}
  ${range(0, ticketCount, (i) => `s${i}: str 80 ${at(area + 3, i)} "'ticket ${i}'"`)}
`;

describe('growth', () => {
  test('of a dict is one row, with what its objects hold counted in it', () => {
    const found = hunt((capture) => registry(10 + capture * 20));

    expect(found.rows.map((row) => told(found, row))).toEqual([
      {
        text: 'app.registry._open[*] -> app.Ticket',
        perRound: [20, 20, 20],
        holder: 'open',
      },
      { text: 'app.registry._open<key> -> int', perRound: [20, 20, 20], holder: 'open' },
    ]);
    const [row] = found.rows;
    const dictBytes = 232;
    expect(row.bytes).toEqual([10, 30, 50, 70].map((count) => count * (48 + 56 + 80) + dictBytes));
    expect(row.survivors).toEqual([20, 20, 20]);
    expect(row.gone).toEqual([0, 0, 0]);
    expect(row.holder).toMatchObject({ holderCount: 1, share: 1, isChain: false });
    expect(row.contents.map((type) => type.typeName)).toEqual(['str', 'list', 'app.Ticket']);
    expect(row.examples.map(found.last.nameOf).slice(0, 2)).toEqual(['t10', 't11']);
    expect(row.isSignificant).toBe(true);
  });

  test.each([0, 1, 2, 3])(
    'is seen, count and bytes, although capture %i finds the objects by another path',
    (flipped) => {
      const found = hunt((capture) => {
        const handler = "root local local 'kept' of handle (app.py:9) -> open";
        return `
          ${capture === flipped ? handler : ''}
          root local local 'server' of main (app.py:1) -> server
          server: app.Server 48 ${at(1, 0)} .registry -> registry
          registry: app.Registry 48 ${at(1, 1)} ._open -> open
          open: list 232 ${at(1, 2)} ${entries(0, 10 + capture * 20, (i) => `[${i}] -> t${i}`)}
          ${range(0, 10 + capture * 20, (i) => `t${i}: app.Ticket 48 ${at(2, i)}`)}
        `;
      });

      const path =
        flipped === 3
          ? "local 'kept' of handle (app.py)"
          : "local 'server' of main (app.py).registry._open";
      expect(found.rows.map((row) => told(found, row))).toEqual([
        { text: `${path}[*] -> app.Ticket`, perRound: [20, 20, 20], holder: 'open' },
      ]);
      expect(found.rows[0].perRound.map((round) => round.bytes)).toEqual([960, 960, 960]);
    },
  );

  test('of attributes that old instances get is one row, with the dicts made for them', () => {
    const found = hunt((capture) => {
      const filled = 10 + capture * 10;
      return `
        root module app -> app
        app: module 64 ${at(1, 0)} .customers -> customers
        customers: list 232 ${at(1, 1)} ${entries(0, 60, (i) => `[${i}] -> c${i}`)}
        ${range(0, 60, (i) => `c${i}: app.Customer 48 ${at(2, i)}${i < filled ? ` __dict__ -> d${i}` : ''}`)}
        ${range(0, filled, (i) => `d${i}: dict 64 ${at(3, i)} [profile] -> p${i}`)}
        ${range(0, filled, (i) => `p${i}: dict 232 ${at(4, i)}`)}
        profile: str 55 ${at(5, 0)} "'profile'"
      `;
    });

    expect(found.rows.map(({ text }) => text)).toEqual(['app.customers[*].profile -> dict']);
    expect(found.rows[0].perRound).toEqual([1, 2, 3].map(() => ({ count: 10, bytes: 2960 })));
  });

  test('of dicts with dicts in them counts the entries of the holder', () => {
    const found = hunt(
      (capture) => `
        root module app -> app
        app: module 64 ${at(1, 0)} .sessions -> sessions
        sessions: dict 232 ${at(1, 1)} ${entries(0, 20 + capture * 10, (i) => `[k${i}] -> d${i}`)}
        ${range(0, 20 + capture * 10, (i) => `k${i}: int 28 ${at(2, i)} "${i}"`)}
        ${range(0, 20 + capture * 10, (i) => `d${i}: dict 232 ${at(3, i)} [basket] -> l${i}`)}
        ${range(0, 20 + capture * 10, (i) => `l${i}: list 72 ${at(4, i)} [0] -> e${i}, [1] -> f${i}`)}
        ${range(0, 20 + capture * 10, (i) => `e${i}: dict 232 ${at(5, i)}`)}
        ${range(0, 20 + capture * 10, (i) => `f${i}: dict 232 ${at(6, i)}`)}
        basket: str 55 ${at(7, 0)} "'basket'"
      `,
    );

    const [row] = found.rows;
    expect(told(found, row)).toMatchObject({ perRound: [10, 10, 10], holder: 'sessions' });
    expect(row.contents.map(({ typeName, count }) => [typeName, count])).toEqual([
      ['dict', 90],
      ['list', 30],
    ]);
  });

  test('of a linked list is told with what holds its head, whichever end grows', () => {
    const list = (count: number, nameOf: (i: number) => number) => `
      root module app -> app
      app: module 64 ${at(1, 0)} .queue -> queue
      queue: app.Queue 48 ${at(1, 1)} .head -> n${nameOf(0)}
      ${range(0, count - 1, (i) => `n${nameOf(i)}: dict 232 ${at(2, nameOf(i))} 'next' -> n${nameOf(i + 1)}`)}
      n${nameOf(count - 1)}: dict 232 ${at(2, nameOf(count - 1))}`;
    const appended = hunt((capture) => list(50 + capture * 30, (i) => i));
    const prepended = hunt((capture) => {
      const count = 50 + capture * 30;
      return list(count, (i) => count - 1 - i);
    });

    const expected = [
      { text: 'app.queue.head[*] -> dict', perRound: [30, 30, 30], holder: 'queue' },
    ];
    expect(appended.rows.map((row) => told(appended, row))).toEqual(expected);
    expect(prepended.rows.map((row) => told(prepended, row))).toEqual(expected);
    expect(appended.rows[0].holder?.isChain).toBe(true);
  });

  test('of a chain of two types of links is one row as well', () => {
    const found = hunt((capture) => {
      const count = 20 + capture * 20;
      return `
        root module app -> q
        q: app.Queue 48 ${at(1, 1)} .head -> a0
        ${range(0, count, (i) => `a${i}: app.A 32 ${at(2, i)} .link -> b${i}`)}
        ${range(0, count, (i) => `b${i}: app.B 32 ${at(3, i)} .next -> a${i + 1}`)}
        a${count}: app.A 32 ${at(2, count)}`;
    });

    expect(found.rows).toHaveLength(1);
    expect(told(found, found.rows[0])).toMatchObject({ perRound: [20, 20, 20], holder: 'q' });
  });

  test('of a list in a coroutine is told by the name of the local', () => {
    const found = hunt((capture) => {
      const count = 10 + capture * 15;
      return `
        root local local 'self' of run_forever (base_events.py:603) in thread "main" -> loop
        loop: Loop 48 ${at(1, 0)} ._ready -> ready
        ready: deque 600 ${at(1, 1)} [0] -> task
        task: _asyncio.Task 200 ${at(1, 2)} <task_coro> -> coro
        coro: coroutine 200 ${at(1, 3)} local kept -> kept
        kept: list 800 ${at(1, 4)} ${entries(0, count, (i) => `[${i}] -> s${i}`)}
        ${range(0, count, (i) => `s${i}: str 9000 ${at(2, i)} "'${i}xxx"`)}`;
    });

    expect(found.rows.map((row) => told(found, row))).toEqual([
      {
        text: "local 'self' of run_forever (base_events.py)._ready[*]<task_coro> local 'kept'[*] -> str",
        perRound: [15, 15, 15],
        holder: 'kept',
      },
    ]);
  });

  test('of many containers names how many there are', () => {
    const found = hunt((capture) => {
      const perSession = 2 + capture;
      return `
        root module app -> open
        open: dict 232 ${at(1, 0)} ${entries(0, 40, (i) => `[k] -> s${i}`)}
        k: str ${at(1, 1)} "'k'"
        ${range(0, 40, (i) => `s${i}: app.Session 48 ${at(2, i)} .events -> l${i}`)}
        ${range(0, 40, (i) => `l${i}: list 56 ${at(3, i)} ${entries(0, perSession, (j) => `[${j}] -> e${i}_${j}`)}`)}
        ${range(0, 40, (i) => range(0, perSession, (j) => `e${i}_${j}: app.Event 100 ${at(4, i * 100 + j)}`))}`;
    });

    expect(found.rows).toHaveLength(1);
    expect(found.rows[0].text).toBe('app[*].events[*] -> app.Event');
    expect(found.rows[0].holder).toMatchObject({ holderCount: 40, isChain: false });
  });

  test('of a list of small ints, which are shared, is growth of its entries', () => {
    const found = hunt(
      (capture) => `
        root module app -> app
        app: module 64 ${at(1, 0)} .log -> log
        log: list ${800 + capture * 4000} ${at(1, 1)} ${entries(0, 100 + capture * 500, (i) => `[${i}] -> one`)}
        one: int 28 ${at(1, 2)} "1"`,
    );

    expect(found.rows).toHaveLength(1);
    expect(found.rows[0]).toMatchObject({
      measure: 'entries',
      text: 'app.log -> list',
      entries: [100, 600, 1100, 1600],
      isSignificant: true,
    });
  });

  test('of one str that is made longer and longer is growth of bytes', () => {
    const found = hunt(
      (capture) => `
        root module app -> app
        app: module 64 ${at(1, 0)} .text -> text
        text: str ${1000 + capture * 9000} ${at(1, 5 + capture)} "'aaa"`,
    );

    expect(found.rows.map((row) => [row.measure, row.text])).toEqual([
      ['bytes', 'app.text -> str'],
    ]);
  });

  test('is found next to heavy churn of the same types', () => {
    const found = hunt((capture) => {
      const count = 4 + capture * 4;
      const churn = 100 + ((capture * 37) % 50);
      return `
        root module app -> app
        root local local 'rows' of work (app.py:9) in thread "main" -> rows
        app: module 64 ${at(1, 0)} .events -> events
        events: list 88 ${at(1, 1)} ${entries(0, count, (i) => `[${i}] -> d${i}`)}
        ${range(0, count, (i) => `d${i}: dict 232 ${at(2, i)} [k] -> v${i}`)}
        ${range(0, count, (i) => `v${i}: str 60 ${at(3, i)} "'event ${i}'"`)}
        k: str 50 ${at(1, 2)} "'at'"
        rows: list 900 ${at(1, 3)} ${entries(0, churn, (i) => `[${i}] -> c${i}`)}
        ${range(0, churn, (i) => `c${i}: dict 232 ${at(5, i)} [k] -> w${i}`)}
        ${range(0, churn, (i) => `w${i}: str 60 ${at(6, i)} "'row ${capture} ${i}'"`)}`;
    });

    expect(found.rows.map((row) => told(found, row))).toEqual([
      { text: 'app.events[*] -> dict', perRound: [4, 4, 4], holder: 'events' },
    ]);
  });

  test('that begins in a new copy of the container each time is found', () => {
    const found = hunt((capture) => {
      const count = 10 + capture * 10;
      return `
        root module app -> app
        app: module 64 ${at(1, 0)} .seen -> seen
        seen: tuple 800 ${at(2, capture)} ${entries(0, count, (i) => `[${i}] -> s${i}`)}
        ${range(0, count, (i) => `s${i}: app.Seen 80 ${at(3, i)}`)}`;
    });

    expect(found.rows.map((row) => told(found, row))).toEqual([
      { text: 'app.seen[*] -> app.Seen', perRound: [10, 10, 10], holder: 'seen' },
    ]);
  });
});

describe('no growth', () => {
  const deque = (first: number, length: number) => `
    root module app -> ring
    ring: collections.deque 600 ${at(1, 0)} ${entries(0, length, (i) => `[${i}] -> t${first + i}`)}
    ${range(first, first + length, (i) => `t${i}: app.Ticket 48 ${at(2, i % 500)} .name -> s${i}`)}
    ${range(first, first + length, (i) => `s${i}: str 80 ${at(3, i % 500)} "'${i}'"`)}`;

  test('is a bounded deque whose objects are replaced', () => {
    expect(hunt((capture) => deque(capture * 130, 200)).rows).toEqual([]);
  });

  test('is a queue that happens to be longer at each capture', () => {
    expect(hunt((capture) => deque(capture * 400, 100 + capture * 60)).rows).toEqual([]);
  });

  test('is a cache that fills once', () => {
    const sizes = [100, 180, 200, 200];
    expect(hunt((capture) => registry(sizes[capture])).rows).toEqual([]);
  });

  test('is a sawtooth', () => {
    const sizes = [100, 200, 40, 140];
    expect(hunt((capture) => registry(sizes[capture])).rows).toEqual([]);
  });

  test('is what stays as it is', () => {
    const found = hunt(() => registry(50));
    expect(found.rows).toEqual([]);
    expect(found.types).toEqual([]);
  });
});

describe('rows', () => {
  test('are the same when all addresses are others', () => {
    const plain = ({ rows }: Hunted) =>
      rows.map(({ holder, examples, shape, ...row }) => ({ ...row, share: holder?.share }));
    const mirrored = (text: string): string =>
      text.replace(
        /@0x([0-9a-f]+)/g,
        (_, hex) => `@0x${(0x7fff_0000_0000 - Number(`0x${hex}`)).toString(16)}`,
      );

    const found = hunt((capture) => registry(10 + capture * 20));
    const other = hunt((capture) => mirrored(registry(10 + capture * 20)));

    expect(plain(other)).toEqual(plain(found));
  });

  test('count each byte once, whatever grows within what', () => {
    const found = hunt(
      (capture) =>
        registry(10 + capture * 20) +
        `\nroot module lib -> lib\nlib: dict ${at(9, 0)} ${entries(0, 5 + capture * 7, (i) => `[k0] -> x${i}`)}\n${range(0, 5 + capture * 7, (i) => `x${i}: X 400 ${at(9, 10 + i)}`)}`,
    );
    const last = found.totalBytes.length - 1;
    const sum = found.rows.reduce((total, row) => total + row.bytes[last] - row.bytes[0], 0);

    expect(sum).toBe(found.totalBytes[last] - found.totalBytes[0]);
  });

  test('of types tell the counts of each capture', () => {
    const found = hunt((capture) => registry(10 + capture * 20));
    expect(found.types.find((type) => type.typeName === 'list')).toEqual({
      typeName: 'list',
      count: [10, 30, 50, 70],
      bytes: [560, 1680, 2800, 3920],
      everyRound: true,
    });
  });
});
