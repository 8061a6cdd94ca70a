// From the pid that a user has at hand to the Python that is meant. Wrappers (`timeout`, a shell, `uv run`, a master
// process) are not followed silently: the error names the Python below them, so that a script stays explicit.

import { UsageError } from '../base/errors.ts';
import { type LiveCapture, openCapture } from '../capture/capture-heap.ts';
import { childrenOf, findProcess } from '../memory/process-status.ts';
import { probePython } from './python-processes.ts';

const MAX_DESCENDANTS = 500;

/** As `openCapture`; the error for a process that is no Python names the Python processes below it. */
export function openPython(pid: number): LiveCapture {
  try {
    return openCapture(pid);
  } catch (error) {
    throw nameChildren(pid, error);
  }
}

/** What opening `pid` threw, with the Python processes below it where it is no Python itself. */
export function nameChildren(pid: number, error: unknown): unknown {
  if (!(error instanceof UsageError)) return error;
  const children = findPythonsBelow(pid);
  if (children.length === 0) return error;
  const fact = `Process ${pid} ("${findProcess(pid)?.name ?? '?'}") is not a Python`;
  const first = children[0];
  if (children.length === 1) {
    return new UsageError({
      fact,
      reason: `its Python child is ${first}`,
      next: `Give that pid: ${first}`,
    });
  }
  const shown = children.slice(0, 10).join(', ');
  const more = children.length > 10 ? ` and ${children.length - 10} more` : '';
  return new UsageError({
    fact,
    reason: `${children.length} Python processes run below it: ${shown}${more}`,
    next: `Give the pid of one of them, such as ${first}`,
  });
}

/** Pids of the Python processes among the descendants of `pid`, nearest first. */
export function findPythonsBelow(pid: number): number[] {
  const pythons: number[] = [];
  const open = childrenOf(pid);
  for (let i = 0; i < open.length && i < MAX_DESCENDANTS; i++) {
    if (probePython(open[i]).kind === 'python') pythons.push(open[i]);
    open.push(...childrenOf(open[i]).filter((child) => !open.includes(child)));
  }
  return pythons;
}
