// From the pid that a user has at hand to the Python that is meant. Wrappers (`timeout`, a shell, `uv run`, a master
// process) are not followed silently: the error names the Python below them, so that a script stays explicit.

import { AccessError, type UserError } from '../base/errors.ts';
import { childrenOf, findProcess } from '../memory/process-status.ts';
import { type PythonProbe, probePython } from './python-processes.ts';

const MAX_DESCENDANTS = 500;

/** Throws AccessError unless `pid` is a Python; names the Python processes below it if there are any. */
export function requirePython(pid: number): void {
  const probe = probePython(pid);
  if (probe.kind === 'python') return;
  if (probe.kind === 'refused') throw probe.error;
  throw explainNotPython(pid, probe);
}

function explainNotPython(pid: number, probe: PythonProbe & { kind: 'not-python' }): UserError {
  const name = findProcess(pid)?.name ?? '?';
  const children = findPythonsBelow(pid);
  const fact = `Process ${pid} ("${name}") is not a Python`;
  if (children.length === 0) {
    return new AccessError({
      fact,
      reason: probe.reason,
      next: 'leakscope ps lists the Python processes.',
    });
  }
  if (children.length === 1) {
    return new AccessError({
      fact,
      reason: `its Python child is ${children[0]}`,
      next: `Run the command with ${children[0]}: leakscope hunt ${children[0]}`,
    });
  }
  const shown = children.slice(0, 10).join(', ');
  const more = children.length > 10 ? ` and ${children.length - 10} more` : '';
  return new AccessError({
    fact,
    reason: `${children.length} Python processes run below it: ${shown}${more}`,
    next: `Choose one: leakscope hunt ${children[0]}`,
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
