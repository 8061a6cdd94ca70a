// The shape of what `leakscope valgrind` and `leakscope heaptrack` print with `--json`: the memory that was not given
// back, by the place in an extension that allocated it. Units and sentinels as in schemas.ts.

import { z } from 'zod';

const count = z.int().min(0);
const bytes = z.number().min(0);
const loss = z.strictObject({ bytes, blocks: count });

const losses = z.strictObject({
  definite: loss.meta({ description: 'nothing points at the block' }),
  indirect: loss.meta({ description: 'only lost blocks point at it' }),
  possible: loss.meta({ description: 'only pointers into its middle were found' }),
  notFreed: loss.meta({ description: 'heaptrack: alive when the program ended, lost or kept' }),
});

const stackRow = z.strictObject({
  function: z.string().nullable().meta({ description: 'null: the library has no symbol for it' }),
  library: z.string(),
  file: z.string().nullable(),
  line: count.nullable(),
  folded: count.meta({
    description:
      'frames of the interpreter and run-time libraries in this row; 0: one frame of an extension',
  }),
});

const site = z.strictObject({
  kind: z
    .enum(['definite', 'possible', 'indirect', 'not-freed'])
    .meta({ description: 'the strongest kind of loss at this site' }),
  bytes: bytes.meta({ description: 'lost here: definite and possible; heaptrack: not freed' }),
  blocks: count,
  losses,
  holdsBytes: bytes.meta({ description: 'in further blocks that only the lost ones lead to' }),
  counts: z.boolean().meta({ description: 'speaks for a leak; see reasons' }),
  once: z.boolean().meta({ description: 'allocated while its module was imported' }),
  function: z.string().nullable().meta({ description: 'demangled; null: no symbol' }),
  library: z.string().meta({ description: 'path of the shared library or program' }),
  file: z.string().nullable(),
  line: count.nullable(),
  python: z.string().nullable().meta({ description: 'as Python calls it: module.Class.method' }),
  pythonSource: z
    .string()
    .nullable()
    .meta({ description: 'line of the Cython source, if it is still there: foo.pyx:12' }),
  module: z
    .string()
    .nullable()
    .meta({ description: 'extension module, by the name of its library' }),
  allocator: z
    .string()
    .nullable()
    .meta({ description: 'what was called here: malloc, PyBytes_FromStringAndSize' }),
  makesObject: z.boolean().meta({ description: 'the blocks are Python objects' }),
  history: z
    .array(count)
    .nullable()
    .meta({ description: 'heaptrack: blocks alive after each quarter of the run' }),
  records: count.meta({ description: 'call stacks summed up' }),
  stack: z.array(stackRow).meta({ description: 'of the largest record, innermost first' }),
  advice: z.string(),
});

const report = {
  leakscope: z.string().meta({ description: 'version of leakscope' }),
  tool: z.strictObject({ name: z.string(), version: z.string(), options: z.array(z.string()) }),
  program: z.strictObject({
    command: z.array(z.string()),
    pid: z.int(),
    python: z.boolean().meta({ description: 'a Python ran in it' }),
    pythonMalloc: z
      .string()
      .nullable()
      .meta({ description: 'value of PYTHONMALLOC; null: not set' }),
    exitCode: z.int().nullable(),
    signal: z.string().nullable().meta({ description: 'that ended it' }),
    interrupted: z.boolean().meta({ description: 'by Ctrl-C' }),
    processes: count.meta({ description: 'whose memory was checked' }),
    seconds: z.number().min(0),
  }),
  verdict: z.enum(['leak', 'no-leak', 'inconclusive']),
  summary: z.string().meta({ description: 'the verdict in one sentence' }),
  reasons: z.array(z.string()),
  nextMeasurement: z.string().nullable().meta({
    description: 'what would decide, if the verdict is inconclusive',
  }),
  complete: z.boolean().meta({ description: 'the tool came to its end in every process' }),
  finalized: z.boolean().meta({
    description:
      'the interpreter freed most of its objects at the end; otherwise only definite losses count',
  }),
  sites: z.array(site).meta({ description: 'the most bytes first' }),
  interpreter: losses.meta({ description: 'what the interpreter and Python code allocated' }),
  suppressed: count.meta({ description: 'records that suppression files dropped' }),
  otherErrors: z
    .array(z.strictObject({ kind: z.string(), count }))
    .meta({ description: 'of memcheck that are no losses: InvalidRead' }),
  notes: z.array(z.string()),
};

export const valgrindSchema = z.strictObject({
  schema: z.literal('leakscope/valgrind@1'),
  ...report,
});

export const heaptrackSchema = z.strictObject({
  schema: z.literal('leakscope/heaptrack@1'),
  ...report,
});

/** By the names under which they are published, as `reportSchemas`. */
export const nativeSitesSchemas = {
  'valgrind@1': valgrindSchema,
  'heaptrack@1': heaptrackSchema,
} as const;

export type ValgrindReport = z.infer<typeof valgrindSchema>;
export type HeaptrackReport = z.infer<typeof heaptrackSchema>;
export type NativeSitesReport = ValgrindReport | HeaptrackReport;
export type NativeSite = z.infer<typeof site>;
export type NativeLosses = z.infer<typeof losses>;
