// `leakscope info FILE`: what a snapshot file holds. Reads its header only.

import type { Command } from 'commander';
import { buildInfoReport, formatInfo } from '../report/snapshot-report.ts';
import { addExamples, addOutputOptions } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { openFile, parseFile } from './target.ts';

export function addInfoCommand(program: Command, session: Session): void {
  const command = program
    .command('info')
    .description('what a snapshot file holds: target, moment, objects, sections, bytes per object')
    .argument('<file>', 'a snapshot file (leakscope capture)')
    .action((path: string, options: OutputOptions) => {
      session.useOutput(options);
      const report = buildInfoReport(openFile(parseFile(path), session));
      session.print(report, () => formatInfo(report, session.style));
    });
  addOutputOptions(command);
  addExamples(command, ['leakscope info before.lscope', 'leakscope info before.lscope --json']);
}
