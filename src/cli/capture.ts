// `leakscope capture TARGET -o FILE`: one snapshot file, readable only by its owner: it holds what the process's memory held.

import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { writeSnapshotFile } from '../capture/snapshot-file.ts';
import { isCoreFile, refuseNoCore } from '../memory/core-file.ts';
import { buildCaptureReport, formatCapture } from '../report/capture-report.ts';
import { addExamples, addTargetOptions, parseFileName } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, type Target } from './target.ts';

interface CaptureOptions extends OutputOptions {
  output: string;
  force?: boolean;
  redact?: boolean;
}

export function addCaptureCommand(program: Command, session: Session): void {
  const command = program
    .command('capture')
    .description('one snapshot file, for top, growth, new, show, path and graph')
    .argument('<target>', 'a pid or a core file')
    .requiredOption('-o, --output <file>', 'the file to write', parseFileName)
    .option('--force', 'replace the file if it exists')
    .option('--redact', 'without contents of objects: only types, names in code and sizes')
    .action((target: string, options: CaptureOptions) => {
      session.useOutput(options);
      return runCapture(parseTarget(target), options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope capture 4242 -o before.lscope',
    'leakscope capture 4242 -o for-the-bug-report.lscope --redact',
    'leakscope capture core.4242 --sysroot /mnt/image -o crash.lscope',
  ]);
}

async function runCapture(
  target: Target,
  options: CaptureOptions,
  session: Session,
): Promise<void> {
  const { output } = options;
  refuseExisting(output, options.force === true);
  const startedAt = performance.now();
  refuseSnapshot(target);
  const graph = await loadGraph(target, session, { redact: options.redact === true });
  session.progress(`writing ${output}`);
  const bytes = await writeSnapshotFile(output, graph, session.fileOptions);
  const report = buildCaptureReport(graph, { path: output, bytes }, performance.now() - startedAt);
  session.print(report, () => formatCapture(report));
}

/** Throws UsageError if there is a file of that name, unless it may be replaced. */
export function refuseExisting(output: string, mayReplace: boolean): void {
  if (mayReplace || !existsSync(output)) return;
  throw new UsageError({
    fact: `"${output}" exists already`,
    reason: 'a capture is not written over another file',
    next: 'Choose another name, or add --force.',
  });
}

/** A snapshot needs no capture. */
function refuseSnapshot(target: Target): void {
  if (target.kind !== 'file' || isCoreFile(target.path)) return;
  refuseNoCore(target.path);
  throw new UsageError({
    fact: `"${target.path}" is no core file`,
    reason: 'only processes and core files are captured',
    next: 'A snapshot file can be given to the other commands as it is.',
  });
}
