import { expect, it } from 'vitest';
import { UsageHistory } from './usage-history.ts';

const sampleAt = (atSeconds: number, rssBytes: number) => ({
  atSeconds,
  rssBytes,
  anonymousBytes: rssBytes,
  fileBytes: 0,
  sharedBytes: 0,
  swapBytes: 0,
  usedBytes: 0,
});

it('keeps every sample of a short time', () => {
  const history = new UsageHistory(3600);
  for (let i = 0; i < 100; i++) history.add(sampleAt(i, i));
  expect(history.list().map((point) => point.rssBytes)).toEqual([...Array(100).keys()]);
});

it('has bounded memory, spans the window, and keeps trend and averages', () => {
  const history = new UsageHistory(3600);
  for (let i = 0; i < 20_000; i++) history.add(sampleAt(i, 1000 + 5 * i));
  const points = history.list();
  expect(points.length).toBeLessThanOrEqual(600);
  const span = points[points.length - 1].atSeconds - points[0].atSeconds;
  expect(span).toBeGreaterThanOrEqual(3600 * 0.98);
  expect(span).toBeLessThan(3600 * 2.1);
  for (const point of points)
    expect(Math.abs(point.rssBytes - 1000 - 5 * point.atSeconds)).toBeLessThan(60);
  expect(history.trendOf('rssBytes')?.slope).toBeCloseTo(5, 3);
});

it('begins anew', () => {
  const history = new UsageHistory(10);
  for (let i = 0; i < 5000; i++) history.add(sampleAt(i, i));
  history.clear();
  for (let i = 0; i < 5; i++) history.add(sampleAt(9000 + i, i));
  expect(history.list()).toHaveLength(5);
  expect(history.trendOf('swapBytes')).toMatchObject({ slope: 0, pValue: 1 });
});
