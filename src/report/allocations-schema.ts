// The shape of what `leakscope allocations` prints with `--json`. Units and sentinels as in schemas.ts.

import { z } from 'zod';
import { address, bytes, capture, common, count, frame, signed } from './schemas.ts';

const moment = capture.omit({ objects: true, coverage: true });

const place = z.strictObject({
  file: z.string().nullable().meta({ description: 'null: by domain' }),
  line: count.nullable().meta({ description: 'null: by file or domain' }),
  function: z.string().nullable(),
  domain: count.nullable().meta({ description: 'null: not by domain' }),
  bytes,
  count,
  bytesGrowth: signed.nullable().meta({ description: 'null: there is no earlier moment' }),
  countGrowth: z.int().nullable(),
  source: z.string().nullable().meta({ description: 'text of the line; null: not readable' }),
  traceback: z
    .array(frame)
    .nullable()
    .meta({ description: 'innermost frame first; null: not by traceback' }),
});

export const allocationsSchema = z.strictObject({
  schema: z.literal('leakscope/allocations@1'),
  tracing: z.boolean().meta({ description: 'whether tracemalloc was on' }),
  tracer: z
    .strictObject({
      maxFrames: count.meta({ description: 'frames that a traceback has at most' }),
      tracedBytes: bytes,
      peakBytes: bytes.nullable().meta({ description: 'null: cannot be told from outside' }),
      tracerBytes: bytes.meta({ description: "what the tracer's own tables hold" }),
      traces: count,
      tracebacks: count.meta({ description: 'different ones, of blocks that are alive' }),
    })
    .nullable()
    .meta({ description: 'null: off' }),
  window: z
    .strictObject({
      seconds: z.number(),
      frames: count,
      objectNs: z.strictObject({ without: z.number(), with: z.number() }).nullable().meta({
        description:
          'processor time to make and free a small object, nanoseconds; null: the program had switched the tracer on itself',
      }),
    })
    .nullable()
    .meta({ description: 'with --start: for how long the tracer was on; else null' }),
  from: moment.nullable().meta({ description: 'the earlier moment that growth is against' }),
  capture: moment,
  by: z.enum(['line', 'file', 'traceback', 'domain']),
  cumulative: z.boolean(),
  total: z
    .strictObject({
      bytes,
      count,
      bytesGrowth: signed.nullable(),
      countGrowth: z.int().nullable(),
      places: count,
    })
    .meta({ description: 'of what the filters leave' }),
  top: z.array(place).meta({ description: 'the most bytes, or the most growth, first' }),
  object: z
    .strictObject({
      address,
      type: z.string(),
      repr: z.string(),
      bytes: bytes.nullable().meta({ description: 'of its block; null: not traced' }),
      traceback: z.array(frame).nullable(),
    })
    .nullable()
    .meta({ description: 'null: not asked for' }),
  target: common.target,
  problems: common.problems,
});

export type AllocationsReport = z.infer<typeof allocationsSchema>;
export type AllocationPlace = z.infer<typeof place>;
