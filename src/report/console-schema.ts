// The report of `leakscope console PID -c CODE --json`: what the code gave and printed.

import { z } from 'zod';

export const consoleSchema = z.strictObject({
  schema: z.literal('leakscope/console@1'),
  pid: z.int(),
  python: z.string().meta({ description: 'version of the target' }),
  how: z.string().meta({ description: 'how the code came in, in words' }),
  value: z.string().nullable().meta({ description: 'repr of the last expression; null: None' }),
  stdout: z.string(),
  stderr: z.string(),
  failed: z.string().nullable().meta({ description: 'the traceback of what the code raised' }),
  latencyMs: z.number().min(0).meta({ description: 'from the request to the reply' }),
});

export type ConsoleReport = z.infer<typeof consoleSchema>;
