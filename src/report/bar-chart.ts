// A series as a chart of some rows of blocks, with its range at the left edge:
//
//   431 MB ┤        ▂▄▆█
//          ┤   ▁▃▅▇█████
//   402 MB ┤▄▆██████████
//
// The foot is 0 where that does not flatten the series, and just below its least value otherwise: the labels say which.

import { formatBytes } from '../base/format.ts';
import { padStart } from './text-layout.ts';

const EIGHTHS = ' ▁▂▃▄▅▆▇█';
/** A range below this share of the maximum is drawn as flat: noise must not look like growth. */
const LEAST_RANGE = 0.01;

export interface BarChartSize {
  /** Columns of the terminal, labels included. */
  width: number;
  rows: number;
}

/** Values in bytes, the oldest first; more than there are columns are averaged. No lines for no values. */
export function formatBarChart(values: readonly number[], { width, rows }: BarChartSize): string[] {
  if (values.length === 0) return [];
  const largest = Math.max(...values);
  const least = Math.min(...values);
  const top = Math.max(largest, least + largest * LEAST_RANGE, 1);
  const foot = least < top / 2 ? 0 : Math.max(0, least - (top - least) / rows);
  const labels = [formatBytes(top), formatBytes(foot)];
  const labelWidth = Math.max(...labels.map((label) => label.length));
  const columns = fitTo(values, Math.max(1, width - labelWidth - 2));
  return Array.from({ length: rows }, (_, row) => {
    const label = row === 0 ? labels[0] : row === rows - 1 ? labels[1] : '';
    const bars = columns.map((value) => {
      const height = ((value - foot) / (top - foot)) * rows - (rows - 1 - row);
      return EIGHTHS[Math.max(0, Math.min(8, Math.round(height * 8)))];
    });
    return `${padStart(label, labelWidth)} ┤${bars.join('').trimEnd()}`;
  });
}

/** At most `width` values: averages of equal stretches. */
export function fitTo(values: readonly number[], width: number): readonly number[] {
  if (values.length <= width) return values;
  return Array.from({ length: width }, (_, i) => {
    const start = Math.floor((i * values.length) / width);
    const end = Math.floor(((i + 1) * values.length) / width);
    let sum = 0;
    for (let k = start; k < end; k++) sum += values[k];
    return sum / (end - start);
  });
}
