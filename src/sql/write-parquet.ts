// The rows of a result -> a Parquet file. The database of the query may write no file, so the rows go to a second one, which
// runs nothing but the copy into the open file that it is given.

import { DuckDBInstance, type DuckDBResult } from '@duckdb/node-api';

/** Writes to the file behind a descriptor of this process; returns the number of rows. */
export async function writeParquet(
  result: DuckDBResult,
  descriptor: number,
  memoryBytes: number,
): Promise<number> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run(`set memory_limit = '${Math.max(64, Math.floor(memoryBytes / 1e6))}MB'`);
    await connection.run("set temp_directory = ''");
    const columns = result
      .deduplicatedColumnNames()
      .map((name, i) => `"${name.replaceAll('"', '""')}" ${result.columnType(i)}`);
    await connection.run(`create table result (${columns.join(', ')})`);
    const appender = await connection.createAppender('result');
    let rows = 0;
    for await (const chunk of result) {
      if (chunk.rowCount === 0) continue;
      appender.appendDataChunk(chunk);
      rows += chunk.rowCount;
    }
    appender.closeSync();
    // By its descriptor, so that nobody else's file of that name is written; in place, so that it keeps its mode.
    await connection.run(
      `copy result to '/proc/self/fd/${descriptor}' (format parquet, compression zstd, use_tmp_file false)`,
    );
    return rows;
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
