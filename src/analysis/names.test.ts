import { expect, test } from 'vitest';
import { normaliseName, normaliseRootLabel } from './names.ts';

test.each([
  ['registry', 'registry'],
  ['job_17', 'job_#'],
  ['cache_3f2b8c1e-1c5d-4a6b-9e8f-0123456789ab', 'cache_#'],
  ['key_deadbeef01', 'key_#'],
  ['facade', 'facade'],
  ['__main__', '__main__'],
  ['at_0x7f3a2c1d9e50', 'at_#'],
])('the name %s becomes %s', (name, expected) => {
  expect(normaliseName(name)).toBe(expected);
});

test('the label of a local loses its line and its thread', () => {
  expect(normaliseRootLabel('local \'data\' of work (main.py:31) in thread "w-3"')).toBe(
    "local 'data' of work (main.py)",
  );
});
