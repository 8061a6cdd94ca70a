// DuckDB over captures: views whose columns are read from the graphs when a query names them; nothing is copied before. The
// database is in memory and locked: queries see the views, and no file, network or setting; only statements that select run.
// Imported when `leakscope sql` runs: DuckDB is 70 MB.

import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBResult,
  DuckDBTableFunction,
  type DuckDBType,
  ENUM,
  StatementType,
  TIMESTAMP,
  UBIGINT,
  VARCHAR,
} from '@duckdb/node-api';
import bindings from '@duckdb/node-bindings';
import { UnsupportedError, UsageError, UserError } from '../base/errors.ts';
import { HEAP_VIEWS } from './heap-views.ts';
import { OBJECT_VIEWS } from './object-views.ts';
import { OTHER_VIEWS } from './other-views.ts';
import type { SqlCapture } from './sql-capture.ts';
import {
  type ColumnType,
  type ReadCell,
  type View,
  type ViewColumn,
  writeVector,
} from './view-columns.ts';

const VIEWS: readonly View[] = [...OBJECT_VIEWS, ...HEAP_VIEWS, ...OTHER_VIEWS];

/** Wherever an instance has its attributes: inline or in slots, or in its dict, whose keys may be shared. */
const ATTRIBUTES = {
  name: 'attributes',
  about: 'one row for each attribute of each object, wherever it is stored',
  columns: [
    { name: 'capture', about: 'which capture' },
    { name: 'source', about: 'whose attribute it is' },
    { name: 'name', about: 'of the attribute' },
    { name: 'value', about: 'address of its value' },
  ],
  sql: `
    select capture, source, name, target as value from edges where kind = 'attribute'
    union all
    select dict.capture, dict.source, entry.name, entry.target
    from edges dict join edges entry on entry.capture = dict.capture and entry.source = dict.target
    where dict.kind = 'instanceDict' and entry.kind = 'namedValue'
    union all
    select dict.capture, dict.source, key.text, entry.target
    from edges dict
    join edges entry on entry.capture = dict.capture and entry.source = dict.target
    join strings key on key.capture = entry.capture and key.address = entry.key
    where dict.kind = 'instanceDict' and entry.kind = 'dictValue'`,
} as const;

/** What the shell and the docs tell of all of them. */
export const ALL_VIEWS: readonly {
  name: string;
  about: string;
  columns: readonly { name: string; about: string }[];
}[] = [...VIEWS, ATTRIBUTES];

/** Rows of a chunk: the size of DuckDB's vectors. */
const CHUNK_ROWS = 2048;
const TYPES: Record<Exclude<ColumnType, 'choice'>, DuckDBType> = {
  address: UBIGINT,
  whole: BIGINT,
  real: DOUBLE,
  flag: BOOLEAN,
  time: TIMESTAMP,
  text: VARCHAR,
};

export interface SqlDatabaseOptions {
  /** Bytes that DuckDB may take. */
  memoryBytes: number;
  signal: AbortSignal;
}

export class SqlDatabase {
  private readonly connection: DuckDBConnection;
  private readonly captures: readonly SqlCapture[];
  private readonly signal: AbortSignal;
  private readonly functions: DuckDBTableFunction[] = [];
  /** What a view threw; DuckDB hands on its text only. */
  private failure: unknown;

  /** See `openSqlDatabase`. */
  constructor(connection: DuckDBConnection, captures: readonly SqlCapture[], signal: AbortSignal) {
    this.connection = connection;
    this.captures = captures;
    this.signal = signal;
  }

  async createViews(): Promise<void> {
    for (const view of VIEWS) {
      const tableFunction = this.makeFunction(view);
      this.functions.push(tableFunction);
      this.connection.registerTableFunction(tableFunction);
      const columns = view.columns.map(({ name, type }) =>
        type === 'choice' ? `"${name}"::varchar as "${name}"` : `"${name}"`,
      );
      await this.connection.run(
        `create view ${view.name} as select ${columns.join(', ')} from ${functionOf(view)}()`,
      );
    }
    await this.connection.run(`create view ${ATTRIBUTES.name} as ${ATTRIBUTES.sql}`);
  }

  /**
   * Runs all statements of `text`, one after the other, and hands each result to `use`. Throws UsageError for what DuckDB
   * cannot run or is not allowed to, UnsupportedError when it needs more memory than it may take, and what reading a capture
   * throws.
   */
  async run(text: string, use: (result: DuckDBResult) => Promise<void>): Promise<void> {
    this.failure = undefined;
    const interrupt = (): void => this.interrupt();
    this.signal.addEventListener('abort', interrupt);
    try {
      refuseLogging(text);
      const statements = await this.connection.extractStatements(text);
      for (let i = 0; i < statements.count; i++) {
        const statement = await statements.prepare(i);
        try {
          const { statementType } = statement;
          if (statementType !== StatementType.SELECT && statementType !== StatementType.EXPLAIN) {
            throw notAllowed('only statements that select are run here');
          }
          await use(await statement.stream());
        } finally {
          statement.destroySync();
        }
      }
    } catch (error) {
      this.signal.throwIfAborted();
      if (this.failure instanceof UserError) throw this.failure;
      throw this.failure ?? describeError(error);
    } finally {
      this.signal.removeEventListener('abort', interrupt);
    }
  }

  /** Ends the query that runs: it throws. */
  interrupt(): void {
    this.connection.interrupt();
  }

  close(): void {
    this.connection.closeSync();
    for (const tableFunction of this.functions) tableFunction.destroySync();
  }

  private makeFunction(view: View): DuckDBTableFunction {
    const choices = new Map<string, Choices>();
    const choicesOf = (column: ViewColumn): Choices => {
      let found = choices.get(column.name);
      if (found === undefined) {
        found = collectChoices(this.captures, column);
        choices.set(column.name, found);
      }
      return found;
    };
    return DuckDBTableFunction.create({
      name: functionOf(view),
      supportsProjectionPushdown: true,
      bindFunction: (info) =>
        this.keepFailure(() => {
          for (const column of view.columns) {
            const type = column.type === 'choice' ? choicesOf(column).type : TYPES[column.type];
            info.addResultColumn(column.name, type);
          }
          const rows = this.captures.reduce((sum, capture) => sum + view.countRows(capture), 0);
          info.setCardinality(rows, true);
        }),
      initFunction: (info) => {
        const columns = info.getColumnIndexes().map((index) => view.columns[index]);
        info.setMaxThreads(1);
        info.setInitData(new Scan(view, columns, this.captures, choicesOf));
      },
      mainFunction: (info, chunk) =>
        this.keepFailure(() => {
          this.signal.throwIfAborted();
          (info.initData as Scan).writeChunk(chunk);
        }),
    });
  }

  private keepFailure(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }
}

const functionOf = ({ name }: View): string => `leakscope_${name}`;

/** The texts of a column in all captures, in order, and for each capture which of its own is which of these. */
interface Choices {
  type: DuckDBType;
  codeBytes: number;
  codeOf: ReadonlyMap<SqlCapture, Uint32Array>;
}

function collectChoices(captures: readonly SqlCapture[], { choices }: ViewColumn): Choices {
  const own = captures.map((capture) => choices?.(capture) ?? []);
  const texts = [...new Set(own.flat())].sort();
  // An enumeration has at least one.
  if (texts.length === 0) texts.push('');
  const codes = new Map(texts.map((text, code) => [text, code]));
  const codeOf = new Map(
    captures.map((capture, i) => [
      capture,
      Uint32Array.from(own[i], (text) => codes.get(text) as number),
    ]),
  );
  const codeBytes = texts.length <= 0xff ? 1 : texts.length <= 0xffff ? 2 : 4;
  return { type: ENUM(texts), codeBytes, codeOf };
}

/** Goes through the rows of a view, capture by capture. */
class Scan {
  private readonly view: View;
  private readonly columns: readonly ViewColumn[];
  private readonly captures: readonly SqlCapture[];
  private readonly choicesOf: (column: ViewColumn) => Choices;
  private captureRow = -1;
  private row = 0;
  private rowCount = 0;
  private readers: ReadCell[] = [];

  constructor(
    view: View,
    columns: readonly ViewColumn[],
    captures: readonly SqlCapture[],
    choicesOf: (column: ViewColumn) => Choices,
  ) {
    this.view = view;
    this.columns = columns;
    this.captures = captures;
    this.choicesOf = choicesOf;
  }

  /** Writes the next rows; none when there are no more. */
  writeChunk(chunk: DuckDBDataChunk): void {
    while (this.row === this.rowCount && this.captureRow + 1 < this.captures.length) this.advance();
    const count = Math.min(CHUNK_ROWS, this.rowCount - this.row);
    chunk.rowCount = count;
    if (count === 0) return;
    this.columns.forEach((column, i) => {
      const vector = bindings.data_chunk_get_vector(chunk.chunk, i);
      const codeBytes = column.type === 'choice' ? this.choicesOf(column).codeBytes : 0;
      writeVector(vector, column.type, this.readers[i], this.row, count, codeBytes);
    });
    this.row += count;
  }

  private advance(): void {
    const capture = this.captures[++this.captureRow];
    this.row = 0;
    this.rowCount = this.view.countRows(capture);
    this.readers = this.columns.map((column) => {
      const read = column.open(capture);
      if (column.type !== 'choice') return read;
      const codes = this.choicesOf(column).codeOf.get(capture) as Uint32Array;
      return (row) => {
        const choice = read(row);
        return choice === undefined ? undefined : codes[choice as number];
      };
    });
  }
}

/** Settings are set in this order: the last two close the door. */
const settingsFor = (memoryBytes: number): string[] => [
  `memory_limit = '${Math.max(64, Math.floor(memoryBytes / 1e6))}MB'`,
  // Nothing of the heap is written to a disk, where it might stay.
  "temp_directory = ''",
  'autoinstall_known_extensions = false',
  'autoload_known_extensions = false',
  'allow_community_extensions = false',
  'allow_persistent_secrets = false',
  'enable_external_access = false',
  'lock_configuration = true',
];

/** Opens a database over captures. Close it in the end. */
export async function openSqlDatabase(
  captures: readonly SqlCapture[],
  { memoryBytes, signal }: SqlDatabaseOptions,
): Promise<SqlDatabase> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const database = new SqlDatabase(connection, captures, signal);
  await database.createViews();
  for (const setting of settingsFor(memoryBytes)) await connection.run(`set ${setting}`);
  return database;
}

const VIEW_NAMES = ALL_VIEWS.map(({ name }) => name).join(', ');

/**
 * DuckDB's log may be switched on by a select. A log in a file is refused only when it is written, with every query from then
 * on and when the database is closed, which ends the process. `query('...')` would hide it.
 */
function refuseLogging(text: string): void {
  if (/(en|dis)able_logging|\bquery"?\s*\(/i.test(text)) {
    throw notAllowed('logging and query(...) are not available');
  }
}

const notAllowed = (reason: string): UsageError =>
  new UsageError({
    fact: 'The query is not allowed',
    reason,
    next: `Queries read the views (${VIEW_NAMES}); files, network and settings are out of reach. Write results with -o FILE.`,
  });

/** What DuckDB says, as an error of ours: its first line, then the place in the query. */
function describeError(error: unknown): unknown {
  const message =
    error instanceof Error ? error.message.replace(/^Failed to extract statements: /, '') : '';
  if (!/^[A-Za-z ]+ Error: /.test(message)) return error;
  const [first, ...rest] = message.trim().split('\n');
  if (/^INTERRUPT Error/.test(first)) {
    return new UsageError({
      fact: 'The query was stopped',
      reason: 'it was interrupted',
      next: 'Select less, or from one capture.',
    });
  }
  if (/^Out of Memory Error/.test(first)) {
    return new UnsupportedError({
      fact: 'The query needs more memory than it may take',
      reason: first.replace(/^Out of Memory Error: |\.$/g, ''),
      next: 'Raise --max-memory, or select less.',
    });
  }
  if (/disabled by configuration|has been locked|disabled through configuration/.test(first)) {
    return notAllowed(first.replace(/^[A-Za-z ]+ Error: |\.$/g, ''));
  }
  const place = rest.filter((line) => line !== '').join('\n');
  return new UsageError({
    fact: 'The query cannot be run',
    reason: first.replace(/[.!]$/, ''),
    next: `${place}${place === '' ? '' : '\n'}The views are ${VIEW_NAMES}; leakscope sql --help lists their columns.`,
  });
}
