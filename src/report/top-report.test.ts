import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { topSchema } from './schemas.ts';
import { buildTopReport, findLargest, formatTop } from './top-report.ts';

const { graph } = drawGraph(`
  root module app -> app
  app: module 64 [0] -> a, [1] -> b, [2] -> c
  a: app.Ticket 48/512 "<Ticket 1>"
  b: app.Ticket 48/512 "<Ticket 2>"
  c: str 1000/1008 "'text'"
`);

test('the largest are those that sorting gives, for every limit', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 50 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 60 }), (values, limit) => {
      const expected = values
        .map((value, row) => ({ value, row }))
        .sort((x, y) => y.value - x.value || x.row - y.row)
        .slice(0, limit)
        .map(({ row }) => row);
      expect(findLargest(Float64Array.from(values), limit)).toEqual(expected);
    }),
  );
});

test('types are summed by name and sorted by the column asked for', () => {
  const options = { retainedSize: undefined, retainedByType: undefined, limit: 10 };
  const byCount = buildTopReport(graph, { ...options, order: 'count' });
  const bySize = buildTopReport(graph, { ...options, order: 'shallow' });

  expect(topSchema.parse(byCount)).toEqual(byCount);
  expect(byCount.types[0]).toEqual({
    type: 'app.Ticket',
    count: 2,
    shallowBytes: 96,
    allocatedBytes: 1024,
    retainedBytes: null,
  });
  expect(bySize.types[0].type).toBe('str');
  expect(byCount.totals).toEqual({
    objects: 4,
    types: 3,
    shallowBytes: 1160,
    allocatedBytes: 2096,
  });
});

test('without retained sizes there is no column for them', () => {
  const options = { retainedSize: undefined, retainedByType: undefined, limit: 2 };
  expect(formatTop(buildTopReport(graph, { ...options, order: 'retained' }))).not.toContain(
    'retained',
  );
});
