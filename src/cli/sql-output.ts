// Runs the statements of a text and brings each result to where it is wanted: the terminal, stdout as CSV or JSON, or a file.

import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { DuckDBResult } from '@duckdb/node-api';
import { UsageError } from '../base/errors.ts';
import { formatBytes, formatNumberOf, sanitizeText } from '../base/format.ts';
import { writeWholeFile } from '../capture/whole-file.ts';
import { buildCaptureLine } from '../report/report-parts.ts';
import { formatCsvLine, formatSqlResult } from '../report/sql-report.ts';
import type { SqlReport } from '../report/sql-schema.ts';
import { PAGE_WIDTH } from '../report/text-layout.ts';
import type { SqlDatabase } from '../sql/database.ts';
import { columnsOf, readFirstRows, readRows } from '../sql/read-result.ts';
import type { SqlCapture } from '../sql/sql-capture.ts';
import { writeParquet } from '../sql/write-parquet.ts';
import type { Session } from './session.ts';
import type { SqlOutput } from './sql.ts';

export interface SqlRun {
  database: SqlDatabase;
  captures: readonly SqlCapture[];
  session: Session;
  /** For writing files. */
  memoryBytes: number;
}

export interface PrintOptions {
  /** Rows of a table. */
  limit: number;
  csv?: boolean | undefined;
  output?: SqlOutput | undefined;
}

/** Throws UsageError where there is no statement, or several for one file; else as `SqlDatabase.run`. */
export async function runStatements(
  text: string,
  run: SqlRun,
  options: PrintOptions,
): Promise<void> {
  const { database, session } = run;
  if (text.replaceAll(/--.*$|\/\*[\s\S]*?\*\/|[\s;]/gm, '') === '') throw noQuery();
  let count = 0;
  session.progress('querying');
  await database.run(text, async (result) => {
    count++;
    if (options.output === undefined) return printResult(result, run, options);
    if (count > 1) throw tooMany(options.output.path);
    return writeResult(result, options.output, run);
  });
}

const noQuery = (): UsageError =>
  new UsageError({
    fact: 'There is no query',
    reason: 'the text is empty',
    next: 'Write leakscope sql TARGET "select ...".',
  });

const tooMany = (path: string): UsageError =>
  new UsageError({
    fact: `Cannot write all to ${path}`,
    reason: 'there are several statements, and it is one file',
    next: 'Run one statement for each file. What the first one gave has been written.',
  });

async function printResult(
  result: DuckDBResult,
  run: SqlRun,
  { limit, csv }: PrintOptions,
): Promise<void> {
  const { session } = run;
  if (csv === true) {
    session.endProgress();
    await printText(formatCsvLine(columnsOf(result).map(({ name }) => name)));
    for await (const rows of readRows(result)) await printText(rows.map(formatCsvLine).join(''));
    return;
  }
  const first = await readFirstRows(result, limit);
  const report = buildReport(result, run, first);
  const width = process.stdout.isTTY === true ? process.stdout.columns : PAGE_WIDTH;
  session.print(report, () => formatSqlResult(report, width, session.style));
}

/** Waits while the reader is slower than the query. */
async function printText(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

function buildReport(
  result: DuckDBResult,
  { captures }: SqlRun,
  part: Pick<SqlReport, 'rows' | 'isCut'>,
): SqlReport {
  return {
    schema: 'leakscope/sql@1',
    captures: captures.map(({ number, target, graph }) => ({
      capture: number,
      source: target,
      pid: graph.capture.pid,
      python: graph.capture.python,
      redacted: graph.capture.isRedacted === true,
      facts: buildCaptureLine(graph),
    })),
    columns: columnsOf(result),
    ...part,
    file: null,
    fileBytes: null,
    rowsWritten: null,
    coverage: Math.min(...captures.map(({ graph }) => graph.capture.coverage)),
  };
}

async function writeResult(result: DuckDBResult, output: SqlOutput, run: SqlRun): Promise<void> {
  const { session, memoryBytes } = run;
  const { path, format } = output;
  session.progress(`writing ${path}`);
  const { rowsWritten, fileBytes } = await writeWholeFile(
    path,
    async (file) => {
      const rowCount =
        format === 'parquet'
          ? await writeParquet(result, file.fd, memoryBytes)
          : await writeText(result, file, format, session.signal);
      return { rowsWritten: rowCount, fileBytes: (await file.stat()).size };
    },
    session.fileOptions,
  );
  const report: SqlReport = {
    ...buildReport(result, run, { rows: [], isCut: false }),
    ...{ file: path, fileBytes, rowsWritten },
  };
  session.print(
    report,
    () =>
      `${sanitizeText(path)}   ${formatNumberOf(rowsWritten, 'row')}   ${formatBytes(fileBytes)}\n`,
  );
}

/** JSON is a list of objects, one a line. */
async function writeText(
  result: DuckDBResult,
  file: FileHandle,
  format: 'csv' | 'json',
  signal: AbortSignal,
): Promise<number> {
  const names = result.deduplicatedColumnNames();
  let rowCount = 0;
  if (format === 'csv') await file.appendFile(formatCsvLine(names));
  for await (const rows of readRows(result)) {
    signal.throwIfAborted();
    const lines = rows.map((row, i) => {
      if (format === 'csv') return formatCsvLine(row);
      const object = JSON.stringify(Object.fromEntries(names.map((name, at) => [name, row[at]])));
      return `${rowCount + i === 0 ? '[\n' : ',\n'}${object}`;
    });
    await file.appendFile(lines.join(''));
    rowCount += rows.length;
  }
  if (format === 'json') await file.appendFile(rowCount === 0 ? '[]\n' : '\n]\n');
  return rowCount;
}
