// `leakscope sql TARGET... "select ..."`: queries over the objects and references of captures, of the command line, of stdin or
// of a shell, with DuckDB; results as table, CSV, JSON or Parquet.

import { existsSync } from 'node:fs';
import { text as readText } from 'node:stream/consumers';
import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { addExamples, addTargetOptions, parseFileName, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, TARGET_HELP } from './target.ts';

export interface SqlOptions extends OutputOptions {
  limit: number;
  csv?: boolean;
  output?: string;
  force?: boolean;
}

/** DuckDB gets this share of the memory that is left; the rest is for columns and dominators. */
const DUCKDB_SHARE = 0.5;

export function addSqlCommand(program: Command, session: Session): void {
  const command = program
    .command('sql')
    .description('SQL over objects and references; without a query a shell, or what stdin has')
    .usage('[options] TARGET [TARGET ...] ["select ..."]')
    .argument('<targets...>', `${TARGET_HELP}; several are captures 1, 2, ...; last the query`)
    .option('-n, --limit <rows>', 'rows to print', parseWholeNumber(1, 10_000_000), 1000)
    .option('--csv', 'print rows as CSV')
    .option('-o, --output <file>', 'write all rows to FILE.csv, .json or .parquet', parseFileName)
    .option('--force', 'replace the file if it exists')
    .action((args: readonly string[], options: SqlOptions) => {
      session.useOutput(options);
      return runSql(args, options, session);
    });
  addTargetOptions(command);
  command.addHelpText('after', `\n${HELP}`);
  addExamples(command, [
    'leakscope sql 4242 "select type, count(*), sum(shallow_bytes) from objects group by 1 order by 3 desc"',
    'leakscope sql monday.lscope tuesday.lscope "select capture, sum(objects) from types group by 1"',
    'leakscope sql before.lscope -o edges.parquet "from edges"',
    'leakscope sql before.lscope',
  ]);
}

const HELP = `Views: objects, edges, attributes, types, modules, roots, strings, ledger, blocks, captures. Their columns: .schema in
the shell, or "describe objects". An address is compared as in: where address = '0x7f3a2c1d9e50'.
Recipes: docs/sql.md. Queries select; they reach no files, no network and no settings.`;

async function runSql(
  args: readonly string[],
  options: SqlOptions,
  session: Session,
): Promise<void> {
  const { targets, query } = splitArguments(args);
  const output = checkOutput(options);
  const parsed = targets.map(parseTarget);
  // DuckDB is loaded only here.
  const { SqlCapture } = await import('../sql/sql-capture.ts');
  const { openSqlDatabase } = await import('../sql/database.ts');
  const { runStatements } = await import('./sql-output.ts');
  const captures: InstanceType<typeof SqlCapture>[] = [];
  for (const [i, target] of parsed.entries()) {
    const graph = await loadGraph(target, session);
    const beforeAnalysis = (): void => {
      requireAnalysisRoom(graph, session.budget);
      session.progress('computing dominators');
    };
    captures.push(new SqlCapture(graph, { number: i + 1, target: targets[i], beforeAnalysis }));
  }
  const memoryBytes = session.budget.left() * DUCKDB_SHARE;
  const database = await openSqlDatabase(captures, { memoryBytes, signal: session.signal });
  const run = { database, captures, session, memoryBytes };
  try {
    if (query === undefined && process.stdin.isTTY === true) {
      const { runSqlShell } = await import('./sql-shell.ts');
      session.endProgress();
      await runSqlShell(run, { limit: options.limit, csv: options.csv });
    } else {
      await runStatements(query ?? (await readText(process.stdin)), run, { ...options, output });
    }
  } finally {
    database.close();
  }
}

/** A query has a space in it and is no file. */
function splitArguments(args: readonly string[]): {
  targets: readonly string[];
  query: string | undefined;
} {
  const last = args[args.length - 1];
  if (!/[\s;]/.test(last) || existsSync(last)) return { targets: args, query: undefined };
  if (args.length > 1) return { targets: args.slice(0, -1), query: last };
  throw new UsageError({
    fact: 'There is nothing to query',
    reason: 'neither a pid nor a snapshot file was given',
    next: 'Write leakscope sql PID "select ...", or leakscope sql FILE "select ...".',
  });
}

export type OutputFormat = 'csv' | 'json' | 'parquet';

function checkOutput({ output, force, csv }: SqlOptions): SqlOutput | undefined {
  if (output === undefined) return undefined;
  const format = /\.(csv|json|parquet)$/.exec(output)?.[1] as OutputFormat | undefined;
  if (format === undefined || csv === true) {
    throw new UsageError({
      fact: `Cannot write "${output}"`,
      reason:
        csv === true ? '--csv prints, and -o writes a file' : 'its name does not tell its format',
      next: 'Give -o a name that ends in .csv, .json or .parquet.',
    });
  }
  if (existsSync(output) && force !== true) {
    throw new UsageError({
      fact: `"${output}" exists already`,
      reason: 'results are not written over another file',
      next: 'Choose another name, or add --force.',
    });
  }
  return { path: output, format };
}

export interface SqlOutput {
  path: string;
  format: OutputFormat;
}
