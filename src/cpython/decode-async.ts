// Tables of asyncio's C types and of context variables: futures, tasks, their wrappers, contexts and the trie (HAMT) that
// holds a context's values.
// Source: Modules/_asynciomodule.c, Python/context.c, Python/hamt.c (3.8 to 3.15).
//
// A task's event loop, coroutine and what it waits for have the names that debuggers use: _loop, _coro, _fut_waiter. The
// cached value of a ContextVar is borrowed.

import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import { makeLabels, type ReferenceFields, type StructTable } from './decode-struct.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

/** The fields that a FutureObj and a TaskObj have in common, after their prefix. */
const FUTURE_FIELDS: ReferenceFields = {
  loop: '_loop',
  callback0: '',
  context0: '',
  callbacks: '_callbacks',
  exception: '_exception',
  exception_tb: '',
  result: '_result',
  source_tb: '_source_traceback',
  cancel_msg: '_cancel_message',
  cancelled_exc: '',
  'cancelled_exc_state.exc_type': '',
  'cancelled_exc_state.exc_value': '',
  'cancelled_exc_state.exc_traceback': '',
  awaited_by: '_asyncio_awaited_by',
};

function withPrefix(prefix: string, fields: ReferenceFields): ReferenceFields {
  return Object.fromEntries(
    Object.entries(fields).map(([field, name]) => [`${prefix}_${field}`, name]),
  );
}

export const asyncTables: readonly StructTable[] = [
  {
    types: ['_asyncio.Future'],
    struct: 'FutureObj',
    fields: withPrefix('fut', FUTURE_FIELDS),
  },
  {
    types: ['_asyncio.Task'],
    struct: 'TaskObj',
    fields: {
      ...withPrefix('task', FUTURE_FIELDS),
      task_fut_waiter: '_fut_waiter',
      task_coro: '_coro',
      task_name: '_name',
      task_context: '_context',
    },
  },
  {
    types: ['TaskStepMethWrapper', '_asyncio.TaskStepMethWrapper'],
    struct: 'TaskStepMethWrapper',
    fields: { sw_task: '__self__', sw_arg: '' },
  },
  {
    types: ['TaskWakeupMethWrapper', '_asyncio.TaskWakeupMethWrapper'],
    struct: 'TaskWakeupMethWrapper',
    fields: { ww_task: '__self__' },
  },
  { types: ['_asyncio.FutureIter'], struct: 'futureiterobject', fields: { future: '' } },
  { types: ['_RunningLoopHolder'], struct: 'PyRunningLoopHolder', fields: { rl_loop: '' } },
  {
    types: ['Context', '_contextvars.Context'],
    struct: 'PyContext',
    fields: { ctx_prev: '', ctx_vars: '' },
  },
  {
    types: ['ContextVar', '_contextvars.ContextVar'],
    struct: 'PyContextVar',
    fields: { var_name: 'name', var_default: '' },
  },
  {
    types: ['Token', '_contextvars.Token'],
    struct: 'PyContextToken',
    fields: { tok_ctx: '', tok_var: 'var', tok_oldval: 'old_value' },
  },
  { types: ['hamt'], struct: 'PyHamtObject', fields: { h_root: '' } },
  {
    types: ['hamt_bitmap_node'],
    struct: 'PyHamtNode_Bitmap',
    fields: {},
    structSize: (layout) => layout.offset('PyHamtNode_Bitmap.b_array'),
    also: (layout) => makeDecodeHamtPairs(layout, 'PyHamtNode_Bitmap.b_array'),
  },
  {
    types: ['hamt_collision_node'],
    struct: 'PyHamtNode_Collision',
    fields: {},
    structSize: (layout) => layout.offset('PyHamtNode_Collision.c_array'),
    also: (layout) => makeDecodeHamtPairs(layout, 'PyHamtNode_Collision.c_array'),
  },
  {
    types: ['hamt_array_node'],
    struct: 'PyHamtNode_Array',
    fields: {},
    also: makeDecodeHamtArray,
  },
];

/** Pairs of a ContextVar and its value, or of a null pointer and the node one level below. */
function makeDecodeHamtPairs(layout: Layout, arrayField: string): DecodeObject {
  const array = layout.word(arrayField);
  const labelsOf = makeLabels(['node']);
  return (reader, word) => {
    const { halves, image } = reader;
    const count = halves[(word + 2) * 2];
    const first = word + array;
    if (first + count > image.runEnd(word)) {
      reader.problem('hamt-node-damaged', word);
      return;
    }
    for (let i = 0; i + 1 < count; i += 2) {
      const key = (first + i) * 2;
      if (halves[key] === 0 && halves[key + 1] === 0) {
        reader.referenceAt(first + i + 1, EdgeKind.internal, labelsOf(reader)[0]);
      } else if (reader.referenceAt(first + i, EdgeKind.dictKey, NONE)) {
        reader.referenceAt(first + i + 1, EdgeKind.dictValue, NONE);
      }
    }
  };
}

function makeDecodeHamtArray(layout: Layout): DecodeObject {
  const first = layout.word('PyHamtNode_Array.a_array');
  const childCount = layout.word('PyHamtNode_Array.a_count') - first;
  const labelsOf = makeLabels(['node']);
  return (reader, word) => {
    const label = labelsOf(reader)[0];
    for (let i = 0; i < childCount; i++) {
      reader.referenceAt(word + first + i, EdgeKind.internal, label);
    }
  };
}
