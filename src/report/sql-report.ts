// Results of queries: cells as JSON has them, and from these a table for a terminal or CSV (RFC 4180).

import { cutEnd, formatNumberOf, sanitizeText } from '../base/format.ts';
import type { SqlCell, SqlReport } from './sql-schema.ts';
import { formatTable, padEnd, plainStyle, type Style, textWidth } from './text-layout.ts';

export interface SqlColumn {
  name: string;
  /** As DuckDB writes it. */
  type: string;
}

const INTEGERS = /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/;
const NUMBERS = /^(FLOAT|DOUBLE|DECIMAL\(.*\))$/;
/** Columns of text are not made narrower. */
const LEAST_WIDTH = 12;
const GAP = 2;

/** A cell as DuckDB's JSON has it, where large numbers are text: addresses as 0x..., numbers as numbers if they are exact. */
export function toSqlCell(value: SqlCell, type: string): SqlCell {
  if (typeof value !== 'string') return value;
  if (type === 'UBIGINT') return `0x${BigInt(value).toString(16)}`;
  if (!INTEGERS.test(type) && !NUMBERS.test(type)) return value;
  const number = Number(value);
  return INTEGERS.test(type) && !Number.isSafeInteger(number) ? value : number;
}

/** What `explain` gives is text of many lines. */
const isPlan = (columns: readonly SqlColumn[]): boolean => columns[1]?.name === 'explain_value';

export function formatSqlResult(
  { columns, rows, isCut }: Pick<SqlReport, 'columns' | 'rows' | 'isCut'>,
  width: number,
  style: Style = plainStyle,
): string {
  if (isPlan(columns)) {
    const lines = rows.flatMap((row) => String(row[1]).split('\n'));
    return `${lines.map(sanitizeText).join('\n')}\n`;
  }
  const cells = rows.map((row) => row.map(formatCell));
  const widths = columns.map(({ name }, i) =>
    cells.reduce((most, row) => Math.max(most, textWidth(row[i])), textWidth(name)),
  );
  const fitting = fitWidths(columns, widths, width);
  const lines =
    fitting === undefined
      ? formatRecords(columns, cells, width, style)
      : formatColumns(columns, cells, fitting, style);
  const count = isCut
    ? `the first ${formatNumberOf(rows.length, 'row')} of more: --limit shows more, -o FILE writes all`
    : formatNumberOf(rows.length, 'row');
  return `${[...lines, count].join('\n')}\n`;
}

const isNumeric = (type: string): boolean => INTEGERS.test(type) || NUMBERS.test(type);

function formatColumns(
  columns: readonly SqlColumn[],
  cells: readonly string[][],
  widths: readonly number[],
  style: Style,
): string[] {
  const cut = (texts: readonly string[]) => texts.map((text, i) => cutEnd(text, widths[i]));
  const titles = cut(columns.map(({ name }) => sanitizeText(name)));
  return formatTable(
    titles.map((title, i) => ({ title, align: isNumeric(columns[i].type) ? 'right' : 'left' })),
    cells.map(cut),
    style,
  );
}

/** Rows that are too wide for a line: a line for each cell. */
function formatRecords(
  columns: readonly SqlColumn[],
  cells: readonly string[][],
  width: number,
  style: Style,
): string[] {
  const names = columns.map(({ name }) => sanitizeText(name));
  const indent = Math.max(...names.map(textWidth)) + GAP;
  return cells.flatMap((row, i) => [
    ...(i === 0 ? [] : ['']),
    ...row.map(
      (cell, at) =>
        style.faint(padEnd(names[at], indent)) +
        cutEnd(cell, Math.max(width - indent, LEAST_WIDTH)),
    ),
  ]);
}

/** Numbers are not grouped: they may be identifiers, and are copied. */
function formatCell(cell: SqlCell): string {
  if (cell === null) return 'NULL';
  if (typeof cell === 'number') {
    return Number.isInteger(cell) ? `${cell}` : `${Number(cell.toPrecision(6))}`;
  }
  return sanitizeText(typeof cell === 'string' ? cell : JSON.stringify(cell));
}

/** Makes the widest columns of text narrower until the table fits; undefined if it does not. */
function fitWidths(
  columns: readonly SqlColumn[],
  wanted: readonly number[],
  width: number,
): number[] | undefined {
  const isText = columns.map(({ type }) => !isNumeric(type) && type !== 'BOOLEAN');
  const room = width - GAP * (wanted.length - 1);
  const widthsAt = (most: number): number[] =>
    wanted.map((each, i) => (isText[i] ? Math.min(each, most) : each));
  for (let most = Math.max(...wanted, LEAST_WIDTH); most >= LEAST_WIDTH; most--) {
    const widths = widthsAt(most);
    if (widths.reduce((sum, each) => sum + each, 0) <= room) return widths;
  }
  return undefined;
}

/** The line of the titles, or of one row, with its line break. */
export const formatCsvLine = (cells: readonly SqlCell[]): string =>
  `${cells.map(formatCsvCell).join(',')}\r\n`;

function formatCsvCell(cell: SqlCell): string {
  if (cell === null) return '';
  const text = typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
  // An empty text is no NULL.
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
