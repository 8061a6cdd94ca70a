// `leakscope tasks TARGET`: the asyncio tasks of all loops, grouped by coroutine and the line on which they wait.

import type { Command } from 'commander';
import { computeTasks } from '../analysis/tasks.ts';
import { buildTasksReport, formatTasks } from '../report/tasks-report.ts';
import { loadExecution } from './execution-target.ts';
import { addExamples, addTargetOptions, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { TARGET_HELP } from './target.ts';

interface TasksOptions extends OutputOptions {
  all?: boolean;
  limit: number;
}

export function addTasksCommand(program: Command, session: Session): void {
  const command = program
    .command('tasks')
    .description('asyncio tasks of every loop: where they wait, for what, and for which tasks')
    .argument('<target>', TARGET_HELP)
    .option('--all', 'tasks that have ended and are still referenced, too')
    .option('-n, --limit <count>', 'groups and tasks to list', parseWholeNumber(1, 1_000_000), 20)
    .action((target: string, options: TasksOptions) => {
      session.useOutput(options);
      return runTasks(target, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope tasks 4242',
    'leakscope tasks 4242 --all',
    'leakscope tasks 4242 --json --limit 100000',
  ]);
}

async function runTasks(target: string, options: TasksOptions, session: Session): Promise<void> {
  const { graph, execution, findSourceLine } = await loadExecution(target, session);
  session.progress('following await chains');
  const report = buildTasksReport(graph, execution, computeTasks(graph), {
    wantsEnded: options.all === true,
    limit: options.limit,
    findSourceLine,
  });
  await session.printResult(report, () => formatTasks(report, session.style));
}
