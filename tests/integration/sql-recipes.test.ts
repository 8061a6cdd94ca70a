// Every recipe of docs/sql.md on a real process of every version: what it finds is what the program counts itself.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { ACCOUNTS } from '../../src/graph/native-heap.ts';
import type { SqlCell } from '../../src/report/sql-schema.ts';
import { openSqlDatabase, type SqlDatabase } from '../../src/sql/database.ts';
import { columnsOf, readFirstRows } from '../../src/sql/read-result.ts';
import { SqlCapture } from '../../src/sql/sql-capture.ts';
import { describeEachPython, startPython } from '../support/pythons.ts';
import { readRecipes } from '../support/recipes.ts';

const TRUTH = fileURLToPath(new URL('../programs/sql_truth.py', import.meta.url));
const MORE = 400;

interface Truth {
  pid: number;
  orders: number;
  copies: number;
  copyBytes: number;
  sparse: number;
  sparseBytes: number;
  vault: number;
  pieces: number;
  list: number;
}

type Row = Record<string, SqlCell>;

const hex = (address: number): string => `0x${address.toString(16)}`;

const recipes = readRecipes();

describeEachPython('the recipes', (python) => {
  let truth: Truth;
  /** Of the first capture, and of both. */
  let one: SqlDatabase;
  let both: SqlDatabase;
  const run = async (database: SqlDatabase, sql: string): Promise<Row[]> => {
    let found: Row[] = [];
    await database.run(sql, async (result) => {
      const names = columnsOf(result).map(({ name }) => name);
      const { rows } = await readFirstRows(result, 100_000);
      found = rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
    });
    return found;
  };
  const cook = (title: string, database = one): Promise<Row[]> => {
    const sql = recipes.get(title);
    if (sql === undefined) throw new Error(`docs/sql.md has no recipe "${title}"`);
    return run(database, sql);
  };

  beforeAll(async () => {
    const target = await startPython<Truth>(python, TRUTH);
    truth = target.ready;
    const first = await captureHeap(target.pid, { native: true });
    target.send(`${MORE}`);
    await target.nextLine();
    const second = await captureHeap(target.pid, { native: true });
    await target.stop();
    const options = { memoryBytes: 1e9, signal: new AbortController().signal };
    const [a, b] = [first, second].map(
      (graph, i) => new SqlCapture(graph, { number: i + 1, target: `${i + 1}.lscope` }),
    );
    one = await openSqlDatabase([a], options);
    both = await openSqlDatabase([a, b], options);
  });
  afterAll(() => {
    one.close();
    both.close();
  });

  const tests: [string, () => Promise<void>][] = [
    [
      'Duplicate strings',
      async () => {
        const rows = await cook('Duplicate strings');
        expect(rows.find(({ text }) => text === 'dupli-cate')).toEqual({
          text: 'dupli-cate',
          copies: truth.copies,
          wasted_bytes: (truth.copies - 1) * truth.copyBytes,
        });
      },
    ],
    [
      'Largest dicts and their fill',
      async () => {
        const rows = await cook('Largest dicts and their fill');
        expect(rows.find(({ address }) => address === hex(truth.sparse))).toEqual({
          address: hex(truth.sparse),
          length: 10,
          shallow_bytes: truth.sparseBytes,
          bytes_per_entry: Math.floor(truth.sparseBytes / 10),
        });
      },
    ],
    [
      'Instances per class and module',
      async () => {
        const rows = await cook('Instances per class and module');
        expect(rows.find(({ type }) => type === '__main__.Order')).toMatchObject({
          module: '__main__',
          objects: truth.orders,
        });
      },
    ],
    [
      'Cardinality of an attribute',
      async () => {
        const rows = await cook('Cardinality of an attribute');
        const ofClass = (name: string) => rows.find(({ type }) => type === `__main__.${name}`);
        expect(ofClass('Order')).toMatchObject({
          objects: truth.orders,
          different_values: 3,
          value_objects: truth.orders,
        });
        expect(ofClass('Slotted')).toMatchObject({ objects: 40, different_values: 5 });
      },
    ],
    [
      'Who holds the top 100',
      async () => {
        const rows = await cook('Who holds the top 100');
        expect(rows.find(({ holder }) => holder === hex(truth.vault))).toMatchObject({
          holder_type: 'dict',
          kind: 'dictValue',
          held: truth.pieces,
        });
      },
    ],
    [
      'What grew between two captures',
      async () => {
        const rows = await cook('What grew between two captures', both);
        expect(rows.find(({ type }) => type === '__main__.Order')).toMatchObject({
          more_objects: MORE,
        });
      },
    ],
    [
      'Objects at new addresses',
      async () => {
        const rows = await cook('Objects at new addresses', both);
        expect(rows.find(({ type }) => type === '__main__.Order')).toMatchObject({ objects: MORE });
      },
    ],
    [
      'Long lists of one thing',
      async () => {
        const rows = await cook('Long lists of one thing');
        expect(rows.find(({ address }) => address === hex(truth.list))).toEqual({
          address: hex(truth.list),
          length: 1500,
          type: '__main__.Order',
          items: 1500,
        });
      },
    ],
    [
      'Where is my RSS',
      async () => {
        const rows = await cook('Where is my RSS', both);
        const [{ rss_bytes }] = await run(both, 'select rss_bytes from captures where capture = 1');
        const sum = rows.reduce(
          (total, { capture, bytes }) => total + (capture === 1 ? Number(bytes) : 0),
          0,
        );
        expect(sum).toBe(rss_bytes);
        expect(new Set(rows.map(({ account }) => account)).size).toBeGreaterThan(5);
        expect([...ACCOUNTS, 'residue']).toEqual(
          expect.arrayContaining([...new Set(rows.map(({ account }) => account as string))]),
        );
      },
    ],
    [
      'C memory that nothing points at',
      async () => {
        const rows = await cook('C memory that nothing points at');
        const text = rows.find(({ signature }) => signature === 'text');
        // A stale pointer may keep some of the 100.
        expect(text?.blocks).toBeGreaterThanOrEqual(95);
        expect(Number(text?.bytes) / Number(text?.blocks)).toBeGreaterThanOrEqual(3000);
      },
    ],
  ];
  test.each(tests)('%s', async (_, check) => check());

  test('all of the page are tested', () => {
    expect(tests.map(([title]) => title)).toEqual([...recipes.keys()]);
  });
});
