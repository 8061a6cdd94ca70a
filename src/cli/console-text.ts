// What an agent answered -> text for a terminal: tracebacks, tasks, threads, the collector's state. Every text is the
// target's and is cleaned before it is shown.

import { formatDuration, formatNumberOf, sanitizeText } from '../base/format.ts';
import type { Reply } from '../remote/remote-session.ts';
import type { Style } from '../report/text-layout.ts';

const MAX_GROUPS = 200;

/** Line breaks and tabs stay; everything else that could move the cursor is written as an escape. */
export const cleanText = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.split('\t').map(sanitizeText).join('\t'))
    .join('\n');

/** As it is into a file or pipe, cleaned on a terminal. */
export function printTo(stream: 1 | 2, text: string): void {
  const output = stream === 1 ? process.stdout : process.stderr;
  output.write(output.isTTY ? cleanText(text) : text);
}

/** A traceback with its places faint and its last line in the colour of alarm. */
export function formatTraceback(text: string, style: Style): string {
  const lines = cleanText(text).split('\n');
  return lines
    .map((line, i) => {
      if (i === lines.length - 1) return style.alarm(line);
      return /^\s*(File |Traceback)/.test(line) ? style.faint(line) : line;
    })
    .join('\n');
}

interface TaskRow {
  name: string;
  address: string;
  state: string;
  frames: [file: string, line: number, name: string][];
  waitsFor: string | null;
}

/** Tasks in the same place are one row. */
export function formatTasks(reply: Reply): string {
  const tasks = rows<TaskRow>(reply.tasks);
  const groups = new Map<string, TaskRow[]>();
  for (const task of tasks) {
    const key = `${task.state} ${task.frames.map((frame) => frame.join(':')).join(' ')}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [task]);
    else group.push(task);
  }
  const sorted = [...groups.values()].sort((a, b) => b.length - a.length);
  const lines = sorted.slice(0, MAX_GROUPS).map((group) => {
    const [first] = group;
    const innermost = first.frames.at(-1);
    const outermost = first.frames[0];
    const at =
      innermost === undefined ? '' : `  ${innermost[2]} at ${innermost[0]}:${innermost[1]}`;
    const who = group.length === 1 ? first.name : `${first.name} and ${group.length - 1} more`;
    return clean(
      `${String(group.length).padStart(6)}  ${first.state.padEnd(9)}  ${outermost?.[2] ?? '?'}  (${who})${at}`,
    );
  });
  const loops = Number(reply.loops ?? 0);
  return [
    `${formatNumberOf(tasks.length, 'task')} of ${formatNumberOf(loops, 'running event loop')}`,
    ...lines,
    ...(reply.more === true ? ['… and more'] : []),
  ].join('\n');
}

export function formatTask(reply: Reply): string {
  const task = reply.task as TaskRow;
  const chain = task.frames.map(([file, line, name]) => `  ${name}  ${file}:${line}`);
  const end = task.waitsFor === null ? [] : [`  waits for a ${task.waitsFor}`];
  return [`${task.name}  ${task.address}  ${task.state}`, ...chain, ...end].map(clean).join('\n');
}

interface ThreadRow {
  ident: number;
  name: string;
  frames: [file: string, line: number, name: string][];
}

export function formatStack(reply: Reply): string {
  return rows<ThreadRow>(reply.threads)
    .flatMap((thread) => [
      `thread ${thread.name || thread.ident}`,
      ...thread.frames.map(([file, line, name]) => `  ${name}  ${file}:${line}`),
    ])
    .map(clean)
    .join('\n');
}

export function formatGc(reply: Reply): string {
  const collected =
    reply.collected === undefined
      ? []
      : [
          `collected ${formatNumberOf(Number(reply.collected), 'object')} in ${formatDuration(Number(reply.seconds))}`,
        ];
  return [
    ...collected,
    `collector ${reply.enabled === true ? 'on' : 'OFF'}, counts ${list(reply.counts)}, thresholds ${list(reply.thresholds)}`,
    `gc.garbage ${formatNumberOf(Number(reply.garbage), 'object')}, frozen ${Number(reply.frozen)}`,
  ].join('\n');
}

const list = (value: unknown): string =>
  Array.isArray(value) ? value.map(Number).join(', ') : '?';
const rows = <T>(value: unknown): T[] => (Array.isArray(value) ? (value as T[]) : []);
const clean = (line: string): string => sanitizeText(line);
