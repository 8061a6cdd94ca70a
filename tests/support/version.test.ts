import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { leakscopeVersion } from '../../src/report/version.ts';

test('reports carry the version of the package', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  expect(leakscopeVersion).toBe((JSON.parse(text) as { version: string }).version);
});
