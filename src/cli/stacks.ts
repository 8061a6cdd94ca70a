// `leakscope stacks TARGET`: the threads with their Python frames and, on request, their variables.

import type { Command } from 'commander';
import { buildStacksReport, formatStacks } from '../report/stacks-report.ts';
import { loadExecution } from './execution-target.ts';
import { addExamples, addTargetOptions } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { TARGET_HELP } from './target.ts';

interface StacksOptions extends OutputOptions {
  locals?: boolean;
}

export function addStacksCommand(program: Command, session: Session): void {
  const command = program
    .command('stacks')
    .description('threads with their Python frames, lines and local variables')
    .argument('<target>', TARGET_HELP)
    .option('--locals', 'the local variables of each frame')
    .action((target: string, options: StacksOptions) => {
      session.useOutput(options);
      return runStacks(target, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope stacks 4242',
    'leakscope stacks 4242 --locals',
    'leakscope stacks before.lscope --json',
  ]);
}

async function runStacks(target: string, options: StacksOptions, session: Session): Promise<void> {
  const { graph, execution, findSourceLine } = await loadExecution(target, session);
  const report = buildStacksReport(graph, execution, {
    wantsLocals: options.locals === true,
    findSourceLine,
  });
  await session.printResult(report, () => formatStacks(report, session.style));
}
