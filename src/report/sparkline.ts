// A series of numbers as one line of blocks. The height is relative to the series' own range, but a range below
// 0.5 % of its maximum counts as flat: noise must not look like growth.

import { fitTo } from './bar-chart.ts';

const BLOCKS = '▁▂▃▄▅▆▇█';

/** At most `width` blocks; longer series are averaged in equal stretches. Empty for an empty series. */
export function formatSparkline(values: readonly number[], width = 20): string {
  const points = fitTo(values, width);
  const low = Math.min(...points);
  const high = Math.max(...points);
  const range = Math.max(high - low, high * 0.005, Number.MIN_VALUE);
  return points
    .map((value) => BLOCKS[Math.min(BLOCKS.length - 1, Math.floor(((value - low) / range) * 8))])
    .join('');
}
