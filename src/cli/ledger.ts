// `leakscope ledger TARGET`: where the resident set is, every byte in one account.

import type { Command } from 'commander';
import { buildLedgerReport, formatLedger } from '../report/ledger-report.ts';
import { requireNative } from './native-target.ts';
import { addExamples, addTargetOptions } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { TARGET_HELP } from './target.ts';

interface LedgerOptions extends OutputOptions {
  verbose?: boolean;
}

export function addLedgerCommand(program: Command, session: Session): void {
  const command = program
    .command('ledger')
    .description('where is my RSS: every resident byte in exactly one account')
    .argument('<target>', TARGET_HELP)
    .option('-v, --verbose', "arenas, mappings, stacks and the allocators' own counters")
    .action((target: string, options: LedgerOptions) => {
      session.useOutput(options);
      return runLedger(target, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope ledger 4242',
    'leakscope ledger 4242 --verbose',
    'leakscope ledger before.lscope --json',
  ]);
}

async function runLedger(target: string, options: LedgerOptions, session: Session): Promise<void> {
  const { graph, native } = await requireNative(target, session, { wantsPss: true });
  session.progress('adding up');
  const report = buildLedgerReport(graph, native);
  await session.printResult(report, () =>
    formatLedger(report, options.verbose === true, session.style),
  );
}
