// The published JSON Schemas are those of the code.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { formatJsonSchemas } from '../../scripts/json-schemas.ts';

const folder = new URL('../../docs/schemas/', import.meta.url);
const schemas = formatJsonSchemas();

describe('docs/schemas (npm run schemas)', () => {
  test.each(schemas)('%s is up to date', (name, text) => {
    expect(readFileSync(new URL(`${name}.json`, folder), 'utf8')).toBe(text);
  });

  test('there is a file for each report, and no other', () => {
    expect(readdirSync(folder).sort()).toEqual(schemas.map(([name]) => `${name}.json`).sort());
  });

  test('docs/report-format.md names each report', () => {
    const text = readFileSync(new URL('../report-format.md', folder), 'utf8');
    expect(schemas.map(([name]) => name).filter((name) => !text.includes(name))).toEqual([]);
  });
});
