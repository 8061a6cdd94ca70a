// The shape of what `leakscope native` prints with `--json`. Units and sentinels as in schemas.ts.

import { z } from 'zod';
import { address, bytes, capture, common, count, signed } from './schemas.ts';

const totals = z.strictObject({ blocks: count, bytes });

const group = z.strictObject({
  kind: z.enum(['native-lost', 'native-retained']),
  allocator: z.enum(['malloc', 'pymalloc']),
  leastBytes: bytes,
  mostBytes: bytes,
  blocks: count,
  bytes,
  blocksGrowth: z.int().nullable().meta({ description: 'null: there is no earlier capture' }),
  bytesGrowth: signed.nullable(),
  signature: z.string().meta({ description: 'what the blocks seem to hold' }),
  heldBy: z.string().nullable().meta({ description: 'whose memory leads to them; null: lost' }),
  lostWith: z.string().nullable().meta({
    description: 'the blocks that alone lead to these, and with which they were lost; null: heads',
  }),
  library: z.string().nullable().meta({ description: 'that the content points into' }),
  libraryVersion: z.string().nullable(),
  example: z.strictObject({
    address,
    hex: z.string().nullable().meta({ description: 'first bytes; null: redacted' }),
  }),
});

export const nativeSchema = z.strictObject({
  schema: z.literal('leakscope/native@1'),
  from: capture.nullable().meta({ description: 'the earlier capture that growth is against' }),
  capture,
  allocator: z.string(),
  evidence: z.array(z.string()).meta({ description: 'how the allocator was recognised' }),
  blocksAreKnown: z.boolean().meta({
    description: "false: an allocator whose blocks cannot be told apart; pymalloc's blocks only",
  }),
  lost: totals.meta({ description: 'blocks that nothing points at' }),
  retained: totals.meta({ description: "blocks that only C code's memory leads to" }),
  ownedBytes: bytes.meta({ description: 'in blocks that Python objects lead to' }),
  groups: z.array(group).meta({ description: 'the most growth, then the most bytes first' }),
  lostReferences: z
    .array(
      z.strictObject({
        type: z.string(),
        count,
        bytes,
        countGrowth: z.int().nullable(),
        example: z.strictObject({ address, repr: z.string().nullable() }),
      }),
    )
    .meta({ description: 'objects that nothing points at, though their count says so' }),
  excess: z
    .array(
      z.strictObject({
        address,
        type: z.string(),
        repr: z.string().nullable(),
        references: count.meta({ description: 'counted, without a pointer' }),
        growth: z.int().nullable(),
      }),
    )
    .meta({ description: 'objects whose count is above the pointers to them' }),
  modules: z
    .array(z.strictObject({ name: z.string(), version: z.string().nullable(), file: z.string() }))
    .meta({ description: 'extension modules of others than the interpreter that are loaded' }),
  corruption: z.array(z.string()),
  confirm: z.string().nullable().meta({ description: 'the command that names call sites' }),
  ...common,
});

export type NativeReport = z.infer<typeof nativeSchema>;
export type NativeGroupLine = z.infer<typeof group>;
