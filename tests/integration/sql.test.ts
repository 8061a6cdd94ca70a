// `leakscope sql` as a user meets it: tables, CSV, JSON, files, several captures, a pipe, a shell on a terminal, errors.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { writeSnapshotFile } from '../../src/capture/snapshot-file.ts';
import { sqlSchema } from '../../src/report/sql-schema.ts';
import {
  commandLine,
  finishCommand,
  runCommand,
  runJson,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';

const TRUTH = fileURLToPath(new URL('../programs/sql_truth.py', import.meta.url));
const TYPE_INTO = fileURLToPath(new URL('../programs/type_into.py', import.meta.url));
const python = allPythons().find((each) => each.minor === '3.13') ?? allPythons()[0];
const ORDERS = "select count(*) as orders from objects where type = '__main__.Order'";

let target: RunningPython<{ pid: number; orders: number; list: number }>;
let folder: string;
let [before, after] = ['', ''];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-sql-'));
  [before, after] = ['before', 'after'].map((name) => join(folder, `${name}.lscope`));
  target = await startPython(python, TRUTH);
  await writeSnapshotFile(before, await captureHeap(target.pid, { native: true }));
  target.send('400');
  await target.nextLine();
  await writeSnapshotFile(after, await captureHeap(target.pid, { native: true }));
});
afterAll(async () => {
  await target.stop();
  rmSync(folder, { recursive: true });
});

describe('results', () => {
  test('of a process, as a table with the number of rows', async () => {
    const { code, stdout, stderr } = await runCommand('sql', `${target.pid}`, ORDERS);
    expect({ code, stdout, stderr }).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: `orders\n${`${target.ready.orders + 400}`.padStart(6)}\n1 row\n`,
    });
  });

  test('of several files, as JSON', async () => {
    const sql = "select capture, objects::integer as n from types where type = '__main__.Order'";
    const report = await runJson(sqlSchema, 'sql', before, after, `${sql} order by 1`);
    expect(report).toMatchObject({
      columns: [
        { name: 'capture', type: 'BIGINT' },
        { name: 'n', type: 'INTEGER' },
      ],
      rows: [
        [1, target.ready.orders],
        [2, target.ready.orders + 400],
      ],
      ...{ isCut: false, file: null },
    });
    expect(report.captures.map(({ capture, source, pid }) => [capture, source, pid])).toEqual([
      [1, before, target.pid],
      [2, after, target.pid],
    ]);
  });

  test('addresses are those of other commands, and are compared as text', async () => {
    const list = `0x${target.ready.list.toString(16)}`;
    const sql = `select address, type, length from objects where address = '${list}'`;
    const { rows } = await runJson(sqlSchema, 'sql', before, sql);
    expect(rows).toEqual([[list, 'list', 1500]]);
  });

  test('more rows than --limit are cut, and the table says so', async () => {
    const { stdout } = await runCommand('sql', before, 'select type from objects', '-n', '3');
    expect(stdout.split('\n')).toHaveLength(6);
    expect(stdout).toContain('the first 3 rows of more: --limit shows more, -o FILE writes all');
  });

  test('a table is not wider than the page, rows with many columns are written below each other', async () => {
    const wide = await runCommand(
      'sql',
      before,
      'select address, preview, preview as again from objects where length(preview) > 100 limit 5',
    );
    const all = await runCommand('sql', before, 'select * from objects limit 2');
    for (const { stdout } of [wide, all]) {
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    }
    expect(wide.stdout).toMatch(/^ +address {2}preview/);
    expect(all.stdout).toMatch(/^capture +1\naddress +0x[0-9a-f]+\n/);
  });

  test('CSV on stdout quotes what must be quoted', async () => {
    const sql = `select 'a "b", c' as text, null as nothing, '' as empty, 1.5 as number`;
    const { stdout } = await runCommand('sql', before, sql, '--csv');
    expect(stdout).toBe('text,nothing,empty,number\r\n"a ""b"", c",,"",1.5\r\n');
  });

  test('a query that selects nothing has its columns', async () => {
    const { stdout } = await runCommand(
      'sql',
      before,
      "select type from objects where type = 'no.such'",
    );
    expect(stdout).toBe('type\n0 rows\n');
  });
});

describe('files', () => {
  const sql =
    "select address, type, length from objects where type = '__main__.Slotted' order by 1";

  test('CSV, JSON and Parquet have the same rows, and only their owner reads them', async () => {
    const { rows } = await runJson(sqlSchema, 'sql', before, sql);
    expect(rows.length).toBe(40);
    const paths = ['csv', 'json', 'parquet'].map((end) => join(folder, `rows.${end}`));
    for (const path of paths) {
      const report = await runJson(sqlSchema, 'sql', before, '-o', path, sql);
      expect(report).toMatchObject({
        ...{ file: path, rowsWritten: 40, rows: [], fileBytes: statSync(path).size },
      });
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
    const [csv, json, parquet] = paths;
    expect(JSON.parse(readFileSync(json, 'utf8')).map((row: object) => Object.values(row))).toEqual(
      rows,
    );
    expect(readFileSync(csv, 'utf8').split('\r\n')[1]).toBe(`${rows[0].slice(0, 2).join(',')},`);
    const connection = await (await DuckDBInstance.create()).connect();
    const read = await connection.runAndReadAll(`select * from '${parquet}'`);
    expect(read.columnTypes().map(String)).toEqual(['UBIGINT', 'VARCHAR', 'BIGINT']);
    expect(read.getRows().map(([address]) => `0x${(address as bigint).toString(16)}`)).toEqual(
      rows.map(([address]) => address),
    );
    connection.closeSync();

    const again = await runCommand('sql', before, '-o', csv, sql);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/exists already/) });
    expect((await runCommand('sql', before, '-o', csv, sql, '--force')).code).toBe(0);
  });

  test('a query that fails leaves no file', async () => {
    const path = join(folder, 'never.parquet');
    const failing = 'select error(type) from objects';
    expect((await runCommand('sql', before, '-o', path, failing)).code).toBe(2);
    expect(existsSync(path)).toBe(false);
    expect((await runCommand('sql', before, '-o', join(folder, 'x.txt'), sql)).code).toBe(2);
  });
});

describe('a pipe', () => {
  test('all statements of stdin are run', async () => {
    const child = startCommand(['sql', before], { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin?.end(`${ORDERS};\n-- and\nselect 42 as answer;`);
    const { code, stdout } = await finishCommand(child);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `orders\n  ${target.ready.orders}\n1 row\nanswer\n    42\n1 row\n`,
    });
  });
});

describe('errors', () => {
  test.each([
    [['sql', 'FILE', 'select * from nothing'], 2, 'LINE 1'],
    [['sql', 'FILE', 'selekt 1'], 2, 'syntax error'],
    [['sql', 'FILE', ' ;'], 2, 'There is no query'],
    [['sql', 'FILE', "select * from '/etc/passwd'"], 2, 'passwd'],
    [['sql', 'FILE', "copy (select 1) to 'x.csv'"], 2, 'not allowed'],
    [['sql', 'select 1 as one'], 2, 'nothing to query'],
    [['sql', 'no-such.lscope', 'select 1'], 2, 'no target'],
  ])('%j ends with %d and says %s, without a stack trace', async (args, code, words) => {
    const result = await runCommand(...args.map((each) => (each === 'FILE' ? before : each)));
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: '' });
    expect(result.stderr).toContain(words);
    expect(result.stderr).not.toMatch(/\bat .*\.[jt]s:\d+|bug in leakscope/);
  });

  test('Ctrl-C ends a query with 130', async () => {
    const sql = 'select count(*) from edges a, edges b, edges c';
    const child = startCommand(['sql', before, sql, '--progress']);
    await untilStderr(child, /querying/);
    const ended = once(child, 'close');
    child.kill('SIGINT');
    expect((await ended)[0]).toBe(130);
  });
});

describe('the shell', () => {
  async function type(...steps: [pattern: string, text: string][]): Promise<string> {
    const request = { command: commandLine('sql', before), steps };
    const child = spawn('python3', [TYPE_INTO, JSON.stringify(request)], {
      env: { ...process.env, XDG_STATE_HOME: folder, NO_COLOR: '1' },
    });
    const { code, stdout, stderr } = await finishCommand(child);
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
    return stdout;
  }

  test('runs statements of several lines, goes on after an error, stops a query, and keeps its history', async () => {
    const shown = await type(
      ['sql> ', '.tables\r'],
      ['strings[\\s\\S]*sql> ', 'select count(*)\r'],
      ['\\.\\.\\.> ', "  from objects where type = '__main__.Order';\r"],
      [`${target.ready.orders}[\\s\\S]*sql> `, 'select nothing;\r'],
      ['LINE 1[\\s\\S]*sql> ', 'select count(*) from edges a, edges b, edges c;\r'],
      ['c;', '\u0003'],
      ['stopped[\\s\\S]*sql> ', '.mode csv\r'],
      ['csv[\\s\\S]*sql> ', "select 'x' as x, 40 + 2 as y;\r"],
      ['x,42[\\s\\S]*sql> ', '\u0004'],
    );
    expect(shown).toContain('one row for each object');
    const history = join(folder, 'leakscope', 'sql_history');
    expect(statSync(history).mode & 0o777).toBe(0o600);
    expect(readFileSync(history, 'utf8')).toContain('select nothing;');
  });
});
