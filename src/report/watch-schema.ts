// The shape of the lines that `leakscope watch` prints with `--json`: one event each. Units and sentinels as in schemas.ts.

import { z } from 'zod';
import { ACCOUNTS } from '../graph/native-heap.ts';
import { bytes, count, share, signed, time } from './schemas.ts';

const line = { schema: z.literal('leakscope/watch@1'), at: time, pid: z.int() };

const trend = z
  .strictObject({
    bytesPerHour: signed.meta({ description: 'Theil-Sen slope of the resident set' }),
    low: signed
      .nullable()
      .meta({ description: 'lower end of its 95 % interval; null: too few samples' }),
    high: signed.nullable(),
    pValue: share.meta({ description: 'of the Mann-Kendall test: how likely without any trend' }),
    seconds: z.number().min(0).meta({ description: 'that it covers' }),
    direction: z
      .enum(['rising', 'falling', 'none'])
      .meta({ description: 'none: may be chance (p above 0.01), or the interval contains 0' }),
  })
  .nullable()
  .meta({ description: 'null: too few samples' });

const sample = z.strictObject({
  ...line,
  event: z.literal('sample'),
  rssBytes: bytes,
  anonymousBytes: bytes,
  fileBytes: bytes,
  sharedBytes: bytes,
  swapBytes: bytes,
  pssBytes: bytes.nullable().meta({ description: 'of a few samples ago; null: not measured yet' }),
  threads: count,
  limit: z
    .strictObject({
      of: z.enum(['control group', 'machine']),
      maxBytes: bytes,
      usedBytes: bytes.meta({
        description: 'by everything below the limit, less what the kernel can drop',
      }),
      secondsLeft: z
        .number()
        .min(0)
        .nullable()
        .meta({ description: 'at the trend of usedBytes; null: it does not rise persistently' }),
    })
    .nullable(),
  events: z
    .strictObject({ high: count, oomKills: count })
    .nullable()
    .meta({ description: 'of the control group, since it was made; null: not counted' }),
  trend,
});

const suspectLine = z.strictObject({
  kind: z.string(),
  type: z.string(),
  holder: z.string().nullable(),
  fingerprint: z.string(),
  bytes: signed,
  bytesPerHour: signed,
});

export const watchSchema = z.discriminatedUnion('event', [
  sample,
  z.strictObject({
    ...line,
    event: z.literal('capture'),
    reason: z.string(),
    file: z.string(),
    fileBytes: bytes,
    pauseMs: z.number().min(0),
    objects: count,
    accounts: z.partialRecord(z.enum(ACCOUNTS), signed).meta({
      description: 'of the ledger at that moment; empty: it could not be computed',
    }),
    removed: z.array(z.string()).meta({ description: 'files that made room for it' }),
  }),
  z.strictObject({
    ...line,
    event: z.literal('capture-failed'),
    reason: z.string(),
    problem: z.string(),
  }),
  z.strictObject({
    ...line,
    event: z.literal('verdict'),
    verdict: z.enum(['leak', 'no-leak', 'inconclusive']),
    summary: z.string(),
    suspects: z.array(suspectLine),
    command: z.string().meta({ description: 'that says more' }),
  }),
  z.strictObject({ ...line, event: z.literal('ended') }),
  z.strictObject({
    ...line,
    event: z.literal('started'),
    command: z.array(z.string()),
    restarts: count,
  }),
]);

export type WatchEvent = z.infer<typeof watchSchema>;
export type WatchSample = z.infer<typeof sample>;
export type WatchTrend = NonNullable<z.infer<typeof trend>>;
