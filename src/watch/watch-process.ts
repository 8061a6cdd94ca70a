// A watch: samples of one process's memory for as long as it may take, captures by itself when something happens, and what a
// hunt says of them. A process that ends is followed by the one that takes its place.
//
// Captures, ledgers and hunts run in processes of their own: the watch stays small, and survives what they meet.

import type { Trend } from '../analysis/trend.ts';
import { findMemoryUsage, LimitReader, type MemoryLimit } from '../memory/memory-usage.ts';
import { findPssBytes } from '../memory/process-status.ts';
import type { WatchEvent, WatchSample, WatchTrend } from '../report/watch-schema.ts';
import { CaptureTriggers, type TriggerOptions } from './capture-triggers.ts';
import { type FollowedProcess, isStillRunning } from './followed-process.ts';
import { sleep } from './sleep.ts';
import { UsageHistory } from './usage-history.ts';

/** A trend changes slowly, and costs as much as several samples: it is computed again after so many. */
const SAMPLES_PER_TREND = 10;
/** Share of a core that may go into the proportional set, which costs much. */
const PSS_SHARE = 0.0005;
const LEAST_PSS_SECONDS = 30;
const SUCCESSOR_SECONDS = 1;
const UNLIKELY = 0.01;
const LEAST_TREND_POINTS = 10;

export interface WatchOptions {
  everySeconds: number;
  windowSeconds: number;
  /** Ends by itself after so many seconds; undefined: never. */
  forSeconds: number | undefined;
  /** Ends with the process, and does not wait for another one. */
  untilEnd: boolean;
  signal: AbortSignal;
  /** undefined: no captures by itself. */
  captures: (TriggerOptions & { take: CaptureTaker }) | undefined;
  /** The process that has taken the place of one that ended. */
  findSuccessor: () => FollowedProcess | undefined;
  onEvent: (event: WatchEvent, history: UsageHistory) => void;
}

/** Takes one capture and says what came of it: events in order. Never rejects. */
export type CaptureTaker = (pid: number, reason: string) => Promise<WatchEvent[]>;

/** Resolves when the watch ends by itself; rejects with the signal's reason when aborted. */
export async function watchProcess(first: FollowedProcess, options: WatchOptions): Promise<void> {
  const { signal, forSeconds, everySeconds } = options;
  const endsAt = forSeconds === undefined ? Number.POSITIVE_INFINITY : nowSeconds() + forSeconds;
  const history = new UsageHistory(options.windowSeconds);
  let followed = first;
  for (let restarts = 0; ; restarts++) {
    const { pid } = followed;
    emit(options, history, {
      ...head(pid),
      event: 'started',
      command: [...followed.command],
      restarts,
    });
    await watchOne(followed, history, endsAt, options);
    if (nowSeconds() >= endsAt) return;
    emit(options, history, { ...head(pid), event: 'ended' });
    if (options.untilEnd) return;
    let successor = options.findSuccessor();
    while (successor === undefined) {
      if (nowSeconds() >= endsAt) return;
      await sleep(Math.max(everySeconds, SUCCESSOR_SECONDS) * 1000, signal);
      successor = options.findSuccessor();
    }
    followed = successor;
    history.clear();
  }
}

const nowSeconds = (): number => Date.now() / 1000;

const head = (pid: number) =>
  ({ schema: 'leakscope/watch@1', at: new Date().toISOString(), pid }) as const;

const emit = (options: WatchOptions, history: UsageHistory, event: WatchEvent): void =>
  options.onEvent(event, history);

/** Until the process ends, or the watch does. */
async function watchOne(
  followed: FollowedProcess,
  history: UsageHistory,
  endsAt: number,
  options: WatchOptions,
): Promise<void> {
  const { signal, everySeconds, captures } = options;
  const sampler = new Sampler(followed.pid, history);
  const triggers = captures === undefined ? undefined : new CaptureTriggers(captures);
  let capturing: Promise<void> | undefined;
  const startCapture = (reason: string, take: CaptureTaker): void => {
    capturing = take(followed.pid, reason)
      .then((events) => {
        for (const event of events) emit(options, history, event);
      })
      .finally(() => {
        capturing = undefined;
      });
  };
  let dueAt = performance.now();
  try {
    while (isStillRunning(followed)) {
      const sample = sampler.sample();
      if (sample === undefined) break;
      emit(options, history, sample);
      // One that is due while another one is being taken stays due.
      if (captures !== undefined && triggers !== undefined && capturing === undefined) {
        const reason = triggers.findReason({
          atSeconds: nowSeconds(),
          rssBytes: sample.rssBytes,
          limit: sample.limit ?? undefined,
          highEvents: sample.events?.high,
          trend: sampler.trend,
        });
        if (reason !== undefined) startCapture(reason, captures.take);
      }
      if (nowSeconds() + everySeconds > endsAt) {
        await sleep(Math.max(0, (endsAt - nowSeconds()) * 1000), signal);
        return;
      }
      // No samples are made up for time that went by in a suspended machine.
      dueAt = Math.max(dueAt + everySeconds * 1000, performance.now());
      await sleep(dueAt - performance.now(), signal);
    }
  } finally {
    await capturing;
  }
}

/** Reads one process, and keeps what is not to be read each time. */
class Sampler {
  trend: Trend | undefined;
  private usedTrend: Trend | undefined;
  private readonly pid: number;
  private readonly history: UsageHistory;
  private readonly limits: LimitReader;
  private samples = 0;
  private pssBytes: number | undefined;
  private pssDueAt = 0;

  constructor(pid: number, history: UsageHistory) {
    this.pid = pid;
    this.history = history;
    this.limits = new LimitReader(pid);
  }

  /** undefined when the process has ended. */
  sample(): WatchSample | undefined {
    const usage = findMemoryUsage(this.pid);
    if (usage === undefined) return undefined;
    const limit = this.limits.findLimit();
    const { threads, ...bytes } = usage;
    const atSeconds = nowSeconds();
    this.samples++;
    this.history.add({ atSeconds, ...bytes, usedBytes: limit?.usedBytes ?? 0 });
    this.measurePss(atSeconds);
    // In the beginning each sample tells more.
    if (this.samples % SAMPLES_PER_TREND === 0 || this.samples < SAMPLES_PER_TREND) {
      this.trend = this.history.trendOf('rssBytes');
      this.usedTrend = limit === undefined ? undefined : this.history.trendOf('usedBytes');
    }
    return {
      ...head(this.pid),
      event: 'sample',
      ...usage,
      pssBytes: this.pssBytes ?? null,
      limit: limit === undefined ? null : { ...limit, secondsLeft: this.findSecondsLeft(limit) },
      events: this.limits.findEvents() ?? null,
      trend: this.describeTrend(atSeconds),
    };
  }

  /** Since the oldest point. */
  private watchedSeconds(atSeconds: number): number {
    return atSeconds - (this.history.list()[0]?.atSeconds ?? atSeconds);
  }

  /** As often as its cost allows. */
  private measurePss(atSeconds: number): void {
    if (atSeconds < this.pssDueAt) return;
    const startedAt = performance.now();
    this.pssBytes = findPssBytes(this.pid);
    const seconds = (performance.now() - startedAt) / 1000;
    this.pssDueAt = atSeconds + Math.max(LEAST_PSS_SECONDS, seconds / PSS_SHARE);
  }

  private findSecondsLeft(limit: MemoryLimit): number | null {
    const trend = this.usedTrend;
    if (trend === undefined || directionOf(trend) !== 'rising') return null;
    return Math.max(0, limit.maxBytes - limit.usedBytes) / trend.slope;
  }

  private describeTrend(atSeconds: number): WatchTrend | null {
    const trend = this.trend;
    if (trend === undefined) return null;
    const perHour = (bytesPerSecond: number) => bytesPerSecond * 3600;
    const finite = (value: number) => (Number.isFinite(value) ? perHour(value) : null);
    return {
      bytesPerHour: perHour(trend.slope),
      low: finite(trend.low),
      high: finite(trend.high),
      pValue: trend.pValue,
      seconds: this.watchedSeconds(atSeconds),
      direction: directionOf(trend),
    };
  }
}

/** What may be said of the direction without much doubt. */
function directionOf(trend: Trend): WatchTrend['direction'] {
  if (trend.count < LEAST_TREND_POINTS || trend.pValue > UNLIKELY) return 'none';
  if (trend.low > 0) return 'rising';
  return trend.high < 0 ? 'falling' : 'none';
}
