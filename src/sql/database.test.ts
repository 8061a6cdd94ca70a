import { afterEach, describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { drawTraces } from '../../tests/support/drawn-traces.ts';
import { buildLargeGraph } from '../../tests/support/random-graph.ts';
import { readViewSections } from '../../tests/support/recipes.ts';
import { UsageError } from '../base/errors.ts';
import { type HeapGraph, NONE } from '../graph/heap-graph.ts';
import type { SqlCell } from '../report/sql-schema.ts';
import { ALL_VIEWS, openSqlDatabase, type SqlDatabase } from './database.ts';
import { columnsOf, readFirstRows } from './read-result.ts';
import { SqlCapture } from './sql-capture.ts';

const drawn = drawGraph(`
  root module app -> app
  root native -> k
  app: module 64 rc=2 "<module 'app'>" __dict__ -> d
  d: dict 232/256 tracked .x -> t, [k] -> u
  k: str 50 "'a text of more than twelve bytes: käse'" immortal
  t: app.T 48
  u: app.models.Sub.T 48 .x -> l
  l: list 64/8589934592 [0] -> t, [1] -> t
  lost: int 28 "7"
  weak t -> k
`);
const graph: HeapGraph = {
  ...drawn.graph,
  referenceCount: drawn.graph.referenceCount.map((count, node) =>
    node === drawn.node('k') ? NONE : count,
  ),
};

const open: SqlDatabase[] = [];
afterEach(() => {
  for (const database of open.splice(0)) database.close();
});

async function openAll(
  graphs: readonly HeapGraph[],
  signal = new AbortController().signal,
): Promise<SqlDatabase> {
  const captures = graphs.map(
    (each, i) => new SqlCapture(each, { number: i + 1, target: `${i + 1}.lscope` }),
  );
  const database = await openSqlDatabase(captures, { memoryBytes: 5e8, signal });
  open.push(database);
  return database;
}

type Row = Record<string, SqlCell>;

async function query(database: SqlDatabase, sql: string, limit = 1000): Promise<Row[]> {
  const found: Row[] = [];
  await database.run(sql, async (result) => {
    const names = columnsOf(result).map(({ name }) => name);
    const { rows } = await readFirstRows(result, limit);
    found.push(...rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]]))));
  });
  return found;
}

const addressOf = (name: string): string => `0x${graph.address[drawn.node(name)].toString(16)}`;

describe('views', () => {
  test('objects have what the graph has, and NULL where it has nothing', async () => {
    const database = await openAll([graph]);
    const rows = await query(database, 'select * from objects order by address');

    expect(rows.length).toBe(graph.nodeCount);
    const of = (name: string) => rows.find(({ address }) => address === addressOf(name));
    expect(of('d')).toEqual({
      ...{ capture: 1, address: addressOf('d'), type: 'dict', module: 'builtins' },
      ...{ shallow_bytes: 232, allocated_bytes: 256, refcount: graph.referenceCount[1] },
      ...{ retained_bytes: 256 + 48 + 48 + 8_589_934_592, length: 1, preview: null },
      ...{ dominator: addressOf('app'), allocated_at: null },
      ...{ tracked: true, immortal: false, static: false, partial: false, running: false },
    });
    expect(of('k')).toMatchObject({
      ...{ preview: "'a text of more than twelve bytes: käse'", refcount: null, immortal: true },
      dominator: null,
    });
    expect(of('lost')).toMatchObject({ retained_bytes: null, dominator: null, length: null });
    expect(of('l')).toMatchObject({ length: 2, allocated_bytes: 8_589_934_592 });
    expect(of('t')?.module).toBe('app');
    expect(of('u')?.module).toBe('app');
  });

  test('edges have the labels that their kind has, and weak ones are told apart', async () => {
    const database = await openAll([graph]);
    const rows = await query(
      database,
      `
      select source, target, kind, name, "index", key from edges
      where source in ('${addressOf('d')}', '${addressOf('l')}', '${addressOf('t')}')`,
    );

    const edge = (kind: string, source: string, target: string, rest: Row = {}): Row => ({
      ...{ source: addressOf(source), target: addressOf(target), kind },
      ...{ name: null, index: null, key: null },
      ...rest,
    });
    expect(rows).toEqual([
      edge('attribute', 'd', 't', { name: 'x' }),
      edge('dictKey', 'd', 'k'),
      edge('dictValue', 'd', 'u', { key: addressOf('k') }),
      edge('item', 'l', 't', { index: 0 }),
      edge('item', 'l', 't', { index: 1 }),
      edge('weak', 't', 'k'),
    ]);
  });

  test('text of every length and NULL come out as they are', async () => {
    const texts = Array.from({ length: 60 }, (_, i) =>
      i % 7 === 0 ? '' : 'é'.repeat(i % 3) + 'x'.repeat(i),
    );
    const lines = texts.map((text, i) => `n${i}: str 50${text === '' ? '' : ` "'${text}'"`}`);
    const database = await openAll([drawGraph(['root native -> n0', ...lines].join('\n')).graph]);

    const previews = await query(database, 'select preview from objects order by address');
    expect(previews.map(({ preview }) => preview)).toEqual(
      texts.map((text) => (text === '' ? null : `'${text}'`)),
    );
    const strings = await query(database, 'select text, is_cut from strings order by address');
    expect(strings).toEqual(
      texts.filter((text) => text !== '').map((text) => ({ text, is_cut: false })),
    );
  });

  test('a text that was cut says so', async () => {
    const { graph: one } = drawGraph(`root native -> a\na: str 500 "'begin…' (300 chars)"`);
    const rows = await query(await openAll([one]), 'select text, is_cut from strings');
    expect(rows).toEqual([{ text: 'begin', is_cut: true }]);
  });

  test('many types are told apart, whatever their number', async () => {
    for (const count of [255, 256, 300]) {
      const lines = Array.from({ length: count }, (_, i) => `n${i}: app.T${i} 16`);
      const database = await openAll([drawGraph(lines.join('\n')).graph]);
      const [row] = await query(database, 'select count(distinct type) as types from objects');
      expect(row).toEqual({ types: count });
      const last = `select type from objects where type = 'app.T${count - 1}'`;
      expect(await query(database, last)).toEqual([{ type: `app.T${count - 1}` }]);
    }
  });

  test('captures are numbered, and types of one name are one', async () => {
    const other = drawGraph('root native -> a\na: app.T 100\nb: zzz 8').graph;
    const database = await openAll([graph, other]);

    expect(
      await query(
        database,
        "select capture, type, sum(shallow_bytes) as bytes from objects where type = 'app.T' group by all order by 1",
      ),
    ).toEqual([
      { capture: 1, type: 'app.T', bytes: 48 },
      { capture: 2, type: 'app.T', bytes: 100 },
    ]);
    expect(await query(database, 'select capture, objects, target from captures')).toEqual([
      { capture: 1, objects: graph.nodeCount, target: '1.lscope' },
      { capture: 2, objects: 2, target: '2.lscope' },
    ]);
  });

  test('more rows than a chunk has are all there', async () => {
    const large = buildLargeGraph(10_000, 2);
    const [row] = await query(
      await openAll([large, large]),
      'select count(*) as objects, sum(address)::varchar as addresses from objects',
    );
    const sum = large.address.reduce((total, each) => total + BigInt(each), 0n) * 2n;
    expect(row).toEqual({ objects: 20_000, addresses: `${sum}` });
  });

  test('where tracemalloc saw it', async () => {
    const traces = drawTraces([{ size: 48, at: 'a.py:3 b.py:9' }]);
    const nodeTrace = new Uint32Array(graph.nodeCount).fill(NONE);
    nodeTrace[drawn.node('t')] = 0;
    const database = await openAll([{ ...graph, traces: { ...traces, nodeTrace } }]);
    expect(
      await query(
        database,
        'select type, allocated_at from objects where allocated_at is not null',
      ),
    ).toEqual([{ type: 'app.T', allocated_at: 'a.py:3' }]);
  });

  test('each view and column is on the page, and none else', () => {
    const sections = readViewSections();
    expect([...sections.keys()].sort()).toEqual(ALL_VIEWS.map(({ name }) => name).sort());
    for (const { name, columns } of ALL_VIEWS) {
      for (const column of columns) {
        if (column.name === 'capture') continue;
        expect(sections.get(name), `${name}.${column.name}`).toContain(`\`${column.name}\``);
      }
    }
  });
});

describe('what a query does not name is not read', () => {
  const used = new Set<string>();
  const watched = (): HeapGraph =>
    new Proxy(graph, {
      get: (target, name) => {
        used.add(String(name));
        return Reflect.get(target, name);
      },
    });

  test.each([
    [
      'select sum(shallow_bytes) from objects',
      ['shallowSize'],
      ['previewBytes', 'edgeTarget', 'address'],
    ],
    ['select preview from objects', ['previewBytes'], ['edgeTarget', 'shallowSize']],
    ['select sum(objects) from types', ['typeId'], ['edgeTarget', 'previewBytes']],
    ['select max(retained_bytes) from objects', ['edgeTarget'], ['previewBytes', 'edgeLabel']],
  ])('%s', async (sql, needed, others) => {
    const database = await openAll([watched()]);
    used.clear();
    await query(database, sql);
    for (const name of needed) expect(used).toContain(name);
    for (const name of others) expect(used).not.toContain(name);
  });
});

describe('what is not allowed', () => {
  test.each([
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/hostname')",
    "select * from read_parquet('https://example.com/x.parquet')",
    "select * from glob('/etc/*')",
    "select * from sniff_csv('/etc/passwd')",
    "copy (select 1) to '/tmp/leakscope-never.csv'",
    "copy objects to '/tmp/leakscope-never.parquet'",
    "attach '/tmp/leakscope-never.db'",
    "attach ':memory:' as other",
    'install httpfs',
    'load httpfs',
    "export database '/tmp/leakscope-never'",
    "import database '/tmp/leakscope-never'",
    'set threads = 1',
    "set memory_limit = '100GB'",
    'reset threads',
    'pragma enable_profiling',
    "pragma profiling_output = '/tmp/leakscope-never.json'",
    "call enable_logging(storage = 'file')",
    'select * from "Enable_Logging"(storage = \'file\')',
    "select * from query('select * from enable_' || 'logging()')",
    'create table t as select 1',
    'create persistent secret s (type s3)',
    'drop view objects',
    'set variable x = 1',
    'checkpoint',
  ])('%s', async (sql) => {
    const database = await openAll([graph]);
    const error = await query(database, sql).catch((each) => each);
    expect(error).toBeInstanceOf(UsageError);
    expect(`${error.text.fact}: ${error.text.reason}`).toMatch(/not allowed|cannot be run/);
    expect(error.text.next).toContain('objects');
    // The database is as it was.
    expect(await query(database, 'select count(*) as objects from objects')).toEqual([
      { objects: graph.nodeCount },
    ]);
  });
});

describe('errors', () => {
  test('what DuckDB says of the query, with the place', async () => {
    const error = await query(await openAll([graph]), 'select nam from objects').catch((e) => e);
    expect(error).toBeInstanceOf(UsageError);
    expect(error.text.reason).toMatch(/^Binder Error: Referenced column "nam" not found/);
    expect(error.text.next).toMatch(/LINE 1: select nam from objects\n {7,}\^/);
  });

  test('what a view throws is thrown, and not told as an error of the query', async () => {
    const broken = { ...graph };
    Object.defineProperty(broken, 'shallowSize', {
      get: () => {
        throw new UsageError({ fact: 'Cannot read a', reason: 'it is damaged', next: 'Copy it.' });
      },
    });
    const database = await openAll([broken]);
    await expect(query(database, 'select sum(shallow_bytes) from objects')).rejects.toThrow(
      /it is damaged/,
    );
    expect(await query(database, 'select count(address) as objects from objects')).toEqual([
      { objects: graph.nodeCount },
    ]);
  });

  test('a query that is interrupted ends, and the next one runs', async () => {
    const database = await openAll([buildLargeGraph(20_000, 2)]);
    const running = query(database, 'select count(*) from objects a, objects b, objects c');
    setTimeout(() => database.interrupt(), 50);
    await expect(running).rejects.toThrow(/stopped/);
    expect(await query(database, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('a query ends with the signal that leakscope is to stop', async () => {
    const abort = new AbortController();
    const database = await openAll([buildLargeGraph(20_000, 2)], abort.signal);
    const running = query(database, 'select count(*) from objects a, objects b, objects c');
    setTimeout(() => abort.abort(new Error('interrupted')), 50);
    await expect(running).rejects.toThrow('interrupted');
  });

  test('more memory than it may take is an error that says so', async () => {
    const database = await openAll([graph]);
    const sql = 'select list(a.range) from range(100000000) a';
    await expect(query(database, sql)).rejects.toThrow(/more memory than it may take.*max-memory/s);
  });
});
