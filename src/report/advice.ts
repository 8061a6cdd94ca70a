// Advice that fits what was measured: what kind of holder grows decides what to do. Nothing is recited that the graph does
// not show.

import { findAttribute } from '../analysis/attributes.ts';
import { findExtensionModules } from '../analysis/extension-modules.ts';
import type { HeapPath, PathStep } from '../analysis/path-steps.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';
import { isLogHandlers, isModuleEntry } from './holder-name.ts';
import type { MergedRow } from './merge-rows.ts';

export interface RetainedCase {
  row: MergedRow;
  graph: HeapGraph;
  /** To an example; undefined if none was found. */
  path: HeapPath | undefined;
  /** The object on the path at which the growth is shown. */
  growsAt: NodeIndex | undefined;
  /** Whether that is one of many that grow. */
  isSpread: boolean;
  /** The name under which the program knows the holder; of many, what they have in common. */
  holderName: string | undefined;
  /** Functions of the program that name it. */
  functions: readonly string[];
}

export const CONTAINERS = /^(list|dict|set|collections\.(deque|OrderedDict|defaultdict|Counter))$/;

/** One or two sentences. */
export function adviseOnRetained(given: RetainedCase): string {
  const { row } = given;
  if (row.areThreads) return threadsAdvice(given);
  if (given.path?.rootKind === RootKind.lostReference) return lostReferenceAdvice(given);
  if (given.path?.rootKind === RootKind.interned && given.growsAt === undefined) {
    return row.typeName === 'str'
      ? 'Python never frees these texts: early releases of 3.12 keep every text that was interned, by sys.intern() or as a name that the program made (setattr). Use a newer release, or a fixed set of names.'
      : 'Python never frees these objects: they were made immortal.';
  }
  if (row.holder?.isChain) return chainAdvice(given);
  const cache = findLruCache(given);
  if (cache !== undefined) return lruAdvice(given, cache);
  if (given.path !== undefined && isLogHandlers(given.path, given.growsAt)) {
    return `Each addHandler() keeps one more handler, and every record goes to all of them: add handlers once, where logging is set up.${namedIn('addHandler', given.functions)}`;
  }
  return adviseOnHolder(given) ?? adviseOnObjects(given) ?? adviseByContainer(given);
}

function lostReferenceAdvice({ graph }: RetainedCase): string {
  const modules = graph.native === undefined ? [] : findExtensionModules(graph, graph.native.facts);
  const names = modules.slice(0, 6).map(({ name, version }) => `${name} ${version ?? ''}`.trim());
  const where = names.length === 0 ? 'C code' : `C code, of ${names.join(' or ')} perhaps,`;
  return `Nothing points at these objects, and their reference count is above zero: ${where} took a reference and lost it. Look for a missing Py_DECREF (or a Py_INCREF too many) where it makes or returns such objects.`;
}

/** Where things are kept says what to do. */
function adviseOnHolder(given: RetainedCase): string | undefined {
  const owner = ownerOf(given);
  if (owner?.typeName === 'logging.Manager') {
    return 'logging.getLogger() keeps every logger for ever: use a fixed set of names, and put what differs into the record (extra=, or a LoggerAdapter).';
  }
  if (owner?.typeName === 'weakref.WeakKeyDictionary') {
    return `An entry of ${quoted(given)} goes when its key does, and something keeps the keys; often it is the value, which refers to its own key.${look(given)}`;
  }
  if (/^contextlib\.(Async)?ExitStack$/.test(owner?.typeName ?? '')) {
    return `An ExitStack keeps what it was given until it is closed itself: give each piece of work an ExitStack of its own (with ExitStack() as ...), or close ${quoted(given)} after it.${look(given)}`;
  }
  const defaults = findDefaults(given);
  if (defaults !== undefined) {
    return `A default is made once and shared by all calls: what ${defaults} adds to it stays. Let the default be None, and make a new one in the function.`;
  }
  const frame = frameOf(given);
  if (frame !== undefined) {
    return `${frame} is still running: what it adds to \`${given.holderName ?? 'its locals'}\` stays until it ends. Bound it, or write it out and drop it.`;
  }
  return undefined;
}

/** What is kept says what to do. */
function adviseOnObjects(given: RetainedCase): string | undefined {
  const { row } = given;
  if (isTasks(row.typeName)) return tasksAdvice(given);
  if (row.typeName === 'unittest.mock._Call') {
    return 'A Mock keeps every call that it gets, with the arguments: it does not belong into a program that runs for long. Put the real object there, or call reset_mock().';
  }
  if (row.typeName === 'weakref.finalize._Info') {
    return 'weakref.finalize() keeps its function and arguments until the object dies: if they lead to the object itself, it never does. Pass what the function needs instead of the object, or call the finalizer when it is done.';
  }
  if (holdsTracebacks(row)) {
    return `The exceptions${named(given)} keep their tracebacks, the frames in them and all their local variables: keep the text instead, or clear each with error.with_traceback(None).`;
  }
  return undefined;
}

function adviseByContainer(given: RetainedCase): string {
  const { row, graph, growsAt } = given;
  const type = growsAt === undefined ? '' : typeNameOf(graph, growsAt);
  if (row.measure === 'bytes') {
    return `One ${type} gets longer and longer: ${quoted(given)} is added to and never cut. Write it out and begin anew, or bound it.${look(given)}`;
  }
  if (CONTAINERS.test(type)) {
    return `Nothing is removed from ${given.isSpread ? ofMany(given, type) : quoted(given)} while entries are added. Remove them when they are done, bound it, or hold them weakly; if they are meant to expire, hunt for longer than they live.${look(given)}`;
  }
  if (isAtexit(given)) {
    return 'Every atexit.register() keeps its function and arguments until the process ends: register once, or atexit.unregister() when it is done.';
  }
  if (given.path !== undefined && isModuleEntry(given.path)) {
    return 'Modules stay in sys.modules: make them once, or take out those that are done (del sys.modules[name]).';
  }
  if (growsAt === undefined) {
    return 'C code or the interpreter holds them by itself: look at what the path names, and at the library that made them.';
  }
  return `What is added under ${quoted(given)} stays.${look(given)}`;
}

function chainAdvice(given: RetainedCase): string {
  const { row } = given;
  if (row.typeName === 'itertools._tee_dataobject') {
    return `${quoted(given)}, an iterator of itertools.tee(), is behind: all that another one has taken since is kept for it. Take from both at the same pace, or give up the one that nobody reads.`;
  }
  if (holdsTracebacks(row)) {
    return `Each new ${row.typeName} refers to the one before (__cause__, __context__), and keeps its traceback, the frames in it and all their local variables: do not keep the last error${named(given)}, or cut the chain (error.__cause__ = error.__context__ = None).`;
  }
  if (row.typeName === 'function') {
    return 'Each new function wraps the one before: something is decorated or patched again and again. Do it once, or keep the original and wrap that.';
  }
  return `Each new ${row.typeName} hangs on the one before, and the first is still referred to: cut the links of those that are done, or drop the head.`;
}

function threadsAdvice({ graph, row }: RetainedCase): string {
  const thread = row.examples.at(0);
  const target =
    thread === undefined
      ? undefined
      : findAttribute(graph, thread, (name) => name === '_target')?.value;
  const preview = target === undefined ? undefined : findPreview(graph, target);
  const text = preview?.replace(/^<(?:function|method) (.*)>$/, '$1');
  const what = text === undefined || text === 'None' ? '' : ` They run ${text}.`;
  return `Threads are started that do not end; each keeps its stack and all its local variables.${what} Let them end, or use a pool of a fixed size.`;
}

export const adviseOnCycles = (steps: readonly string[]): string =>
  `The cyclic collector is switched off, so objects that refer to each other are never freed${
    steps.length > 0 ? ` (${steps.slice(0, 4).join(' -> ')})` : ''
  }: switch it on (gc.enable()), or break the cycle with a weakref.`;

/** The collector ran and left them; `isProven`: they are no new ones at the same addresses. */
export const adviseOnKeptCycles = (steps: readonly string[], isProven: boolean): string =>
  !isProven
    ? 'Objects that refer to each other wait for the collector, or it cannot free them: let the program call gc.collect() in each round, without load, and hunt again. What grows then is never freed.'
    : `The cyclic collector ran and did not free these objects that refer to each other${
        steps.length > 0 ? ` (${steps.slice(0, 6).join(' -> ')})` : ''
      }: a type of C code among them does not tell it of a reference (tp_traverse), or an object is not tracked (gc.is_tracked). Break the cycle by hand, and look for a newer version of what defines that type.`;

/** The containers under a key each (`any list in `topics``), or an attribute of many objects (`any `items``). */
function ofMany(given: RetainedCase, type: string): string {
  const step = given.path?.steps.find(({ node }) => node === given.growsAt);
  return step?.label.startsWith('[') ? `any ${type} in ${quoted(given)}` : `any ${quoted(given)}`;
}

const quoted = ({ holderName }: RetainedCase): string =>
  holderName === undefined ? 'its holder' : `\`${holderName}\``;

const named = ({ holderName }: RetainedCase): string =>
  holderName === undefined ? '' : ` in \`${holderName}\``;

/** Where to look for the line that adds. */
const look = ({ functions, holderName }: RetainedCase): string =>
  holderName === undefined ? '' : namedIn(holderName, functions);

function namedIn(name: string, functions: readonly string[]): string {
  if (functions.length === 0) return '';
  const shown = functions.slice(0, 3).join(', ');
  const more = functions.length > 3 ? ` and ${functions.length - 3} more` : '';
  return ` \`${name}\` is named in ${shown}${more}.`;
}

/** What the holder is an attribute of. */
function ownerOf({ path, growsAt }: RetainedCase): PathStep | undefined {
  const at = path?.steps.findIndex((step) => step.node === growsAt) ?? -1;
  return path?.steps[at - 1];
}

/** The function whose parameter has the holder as its default. */
function findDefaults({ graph, path, growsAt }: RetainedCase): string | undefined {
  const at = path?.steps.findIndex((step) => step.node === growsAt) ?? -1;
  const label = path?.steps[at - 1]?.label;
  if (path === undefined || (label !== '.__defaults__' && label !== '.__kwdefaults__'))
    return undefined;
  const owner = path.steps[at - 2];
  return findPreview(graph, owner.node)?.replace(/^<function (.*)>$/, '$1') ?? owner.label;
}

/** Position of the cache on the path, if it or the dict of its entries is what grows. */
function findLruCache({ path, growsAt }: RetainedCase): number | undefined {
  const at = path?.steps.findIndex((step) => step.node === growsAt) ?? -1;
  const isCache = (i: number) => path?.steps[i]?.typeName === 'functools._lru_cache_wrapper';
  return isCache(at) ? at : isCache(at - 1) ? at - 1 : undefined;
}

function lruAdvice({ graph, path }: RetainedCase, cache: number): string {
  const owner = path?.steps[cache - 1];
  const isMethod =
    owner !== undefined && findPreview(graph, owner.node)?.startsWith('<class ') === true;
  return isMethod
    ? 'This functools.lru_cache is on a method, so it keeps every `self` and what that refers to: use functools.cached_property, or a cache on the instance, or give it a maxsize.'
    : 'A functools.lru_cache without a maxsize keeps every argument and result: give it a maxsize, or clear it.';
}

/** The function whose local variable holds the growing container. */
function frameOf({ graph, path, growsAt }: RetainedCase): string | undefined {
  if (path === undefined) return undefined;
  let before: number | undefined;
  for (const step of path.steps) {
    if (step.kind === EdgeKind.local && step.node === growsAt && before !== undefined) {
      const text = findPreview(graph, before);
      return text?.replace(/^<(\w+) (.*)>$/, '$1 $2') ?? typeNameOf(graph, before);
    }
    if (step.node === growsAt && before === undefined && path.rootKind === RootKind.local) {
      return path.rootLabel.replace(/^local '[^']*' of /, '');
    }
    before = step.node;
  }
  return undefined;
}

const isAtexit = ({ path }: RetainedCase): boolean =>
  path?.rootKind === RootKind.interpreter && path.rootLabel.startsWith('atexit');

const isTasks = (typeName: string): boolean =>
  /(^|\.)(Task|Future|Handle|TimerHandle)$/.test(typeName);

const tasksAdvice = (given: RetainedCase): string =>
  `They are kept${named(given)} and wait for something that does not come: await them with a timeout, or cancel them.${look(given)}`;

const holdsTracebacks = (row: MergedRow): boolean =>
  row.contents.some((content) => content.typeName === 'traceback' && content.count > 0);
