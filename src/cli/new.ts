// `leakscope new A B`: the objects of B that A did not have.

import type { Command } from 'commander';
import { findNewNodes } from '../analysis/new-objects.ts';
import { buildNewReport, formatNew } from '../report/new-report.ts';
import { noteStrangers } from './growth.ts';
import { requireTypeName } from './object-query.ts';
import { addExamples, addTargetOptions, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, TARGET_HELP } from './target.ts';

interface NewOptions extends OutputOptions {
  type?: string;
  limit: number;
}

export function addNewCommand(program: Command, session: Session): void {
  const command = program
    .command('new')
    .description('the objects of a later moment that an earlier one did not have')
    .argument('<before>', TARGET_HELP)
    .argument('<after>', 'the later moment, of the same process')
    .option('--type <name>', 'only objects of this type')
    .option('-n, --limit <count>', 'objects and types to list', parseWholeNumber(1, 1_000_000), 20)
    .action((before: string, after: string, options: NewOptions) => {
      session.useOutput(options);
      return listNew(before, after, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope new before.lscope after.lscope',
    'leakscope new before.lscope 4242 --type dict --limit 100',
  ]);
}

async function listNew(
  before: string,
  after: string,
  options: NewOptions,
  session: Session,
): Promise<void> {
  const from = await loadGraph(parseTarget(before), session);
  const to = await loadGraph(parseTarget(after), session);
  noteStrangers(from, to, session);
  const report = buildNewReport(from, to, findNewNodes(from, to), {
    type: options.type === undefined ? null : requireTypeName(to, options.type),
    limit: options.limit,
  });
  await session.printResult(report, () => formatNew(report, session.style));
}
