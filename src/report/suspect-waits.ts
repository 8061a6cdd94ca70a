// What the execution adds to a suspect: where the tasks that grow wait, and which frames have the growing container at hand
// now. Both from the last capture alone; the second is a hint, since a frame may only look at what it has.

import { FRAME_FIELDS } from '../analysis/await-chain.ts';
import { findTarget } from '../analysis/code-names.ts';
import type { PathTree } from '../analysis/paths.ts';
import { computeTasks, groupTasks, type TaskFacts } from '../analysis/tasks.ts';
import type { Execution } from '../graph/execution.ts';
import { EdgeKind, type HeapGraph, NONE, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import type { Suspect } from './schemas.ts';

/** Steps from a task to the holder on its best path. */
const MAX_STEPS = 32;
const MAX_HINTS = 3;

/** The tasks that have not ended, in the graph's order. */
export const listPendingTasks = (graph: HeapGraph): TaskFacts[] =>
  computeTasks(graph).filter(({ state }) => state === 'pending');

export interface GrowingTasks {
  graph: HeapGraph;
  tree: PathTree;
  tasks: readonly TaskFacts[];
  /** Where the objects hang. */
  holders: ReadonlySet<NodeIndex>;
  /** Types that grew within the suspect, and by how many objects. */
  types: ReadonlyMap<string, number>;
}

/**
 * The largest group of tasks that hang on the holders; of all that are of the types that grew where those on the holders
 * are too few to be the growth. null if there is none, and if what grows are tasks that have ended.
 */
export function findWait({ graph, tree, tasks, holders, types }: GrowingTasks): Suspect['waitsAt'] {
  const ofType = tasks.filter(({ node }) => (types.get(typeNameOf(graph, node)) ?? 0) > 0);
  if (ofType.length === 0) return null;
  const grown = ofType.reduce(
    (most, { node }) => Math.max(most, types.get(typeNameOf(graph, node)) ?? 0),
    0,
  );
  const held = ofType.filter(({ node }) => hangsOn(tree, node, holders));
  // Fewer than grew: what grows has ended.
  const chosen = [held, ofType].find((each) => each.length * 2 >= grown);
  if (chosen === undefined) return null;
  const [group] = groupTasks(chosen);
  const { place, waitsFor, coroutine } = group.example;
  if (place === undefined) return null;
  return {
    file: place.file,
    line: place.line,
    function: place.function,
    for: waitsFor ?? null,
    coroutine,
    tasks: group.tasks.length,
  };
}

function hangsOn(tree: PathTree, node: NodeIndex, holders: ReadonlySet<NodeIndex>): boolean {
  for (let at = node, i = 0; at !== NONE && i < MAX_STEPS; at = tree.parentNode[at], i++) {
    if (holders.has(at)) return true;
  }
  return false;
}

/** `Broker.pump (broker.py:31) has it as 'jobs' now`: frames that run and coroutines that wait; at most 3. */
export function findHints(graph: HeapGraph, holder: NodeIndex | undefined): string[] {
  const { execution } = graph;
  if (execution === undefined || holder === undefined) return [];
  const hints = [
    ...listFramesWith(graph, execution, holder),
    ...listGeneratorsWith(graph, execution, holder),
  ];
  return [...new Set(hints)].slice(0, MAX_HINTS);
}

function listFramesWith(graph: HeapGraph, execution: Execution, holder: NodeIndex): string[] {
  const { firstLocal, localNode, localName, frameCode, frameLine } = execution;
  const hints: string[] = [];
  for (let frame = 0; frame < frameCode.length; frame++) {
    for (let row = firstLocal[frame]; row < firstLocal[frame + 1]; row++) {
      if (localNode[row] !== holder) continue;
      const name = graph.strings[localName[row]];
      hints.push(writeHint(execution, frameCode[frame], frameLine[frame], name));
    }
  }
  return hints;
}

function listGeneratorsWith(graph: HeapGraph, execution: Execution, holder: NodeIndex): string[] {
  const { generatorNode, generatorCode, generatorLine } = execution;
  const hints: string[] = [];
  for (let row = 0; row < generatorNode.length && hints.length < MAX_HINTS; row++) {
    if (generatorCode[row] === NONE) continue;
    const node = generatorNode[row];
    const name = findLocalName(graph, node, holder);
    if (name === undefined) continue;
    hints.push(writeHint(execution, generatorCode[row], generatorLine[row], name));
  }
  return hints;
}

function findLocalName(graph: HeapGraph, node: NodeIndex, value: NodeIndex): string | undefined {
  const frame = FRAME_FIELDS.map((field) => findTarget(graph, node, field)).find(
    (each) => each !== undefined,
  );
  for (const owner of frame === undefined ? [node] : [node, frame]) {
    for (let edge = graph.firstEdge[owner]; edge < graph.firstEdge[owner + 1]; edge++) {
      if (graph.edgeTarget[edge] !== value || graph.edgeKind[edge] !== EdgeKind.local) continue;
      if (graph.edgeLabel[edge] !== NONE) return graph.strings[graph.edgeLabel[edge]];
    }
  }
  return undefined;
}

function writeHint({ facts }: Execution, code: number, line: number, name: string): string {
  const { qualname, file } = facts.codes[code];
  return `${qualname} (${file.slice(file.lastIndexOf('/') + 1)}:${line}) has it as '${name}' now`;
}
