// The text of each published JSON Schema, made from the zod schemas: for `emit-schemas.ts` and the test that compares.

import { z } from 'zod';
import { allocationsSchema } from '../src/report/allocations-schema.ts';
import { consoleSchema } from '../src/report/console-schema.ts';
import { stacksSchema, tasksSchema } from '../src/report/execution-schema.ts';
import { ledgerSchema } from '../src/report/ledger-schema.ts';
import { nativeSchema } from '../src/report/native-schema.ts';
import { nativeSitesSchemas } from '../src/report/native-sites-schema.ts';
import { reportSchemas } from '../src/report/schemas.ts';
import { snapshotSchemas } from '../src/report/snapshot-schema.ts';
import { sqlSchemas } from '../src/report/sql-schema.ts';
import { watchSchema } from '../src/report/watch-schema.ts';

/** [`hunt@1`, JSON text] for every report. */
export function formatJsonSchemas(): [name: string, text: string][] {
  const all = {
    ...reportSchemas,
    'allocations@1': allocationsSchema,
    'ledger@1': ledgerSchema,
    'native@1': nativeSchema,
    'console@1': consoleSchema,
    'stacks@1': stacksSchema,
    'tasks@1': tasksSchema,
    'watch@1': watchSchema,
    ...nativeSitesSchemas,
    ...snapshotSchemas,
    ...sqlSchemas,
  };
  return Object.entries(all).map(([name, schema]) => {
    const json = z.toJSONSchema(schema, {
      override: ({ jsonSchema }) => {
        // Ours are strict so that tests catch an undocumented field; readers must tolerate fields of later releases.
        if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      },
    });
    return [name, `${JSON.stringify({ title: `leakscope/${name}`, ...json }, null, 2)}\n`];
  });
}
