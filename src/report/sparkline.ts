// A series of numbers as one line of blocks. The height is relative to the series' own range, but a range below
// 0.5 % of its maximum counts as flat: noise must not look like growth.

const BLOCKS = '▁▂▃▄▅▆▇█';

/** At most `width` blocks; longer series are averaged in equal stretches. Empty for an empty series. */
export function formatSparkline(values: readonly number[], width = 20): string {
  const points = shorten(values, width);
  const low = Math.min(...points);
  const high = Math.max(...points);
  const range = Math.max(high - low, high * 0.005, Number.MIN_VALUE);
  return points
    .map((value) => BLOCKS[Math.min(BLOCKS.length - 1, Math.floor(((value - low) / range) * 8))])
    .join('');
}

function shorten(values: readonly number[], width: number): readonly number[] {
  if (values.length <= width) return values;
  return Array.from({ length: width }, (_, i) => {
    const start = Math.floor((i * values.length) / width);
    const end = Math.floor(((i + 1) * values.length) / width);
    let sum = 0;
    for (let k = start; k < end; k++) sum += values[k];
    return sum / (end - start);
  });
}
