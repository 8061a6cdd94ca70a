// How the program calls the container that grows, and which of its functions name it: where a reader must look.

import { findFunctionsNaming } from '../analysis/code-names.ts';
import { findModuleOrigin, isStandardName, type ModuleOrigin } from '../analysis/module-origin.ts';
import type { HeapPath, PathStep } from '../analysis/path-steps.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, RootKind } from '../graph/heap-graph.ts';

/** Objects of the standard library that are made to have the program's attributes. */
const NAMESPACES: ReadonlySet<string> = new Set([
  '_thread._local',
  'types.SimpleNamespace',
  'argparse.Namespace',
]);

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
  const ofProgram = functions.filter((text) => originOf(graph, text) === 'application');
  const owner = ownerOf(path, step);
  const isOfOwner = (text: string) => Number(owner !== undefined && text.startsWith(`${owner}.`));
  const best = [ofProgram, functions, found].find((each) => each.length > 0) ?? [];
  return best.sort((a, b) => isOfOwner(b) - isOfOwner(a));
}

/** The class whose attribute it is. */
function ownerOf(path: HeapPath, step: PathStep | undefined): string | undefined {
  const at = step === undefined ? -1 : path.steps.indexOf(step);
  return at > 0 ? path.steps[at - 1].typeName : undefined;
}

/**
 * The name under which the program knows the holder: the last attribute, variable or key before it that is not an inner
 * part of an object of a library (`jobs` and not `queue` for `jobs.queue`), if there is one. Of one holder among many (`isSpread`)
 * the key that leads to it is an example and no name.
 */
export function nameOfHolder(
  graph: HeapGraph,
  path: HeapPath,
  holder: NodeIndex | undefined,
  isSpread: boolean,
): string | undefined {
  let lastName: string | undefined;
  let ownName: string | undefined;
  for (const [i, step] of path.steps.entries()) {
    if (isSpread && step.node === holder && step.label.startsWith('[')) break;
    const name = step.kind === EdgeKind.internal ? undefined : nameOfStep(step);
    if (name !== undefined) {
      lastName = name;
      if (name !== 'self' && isOfProgram(graph, path, i)) ownName = name;
    }
    if (step.node === holder) break;
  }
  return ownName ?? lastName;
}

/** Whether the program chose the name: a key, an attribute of one of its classes, a variable of one of its modules. */
function isOfProgram(graph: HeapGraph, path: HeapPath, at: number): boolean {
  const { steps, rootKind, rootLabel } = path;
  if (steps[at].label.startsWith('[')) return true;
  const owner = at === 0 ? '' : steps[at - 1].typeName;
  if (NAMESPACES.has(owner)) return true;
  if (owner.includes('.')) return originOf(graph, owner) === 'application';
  return rootKind !== RootKind.module || originOf(graph, `${rootLabel}.`) === 'application';
}

/** Position on the path of the first object of a library one of whose attributes the path goes on with. */
export function findLibraryObject(graph: HeapGraph, { steps }: HeapPath): number | undefined {
  const at = steps.findIndex(
    ({ typeName }, i) =>
      typeName.includes('.') &&
      steps[i + 1]?.label.startsWith('.') &&
      originOf(graph, typeName) !== 'application',
  );
  return at < 0 ? undefined : at;
}

/** Where the module of `app.sessions.Session`, or of a function's name, comes from. */
function originOf(graph: HeapGraph, qualifiedName: string): ModuleOrigin {
  if (isStandardName(qualifiedName)) return 'standard';
  const { rootKind, rootLabel, rootNode, strings } = graph;
  let module = '';
  let node = NONE;
  for (let root = 0; root < rootNode.length; root++) {
    if (rootKind[root] !== RootKind.module || rootLabel[root] === NONE) continue;
    const label = strings[rootLabel[root]];
    if (label.length <= module.length || !qualifiedName.startsWith(`${label}.`)) continue;
    [module, node] = [label, rootNode[root]];
  }
  return node === NONE ? 'application' : findModuleOrigin(graph, node, module);
}

/** `_open` of `._open`, `sessions` of `['sessions']`, `data` of `local 'data'` and of `closure 'data'`. */
function nameOfStep({ label }: PathStep): string | undefined {
  const match =
    /^(?:\.([A-Za-z_]\w*)$|(?:local|closure) '([A-Za-z_]\w*)'|\[(?:ContextVar )?'([A-Za-z_]\w*)'\])/.exec(
      label,
    );
  const name = match?.[1] ?? match?.[2] ?? match?.[3];
  return name === '__dict__' ? undefined : name;
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
