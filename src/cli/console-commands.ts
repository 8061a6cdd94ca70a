// The % commands of a console: a line such as `%where Task-7` -> one request to the agent and its answer as text. What is about
// all objects (%top, %growth) is a capture from outside, as for the commands of these names: the agent runs nothing then.

import { UsageError } from '../base/errors.ts';
import { formatMs, formatNumberOf } from '../base/format.ts';
import { AgentError, type RemoteSession } from '../remote/remote-session.ts';
import { formatTypeGrowth, sumTypes, type TypeTotals } from '../report/growth-report.ts';
import { formatTop } from '../report/top-report.ts';
import { cleanText, formatGc, formatStack, formatTask, formatTasks } from './console-text.ts';
import type { Session } from './session.ts';
import { capturePid } from './target.ts';
import { buildTop } from './top.ts';

const HELP = `%tasks                 asyncio tasks of all running loops; those in the same place are one row
%where TASK            the await chain of a task, by its name or address
%cancel TASK           cancel a task
%stack                 what every thread runs
%obj ADDRESS [TYPE]    bring an object that a capture named into the console, as obj and _
%gc [collect]          the collector's state; with collect, collect now
%top                   types by retained size, from a capture (the program stands still for some milliseconds)
%growth                types that have grown since the last %growth, likewise; the first one notes what there is
%help                  this list

_ is the last value. Names of the program's __main__ can be read; what you assign stays in this console.
await works at top level, on the program's running event loop. Ctrl-C interrupts your command, Ctrl-D leaves.`;

const GROWTH_LIMIT = 20;

/** The text of a % command's answer. Throws AgentError and UsageError with a sentence. */
export type ConsoleCommands = (line: string) => Promise<string>;

/** The commands of one console: they remember what the last %growth has seen. */
export function openConsoleCommands(remote: RemoteSession, session: Session): ConsoleCommands {
  let lastTotals: TypeTotals | undefined;
  const showGrowth = async (): Promise<string> => {
    const before = lastTotals;
    const after = sumTypes(await capturePid(remote.pid, session));
    lastTotals = after;
    if (before !== undefined) {
      return formatTypeGrowth(before, after, GROWTH_LIMIT, session.style);
    }
    return (
      `noted ${formatNumberOf(after.objects, 'object')} of ${formatNumberOf(after.byType.size, 'type')}, ` +
      `paused ${formatMs(after.pauseMs)} ms; the next %growth in this console shows what grew since`
    );
  };
  return (line) => runConsoleCommand(line, remote, session, showGrowth);
}

async function runConsoleCommand(
  line: string,
  remote: RemoteSession,
  session: Session,
  showGrowth: () => Promise<string>,
): Promise<string> {
  const [name, ...args] = line.trim().slice(1).split(/\s+/);
  switch (name) {
    case 'tasks':
      return formatTasks(await remote.request('tasks'));
    case 'where':
      return formatTask(await remote.request('where', { task: only(args, 'where TASK') }));
    case 'cancel':
      return `asked to cancel\n${formatTask(await remote.request('cancel', { task: only(args, 'cancel TASK') }))}`;
    case 'stack':
      return formatStack(await remote.request('stack'));
    case 'gc':
      return formatGc(await remote.request('gc', { collect: args[0] === 'collect' }));
    case 'obj': {
      const address = Number(args[0]);
      if (!Number.isSafeInteger(address) || address <= 0) throw wrongUse('obj ADDRESS [TYPE]');
      const reply = await remote.request('obj', { address, type: args[1] });
      return cleanText(`obj = ${reply.value}`);
    }
    case 'top':
      return formatTop(
        await buildTop(`${remote.pid}`, { by: 'retained', limit: 20 }, session),
        session.style,
      ).trimEnd();
    case 'growth':
      return showGrowth();
    case 'help':
      return HELP;
    default:
      throw new AgentError(`there is no %${name}; %help lists the commands`);
  }
}

function only(args: readonly string[], use: string): string {
  if (args.length !== 1) throw wrongUse(use);
  return args[0];
}

const wrongUse = (use: string): UsageError =>
  new UsageError({ fact: 'That is not how it is used', reason: `it is %${use}`, next: '%help' });
