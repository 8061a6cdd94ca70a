// The face of the product: what `leakscope hunt` prints, as golden files.

import { describe, expect, test } from 'vitest';
import { formatHunt } from '../../src/report/hunt-text.ts';
import { huntSchema } from '../../src/report/schemas.ts';
import { colourStyle, PAGE_WIDTH, textWidth } from '../../src/report/text-layout.ts';
import { expectGolden } from './golden.ts';
import { inconclusive, leak, leakWithEverything, noLeak } from './hunt-reports.ts';

const reports = {
  leak,
  'leak-with-everything': leakWithEverything,
  'no-leak': noLeak,
  inconclusive,
};

describe.each(Object.entries(reports))('the report %s', (name, report) => {
  test('is printed as its golden file says', () =>
    expectGolden(`hunt-${name}`, formatHunt(report)));

  test('fits the page', () => {
    const tooLong = formatHunt(report)
      .split('\n')
      .filter((line) => textWidth(line) > PAGE_WIDTH);
    expect(tooLong).toEqual([]);
  });

  test('is what its schema says', () => {
    expect(huntSchema.parse(report)).toEqual(report);
  });

  test('in colour has the same words', () => {
    const coloured = formatHunt(report, colourStyle);
    expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(formatHunt(report));
  });

  test('lets no control character of the target through', () => {
    expect(formatHunt(report)).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});
