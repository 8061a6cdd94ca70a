// A hunt's report as text: the RSS chart, where the growth sits, the verdict in one sentence, and each suspect as a block
// that stands alone in a ticket. Pure; 100 columns; golden files in tests/golden show every form.

import {
  cutMiddle,
  formatBytes,
  formatBytesPerHour,
  formatCount,
  formatCountRate,
  formatDuration,
  formatMs,
  formatNumberOf,
  formatSignedBytes,
  formatSignedCount,
  sanitizeText,
} from '../base/format.ts';
import { formatGrowthTerms } from './hunt-ledger.ts';
import { formatSteps } from './path-text.ts';
import { formatAllocatedAt, formatCoverage, formatProblems, formatTarget } from './report-parts.ts';
import type { HuntReport, Suspect } from './schemas.ts';
import { formatSparkline } from './sparkline.ts';
import {
  formatHanging,
  formatTerms,
  PAGE_WIDTH,
  padEnd,
  plainStyle,
  type Style,
  textWidth,
} from './text-layout.ts';

const VERDICT_WORDS = { leak: 'LEAK', 'no-leak': 'NO LEAK', inconclusive: 'INCONCLUSIVE' } as const;

/** The whole report, with a line break at its end. */
export function formatHunt(report: HuntReport, style: Style = plainStyle): string {
  const paragraphs = [
    formatHeader(report),
    formatChart(report),
    formatVerdict(report, style),
    ...report.suspects.map((suspect, i) => formatSuspect(report, suspect, i + 1, style)),
    formatFindings(report),
    formatTrust(report),
    formatNext(report),
  ];
  return `${paragraphs
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

function formatHeader(report: HuntReport): string[] {
  const { target, captures } = report;
  const pauses = formatSeries(
    captures.map((capture) => capture.pauseMs),
    formatMs,
  );
  const paused = captures.every(({ core }) => core !== null) ? '' : `, paused ${pauses} ms`;
  const right = `${formatNumberOf(captures.length, 'capture')} in ${formatDuration(report.seconds)}${paused}`;
  const age =
    target.startedAt === null || captures.length === 0
      ? undefined
      : (Date.parse(captures[captures.length - 1].at) - Date.parse(target.startedAt)) / 1000;
  // The program's arguments say more than the folder that its interpreter lies in.
  const [executable = '', ...rest] = target.command;
  const command = sanitizeText(
    [executable.slice(executable.lastIndexOf('/') + 1), ...rest].join(' '),
  );
  const terms = [...formatTarget(target), cutMiddle(command, 50)];
  if (age !== undefined) terms.push(`up ${formatDuration(Math.max(0, age))}`);
  const left = terms.filter((term) => term !== '').join('   ');
  const gap = PAGE_WIDTH - textWidth(left) - textWidth(right);
  return gap >= 3 ? [left + ' '.repeat(gap) + right] : [left, right];
}

function formatChart(report: HuntReport): string[] {
  const { growth, captures } = report;
  const series =
    report.rss.length > 1
      ? report.rss.map((sample) => sample.bytes)
      : captures.map((capture) => capture.rssBytes);
  if (captures.length === 0) return [];
  const first = captures[0].rssBytes;
  const last = captures[captures.length - 1].rssBytes;
  // What a core has is not what was resident, but grows with it.
  const what = captures[0].core === null ? 'RSS ' : 'core';
  const lines = [
    `${what} ${formatSparkline(series)}   ${formatBytes(first)} -> ${formatBytes(last)}   ` +
      `${formatSignedBytes(growth.bytes)} in ${formatDuration(report.seconds)} (${formatBytesPerHour(growth.bytesPerHour)})`,
  ];
  const terms = formatGrowthTerms(report.ledger.growth, growth.bytes);
  const [wide, narrow] = [3, 2].map((gap) => formatTerms('     ', terms, gap));
  return [...lines, ...(narrow.length < wide.length ? narrow : wide)];
}

function formatVerdict(report: HuntReport, style: Style): string[] {
  const word = VERDICT_WORDS[report.verdict];
  const paint =
    report.verdict === 'leak'
      ? style.alarm
      : report.verdict === 'no-leak'
        ? style.calm
        : style.strong;
  const lines = formatHanging(`${word}   `, sanitizeText(report.summary));
  lines[0] = paint(word) + lines[0].slice(word.length);
  for (const reason of report.reasons)
    lines.push(...formatHanging('     - ', sanitizeText(reason)));
  if (report.nextMeasurement !== null) {
    lines.push(...formatHanging('     would decide: ', sanitizeText(report.nextMeasurement)));
  }
  return lines;
}

// --- A suspect ----------------------------------------------------------------------------------------------------------

const LABEL_WIDTH = 15;
const label = (name: string): string => padEnd(`   ${name}`, LABEL_WIDTH);

function formatSuspect(
  report: HuntReport,
  suspect: Suspect,
  number: number,
  style: Style,
): string[] {
  const lines = [
    ...formatSuspectTitle(suspect, number, style),
    ...formatHolder(suspect),
    ...formatSuspectPath(suspect),
    ...formatContents(suspect),
    ...formatWait(suspect),
    ...formatOtherHolders(suspect),
    ...formatAllocatedAt(label('made at'), suspect.allocatedAt),
  ];
  if (suspect.example !== null) {
    lines.push(
      ...formatHanging(
        label('example'),
        `${suspect.example.address}  ${sanitizeText(suspect.example.repr)}`,
      ),
    );
  }
  for (const reason of suspect.verdict === 'leaking' ? [] : suspect.reasons) {
    lines.push(...formatHanging(label('not sure'), sanitizeText(reason)));
  }
  if (suspect.advice !== '') {
    lines.push(...formatHanging(label('advice'), sanitizeText(suspect.advice)));
  }
  lines.push(
    `${label('print')}${suspect.fingerprint}   ` +
      style.faint(
        `python ${report.target.python}, ${formatNumberOf(suspect.perRound.length, 'round')} in ` +
          `${formatDuration(report.seconds)}, leakscope ${report.leakscope}`,
      ),
  );
  return lines;
}

function formatSuspectTitle(suspect: Suspect, number: number, style: Style): string[] {
  const type = sanitizeText(suspect.type);
  const terms = [type];
  if (suspect.measure !== 'bytes') {
    const [one, many] = nounOf(suspect);
    const noun = Math.abs(suspect.count) === 1 ? one : many;
    terms.push(`${formatSignedCount(suspect.count)} ${noun}`);
  }
  terms.push(formatSignedBytes(suspect.bytes), `every round: ${formatRounds(suspect)}`);
  const lines = formatTerms(
    `${padEnd(padEnd(String(number), 3) + suspect.kind, LABEL_WIDTH - 1)} `,
    terms,
    4,
  );
  lines[0] = lines[0].replace(type, () => style.strong(type));
  return lines;
}

const NOUNS: Record<Suspect['measure'], [one: string, many: string]> = {
  objects: ['object', 'objects'],
  entries: ['entry', 'entries'],
  bytes: ['byte', 'bytes'],
  blocks: ['block', 'blocks'],
  references: ['reference', 'references'],
  threads: ['thread', 'threads'],
  mappings: ['mapping', 'mappings'],
};

const nounOf = ({ kind, measure }: Suspect): [one: string, many: string] =>
  NOUNS[kind === 'threads' ? 'threads' : measure];

const formatRounds = ({ measure, perRound }: Suspect): string =>
  measure === 'bytes'
    ? formatSeries(
        perRound.map((round) => round.bytes),
        (bytes) => formatSignedBytes(bytes),
      )
    : formatSeries(
        perRound.map((round) => round.count),
        formatCount,
      );

/** Each of a few numbers; of many, the range. */
function formatSeries(values: readonly number[], format: (value: number) => string): string {
  const texts = values.map(format);
  // `987 1 001 999` could be read in two ways.
  if (values.length <= 8) return texts.join(texts.some((text) => text.includes(' ')) ? ', ' : ' ');
  return `${format(Math.min(...values))} to ${format(Math.max(...values))}`;
}

function formatHolder(suspect: Suspect): string[] {
  if (suspect.holder === null) return [];
  const facts: string[] = [];
  if (suspect.holderType !== null) facts.push(sanitizeText(suspect.holderType));
  if (suspect.holderLength !== null) {
    facts.push(formatNumberOf(suspect.holderLength, 'entry', 'entries'));
  }
  if (suspect.measure !== 'bytes') facts.push(formatCountRate(suspect.countPerSecond));
  const holder = sanitizeText(suspect.holder);
  if (LABEL_WIDTH + textWidth(holder) > PAGE_WIDTH) {
    return [
      ...formatHanging(label('held by'), holder),
      `${' '.repeat(LABEL_WIDTH)}${facts.join(', ')}`,
    ];
  }
  return formatTerms(label('held by'), [holder, facts.join(', ')], 4);
}

function formatSuspectPath(suspect: Suspect): string[] {
  if (suspect.steps.length === 0) return [];
  return formatSteps(suspect.steps, PAGE_WIDTH - LABEL_WIDTH).map(
    (line, i) => (i === 0 ? label('path') : ' '.repeat(LABEL_WIDTH)) + line,
  );
}

/** Where growing tasks wait, and frames that have the container at hand. */
function formatWait({ waitsAt, hints }: Suspect): string[] {
  const lines: string[] = [];
  if (waitsAt !== null) {
    const { file, line, function: name, tasks } = waitsAt;
    const place = `${file.slice(file.lastIndexOf('/') + 1)}:${line} in ${name}`;
    const what = waitsAt.for === null ? '' : `, for ${waitsAt.for}`;
    const text = `${place}${what}   (${formatNumberOf(tasks, 'task')})`;
    lines.push(...formatHanging(label('waits at'), sanitizeText(text)));
  }
  for (const hint of hints) lines.push(...formatHanging(label('a hint'), sanitizeText(hint)));
  return lines;
}

/** What came with each object, if more than the object itself. */
function formatContents(suspect: Suspect): string[] {
  const others = suspect.contents.filter(({ type, count }) => type !== suspect.type && count > 0);
  if (others.length === 0) return [];
  // Classes tell more than what they are made of.
  const isClass = ({ type }: { type: string }) => Number(type.includes('.'));
  const terms = [...others]
    .sort((a, b) => isClass(b) - isClass(a))
    .slice(0, 5)
    .map(({ type, count }) => `${formatSignedCount(count)} ${sanitizeText(type)}`);
  return formatTerms(label('with'), terms, 3);
}

function formatOtherHolders(suspect: Suspect): string[] {
  if (suspect.alsoHeldBy === null) return [];
  if (suspect.alsoHeldBy.length === 0) {
    // Only what sits in a container can be freed by dropping an entry of it.
    const cure = suspect.holder === null ? '' : ': dropping the entry frees the object';
    return [`${label('also held')}by nothing else${cure}`];
  }
  return suspect.alsoHeldBy.flatMap((holder, i) =>
    formatHanging(
      i === 0 ? label('also held') : ' '.repeat(LABEL_WIDTH),
      `by ${sanitizeText(holder)}`,
    ),
  );
}

// --- The rest -----------------------------------------------------------------------------------------------------------

function formatFindings(report: HuntReport): string[] {
  if (report.findings.length === 0) return [];
  const width = Math.max(...report.findings.map((finding) => finding.kind.length));
  return [
    'also seen',
    ...report.findings.flatMap((finding) => {
      // Free memory is told as it is, all others as they grew.
      const format = finding.kind === 'fragmentation' ? formatBytes : formatSignedBytes;
      const size = finding.bytes === null ? '' : `${format(finding.bytes)}   `;
      return formatHanging(
        `   ${padEnd(finding.kind, width)}   `,
        size + sanitizeText(finding.text),
      );
    }),
  ];
}

function formatTrust(report: HuntReport): string[] {
  if (report.captures.length === 0) return [];
  const worst = Math.min(...report.captures.map((capture) => capture.coverage));
  return [formatCoverage(worst), ...formatProblems(report.problems)];
}

function formatNext(report: HuntReport): string[] {
  return formatTerms('next: ', report.next.map(sanitizeText), 5);
}
