// The shape of everything that `--json` prints, defined once: the TypeScript types below are inferred from these
// schemas, `scripts/emit-schemas.ts` writes them as JSON Schema to docs/schemas/, and tests parse real output with them.
// docs/report-format.md explains the fields in words. Within a version, fields are only added; see its changelog.
//
// Units: bytes, milliseconds (…Ms), seconds (…Seconds), shares from 0 to 1. Sentinels: null means "not measured" or
// "does not apply", never zero; an empty list means "looked for, none found".

import { z } from 'zod';

export const count = z.int().min(0);
export const bytes = z.number().min(0);
export const signed = z.number();
export const share = z.number().min(0).max(1);
export const address = z.string().regex(/^0x[0-9a-f]+$/);
export const time = z.string().meta({ description: 'ISO 8601, UTC' });

// --- Parts --------------------------------------------------------------------------------------------------------------

const target = z.strictObject({
  pid: z.int(),
  python: z.string().meta({ description: 'version of the interpreter: 3.11.7' }),
  build: z.string().meta({ description: 'how it was built, in words' }),
  command: z.array(z.string()),
  startedAt: time.nullable().meta({ description: 'when the process began' }),
  redacted: z.boolean().meta({ description: 'contents were dropped: command is empty' }),
});

export const capture = z.strictObject({
  at: time,
  pauseMs: z.number().min(0).meta({ description: 'for how long the target stood still' }),
  copiedBytes: bytes,
  rssBytes: bytes.meta({
    description: 'resident set; of a core file the memory in it, without anonymous pages of zeros',
  }),
  objects: count,
  coverage: share.meta({ description: 'share of the references met that led to a decoded object' }),
  core: z
    .strictObject({
      signal: z.string().nullable().meta({ description: 'that made the kernel dump' }),
      missingFiles: z
        .array(z.strictObject({ path: z.string(), reason: z.string(), bytes }))
        .meta({ description: 'of the process, with the bytes of memory that were in them' }),
      unverifiedFiles: z.array(z.string()),
      cutOffBytes: bytes.meta({ description: 'missing because the core was cut off' }),
    })
    .nullable()
    .meta({ description: 'of a core file; null: of a process' }),
});

export const problem = z.strictObject({
  kind: z.string(),
  count,
  examples: z.array(address).meta({ description: 'the first addresses concerned, at most 8' }),
});

const pathStep = z.strictObject({
  text: z.string().meta({ description: 'as Python would write it: module app, .registry, [123]' }),
  type: z.string(),
  address,
  length: count.nullable().meta({ description: 'entries, if it is a container' }),
  retainedBytes: bytes.nullable(),
  growsHere: z.boolean().meta({ description: 'this container is where the growth sits' }),
  omitted: count.meta({ description: 'steps left out between the step before and this one' }),
});

const path = z.strictObject({
  root: z.strictObject({
    kind: z.enum([
      'module',
      'local',
      'interpreter',
      'type',
      'interned',
      'thread',
      'native',
      'lostReference',
    ]),
    label: z.string(),
  }),
  text: z.string().meta({ description: 'in one line: app.registry._open[123] -> Ticket' }),
  steps: z.array(pathStep).meta({ description: 'the root object first' }),
});

const objectLine = z.strictObject({
  address,
  type: z.string(),
  shallowBytes: bytes,
  retainedBytes: bytes.nullable(),
  repr: z.string(),
});

const reference = z.strictObject({
  text: z.string().meta({ description: 'how the holder refers to it: .name, [3], <C field>' }),
  address,
  type: z.string(),
  repr: z.string(),
});

export const frame = z.strictObject({
  file: z.string(),
  line: count.meta({ description: '0: not known' }),
  function: z.string().nullable().meta({ description: 'null: not known' }),
});

const allocatedAt = z.array(frame).nullable().meta({
  description: 'where tracemalloc saw it allocated, innermost frame first; null: not known',
});

export const common = { target, coverage: share, problems: z.array(problem) };

// --- Reports ------------------------------------------------------------------------------------------------------------

const suspect = z.strictObject({
  kind: z.enum([
    'retained',
    'cycles',
    'refcount',
    'native-lost',
    'native-retained',
    'threads',
    'mappings',
  ]),
  verdict: z.enum(['leaking', 'not-leaking', 'unknown']),
  fingerprint: z.string().meta({ description: 'hash of the shape of the path; stable over runs' }),
  type: z.string(),
  measure: z
    .enum(['objects', 'entries', 'bytes', 'blocks', 'references', 'threads', 'mappings'])
    .meta({
      description:
        'what grew: objects, entries of one container, the bytes of one object, blocks of C memory, references to one object that exist nowhere, threads, mappings',
    }),
  count: z
    .int()
    .meta({ description: 'objects (or what `measure` says) more at the end than at the start' }),
  bytes: signed.meta({ description: 'bytes more, with what only these objects hold' }),
  bytesPerHour: signed,
  countPerSecond: signed,
  explains: share.meta({ description: 'share of the growth that this suspect accounts for' }),
  perRound: z.array(z.strictObject({ count: z.int(), bytes: signed })),
  path: z.array(z.string()).meta({ description: 'texts of `steps`' }),
  shape: z.string().meta({ description: 'the path without keys and indices' }),
  steps: z.array(pathStep),
  holder: z.string().nullable().meta({ description: 'the container that grows, as Python' }),
  holderType: z.string().nullable(),
  holderLength: count.nullable(),
  contents: z
    .array(z.strictObject({ type: z.string(), count: z.int(), bytes: signed }))
    .meta({ description: 'the types that grew within it, the most bytes first' }),
  namedIn: z.array(z.string()).meta({
    description:
      "the program's functions whose code names the holder: where entries are added or removed",
  }),
  waitsAt: z
    .strictObject({
      file: z.string(),
      line: count,
      function: z.string(),
      for: z.string().nullable().meta({ description: 'what was called there' }),
      coroutine: z.string().meta({ description: 'what the tasks run' }),
      tasks: count.meta({ description: 'that wait there in the last capture' }),
    })
    .nullable()
    .meta({ description: 'of growing asyncio tasks: the line on which most of them wait' }),
  hints: z.array(z.string()).meta({
    description:
      'frames and coroutines that have the container in a variable now: maybe those that fill it',
  }),
  alsoHeldBy: z.array(z.string()).nullable().meta({
    description: 'independent paths that keep it alive as well; null: not looked for',
  }),
  allocatedAt,
  example: z.strictObject({ address, repr: z.string() }).nullable(),
  reasons: z.array(z.string()),
  advice: z.string(),
});

export const huntSchema = z.strictObject({
  schema: z.literal('leakscope/hunt@1'),
  leakscope: z.string().meta({ description: 'version of leakscope' }),
  target,
  verdict: z.enum(['leak', 'no-leak', 'inconclusive']),
  summary: z.string().meta({ description: 'the verdict in one sentence' }),
  reasons: z.array(z.string()),
  nextMeasurement: z.string().nullable().meta({
    description: 'the measurement that would decide, if the verdict is inconclusive',
  }),
  seconds: z.number().min(0).meta({ description: 'from the first capture to the last' }),
  captures: z.array(capture),
  rss: z.array(z.strictObject({ at: time, bytes })).meta({
    description: 'resident set over time, more often than the captures',
  }),
  growth: z.strictObject({ bytes: signed, bytesPerHour: signed }).meta({
    description: 'of the resident set, from the first capture to the last',
  }),
  ledger: z.strictObject({
    first: z.record(z.string(), signed),
    last: z.record(z.string(), signed),
    growth: z.record(z.string(), signed),
  }),
  suspects: z.array(suspect).meta({ description: 'what explains most of the growth first' }),
  findings: z.array(
    z.strictObject({ kind: z.string(), bytes: signed.nullable(), text: z.string() }),
  ),
  problems: z.array(problem),
  next: z.array(z.string()).meta({ description: 'commands worth running now' }),
});

export const topSchema = z.strictObject({
  schema: z.literal('leakscope/top@1'),
  capture,
  totals: z.strictObject({
    objects: count,
    types: count,
    shallowBytes: bytes,
    allocatedBytes: bytes,
  }),
  types: z.array(
    z.strictObject({
      type: z.string(),
      count,
      shallowBytes: bytes,
      allocatedBytes: bytes,
      retainedBytes: bytes.nullable(),
    }),
  ),
  biggest: z.array(objectLine).nullable().meta({ description: 'null: not asked for' }),
  ...common,
});

export const growthSchema = z.strictObject({
  schema: z.literal('leakscope/growth@1'),
  from: capture,
  to: capture,
  seconds: z.number(),
  types: z
    .array(
      z.strictObject({
        type: z.string(),
        count,
        countGrowth: z.int(),
        shallowBytes: bytes,
        shallowBytesGrowth: signed,
      }),
    )
    .meta({ description: 'types that changed, the most growth first' }),
  typesChanged: count,
  paths: z
    .array(
      z.strictObject({
        shape: z.string(),
        type: z.string(),
        count,
        countGrowth: z.int(),
        shallowBytesGrowth: signed,
      }),
    )
    .nullable()
    .meta({ description: 'shapes of paths that grew; null: not computed' }),
  ...common,
});

export const newSchema = z.strictObject({
  schema: z.literal('leakscope/new@1'),
  from: capture,
  to: capture,
  type: z.string().nullable().meta({ description: 'the type that was asked for' }),
  totals: z.strictObject({ objects: count, shallowBytes: bytes }),
  types: z.array(z.strictObject({ type: z.string(), count, shallowBytes: bytes })),
  objects: z.array(objectLine),
  ...common,
});

export const showSchema = z.strictObject({
  schema: z.literal('leakscope/show@1'),
  capture,
  object: z.strictObject({
    address,
    type: z.string(),
    repr: z.string(),
    length: count.nullable(),
    shallowBytes: bytes,
    allocatedBytes: bytes,
    retainedBytes: bytes.nullable(),
    referenceCount: count.nullable().meta({ description: 'null: immortal' }),
    allocatedAt,
    flags: z.array(z.string()),
  }),
  path: path.nullable().meta({ description: 'null: no root reaches it' }),
  refersTo: z.array(reference),
  refersToTotal: count,
  referredBy: z.array(reference),
  referredByTotal: count,
  weaklyReferredByTotal: count,
  ...common,
});

export const pathSchema = z.strictObject({
  schema: z.literal('leakscope/path@1'),
  capture,
  query: z.string(),
  matches: count.meta({ description: 'objects of the type that was asked for; 1 for an address' }),
  object: objectLine,
  allocatedAt,
  path: path.nullable().meta({ description: 'null: no root reaches it' }),
  alsoHeldBy: z
    .array(path)
    .nullable()
    .meta({ description: 'independent of the first; null: not looked for' }),
  ...common,
});

export const psSchema = z.strictObject({
  schema: z.literal('leakscope/ps@1'),
  processes: z.array(
    z.strictObject({
      pid: z.int(),
      parentPid: z.int(),
      python: z.string().nullable().meta({ description: 'null: a Python of unknown version' }),
      rssBytes: bytes,
      ageSeconds: z.number().min(0),
      user: z.string(),
      command: z.array(z.string()),
      readable: z.boolean(),
      reason: z.string().nullable().meta({ description: 'why it cannot be read' }),
    }),
  ),
});

export const doctorSchema = z.strictObject({
  schema: z.literal('leakscope/doctor@1'),
  pid: z.int().nullable(),
  ok: z.boolean(),
  checks: z.array(
    z.strictObject({
      name: z.string(),
      state: z.enum(['ok', 'warning', 'failed']),
      fact: z.string(),
      fix: z.string().nullable().meta({ description: 'the line that mends it' }),
    }),
  ),
});

export const captureSchema = z.strictObject({
  schema: z.literal('leakscope/capture@1'),
  capture,
  file: z.string(),
  fileBytes: bytes,
  references: count,
  totalMs: z.number().min(0),
  method: z.array(z.string()).meta({ description: 'how runtime and objects were found' }),
  ...common,
});

export const graphSchema = z.strictObject({
  schema: z.literal('leakscope/graph@1'),
  capture,
  object: objectLine,
  direction: z.enum(['forward', 'backward']),
  format: z.enum(['svg', 'png', 'dot']),
  file: z.string().nullable().meta({ description: 'null: written to `dot`' }),
  dot: z.string().nullable(),
  nodes: count,
  edges: count,
  omitted: count.meta({ description: 'neighbours that the limits left out' }),
  ...common,
});

/** Every report by the name under which its schema is published. */
export const reportSchemas = {
  'hunt@1': huntSchema,
  'top@1': topSchema,
  'growth@1': growthSchema,
  'new@1': newSchema,
  'show@1': showSchema,
  'path@1': pathSchema,
  'ps@1': psSchema,
  'doctor@1': doctorSchema,
  'capture@1': captureSchema,
  'graph@1': graphSchema,
} as const;

export type TargetReport = z.infer<typeof target>;
export type CaptureLine = z.infer<typeof capture>;
export type ProblemLine = z.infer<typeof problem>;
export type PathStep = z.infer<typeof pathStep>;
export type WrittenPath = z.infer<typeof path>;
export type ObjectLine = z.infer<typeof objectLine>;
export type ReferenceLine = z.infer<typeof reference>;
export type FrameLine = z.infer<typeof frame>;
export type Suspect = z.infer<typeof suspect>;
export type HuntReport = z.infer<typeof huntSchema>;
export type TopReport = z.infer<typeof topSchema>;
export type GrowthReport = z.infer<typeof growthSchema>;
export type NewReport = z.infer<typeof newSchema>;
export type ShowReport = z.infer<typeof showSchema>;
export type PathReport = z.infer<typeof pathSchema>;
export type PsReport = z.infer<typeof psSchema>;
export type DoctorReport = z.infer<typeof doctorSchema>;
export type CaptureReport = z.infer<typeof captureSchema>;
export type GraphReport = z.infer<typeof graphSchema>;
