// `tasks`: the asyncio tasks of one capture: groups of those that wait on one line, and one example of each with the stack
// of its coroutine and the tasks that it waits for and that wait for it.

import { findAttribute } from '../analysis/attributes.ts';
import { groupTasks, type TaskFacts, type TaskState } from '../analysis/tasks.ts';
import { computeThreads } from '../analysis/thread-stacks.ts';
import {
  cutEnd,
  formatAddress,
  formatCount,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { Execution } from '../graph/execution.ts';
import { findPreview, type HeapGraph, type NodeIndex, typeNameOf } from '../graph/heap-graph.ts';
import type { TasksReport } from './execution-schema.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import { formatRepr } from './repr-text.ts';
import { countSame, type FindSourceLine, formatPlace } from './stacks-report.ts';
import { formatHanging, PAGE_WIDTH, plainStyle, type Style } from './text-layout.ts';

export interface TasksOptions {
  /** Whether tasks that are done or cancelled are listed. */
  wantsEnded: boolean;
  /** Groups, and tasks, to list. */
  limit: number;
  findSourceLine: FindSourceLine;
}

type TaskLine = TasksReport['tasks'][number];
type GroupLine = TasksReport['groups'][number];

const MAX_NAMES = 10;
const isAlive = ({ state }: TaskFacts): boolean => state === 'pending' || state === 'running';

export function buildTasksReport(
  graph: HeapGraph,
  execution: Execution,
  all: readonly TaskFacts[],
  options: TasksOptions,
): TasksReport {
  const totals: Record<TaskState, number> = {
    pending: 0,
    running: 0,
    done: 0,
    failed: 0,
    cancelled: 0,
  };
  for (const task of all) totals[task.state]++;
  const shown = options.wantsEnded ? all : all.filter(isAlive);
  const groups = groupTasks(shown);
  const context: Context = {
    graph,
    options,
    byNode: new Map(all.map((task) => [task.node, task])),
    awaitedBy: invertAwaits(all),
  };
  return {
    schema: 'leakscope/tasks@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    totals,
    loops: buildLoops(graph, execution, all.filter(isAlive)),
    groups: groups.slice(0, options.limit).map(({ example, tasks }) => {
      const line = buildTask(context, example);
      const { state, coroutine, waitsAt, waitsFor } = line;
      return { count: tasks.length, state, coroutine, waitsAt, waitsFor, example: line };
    }),
    groupsTotal: groups.length,
    tasks: groups
      .flatMap(({ tasks }) => tasks)
      .slice(0, options.limit)
      .map((task) => buildTask(context, task)),
    tasksTotal: shown.length,
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
}

interface Context {
  graph: HeapGraph;
  options: TasksOptions;
  byNode: ReadonlyMap<NodeIndex, TaskFacts>;
  awaitedBy: ReadonlyMap<NodeIndex, NodeIndex[]>;
}

function invertAwaits(tasks: readonly TaskFacts[]): Map<NodeIndex, NodeIndex[]> {
  const awaitedBy = new Map<NodeIndex, NodeIndex[]>();
  for (const { node, awaits } of tasks) {
    for (const awaited of awaits) {
      const waiting = awaitedBy.get(awaited);
      if (waiting === undefined) awaitedBy.set(awaited, [node]);
      else waiting.push(node);
    }
  }
  return awaitedBy;
}

function buildTask({ graph, options, byNode, awaitedBy }: Context, task: TaskFacts): TaskLine {
  const listNames = (nodes: readonly NodeIndex[]) =>
    nodes.slice(0, MAX_NAMES).map((node) => ({
      address: formatAddress(graph.address[node]),
      name: byNode.get(node)?.name ?? '',
    }));
  const waiting = awaitedBy.get(task.node) ?? [];
  const { waitsOn } = task;
  return {
    address: formatAddress(graph.address[task.node]),
    type: typeNameOf(graph, task.node),
    name: task.name,
    state: task.state,
    ready: task.isReady,
    coroutine: task.coroutine,
    loop: task.loop === undefined ? null : formatAddress(graph.address[task.loop]),
    waitsAt: task.place === undefined ? null : placeOf(task.place),
    waitsFor: task.waitsFor ?? null,
    waitsOn:
      waitsOn === undefined
        ? null
        : {
            address: formatAddress(graph.address[waitsOn]),
            type: typeNameOf(graph, waitsOn),
            repr: formatRepr(graph, waitsOn),
          },
    stack: task.stack.map((step) => ({
      ...placeOf(step),
      source: options.findSourceLine(step.file, step.line) ?? null,
    })),
    awaits: listNames(task.awaits),
    awaitsTotal: task.awaits.length,
    awaitedBy: listNames(waiting),
    awaitedByTotal: waiting.length,
    exception: task.exception === undefined ? null : formatRepr(graph, task.exception),
  };
}

const placeOf = ({
  file,
  line,
  function: name,
}: {
  file: string;
  line: number;
  function: string;
}) => ({
  file,
  line,
  function: name,
});

function buildLoops(
  graph: HeapGraph,
  execution: Execution,
  tasks: readonly TaskFacts[],
): TasksReport['loops'] {
  const counts = new Map<NodeIndex, number>();
  for (const { loop } of tasks) {
    if (loop !== undefined) counts.set(loop, (counts.get(loop) ?? 0) + 1);
  }
  const names = new Map(
    computeThreads(graph, execution).map(({ row, name }) => [
      `${row.ident}`,
      name ?? `thread ${row.nativeId}`,
    ]),
  );
  return [...counts].map(([loop, count]) => {
    const ident = findAttribute(graph, loop, (name) => name === '_thread_id')?.value;
    const text = ident === undefined ? undefined : findPreview(graph, ident);
    return {
      address: formatAddress(graph.address[loop]),
      type: typeNameOf(graph, loop),
      thread: (text === undefined ? undefined : names.get(text)) ?? null,
      tasks: count,
    };
  });
}

// --- Text ---------------------------------------------------------------------------------------------------------------

export function formatTasks(report: TasksReport, style: Style = plainStyle): string {
  const lines = [formatCaptureLine(report.target, report.capture), '', formatTotals(report)];
  for (const { type, address, thread, tasks } of report.loops) {
    const where = thread === null ? 'in no known thread' : `in thread ${thread}`;
    lines.push(sanitizeText(`   ${formatNumberOf(tasks, 'task')} of ${type} ${address}, ${where}`));
  }
  for (const group of report.groups) lines.push('', ...formatGroup(group, style));
  if (report.groupsTotal > report.groups.length) {
    const more = report.groupsTotal - report.groups.length;
    lines.push('', `… ${formatNumberOf(more, 'group')} more: --limit ${report.groupsTotal}`);
  }
  lines.push('', formatCoverage(report.coverage), ...formatProblems(report.problems), '');
  return lines.join('\n');
}

function formatTotals({ totals, loops }: TasksReport): string {
  const { pending, running, done, failed, cancelled } = totals;
  const ended = done + failed + cancelled;
  const terms = [
    `${formatNumberOf(pending + running, 'task')} in ${formatNumberOf(loops.length, 'loop')}`,
  ];
  if (running > 0) terms.push(`${formatCount(running)} of them running`);
  if (ended > 0) {
    const bad = failed > 0 ? `, ${formatCount(failed)} of them with an exception` : '';
    terms.push(`${formatCount(ended)} more have ended and are still referenced${bad}`);
  }
  return terms.join(', ');
}

const LABEL_WIDTH = 14;
const label = (name: string): string => `   ${name}`.padEnd(LABEL_WIDTH);

function formatGroup(group: GroupLine, style: Style): string[] {
  const { example } = group;
  const coroutine = sanitizeText(group.coroutine === '' ? example.type : group.coroutine);
  const lines = [style.strong(`${formatCount(group.count)} x ${coroutine}   ${group.state}`)];
  const wait = describeWait(group);
  if (wait !== '') {
    const title = group.state === 'running' ? 'runs' : 'waits';
    lines.push(...formatHanging(label(title), sanitizeText(wait)));
  }
  const name = example.name === '' ? example.type : example.name;
  const ready = example.ready ? ', ready to go on' : '';
  lines.push(
    ...formatHanging(
      label(group.count === 1 ? 'task' : 'example'),
      sanitizeText(`${name} ${example.address}${ready}`),
    ),
  );
  lines.push(...formatNames('awaits', example.awaits, example.awaitsTotal));
  lines.push(...formatNames('awaited by', example.awaitedBy, example.awaitedByTotal));
  if (example.exception !== null) {
    lines.push(...formatHanging(label('failed'), sanitizeText(example.exception)));
  }
  lines.push(...formatTaskStack(example, style));
  return lines;
}

function formatTaskStack({ stack }: TaskLine, style: Style): string[] {
  const lines: string[] = [];
  const indent = ' '.repeat(LABEL_WIDTH);
  for (let i = 0; i < stack.length; ) {
    const step = stack[i];
    lines.push(`${i === 0 ? label('stack') : indent}${formatPlace(step).trimStart()}`);
    if (step.source !== null) {
      const text = `${indent}   ${sanitizeText(step.source)}`;
      lines.push(style.faint(cutEnd(text, PAGE_WIDTH)));
    }
    const count = countSame(stack, i);
    if (count > 3) lines.push(`${indent}   … the same ${formatCount(count - 1)} times more`);
    i += count > 3 ? count : 1;
  }
  return lines;
}

/** `at app.py:31 in Broker.pump, for asyncio.Queue.get` */
function describeWait({ waitsAt, waitsFor }: Pick<TaskLine, 'waitsAt' | 'waitsFor'>): string {
  const at =
    waitsAt === null
      ? ''
      : `at ${waitsAt.file.slice(waitsAt.file.lastIndexOf('/') + 1)}:${waitsAt.line} in ${waitsAt.function}`;
  return [at, waitsFor === null ? '' : `for ${waitsFor}`].filter((part) => part !== '').join(', ');
}

function formatNames(
  title: string,
  tasks: readonly { name: string; address: string }[],
  total: number,
): string[] {
  if (total === 0) return [];
  const names = tasks.map(({ name, address }) => (name === '' ? address : name));
  if (total > tasks.length) names.push(`… ${formatCount(total - tasks.length)} more`);
  return formatHanging(label(title), sanitizeText(names.join(', ')));
}
