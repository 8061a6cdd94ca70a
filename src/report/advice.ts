// Advice that fits what was measured: what kind of holder grows decides what to do. Nothing is recited that the graph does
// not show.

import type { GrowthRow } from '../analysis/growth.ts';
import type { HeapPath } from '../analysis/path-steps.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  type NodeIndex,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';

export interface RetainedCase {
  row: GrowthRow;
  graph: HeapGraph;
  /** To an example; undefined if none was found. */
  path: HeapPath | undefined;
  /** The object on the path at which the growth is shown. */
  growsAt: NodeIndex | undefined;
  /** The name under which the program knows the holder. */
  holderName: string | undefined;
  /** Functions of the program that name it. */
  functions: readonly string[];
}

const CONTAINERS = /^(list|dict|set|collections\.(deque|OrderedDict|defaultdict|Counter))$/;

/** One or two sentences. */
export function adviseOnRetained(given: RetainedCase): string {
  const { row, graph } = given;
  const holder = row.holder?.node;
  const holderType = holder === undefined ? '' : typeNameOf(graph, holder);
  if (row.holder?.isChain) {
    return `Each new ${row.typeName} hangs on the one before, and the first is still referred to: cut the links of those that are done, or drop the head.`;
  }
  const cache = findLruCache(given);
  if (cache !== undefined) return lruAdvice(given, cache);
  if (given.path !== undefined && isLogHandlers(given.path, given.growsAt)) {
    return `Each addHandler() keeps one more handler, and every record goes to all of them: add handlers once, where logging is set up.${namedIn('addHandler', given.functions)}`;
  }
  const frame = frameOf(given);
  if (frame !== undefined) {
    return `${frame} is still running: what it adds to \`${given.holderName ?? 'its locals'}\` stays until it ends. Bound it, or write it out and drop it.`;
  }
  if (isTasks(row.typeName)) return tasksAdvice(given);
  if (holdsTracebacks(row)) {
    return `The exceptions${named(given)} keep their tracebacks, the frames in them and all their local variables: keep the text instead, or clear each with error.with_traceback(None).`;
  }
  if (CONTAINERS.test(holderType)) {
    return `Nothing is removed from ${quoted(given)} while entries are added. Remove them when they are done, bound it, or hold them weakly.${look(given)}`;
  }
  if (isAtexit(given)) {
    return 'Every atexit.register() keeps its function and arguments until the process ends: register once, or atexit.unregister() when it is done.';
  }
  if (holder === undefined) {
    return 'C code or the interpreter holds them by itself: look at what the path names, and at the library that made them.';
  }
  return `What is added under ${quoted(given)} stays.${look(given)}`;
}

export const adviseOnCycles = (steps: readonly string[]): string =>
  `The cyclic collector is switched off, so objects that refer to each other are never freed${
    steps.length > 0 ? ` (${steps.slice(0, 4).join(' -> ')})` : ''
  }: switch it on (gc.enable()), or break the cycle with a weakref.`;

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

/** Whether what grows is the list of a logger's handlers. */
export function isLogHandlers(path: HeapPath, growsAt: NodeIndex | undefined): boolean {
  const at = path.steps.findIndex((step) => step.node === growsAt);
  return (
    at > 0 &&
    path.steps[at].label === '.handlers' &&
    /^logging\.(Root)?Logger$/.test(path.steps[at - 1].typeName)
  );
}

/** The function whose local variable holds the growing container. */
function frameOf({ graph, path, row }: RetainedCase): string | undefined {
  if (path === undefined) return undefined;
  const holder = row.holder?.node;
  let before: number | undefined;
  for (const step of path.steps) {
    if (step.kind === EdgeKind.local && step.node === holder && before !== undefined) {
      const text = findPreview(graph, before);
      return text?.replace(/^<(\w+) (.*)>$/, '$1 $2') ?? typeNameOf(graph, before);
    }
    if (step.node === holder && before === undefined && path.rootKind === RootKind.local) {
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

const holdsTracebacks = (row: GrowthRow): boolean =>
  row.contents.some((content) => content.typeName === 'traceback' && content.count > 0);
