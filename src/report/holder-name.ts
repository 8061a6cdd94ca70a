// How the program calls the container that grows, and which of its functions name it: where a reader must look.

import { findFunctionsNaming } from '../analysis/code-names.ts';
import { isStandardName } from '../analysis/module-origin.ts';
import type { HeapPath, PathStep } from '../analysis/path-steps.ts';
import { EdgeKind, type HeapGraph, type NodeIndex, RootKind } from '../graph/heap-graph.ts';

/** The functions to look into: those that name the holder. Handlers of a logger are added by a method. */
export function findAddingFunctions(
  graph: HeapGraph,
  path: HeapPath | undefined,
  holder: NodeIndex | undefined,
  holderName: string | undefined,
): string[] {
  if (path === undefined || holderName === undefined) return [];
  if (isLogHandlers(path, holder)) return findFunctionsNaming(graph, 'addHandler');
  const step = path.steps.findLast((each) => nameOfStep(each) === holderName);
  const found = findFunctionsNaming(graph, holderName, step?.label.startsWith('[') === true);
  // The code of a module only makes the holder.
  const functions = found.filter((text) => !/\.?<module> at /.test(text));
  const owner = ownerOf(path, step);
  const isOfOwner = (text: string) => Number(owner !== undefined && text.startsWith(`${owner}.`));
  return (functions.length === 0 ? found : functions).sort((a, b) => isOfOwner(b) - isOfOwner(a));
}

/** The class whose attribute it is. */
function ownerOf(path: HeapPath, step: PathStep | undefined): string | undefined {
  const at = step === undefined ? -1 : path.steps.indexOf(step);
  return at > 0 ? path.steps[at - 1].typeName : undefined;
}

/**
 * The name under which the program knows the holder: the last attribute, variable or key before it that is not an inner
 * part of an object of the standard library (`jobs` and not `queue` for `jobs.queue`), if there is one.
 */
export function nameOfHolder(path: HeapPath, holder: NodeIndex | undefined): string | undefined {
  let lastName: string | undefined;
  let ownName: string | undefined;
  const inProgram = path.rootKind !== RootKind.module || !isStandardName(`${path.rootLabel}.`);
  for (const [i, step] of path.steps.entries()) {
    const name = step.kind === EdgeKind.internal ? undefined : nameOfStep(step);
    if (name !== undefined) {
      lastName = name;
      if (inProgram && name !== 'self' && !isPartOfLibrary(path, i)) ownName = name;
    }
    if (step.node === holder) break;
  }
  return ownName ?? lastName;
}

/** `_open` of `._open`, `sessions` of `['sessions']`, `data` of `local 'data'`. */
function nameOfStep({ label }: PathStep): string | undefined {
  const match =
    /^(?:\.([A-Za-z_]\w*)$|local '([A-Za-z_]\w*)'|\[(?:ContextVar )?'([A-Za-z_]\w*)'\])/.exec(
      label,
    );
  const name = match?.[1] ?? match?.[2] ?? match?.[3];
  return name === '__dict__' ? undefined : name;
}

/** Whether the step, or one before it, is an attribute of an object of the standard library. */
function isPartOfLibrary({ steps }: HeapPath, at: number): boolean {
  return steps.some(
    ({ typeName }, i) =>
      i < at &&
      typeName.includes('.') &&
      isStandardName(typeName) &&
      steps[i + 1].label.startsWith('.'),
  );
}

/** Whether the path is an entry of sys.modules itself. */
export const isModuleEntry = ({ rootKind, steps }: HeapPath): boolean =>
  rootKind === RootKind.module && steps.length === 1;

/** Whether what grows is the list of a logger's handlers. */
export function isLogHandlers(path: HeapPath, growsAt: NodeIndex | undefined): boolean {
  const at = path.steps.findIndex((step) => step.node === growsAt);
  return (
    at > 0 &&
    path.steps[at].label === '.handlers' &&
    /^logging\.(Root)?Logger$/.test(path.steps[at - 1].typeName)
  );
}
