// Advice that fits what was measured: what kind of holder grows decides what to do. Nothing is recited that the graph does
// not show.

import type { GrowthRow } from '../analysis/growth.ts';
import type { HeapPath } from '../analysis/path-steps.ts';
import {
  EdgeKind,
  findPreview,
  type HeapGraph,
  RootKind,
  typeNameOf,
} from '../graph/heap-graph.ts';

export interface RetainedCase {
  row: GrowthRow;
  graph: HeapGraph;
  /** To an example; undefined if none was found. */
  path: HeapPath | undefined;
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
  if (holderType === 'functools._lru_cache_wrapper' || isLruCache(given)) {
    return 'A functools.lru_cache without a maxsize keeps every argument and result: give it a maxsize, or clear it.';
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
function look({ functions, holderName }: RetainedCase): string {
  if (functions.length === 0 || holderName === undefined) return '';
  const shown = functions.slice(0, 3).join(', ');
  const more = functions.length > 3 ? ` and ${functions.length - 3} more` : '';
  return ` \`${holderName}\` is named in ${shown}${more}.`;
}

function isLruCache({ path }: RetainedCase): boolean {
  return path?.steps.some((step) => step.typeName === 'functools._lru_cache_wrapper') ?? false;
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
