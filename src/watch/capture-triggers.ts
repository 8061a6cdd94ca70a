// When a watch takes a capture by itself, and why. Pure: samples in, reasons out. Every threshold fires once on the way up and
// is armed again when usage has fallen clearly below it; a trend fires again when memory has grown on.

import type { Trend } from '../analysis/trend.ts';

/** `85 %` of the limit, or bytes of the resident set. */
export type Threshold = { share: number } | { bytes: number };

export interface TriggerOptions {
  thresholds: readonly Threshold[];
  /** Seconds between captures by the clock; undefined: none. */
  everySeconds: number | undefined;
  /** No two captures are closer. */
  leastSecondsBetween: number;
}

export interface TriggerSample {
  atSeconds: number;
  rssBytes: number;
  limit: { maxBytes: number; usedBytes: number } | undefined;
  /** `memory.events` high of the process's group; undefined where it is not counted. */
  highEvents: number | undefined;
  trend: Trend | undefined;
}

/** Below it by this share, a threshold is armed again. */
const SLACK = 0.05;
/** By so much above the capture before, a persisting trend is worth another one. */
const GROWN_SHARE = 0.05;
const LEAST_GROWTH_BYTES = 4e6;
/** A trend that is less likely by chance persists. */
const UNLIKELY = 0.01;
/** Fewer points are a start-up. */
const LEAST_TREND_POINTS = 20;

export class CaptureTriggers {
  private readonly options: TriggerOptions;
  private readonly isArmed: boolean[];
  private lastAt = Number.NEGATIVE_INFINITY;
  private lastRssBytes = 0;
  private lastHighEvents: number | undefined;
  private waiting: string | undefined;

  constructor(options: TriggerOptions) {
    this.options = options;
    this.isArmed = options.thresholds.map(() => true);
  }

  /** Why a capture is due now; undefined if none is. A reason that comes too early waits for its time. */
  findReason(sample: TriggerSample): string | undefined {
    this.waiting = this.findNewReason(sample) ?? this.waiting;
    const isTooEarly = sample.atSeconds - this.lastAt < this.options.leastSecondsBetween;
    if (this.waiting === undefined || isTooEarly) return undefined;
    const reason = this.waiting;
    this.waiting = undefined;
    this.lastAt = sample.atSeconds;
    this.lastRssBytes = sample.rssBytes;
    return reason;
  }

  /** Another process has the place of the one that was measured. */
  reset(): void {
    this.isArmed.fill(true);
    this.lastAt = Number.NEGATIVE_INFINITY;
    this.lastRssBytes = 0;
    this.lastHighEvents = undefined;
    this.waiting = undefined;
  }

  private findNewReason(sample: TriggerSample): string | undefined {
    const crossed = this.findCrossed(sample);
    if (crossed !== undefined) return crossed;
    const { highEvents, atSeconds } = sample;
    const before = this.lastHighEvents;
    this.lastHighEvents = highEvents;
    if (before !== undefined && highEvents !== undefined && highEvents > before) {
      return 'the control group met memory.high';
    }
    if (this.lastAt === Number.NEGATIVE_INFINITY) return 'the first, to compare with';
    const { everySeconds } = this.options;
    if (everySeconds !== undefined && atSeconds - this.lastAt >= everySeconds) return 'it was time';
    return this.isGrowing(sample) ? 'memory grows persistently' : undefined;
  }

  /** The highest threshold that was crossed; those below it count as crossed, too. */
  private findCrossed({ rssBytes, limit }: TriggerSample): string | undefined {
    let crossed: string | undefined;
    let highest = 0;
    for (const [i, threshold] of this.options.thresholds.entries()) {
      const level = levelOf(threshold, limit?.maxBytes);
      if (level === undefined) continue;
      const now = 'share' in threshold ? (limit?.usedBytes ?? 0) : rssBytes;
      if (now < level * (1 - SLACK)) this.isArmed[i] = true;
      if (now < level || !this.isArmed[i]) continue;
      this.isArmed[i] = false;
      if (level < highest) continue;
      highest = level;
      crossed =
        'share' in threshold
          ? `${Math.round(threshold.share * 100)} % of the limit was reached`
          : 'the given size was reached';
    }
    return crossed;
  }

  private isGrowing({ rssBytes, trend }: TriggerSample): boolean {
    if (trend === undefined || trend.count < LEAST_TREND_POINTS) return false;
    if (trend.pValue > UNLIKELY || trend.low <= 0) return false;
    const grown = rssBytes - this.lastRssBytes;
    return grown >= Math.max(LEAST_GROWTH_BYTES, this.lastRssBytes * GROWN_SHARE);
  }
}

/** In bytes; undefined where the limit is not known. */
const levelOf = (threshold: Threshold, maxBytes: number | undefined): number | undefined =>
  'bytes' in threshold
    ? threshold.bytes
    : maxBytes === undefined
      ? undefined
      : threshold.share * maxBytes;
