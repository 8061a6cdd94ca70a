// `leakscope redact FILE -o FILE`: the snapshot file without contents of objects, to be given to others.

import type { Command } from 'commander';
import { readSnapshotFile, writeSnapshotFile } from '../capture/snapshot-file.ts';
import { redactGraph } from '../graph/redact-graph.ts';
import { buildCaptureReport, formatCapture } from '../report/capture-report.ts';
import { refuseExisting } from './capture.ts';
import { addExamples, addTargetOptions, parseFileName } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { parseFile } from './target.ts';

interface RedactOptions extends OutputOptions {
  output: string;
  force?: boolean;
}

export function addRedactCommand(program: Command, session: Session): void {
  const command = program
    .command('redact')
    .description('a snapshot file without contents of objects, to be given to others')
    .argument('<file>', 'a snapshot file (leakscope capture)')
    .requiredOption('-o, --output <file>', 'the file to write', parseFileName)
    .option('--force', 'replace the file if it exists')
    .action((path: string, options: RedactOptions) => {
      session.useOutput(options);
      return redactFile(parseFile(path), options, session);
    });
  addTargetOptions(command);
  command.addHelpText(
    'after',
    `
What stays: types, modules, names that code has (of attributes, variables, functions, files), sizes,
counts, addresses and references. Text, bytes, numbers, keys of dicts, names of attributes that no code
has, arguments of the command line, names of threads and the bytes of C memory are dropped.`,
  );
  addExamples(command, ['leakscope redact before.lscope -o before-redacted.lscope']);
}

async function redactFile(
  path: string,
  { output, force }: RedactOptions,
  session: Session,
): Promise<void> {
  refuseExisting(output, force === true);
  const startedAt = performance.now();
  session.progress(`reading ${path}`);
  const graph = redactGraph(readSnapshotFile(path, { budget: session.budget }));
  session.progress(`writing ${output}`);
  const bytes = await writeSnapshotFile(output, graph, session.fileOptions);
  const report = buildCaptureReport(graph, { path: output, bytes }, performance.now() - startedAt);
  session.print(report, () => formatCapture(report));
}
