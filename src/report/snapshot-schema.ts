// The shape of what `info` and `verify` print about a snapshot file. See schemas.ts.

import { z } from 'zod';
import { bytes, capture, common, count } from './schemas.ts';

const file = {
  file: z.string(),
  fileBytes: bytes,
  format: count.meta({ description: 'version of the format' }),
  references: count,
  capture,
};

const infoSchema = z.strictObject({
  schema: z.literal('leakscope/info@1'),
  ...file,
  bytesPerObject: z.number().min(0),
  types: count,
  roots: count,
  has: z.strictObject({
    native: z.boolean().meta({ description: 'memory outside of Python objects' }),
    traces: z.boolean().meta({ description: 'where blocks were allocated: tracemalloc was on' }),
    execution: z.boolean().meta({ description: 'what threads and coroutines did' }),
  }),
  sections: z
    .array(
      z.strictObject({
        name: z.string(),
        cells: count,
        bytes: bytes.meta({ description: 'in memory' }),
        storedBytes: bytes,
        blocks: count,
      }),
    )
    .meta({ description: 'in the order of the file' }),
  ...common,
});

const verifySchema = z.strictObject({
  schema: z.literal('leakscope/verify@1'),
  ...file,
  sections: count,
  blocks: count.meta({ description: 'whose checksums were tested' }),
  bytes: bytes.meta({ description: 'of all sections in memory' }),
  totalMs: z.number().min(0),
  ...common,
});

export const snapshotSchemas = { 'info@1': infoSchema, 'verify@1': verifySchema } as const;
export type InfoReport = z.infer<typeof infoSchema>;
export type VerifyReport = z.infer<typeof verifySchema>;
