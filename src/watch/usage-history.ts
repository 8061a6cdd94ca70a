// Samples of one process over a window of time, in bounded memory: those of one stretch are averaged into a point, and the
// oldest points leave. From it come the chart and the trend.

import { computeTrend, type Trend } from '../analysis/trend.ts';

/** Of which the window is made: enough for the widest terminal, and for a trend. */
const POINTS = 600;
/** A trend of all points would take longer than a second has; averages of neighbours also depend less on each other. */
const TREND_POINTS = 60;

/** Bytes at one moment, averaged over a stretch. */
export interface UsagePoint {
  /** Seconds since the Unix epoch: the last sample of the stretch. */
  atSeconds: number;
  rssBytes: number;
  anonymousBytes: number;
  fileBytes: number;
  sharedBytes: number;
  swapBytes: number;
  /** Of everything below the limit. */
  usedBytes: number;
}

type Measure = Exclude<keyof UsagePoint, 'atSeconds'>;

export class UsageHistory {
  private readonly windowSeconds: number;
  /** Of one point; grows with the time that was watched, so that a young history is as fine as its samples. */
  private stretchSeconds = 0;
  private points: UsagePoint[] = [];
  /** Samples in the newest point. */
  private inNewest = 0;
  private newestFrom = 0;

  constructor(windowSeconds: number) {
    this.windowSeconds = windowSeconds;
  }

  add(sample: UsagePoint): void {
    const newest = this.points.at(-1);
    if (newest !== undefined && sample.atSeconds - this.newestFrom < this.stretchSeconds) {
      this.inNewest++;
      average(newest, sample, this.inNewest);
      return;
    }
    this.points.push({ ...sample });
    this.newestFrom = sample.atSeconds;
    this.inNewest = 1;
    if (this.points.length > POINTS) this.makeRoom();
  }

  /** Two neighbours become one point until the points span the window; then the oldest leaves. */
  private makeRoom(): void {
    const span = this.points[POINTS].atSeconds - this.points[0].atSeconds;
    if (span >= this.windowSeconds) {
      this.points.shift();
      return;
    }
    const merged: UsagePoint[] = [];
    for (let i = 0; i + 1 < this.points.length; i += 2) {
      average(this.points[i], this.points[i + 1], 2);
      merged.push(this.points[i]);
    }
    if (this.points.length % 2 === 1) merged.push(this.points[this.points.length - 1]);
    this.points = merged;
    this.stretchSeconds = (2 * span) / POINTS;
    this.newestFrom = merged[merged.length - 1].atSeconds;
  }

  /** The oldest first. */
  list(): readonly UsagePoint[] {
    return this.points;
  }

  /** Another process has the place of the one that was measured: nothing before it counts. */
  clear(): void {
    this.points = [];
    this.stretchSeconds = 0;
  }

  /** In bytes per second; undefined for fewer than three points. Some 0.3 ms. */
  trendOf(measure: Measure): Trend | undefined {
    const group = Math.max(1, Math.ceil(this.points.length / TREND_POINTS));
    const times: number[] = [];
    const values: number[] = [];
    for (let start = 0; start + group <= this.points.length; start += group) {
      let time = 0;
      let value = 0;
      for (let i = start; i < start + group; i++) {
        time += this.points[i].atSeconds / group;
        value += this.points[i][measure] / group;
      }
      times.push(time);
      values.push(value);
    }
    return computeTrend(times, values);
  }
}

/** Takes `sample` into `point`, which is then the average of `count` samples. */
function average(point: UsagePoint, sample: UsagePoint, count: number): void {
  for (const name of Object.keys(point) as (keyof UsagePoint)[]) {
    point[name] += (sample[name] - point[name]) / count;
  }
  point.atSeconds = sample.atSeconds;
}
