// `leakscope native TARGET`: memory of C code that nothing points at, forgotten Py_DECREFs, and their growth.

import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { findProcess } from '../memory/process-status.ts';
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
  let second: NativeCapture | undefined;
  if (options.every !== undefined) second = await captureAgain(target, options.every, session);
  else if (later !== undefined) second = await requireNative(later, session);
  const [before, now] = second === undefined ? [undefined, first] : [first, second];
  const report = buildNativeReport(before, now, {
    limit: options.limit,
    redact: options.redact === true,
  });
  session.print(report, () => formatNative(report, session.style));
}

/** undefined, and a note, if the process has ended meanwhile. */
async function captureAgain(
  target: string,
  seconds: number,
  session: Session,
): Promise<NativeCapture | undefined> {
  session.progress(`waiting ${seconds} s`);
  await session.sleep(seconds * 1000);
  try {
    return await requireNative(target, session);
  } catch (error) {
    const state = findProcess(Number(target))?.state ?? 'X';
    if (state !== 'X' && state !== 'Z') throw error;
    session.note(`process ${target} has ended: this is what it held at the first capture`);
    return undefined;
  }
}
