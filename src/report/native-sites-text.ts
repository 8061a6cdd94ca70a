// The report of `leakscope valgrind` and `leakscope heaptrack` as text: the verdict in one sentence, then each site in an
// extension as a block with its losses and its folded call stack, the most bytes first. Pure; 100 columns.

import {
  cutEnd,
  cutMiddle,
  formatBytes,
  formatCount,
  formatDuration,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { NativeLosses, NativeSite, NativeSitesReport } from './native-sites-schema.ts';
import { formatHanging, PAGE_WIDTH, padEnd, plainStyle, type Style } from './text-layout.ts';

const VERDICT_WORDS = { leak: 'LEAK', 'no-leak': 'NO LEAK', inconclusive: 'INCONCLUSIVE' } as const;
const MAX_STACK_ROWS = 12;
const LABEL_WIDTH = 15;
const label = (name: string): string => padEnd(`   ${name}`, LABEL_WIDTH);

export interface NativeSitesTextOptions {
  /** Sites to print; the others are counted. */
  limit: number;
}

/** The whole report, with a line break at its end. */
export function formatNativeSites(
  report: NativeSitesReport,
  options: NativeSitesTextOptions,
  style: Style = plainStyle,
): string {
  const shown = report.sites.slice(0, options.limit);
  const paragraphs = [
    formatHeader(report),
    formatVerdict(report, style),
    ...shown.map((site, i) => formatSite(site, i + 1, style)),
    formatOmitted(report, shown.length),
    formatRest(report),
  ];
  return `${paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

/** `ended by itself with exit code 0`, `ended by SIGKILL`. */
export function formatEnding({ program }: NativeSitesReport): string {
  const how =
    program.signal === null
      ? `ended with exit code ${program.exitCode}`
      : `ended by ${program.signal}`;
  return program.interrupted ? `${how} after Ctrl-C` : how;
}

function formatHeader(report: NativeSitesReport): string[] {
  const { tool, program } = report;
  const command = program.command.map((part) => sanitizeText(part));
  command[0] = command[0].slice(command[0].lastIndexOf('/') + 1);
  const left = `${tool.name} ${tool.version}   `;
  const right = `   ${formatDuration(program.seconds)}, ${formatEnding(report)}`;
  const width = Math.max(20, PAGE_WIDTH - left.length - right.length);
  return [left + cutMiddle(command.join(' '), width) + right];
}

function formatVerdict(report: NativeSitesReport, style: Style): string[] {
  const word = VERDICT_WORDS[report.verdict];
  const paint = { leak: style.alarm, 'no-leak': style.calm, inconclusive: style.strong };
  const lines = formatHanging(`${word}   `, sanitizeText(report.summary));
  lines[0] = paint[report.verdict](word) + lines[0].slice(word.length);
  for (const reason of report.reasons) {
    lines.push(...formatHanging('     - ', sanitizeText(reason)));
  }
  if (report.nextMeasurement !== null) {
    lines.push(...formatHanging('     would decide: ', sanitizeText(report.nextMeasurement)));
  }
  return lines;
}

/** `Foo_init at lost.c:12`, or as much of it as is known. */
export function formatSiteName(site: NativeSite): string {
  const name = site.function ?? 'a function without a symbol';
  return site.file === null ? name : `${name} at ${baseName(site.file)}:${site.line ?? '?'}`;
}

/** `3.9 MB in 1 954 blocks`: what was lost here, or what is lost with other blocks. */
export function formatSiteLoss(site: NativeSite): string {
  const { bytes, blocks } = site.kind === 'indirect' ? site.losses.indirect : site;
  return `${formatBytes(bytes)} in ${formatNumberOf(blocks, 'block')}`;
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

const LOSS_WORDS: readonly [keyof NativeLosses, string][] = [
  ['definite', 'definitely lost'],
  ['possible', 'possibly lost'],
  ['indirect', 'that only lost blocks lead to'],
  ['notFreed', 'not freed at the end'],
];

/** `3.9 MB in 1 954 blocks definitely lost`, one text for each kind that there is. */
export const formatLosses = (losses: NativeLosses): string[] =>
  LOSS_WORDS.filter(([kind]) => losses[kind].blocks > 0).map(
    ([kind, words]) =>
      `${formatBytes(losses[kind].bytes)} in ${formatNumberOf(losses[kind].blocks, 'block')} ${words}`,
  );

function formatSite(site: NativeSite, number: number, style: Style): string[] {
  const title = `${padEnd(`${number}`, 3)}${padEnd(site.kind, 12)}${formatSiteLoss(site)}`;
  const name = cutEnd(sanitizeText(formatSiteName(site)), PAGE_WIDTH - title.length - 4);
  const kinds = formatLosses(site.losses);
  const lines = [`${site.counts ? style.strong(title) : title}    ${name}`];
  const python = [site.python, site.pythonSource].filter((text) => text !== null).join(' at ');
  if (python !== '') lines.push(label('python') + sanitizeText(python));
  lines.push(...formatHanging(label('library'), sanitizeText(site.library)));
  if (kinds.length > 1 || site.kind === 'indirect') {
    lines.push(...formatHanging(label('lost'), kinds.join(', ')));
  }
  if (site.holdsBytes > 0) {
    lines.push(`${label('holds')}${formatBytes(site.holdsBytes)} that only these blocks lead to`);
  }
  if (site.history !== null) {
    lines.push(
      `${label('blocks')}${site.history.map(formatCount).join(' -> ')}, by quarters of the run`,
    );
  }
  lines.push(...formatStack(site));
  lines.push(...formatHanging(label('advice'), sanitizeText(site.advice)));
  return lines;
}

function formatStack(site: NativeSite): string[] {
  const rows = site.stack.slice(0, MAX_STACK_ROWS).map((row) => {
    const name = sanitizeText(row.function ?? '(no symbol)');
    if (row.folded > 1) {
      return `${name}   ${formatNumberOf(row.folded, 'frame')} of ${sanitizeText(row.library)} and the like`;
    }
    if (row.file === null) return `${name}   ${sanitizeText(row.library)}`;
    return `${name}   ${sanitizeText(baseName(row.file))}:${row.line ?? '?'}`;
  });
  if (site.stack.length > rows.length) {
    rows.push(`and ${formatCount(site.stack.length - rows.length)} rows more`);
  }
  return rows.map((row, i) =>
    cutEnd(`${i === 0 ? label('stack') : ' '.repeat(LABEL_WIDTH)}${row}`, PAGE_WIDTH),
  );
}

function formatOmitted(report: NativeSitesReport, shown: number): string[] {
  const omitted = report.sites.slice(shown);
  if (omitted.length === 0) return [];
  const bytes = omitted.reduce((sum, site) => sum + site.bytes, 0);
  return [
    `and ${formatNumberOf(omitted.length, 'site')} more with ${formatBytes(bytes)} (--limit, --json and --html show them)`,
  ];
}

function formatRest(report: NativeSitesReport): string[] {
  const inner = formatLosses(report.interpreter);
  const lines =
    inner.length === 0
      ? []
      : formatHanging('interpreter   ', `${inner.join(', ')}: its own and Python code's`);
  if (report.suppressed > 0) {
    lines.push(`suppressed    ${formatNumberOf(report.suppressed, 'record')}`);
  }
  if (report.otherErrors.length > 0) {
    const kinds = report.otherErrors.map((error) => `${formatCount(error.count)} ${error.kind}`);
    lines.push(...formatHanging('also seen     ', sanitizeText(kinds.join(', '))));
  }
  for (const note of report.notes)
    lines.push(...formatHanging('note          ', sanitizeText(note)));
  return lines;
}
