// The graph of a TARGET for commands about threads and tasks, with what the program was doing.

import { UsageError } from '../base/errors.ts';
import type { Execution } from '../graph/execution.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import type { FindSourceLine } from '../report/stacks-report.ts';
import type { Session } from './session.ts';
import { makeSourceFinder } from './source-lines.ts';
import { loadGraph, parseTarget } from './target.ts';

export interface ExecutionTarget {
  graph: HeapGraph;
  execution: Execution;
  /** Of the process, while it runs; finds nothing for a file of a process that has ended. */
  findSourceLine: FindSourceLine;
}

/** Throws UsageError for a file that was written before leakscope kept what threads do. */
export async function loadExecution(text: string, session: Session): Promise<ExecutionTarget> {
  // C memory is of no interest here.
  const graph = await loadGraph(parseTarget(text), session, { native: false });
  if (graph.execution === undefined) {
    throw new UsageError({
      fact: `Cannot tell what the threads did from ${text}`,
      reason: 'the file was written by an older leakscope, which did not keep it',
      next: 'Capture the process again: leakscope capture PID -o FILE',
    });
  }
  return { graph, execution: graph.execution, findSourceLine: makeSourceFinder(graph.capture) };
}
