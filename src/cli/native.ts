// `leakscope native TARGET`: memory of C code that nothing points at, forgotten Py_DECREFs, and their growth.

import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { buildNativeReport, formatNative, type NativeCapture } from '../report/native-report.ts';
import { requireNative } from './native-target.ts';
import { addExamples, addOutputOptions, parseDuration, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { parseTarget, TARGET_HELP } from './target.ts';

interface NativeOptions extends OutputOptions {
  every?: number;
  limit: number;
  redact?: boolean;
}

export function addNativeCommand(program: Command, session: Session): void {
  const command = program
    .command('native')
    .description('C memory that nothing points at, missing DECREFs, and their growth')
    .argument('<target>', TARGET_HELP)
    .argument('[later]', 'a later moment, to see what grew')
    .option(
      '--every <duration>',
      'capture a pid again after this time, and show what grew',
      parseDuration,
    )
    .option('-n, --limit <count>', 'groups of blocks to list', parseWholeNumber(1, 100_000), 15)
    .option('--redact', 'do not print what memory holds')
    .action((target: string, later: string | undefined, options: NativeOptions) => {
      session.useOutput(options);
      return runNative(target, later, options, session);
    });
  addOutputOptions(command);
  addExamples(command, [
    'leakscope native 4242',
    'leakscope native 4242 --every 30s',
    'leakscope native before.lscope after.lscope --json',
  ]);
}

async function runNative(
  target: string,
  later: string | undefined,
  options: NativeOptions,
  session: Session,
): Promise<void> {
  if (options.every !== undefined && (later !== undefined || parseTarget(target).kind === 'file')) {
    throw new UsageError({
      fact: '--every is for one running process',
      reason: 'two moments, or a file, were given',
      next: 'Write leakscope native PID --every 30s, or leakscope native BEFORE AFTER.',
    });
  }
  const first = await requireNative(target, session);
  let before: NativeCapture | undefined;
  let now: NativeCapture = first;
  if (options.every !== undefined) {
    session.progress(`waiting ${options.every} s`);
    await session.sleep(options.every * 1000);
  }
  if (options.every !== undefined || later !== undefined) {
    before = first;
    now = await requireNative(later ?? target, session);
  }
  const report = buildNativeReport(before, now, {
    limit: options.limit,
    redact: options.redact === true,
  });
  session.print(report, () => formatNative(report, session.style));
}
