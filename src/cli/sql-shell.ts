// The SQL shell on a terminal: reads lines until a `;`, runs the statements, prints what comes back. Ctrl-C stops the query
// that runs, else drops the lines; Ctrl-D leaves. Lines that begin with a dot are for the shell itself.

import { createInterface, type Interface } from 'node:readline';
import { UserError } from '../base/errors.ts';
import { sanitizeText } from '../base/format.ts';
import { formatTable } from '../report/text-layout.ts';
import { ALL_VIEWS } from '../sql/database.ts';
import { HISTORY_LINES, openHistory } from './line-history.ts';
import { type PrintOptions, runStatements, type SqlRun } from './sql-output.ts';

const PROMPT = 'sql> ';
const MORE = '...> ';

const HELP = `.tables          the views
.schema [VIEW]   their columns
.mode table|csv  how rows are printed
.limit ROWS      rows to print in a table
.help            this text
.quit            leaves, as Ctrl-D does
Statements end with a semicolon. Ctrl-C stops a query. An address is compared as in: where address = '0x7f3a2c1d9e50'.`;

interface ShellState {
  lines: string[];
  isRunning: boolean;
  options: PrintOptions;
}

export async function runSqlShell(run: SqlRun, { limit, csv }: PrintOptions): Promise<void> {
  const { session } = run;
  process.stderr.write(
    `${ALL_VIEWS.map(({ name }) => name).join(', ')}. .help lists what else there is. Ctrl-D leaves.\n`,
  );
  const history = openHistory('sql_history');
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    historySize: HISTORY_LINES,
    history: history.read(),
    removeHistoryDuplicates: true,
    prompt: PROMPT,
    completer: complete,
  });
  const state: ShellState = {
    lines: [],
    isRunning: false,
    options: { limit, ...(csv !== undefined && { csv }) },
  };
  terminal.on('history', (lines: string[]) => history.write(lines));
  terminal.on('SIGINT', () => interrupt(terminal, run, state));
  const onAbort = () => terminal.close();
  session.signal.addEventListener('abort', onAbort);
  try {
    terminal.prompt();
    for await (const line of terminal) {
      if (await takeLine(line, state, run)) break;
      terminal.setPrompt(state.lines.length > 0 ? MORE : PROMPT);
      terminal.prompt();
    }
  } finally {
    session.signal.removeEventListener('abort', onAbort);
    terminal.close();
  }
  process.stdout.write('\n');
}

function interrupt(terminal: Interface, run: SqlRun, state: ShellState): void {
  if (state.isRunning) {
    run.database.interrupt();
    return;
  }
  state.lines = [];
  process.stdout.write('\n');
  terminal.write(null, { ctrl: true, name: 'e' });
  terminal.write(null, { ctrl: true, name: 'u' });
  terminal.setPrompt(PROMPT);
  terminal.prompt();
}

/** Whether the user leaves. */
async function takeLine(line: string, state: ShellState, run: SqlRun): Promise<boolean> {
  if (state.lines.length === 0) {
    if (line.trim() === '') return false;
    if (line.trimStart().startsWith('.')) return runDotCommand(line.trim(), state);
  }
  state.lines.push(line);
  const text = state.lines.join('\n');
  const isInText = (text.match(/'/g) ?? []).length % 2 === 1;
  if (isInText || !/;\s*(--.*)?$/.test(line)) return false;
  state.lines = [];
  state.isRunning = true;
  try {
    await runStatements(text, run, state.options);
  } catch (error) {
    if (!(error instanceof UserError) || run.session.signal.aborted) throw error;
    const { fact, reason, next } = error.text;
    run.session.endProgress();
    process.stdout.write(`${run.session.style.alarm(`${fact}: ${reason}.`)}\n${next}\n`);
  } finally {
    state.isRunning = false;
  }
  return false;
}

/** Whether the user leaves. */
function runDotCommand(line: string, state: ShellState): boolean {
  const [name, argument = ''] = line.split(/\s+/);
  const say = (text: string): false => {
    process.stdout.write(`${text}\n`);
    return false;
  };
  switch (name) {
    case '.quit':
    case '.exit':
      return true;
    case '.help':
      return say(HELP);
    case '.tables':
      return say(formatViews());
    case '.schema':
      return say(formatSchema(argument));
    case '.mode':
      if (argument !== 'table' && argument !== 'csv') return say('.mode table, or .mode csv');
      state.options = { ...state.options, csv: argument === 'csv' };
      return say(`rows are printed as ${argument}`);
    case '.limit':
      if (!/^[1-9]\d{0,7}$/.test(argument)) return say('.limit takes a number of rows');
      state.options = { ...state.options, limit: Number(argument) };
      return say(`at most ${argument} rows are printed in a table`);
    default:
      return say(`there is no ${sanitizeText(name)}; .help lists the commands`);
  }
}

const formatViews = (): string =>
  formatTable(
    [
      { title: 'view', align: 'left' },
      { title: 'what it has', align: 'left' },
    ],
    ALL_VIEWS.map(({ name, about }) => [name, about]),
  ).join('\n');

function formatSchema(name: string): string {
  const views = ALL_VIEWS.filter((view) => name === '' || view.name === name);
  if (views.length === 0) return `there is no view ${sanitizeText(name)}; .tables lists them`;
  return views
    .flatMap((view) => [
      view.name,
      ...formatTable(
        [
          { title: '  column', align: 'left' },
          { title: 'what it has', align: 'left' },
        ],
        view.columns.map((column) => [`  ${column.name}`, column.about]),
      ).slice(1),
    ])
    .join('\n');
}

/** Names of views and columns, and the shell's own commands. */
function complete(line: string): [string[], string] {
  const word = /[\w.]*$/.exec(line)?.[0] ?? '';
  const names = line.startsWith('.')
    ? ['.tables', '.schema', '.mode', '.limit', '.help', '.quit']
    : [...ALL_VIEWS, ...ALL_VIEWS.flatMap(({ columns }) => columns)].map(({ name }) => name);
  const fitting = [...new Set(names)].filter((name) => name.startsWith(word));
  return [word === '' ? [] : fitting, word];
}
