// The shape of what `leakscope ledger` prints with `--json`. Units and sentinels as in schemas.ts.

import { z } from 'zod';
import { ACCOUNTS } from '../graph/native-heap.ts';
import { address, bytes, capture, common, count, signed } from './schemas.ts';

const account = z.enum(ACCOUNTS);

/** Predicted, from this process's own numbers. */
const gain = z.strictObject({
  measure: z
    .string()
    .meta({ description: 'what would return the memory, as a command or a setting' }),
  bytes: bytes.meta({ description: 'predicted gain; an upper bound where `text` says so' }),
  text: z.string(),
});

export const fragmentationSchema = z.strictObject({
  freeBytes: bytes.meta({ description: 'held free by allocators' }),
  share: z.number().min(0).max(1).meta({ description: 'of the resident set' }),
  trimBytes: bytes.meta({ description: 'what malloc_trim(0) would return now' }),
  pymallocFreeBytes: bytes,
  pins: z
    .array(
      z.strictObject({
        allocator: z.enum(['malloc', 'pymalloc']),
        type: z.string(),
        count,
        bytes,
        example: address.nullable(),
        path: z.string().nullable().meta({ description: 'of the example, as Python; null: none' }),
      }),
    )
    .meta({ description: 'objects that keep mostly free memory from being returned, by type' }),
  gains: z.array(gain),
});

export const ledgerSchema = z.strictObject({
  schema: z.literal('leakscope/ledger@1'),
  capture,
  rssBytes: bytes,
  pssBytes: bytes.nullable().meta({
    description: 'resident set with shared pages divided by who shares them; null: not measured',
  }),
  accounts: z.record(account, signed).meta({
    description: 'every resident byte in one account; with residueBytes they sum up to rssBytes',
  }),
  residueBytes: signed,
  remainders: z.array(account).meta({
    description: 'accounts that are what others leave of their memory',
  }),
  types: z
    .array(z.strictObject({ type: z.string(), count, bytes }))
    .meta({ description: 'live Python objects with their buffers, the most bytes first' }),
  allocator: z.string(),
  arenas: z.array(
    z.strictObject({
      allocator: z.enum(['malloc', 'pymalloc']),
      name: z.string(),
      count: count.meta({ description: 'arenas (or mappings) in this row' }),
      residentBytes: bytes,
      usedBytes: bytes,
      trimmableBytes: bytes,
      trimmableTopBytes: bytes.meta({ description: 'of these, at the end of the heap' }),
      stuckBytes: bytes,
      topBytes: bytes,
    }),
  ),
  threads: z.array(z.strictObject({ tid: z.int(), name: z.string(), stackBytes: bytes })),
  mappings: z.array(z.strictObject({ name: z.string(), account, count, bytes: signed })),
  fragmentation: fragmentationSchema.nullable().meta({
    description: 'null: allocators hold little free',
  }),
  checks: z.array(z.strictObject({ name: z.string(), expected: signed, found: signed })).meta({
    description: 'counters of the allocators themselves and what was found',
  }),
  corruption: z.array(z.string()),
  ...common,
});

export type LedgerReport = z.infer<typeof ledgerSchema>;
export type Fragmentation = z.infer<typeof fragmentationSchema>;
