// Laying text out in a terminal: tables, wrapped paragraphs with a hanging indent, a label in front of a value, colour.
// Pure: width and colour are given. Text from a target must have passed `sanitizeText` before it comes here.

export const PAGE_WIDTH = 100;

/** What may be coloured. Everything is readable without: colour only repeats what the words say. */
export interface Style {
  strong(text: string): string;
  alarm(text: string): string;
  calm(text: string): string;
  faint(text: string): string;
}

const same = (text: string): string => text;
export const plainStyle: Style = { strong: same, alarm: same, calm: same, faint: same };

const sgr = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;
export const colourStyle: Style = {
  strong: sgr(1),
  alarm: sgr(31),
  calm: sgr(32),
  faint: sgr(2),
};

/** Columns that a text takes; wide East Asian characters and emoji take two. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}/u.test(character)) continue;
    width +=
      /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - textWidth(text)));

export const padStart = (text: string, width: number): string =>
  ' '.repeat(Math.max(0, width - textWidth(text))) + text;

/** Words in lines of at most `width` columns. A word that is longer stays whole: a path or command is to be copied. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}

/** `prefix` and the text, wrapped, its further lines under its first. */
export function formatHanging(prefix: string, text: string, width = PAGE_WIDTH): string[] {
  const indent = textWidth(prefix);
  return wrapWords(text, width - indent).map(
    (line, i) => `${i === 0 ? prefix : ' '.repeat(indent)}${line}`,
  );
}

/** Terms side by side, `gap` apart; a term that does not fit begins a new line, indented by `indent`. */
export function formatTerms(
  prefix: string,
  terms: readonly string[],
  gap = 3,
  width = PAGE_WIDTH,
): string[] {
  const indent = ' '.repeat(textWidth(prefix));
  const lines: string[] = [];
  let line = '';
  for (const term of terms) {
    if (line === '') line = `${lines.length === 0 ? prefix : indent}${term}`;
    else if (textWidth(line) + gap + textWidth(term) <= width) line += ' '.repeat(gap) + term;
    else {
      lines.push(line);
      line = indent + term;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}

export interface TableColumn {
  title: string;
  align: 'left' | 'right';
}

/** Rows under titles, two spaces between columns, nothing behind the last one. */
export function formatTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  style: Style = plainStyle,
): string[] {
  const widths = columns.map((column, i) =>
    rows.reduce((width, row) => Math.max(width, textWidth(row[i])), textWidth(column.title)),
  );
  const formatRow = (cells: readonly string[]) =>
    cells
      .map((cell, i) =>
        columns[i].align === 'right' ? padStart(cell, widths[i]) : padEnd(cell, widths[i]),
      )
      .join('  ')
      .trimEnd();
  return [style.faint(formatRow(columns.map((column) => column.title))), ...rows.map(formatRow)];
}
