// `leakscope verify FILE`: whether a snapshot file is whole. Reads all of it, tests every checksum, and whether the parts fit
// each other; what is wrong with it is the error, with exit code 2.

import type { Command } from 'commander';
import { readWholeSnapshot } from '../capture/snapshot-file.ts';
import { buildVerifyReport, formatVerify } from '../report/snapshot-report.ts';
import { addExamples, addTargetOptions } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { parseFile } from './target.ts';

export function addVerifyCommand(program: Command, session: Session): void {
  const command = program
    .command('verify')
    .description('whether a snapshot file is whole: every checksum, and whether its parts fit')
    .argument('<file>', 'a snapshot file (leakscope capture)')
    .action((text: string, options: OutputOptions) => {
      session.useOutput(options);
      const path = parseFile(text);
      session.progress(`reading ${path}`);
      const startedAt = performance.now();
      const snapshot = readWholeSnapshot(path, { budget: session.budget });
      const report = buildVerifyReport(snapshot, performance.now() - startedAt);
      session.print(report, () => formatVerify(report));
    });
  addTargetOptions(command);
  addExamples(command, ['leakscope verify before.lscope']);
}
