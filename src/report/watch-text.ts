// The events of a watch as text: a screen that is redrawn on a terminal, a line for each sample elsewhere, and notes for what
// happens in between. Pure; widths are given.

import {
  cutMiddle,
  formatBytes,
  formatBytesPerHour,
  formatCount,
  formatDuration,
  formatMs,
  formatNumberOf,
  formatShare,
  formatSignedBytes,
  sanitizeText,
} from '../base/format.ts';
import { formatBarChart } from './bar-chart.ts';
import { formatHanging, formatTerms, plainStyle, type Style } from './text-layout.ts';
import type { WatchEvent, WatchSample, WatchTrend } from './watch-schema.ts';

const CHART_ROWS = 8;
/** A limit that is reached later than this is no news. */
const FAR_AWAY_SECONDS = 30 * 86_400;

export interface WatchScreen {
  sample: WatchSample;
  /** Resident set over the window, the oldest first. */
  rssBytes: readonly number[];
  windowSeconds: number;
  command: readonly string[];
  startedAt: number;
  /** The newest of each, if there was one. */
  capture: Extract<WatchEvent, { event: 'capture' }> | undefined;
  captures: number;
  verdict: Extract<WatchEvent, { event: 'verdict' }> | undefined;
}

export function formatWatchScreen(
  screen: WatchScreen,
  width: number,
  style: Style = plainStyle,
): string[] {
  const { sample, capture, verdict } = screen;
  const age = Date.parse(sample.at) / 1000 - screen.startedAt;
  const title = `pid ${sample.pid}   up ${formatDuration(Math.max(0, age))}   `;
  return [
    title + cutMiddle(sanitizeText(screen.command.join(' ')), Math.max(10, width - title.length)),
    '',
    ...formatBarChart(screen.rssBytes, { width, rows: CHART_ROWS }),
    style.faint(`resident set, the last ${formatDuration(screen.windowSeconds)}`),
    '',
    ...formatTerms('RSS    ', formatParts(sample), 3, width),
    ...formatHanging('trend  ', formatTrend(sample.trend, style), width),
    ...formatHanging('limit  ', formatLimit(sample, style), width),
    ...(capture === undefined
      ? []
      : formatHanging('       ', describeCapture(screen, capture), width)),
    ...(verdict === undefined ? [] : formatVerdict(verdict, width, style)),
  ];
}

function formatParts(sample: WatchSample): string[] {
  const { pssBytes, swapBytes, sharedBytes } = sample;
  return [
    formatBytes(sample.rssBytes),
    `its own ${formatBytes(sample.anonymousBytes)}`,
    `files ${formatBytes(sample.fileBytes)}`,
    ...(sharedBytes === 0 ? [] : [`shared ${formatBytes(sharedBytes)}`]),
    ...(swapBytes === 0 ? [] : [`swapped out ${formatBytes(swapBytes)}`]),
    ...(pssBytes === null ? [] : [`PSS ${formatBytes(pssBytes)}`]),
    formatNumberOf(sample.threads, 'thread'),
  ];
}

/** `+4.5 GB/h (4.1 to 4.9), rises persistently, over 12 min`. */
function formatTrend(trend: WatchTrend | null, style: Style): string {
  if (trend === null) return 'needs some more samples';
  const over = `over ${formatDuration(trend.seconds)}`;
  if (trend.direction === 'none') return `none that is not chance, ${over}`;
  const { bytesPerHour, low, high } = trend;
  const interval =
    low === null || high === null
      ? ''
      : ` (95 %: ${formatSignedBytes(low, bytesPerHour)} to ${formatSignedBytes(high, bytesPerHour)})`;
  const text = `${formatBytesPerHour(bytesPerHour)}${interval}`;
  return trend.direction === 'rising'
    ? `${style.alarm(text)}, rises persistently, ${over}`
    : `${style.calm(text)}, falls, ${over}`;
}

function formatLimit({ limit, events }: WatchSample, style: Style): string {
  if (limit === null) return 'not known';
  const { maxBytes, usedBytes, secondsLeft } = limit;
  const whose = limit.of === 'machine' ? 'the machine has' : 'the control group may have';
  const room = `${whose} ${formatBytes(maxBytes)}, ${formatShare(usedBytes / maxBytes)} taken`;
  const kills =
    events === null || events.oomKills === 0
      ? ''
      : `, ${formatNumberOf(events.oomKills, 'process', 'processes')} killed so far`;
  if (secondsLeft === null) return room + kills;
  if (secondsLeft > FAR_AWAY_SECONDS) return `${room}${kills}, reached in more than 30 d`;
  return `${room}${kills}, ${style.alarm(`reached in ${formatDuration(secondsLeft)}`)} at this trend`;
}

function describeCapture(
  { captures, sample }: WatchScreen,
  capture: Extract<WatchEvent, { event: 'capture' }>,
): string {
  const ago = (Date.parse(sample.at) - Date.parse(capture.at)) / 1000;
  return `${formatNumberOf(captures, 'capture')}, the last ${formatDuration(Math.max(0, ago))} ago: ${describeOne(capture)}`;
}

const describeOne = (capture: Extract<WatchEvent, { event: 'capture' }>): string =>
  `${formatCount(capture.objects)} objects, paused ${formatMs(capture.pauseMs)} ms, ${sanitizeText(capture.file)}`;

function formatVerdict(
  verdict: Extract<WatchEvent, { event: 'verdict' }>,
  width: number,
  style: Style,
): string[] {
  const word = { leak: 'LEAK', 'no-leak': 'NO LEAK', inconclusive: 'INCONCLUSIVE' }[
    verdict.verdict
  ];
  const colour = verdict.verdict === 'leak' ? style.alarm : style.strong;
  return [
    '',
    ...formatHanging('', `${colour(word)}   ${sanitizeText(verdict.summary)}`, width),
    ...verdict.suspects
      .slice(0, 5)
      .flatMap(({ kind, type, holder, bytesPerHour }) =>
        formatHanging(
          '   ',
          `${kind}  ${sanitizeText(type)}  ${formatBytesPerHour(bytesPerHour)}${holder === null ? '' : `  held by ${sanitizeText(holder)}`}`,
          width,
        ),
      ),
    // In one line however long it is: it is to be copied.
    `   ${sanitizeText(verdict.command)}`,
  ];
}

/** One line for a sample, where no screen is. */
export function formatWatchSample(sample: WatchSample): string {
  const { trend, limit } = sample;
  const terms = [
    clock(sample.at),
    `pid ${sample.pid}`,
    `RSS ${formatBytes(sample.rssBytes)}`,
    `own ${formatBytes(sample.anonymousBytes)}`,
    ...(trend === null || trend.direction === 'none'
      ? []
      : [formatBytesPerHour(trend.bytesPerHour)]),
    ...(limit === null
      ? []
      : [
          `${formatShare(limit.usedBytes / limit.maxBytes)} of the ${limit.of === 'machine' ? "machine's memory" : "group's limit"} taken`,
        ]),
    ...(limit?.secondsLeft == null || limit.secondsLeft > FAR_AWAY_SECONDS
      ? []
      : [`reached in ${formatDuration(limit.secondsLeft)}`]),
  ];
  return terms.join('   ');
}

/** What happened, in lines that stay; none for a sample. */
export function formatWatchNote(
  event: WatchEvent,
  width: number,
  style: Style = plainStyle,
): string[] {
  const at = clock(event.at);
  switch (event.event) {
    case 'sample':
      return [];
    case 'started': {
      const command = cutMiddle(sanitizeText(event.command.join(' ')), width);
      return event.restarts === 0
        ? [`${at}   watching process ${event.pid}: ${command}`]
        : [`${at}   process ${event.pid} has taken its place: ${command}`];
    }
    case 'ended':
      return [`${at}   process ${event.pid} has ended`];
    case 'capture':
      return [`${at}   captured, because ${event.reason}: ${describeOne(event)}`];
    case 'capture-failed':
      return [`${at}   not captured (${event.reason}): ${sanitizeText(event.problem)}`];
    case 'verdict':
      return formatVerdict(event, width, style);
  }
}

const clock = (at: string): string => new Date(at).toTimeString().slice(0, 8);
