import { describe, expect, it } from 'vitest';
import { CaptureTriggers, type TriggerSample } from './capture-triggers.ts';

const triggers = (options: Partial<ConstructorParameters<typeof CaptureTriggers>[0]> = {}) =>
  new CaptureTriggers({
    thresholds: [{ share: 0.7 }, { share: 0.9 }],
    everySeconds: undefined,
    leastSecondsBetween: 30,
    ...options,
  });

const sample = (
  atSeconds: number,
  used: number,
  more: Partial<TriggerSample> = {},
): TriggerSample => ({
  atSeconds,
  rssBytes: used * 1e6,
  limit: { maxBytes: 1e9, usedBytes: used * 1e6 },
  highEvents: 0,
  trend: undefined,
  ...more,
});

const rising = { count: 60, slope: 1e4, low: 9e3, high: 1.1e4, score: 900, pValue: 1e-9 };

describe('a capture by itself', () => {
  it('comes first of all, to compare with', () => {
    const watch = triggers();
    expect(watch.findReason(sample(0, 100))).toBe('the first, to compare with');
    expect(watch.findReason(sample(100, 100))).toBeUndefined();
  });

  it('comes once for each threshold, and again after usage had fallen clearly', () => {
    const watch = triggers();
    watch.findReason(sample(0, 100));
    expect(watch.findReason(sample(40, 710))).toBe('70 % of the limit was reached');
    expect(watch.findReason(sample(80, 690))).toBeUndefined();
    expect(watch.findReason(sample(120, 710))).toBeUndefined();
    expect(watch.findReason(sample(160, 600))).toBeUndefined();
    expect(watch.findReason(sample(200, 720))).toBe('70 % of the limit was reached');
    expect(watch.findReason(sample(240, 950))).toBe('90 % of the limit was reached');
  });

  it('is one for thresholds that are crossed together', () => {
    const watch = triggers();
    watch.findReason(sample(0, 100));
    expect(watch.findReason(sample(40, 950))).toBe('90 % of the limit was reached');
    expect(watch.findReason(sample(80, 950))).toBeUndefined();
  });

  it('waits until the one before is long enough ago, and is not forgotten meanwhile', () => {
    const watch = triggers();
    watch.findReason(sample(0, 100));
    expect(watch.findReason(sample(10, 950))).toBeUndefined();
    expect(watch.findReason(sample(31, 640))).toBe('90 % of the limit was reached');
  });

  it('knows sizes where there is no limit', () => {
    const watch = triggers({ thresholds: [{ bytes: 5e8 }, { share: 0.5 }] });
    const unlimited = { limit: undefined };
    watch.findReason(sample(0, 100, unlimited));
    expect(watch.findReason(sample(40, 510, unlimited))).toBe('the given size was reached');
    expect(watch.findReason(sample(80, 2000, unlimited))).toBeUndefined();
  });

  it('comes when the group meets memory.high', () => {
    const watch = triggers();
    watch.findReason(sample(0, 100, { highEvents: 7 }));
    expect(watch.findReason(sample(40, 100, { highEvents: 7 }))).toBeUndefined();
    expect(watch.findReason(sample(80, 100, { highEvents: 9 }))).toBe(
      'the control group met memory.high',
    );
  });

  it('comes when memory grows persistently, and again when it has grown on', () => {
    const watch = triggers();
    watch.findReason(sample(0, 100, { trend: rising }));
    expect(watch.findReason(sample(40, 103, { trend: rising }))).toBeUndefined();
    expect(watch.findReason(sample(80, 106, { trend: rising }))).toBe('memory grows persistently');
    expect(watch.findReason(sample(120, 108, { trend: rising }))).toBeUndefined();
    expect(watch.findReason(sample(160, 112, { trend: rising }))).toBe('memory grows persistently');
  });

  it('does not come for what may be chance, a start-up or a fall', () => {
    for (const trend of [
      { ...rising, pValue: 0.2 },
      { ...rising, count: 10 },
      { ...rising, low: -5 },
    ]) {
      const watch = triggers();
      watch.findReason(sample(0, 100, { trend }));
      expect(watch.findReason(sample(40, 150, { trend }))).toBeUndefined();
    }
  });

  it('comes by the clock', () => {
    const watch = triggers({ everySeconds: 600 });
    watch.findReason(sample(0, 100));
    expect(watch.findReason(sample(599, 100))).toBeUndefined();
    expect(watch.findReason(sample(600, 100))).toBe('it was time');
    expect(watch.findReason(sample(700, 100))).toBeUndefined();
  });

  it('begins anew with another process', () => {
    const watch = triggers();
    watch.findReason(sample(0, 950));
    watch.reset();
    expect(watch.findReason(sample(5, 950))).toBe('90 % of the limit was reached');
  });
});
