// TARGET of the commands that need the memory outside of Python objects, too.

import { UsageError } from '../base/errors.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { NativeHeap } from '../graph/native-heap.ts';
import type { Session } from './session.ts';
import { loadGraph, parseTarget } from './target.ts';

/** Captures the process or reads the file. Throws UsageError for a file whose capture did not look at such memory. */
export async function requireNative(
  text: string,
  session: Session,
  options: { wantsPss?: boolean } = {},
): Promise<{ graph: HeapGraph; native: NativeHeap }> {
  const target = parseTarget(text);
  const graph = await loadGraph(target, session, options);
  const { native } = graph;
  if (native !== undefined) return { graph, native };
  throw new UsageError({
    fact: `"${text}" does not tell about memory outside of Python objects`,
    reason: 'it was captured without it',
    next: 'Capture again: leakscope capture PID -o FILE.lscope',
  });
}
