// Writes the schemas of `src/report/schemas.ts` as JSON Schema to docs/schemas/<name>.json: `npm run schemas`. A test
// fails while they differ. `additionalProperties` is left out, since a version may gain fields.

import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatJsonSchemas } from './json-schemas.ts';

const folder = new URL('../docs/schemas/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, text] of formatJsonSchemas()) {
  writeFileSync(new URL(`${name}.json`, folder), text);
  console.log(`${fileURLToPath(folder)}${name}.json`);
}
