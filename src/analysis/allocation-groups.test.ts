import { expect, test } from 'vitest';
import { type DrawnTrace, drawTraces } from '../../tests/support/drawn-traces.ts';
import type { AllocationFilter } from './allocation-filters.ts';
import {
  type AllocationGroups,
  compareGroups,
  framesOfGroup,
  type GroupBy,
  type GroupOptions,
  groupAllocations,
} from './allocation-groups.ts';

const ROWS: DrawnTrace[] = [
  { size: 100, at: 'app/a.py:1 app/main.py:9' },
  { size: 50, at: 'app/a.py:1 app/main.py:9' },
  { size: 500, at: 'lib/b.py:2 app/a.py:3 app/main.py:9' },
  { size: 7, at: 'app/a.py:3 app/a.py:3 app/main.py:9' },
  { size: 40, at: 'app/a.py:1 app/main.py:9', domain: 7 },
];
const traces = drawTraces(ROWS);

const textsOf = (by: GroupBy, { groups }: AllocationGroups, of = traces): string[] =>
  groups.map((group) => {
    const frames = framesOfGroup(of, by, group).map(({ file, line }) => `${file}:${line}`);
    return `${by === 'domain' ? group.row : frames.join(' ')} ${group.bytes}/${group.count}`;
  });
const group = (options: GroupOptions): string[] =>
  textsOf(options.by, groupAllocations(traces, options));
const withFilters = (...filters: AllocationFilter[]): string[] => group({ by: 'line', filters });

test('allocations are summed up by line, file, traceback and domain', () => {
  expect(group({ by: 'line' })).toEqual(['lib/b.py:2 500/1', 'app/a.py:1 190/3', 'app/a.py:3 7/1']);
  expect(group({ by: 'file' })).toEqual(['lib/b.py:0 500/1', 'app/a.py:0 197/4']);
  expect(group({ by: 'domain' })).toEqual(['0 657/4', '7 40/1']);
  expect(group({ by: 'traceback' })).toEqual([
    'lib/b.py:2 app/a.py:3 app/main.py:9 500/1',
    'app/a.py:1 app/main.py:9 190/3',
    'app/a.py:3 app/a.py:3 app/main.py:9 7/1',
  ]);
});

test('in cumulative sums an allocation counts once for each line that led to it', () => {
  expect(group({ by: 'line', cumulative: true })).toEqual([
    'app/main.py:9 697/5',
    'app/a.py:3 507/2',
    'lib/b.py:2 500/1',
    'app/a.py:1 190/3',
  ]);
  expect(group({ by: 'file', cumulative: true })).toEqual([
    'app/a.py:0 697/5',
    'app/main.py:0 697/5',
    'lib/b.py:0 500/1',
  ]);
});

test('filters keep what any of them includes and drop what one excludes', () => {
  expect(withFilters({ inclusive: true, file: 'app/*' })).toEqual([
    'app/a.py:1 190/3',
    'app/a.py:3 7/1',
  ]);
  expect(withFilters({ inclusive: true, file: 'lib/*' }, { inclusive: true, line: 3 })).toEqual([
    'lib/b.py:2 500/1',
    'app/a.py:3 7/1',
  ]);
  expect(withFilters({ inclusive: false, file: '*a.pyc', line: 1 })).toEqual([
    'lib/b.py:2 500/1',
    'app/a.py:3 7/1',
  ]);
  expect(withFilters({ inclusive: true, file: 'app/a.py', line: 3, allFrames: true })).toEqual([
    'lib/b.py:2 500/1',
    'app/a.py:3 7/1',
  ]);
  expect(withFilters({ inclusive: false, file: '*main*', allFrames: true })).toEqual([]);
});

test('filters may ask for a domain', () => {
  expect(withFilters({ inclusive: true, domain: 7 })).toEqual(['app/a.py:1 40/1']);
  // Only what fits both is left out.
  expect(withFilters({ inclusive: false, domain: 7, file: 'lib/*' })).toHaveLength(3);
  expect(withFilters({ inclusive: false, domain: 7 })[1]).toBe('app/a.py:1 150/2');
});

test('two moments are compared by place, the most growth first', () => {
  const later = drawTraces([
    { size: 30, at: 'new.py:1' },
    { size: 100, at: 'app/a.py:1 app/main.py:9' },
    { size: 900, at: 'lib/b.py:2 app/a.py:3 app/main.py:9' },
  ]);
  const { groups, totalBytes, totalCount } = compareGroups(traces, later, { by: 'line' });

  const texts = groups.map((each) => {
    const [{ file, line }] = framesOfGroup(each.isGone ? traces : later, 'line', each);
    return `${file}:${line} ${each.bytes} ${each.bytesGrowth} ${each.countGrowth}`;
  });
  expect(texts).toEqual([
    'lib/b.py:2 900 400 0',
    'new.py:1 30 30 1',
    'app/a.py:3 0 -7 -1',
    'app/a.py:1 100 -90 -2',
  ]);
  expect([totalBytes, totalCount]).toEqual([1030, 3]);
});

test('nothing traced is nothing', () => {
  const nothing = drawTraces([]);
  expect(groupAllocations(nothing, { by: 'line' })).toEqual({
    groups: [],
    totalBytes: 0,
    totalCount: 0,
  });
});
