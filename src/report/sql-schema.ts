// The shape of what `sql --json` prints. See schemas.ts.

import { z } from 'zod';
import { bytes, capture, count, share } from './schemas.ts';

export const sqlSchema = z.strictObject({
  schema: z.literal('leakscope/sql@1'),
  captures: z.array(
    z.strictObject({
      capture: count.meta({ description: 'as in the column `capture`' }),
      source: z.string().meta({ description: 'pid or file, as it was given' }),
      pid: z.int(),
      python: z.string(),
      redacted: z.boolean(),
      facts: capture,
    }),
  ),
  columns: z.array(
    z.strictObject({
      name: z.string(),
      type: z.string().meta({ description: 'of DuckDB: BIGINT, VARCHAR, UBIGINT (an address)' }),
    }),
  ),
  rows: z.array(z.array(z.json())).meta({
    description:
      'cells in the order of the columns; UBIGINT as 0x..., other numbers as numbers where these are exact, else as text',
  }),
  isCut: z.boolean().meta({ description: 'there are more rows than --limit' }),
  file: z.string().nullable().meta({ description: 'to which all rows were written; null: none' }),
  fileBytes: bytes.nullable(),
  rowsWritten: count.nullable(),
  coverage: share,
});

export const sqlSchemas = { 'sql@1': sqlSchema } as const;
export type SqlReport = z.infer<typeof sqlSchema>;
export type SqlCell = SqlReport['rows'][number][number];
