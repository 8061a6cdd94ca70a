// The rows of a result as cells of a report, in portions, while DuckDB still computes the rest.

import type { DuckDBResult } from '@duckdb/node-api';
import { type SqlColumn, toSqlCell } from '../report/sql-report.ts';
import type { SqlCell } from '../report/sql-schema.ts';

export const columnsOf = (result: DuckDBResult): SqlColumn[] =>
  result.columnNames().map((name, i) => ({ name, type: String(result.columnType(i)) }));

export async function* readRows(result: DuckDBResult): AsyncGenerator<SqlCell[][]> {
  const types = columnsOf(result).map(({ type }) => type);
  for await (const rows of result.yieldRowsJson()) {
    yield rows.map((row) => row.map((cell, i) => toSqlCell(cell as SqlCell, types[i])));
  }
}

/** At most `limit` rows, and whether there are more. */
export async function readFirstRows(
  result: DuckDBResult,
  limit: number,
): Promise<{ rows: SqlCell[][]; isCut: boolean }> {
  const first: SqlCell[][] = [];
  for await (const rows of readRows(result)) {
    for (const row of rows) first.push(row);
    if (first.length > limit) break;
  }
  return { rows: first.slice(0, limit), isCut: first.length > limit };
}
