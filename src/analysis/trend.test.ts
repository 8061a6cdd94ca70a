import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeTrend } from './trend.ts';

const trendOf = (...values: number[]) =>
  computeTrend(
    values.map((_, i) => i),
    values,
  )!;

describe('the Mann-Kendall test', () => {
  // Two-sided; half of it is in Gilbert, Statistical Methods for Environmental Pollution Monitoring, table A18.
  it.each([
    [[1, 2, 3, 4], 6, 2 * 0.042],
    [[1, 2, 4, 3], 4, 2 * 0.167],
    [[1, 2, 3, 4, 5], 10, 2 * 0.0083],
    [[1, 2, 3, 5, 4], 8, 2 * 0.042],
    [[2, 1, 4, 3, 6, 5], 9, 2 * 0.068],
    [[1, 2, 3, 4, 5, 7, 6], 19, 2 * 0.0014],
    [[2, 1, 4, 3, 6, 5, 8, 7], 20, 2 * 0.007],
  ])('has the published probability of %j', (values, score, pValue) => {
    const trend = trendOf(...values);
    expect(trend.score).toBe(score);
    expect(trend.pValue).toBeCloseTo(pValue, 2);
  });

  it('takes ties out of the variance, and goes over to the normal distribution above 40 points', () => {
    // S = 6, Var(S) = (300 - 66 - 18) / 18 = 12: two-sided at (6 - 1) / sqrt(12).
    expect(trendOf(0, 0, 0, 1, 1).pValue).toBeCloseTo(0.1489, 3);
    const zigzag = Array.from({ length: 60 }, (_, i) => i + (i % 2) * 40);
    expect(trendOf(...zigzag).pValue).toBeLessThan(1e-4);
    expect(trendOf(...zigzag.map((_, i) => (i * 37) % 61)).pValue).toBeGreaterThan(0.2);
  });

  it('sees nothing in a series that stands still', () => {
    expect(trendOf(5, 5, 5, 5)).toMatchObject({ score: 0, pValue: 1, slope: 0 });
  });
});

describe('the Theil-Sen slope', () => {
  it('is the median of all slopes, which one odd value does not move', () => {
    const trend = trendOf(0, 2, 4, 1000, 8, 10, 12);
    expect(trend.slope).toBe(2);
    expect(trend.low).toBeLessThanOrEqual(2);
    expect(trend.high).toBeGreaterThanOrEqual(2);
  });

  it('has the extremes as the interval of five points', () => {
    // P(S >= 8) is 0.042, above 0.025, and P(S >= 10) is 0.0083: C = 10 - 2, M = (10 - 8) / 2 = 1.
    const trend = computeTrend([0, 1, 2, 3, 4], [0, 3, 4, 8, 9])!;
    expect([trend.low, trend.high]).toEqual([1, 4]);
  });

  it('says nothing about the slope where there are too few points', () => {
    expect(trendOf(1, 2, 3, 4)).toMatchObject({
      slope: 1,
      low: Number.NEGATIVE_INFINITY,
      high: Number.POSITIVE_INFINITY,
    });
    expect(computeTrend([0, 1], [0, 1])).toBeUndefined();
  });

  it('contains the true slope in about 95 of 100 series', () => {
    let contained = 0;
    const series = 400;
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    for (let i = 0; i < series; i++) {
      const values = Array.from({ length: 15 }, (_, t) => 3 * t + 20 * (random() + random() - 1));
      const { low, high } = trendOf(...values);
      if (low <= 3 && 3 <= high) contained++;
    }
    expect(contained / series).toBeGreaterThan(0.92);
    expect(contained / series).toBeLessThan(0.99);
  });

  it('turns with its series', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 3, maxLength: 50 }),
        (values) => {
          const up = trendOf(...values);
          const down = trendOf(...values.map((value) => -value));
          expect(down.score + up.score).toBe(0);
          expect(down.pValue).toBe(up.pValue);
          expect(down.slope).toBeCloseTo(-up.slope, 9);
          expect(up.low).toBeLessThanOrEqual(up.slope);
          expect(up.high).toBeGreaterThanOrEqual(up.slope);
          expect(up.pValue).toBeGreaterThanOrEqual(0);
          expect(up.pValue).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});
