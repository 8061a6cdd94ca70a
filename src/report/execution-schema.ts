// The shape of what `leakscope stacks` and `leakscope tasks` print with `--json`. Units and sentinels as in schemas.ts.

import { z } from 'zod';
import { address, capture, common, count } from './schemas.ts';

const place = {
  file: z.string().meta({ description: 'as the code object names it; empty: unknown' }),
  line: count.meta({ description: '0: unknown' }),
  function: z.string().meta({ description: 'qualified since 3.11; of coroutines always' }),
};
const source = z.string().nullable().meta({
  description: 'the line of the file, stripped; null: the file cannot be read or has changed',
});

const frame = z.strictObject({
  ...place,
  source,
  locals: z
    .array(z.strictObject({ name: z.string(), type: z.string(), address, repr: z.string() }))
    .nullable()
    .meta({ description: 'variables that have a value; null: not asked for' }),
});

export const stacksSchema = z.strictObject({
  schema: z.literal('leakscope/stacks@1'),
  capture,
  threads: z
    .array(
      z.strictObject({
        name: z
          .string()
          .nullable()
          .meta({ description: 'of threading; null: it does not know it' }),
        kernelName: z.string().nullable(),
        ident: count.nullable().meta({ description: 'threading.get_ident(); null: not Python' }),
        nativeId: z.int().nullable().meta({ description: 'as the target sees it' }),
        interpreterId: count,
        isMain: z.boolean(),
        isDaemon: z.boolean().nullable().meta({ description: 'null: threading does not know it' }),
        isPython: z.boolean().meta({ description: 'false: a thread of C code alone' }),
        holdsGil: z.boolean(),
        state: z.enum(['running', 'waiting']).nullable().meta({
          description: 'waiting: in a system call; null: the kernel did not show it',
        }),
        systemCall: z.string().nullable().meta({ description: 'in which it waits' }),
        frames: z.array(frame).meta({ description: 'the innermost last; of Python only' }),
        isCutOff: z.boolean().meta({ description: 'frames are missing' }),
      }),
    )
    .meta({ description: 'the main thread first' }),
  ...common,
});

const taskState = z.enum(['pending', 'running', 'done', 'failed', 'cancelled']);
const taskName = z.strictObject({ address, name: z.string() });

const task = z.strictObject({
  address,
  type: z.string(),
  name: z.string(),
  state: taskState,
  ready: z.boolean().meta({ description: 'pending, and goes on when its loop comes to it' }),
  coroutine: z.string().meta({ description: 'what it runs; empty: unknown' }),
  loop: address.nullable(),
  waitsAt: z.strictObject(place).nullable().meta({
    description: "the innermost line of the program; null: the coroutine has ended or is C code's",
  }),
  waitsFor: z.string().nullable().meta({ description: 'what was called there' }),
  waitsOn: z
    .strictObject({ address, type: z.string(), repr: z.string() })
    .nullable()
    .meta({ description: 'the future' }),
  stack: z
    .array(z.strictObject({ ...place, source }))
    .meta({ description: 'of its coroutine, the innermost last' }),
  awaits: z.array(taskName).meta({ description: 'tasks whose end it waits for; at most 10' }),
  awaitsTotal: count,
  awaitedBy: z.array(taskName).meta({ description: 'tasks that wait for its end; at most 10' }),
  awaitedByTotal: count,
  exception: z.string().nullable(),
});

export const tasksSchema = z.strictObject({
  schema: z.literal('leakscope/tasks@1'),
  capture,
  totals: z.record(taskState, count),
  loops: z.array(
    z.strictObject({
      address,
      type: z.string(),
      thread: z.string().nullable().meta({ description: 'that runs it; null: none, or unknown' }),
      tasks: count.meta({ description: 'pending and running' }),
    }),
  ),
  groups: z
    .array(
      z.strictObject({
        count,
        state: taskState,
        coroutine: z.string(),
        waitsAt: z.strictObject(place).nullable(),
        waitsFor: z.string().nullable(),
        example: task,
      }),
    )
    .meta({ description: 'tasks that wait for the same on the same line; the most first' }),
  groupsTotal: count,
  tasks: z.array(task).meta({ description: 'one by one, in the order of their groups' }),
  tasksTotal: count,
  ...common,
});

export type StacksReport = z.infer<typeof stacksSchema>;
export type TasksReport = z.infer<typeof tasksSchema>;
