// What `leakscope valgrind` and `leakscope heaptrack` have in common: options, the program behind --, printing, the file
// of --html, and the exit code.

import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { writeWholeFile } from '../capture/whole-file.ts';
import { formatNativeSitesHtml } from '../report/native-sites-html.ts';
import type { NativeSitesReport } from '../report/native-sites-schema.ts';
import { formatNativeSites } from '../report/native-sites-text.ts';
import type { ToolHost } from '../tools/run-tool.ts';
import { HUNT_EXIT_CODES } from './hunt.ts';
import { addOutputOptions, parseFileName, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';

export interface NativeSitesOptions extends OutputOptions {
  html?: string;
  limit: number;
}

const EXIT_CODES =
  '\nThe program prints to stderr, as the report is on stdout. The first Ctrl-C ends the program (SIGINT) and reports\n' +
  'what is known by then, the second ends everything.\n' +
  '\nExit code: 0 no extension lost memory, 1 a leak was found, 5 inconclusive (the program was killed before the\n' +
  'check), 2 wrong arguments, 4 the tool is missing or cannot be used, 70 a bug in leakscope.';

export function addNativeSitesOptions(command: Command): Command {
  command
    .option('--html <file>', 'write the report as one HTML file as well', parseFileName)
    .option('--limit <count>', 'places to print as text', parseWholeNumber(1), 10);
  addOutputOptions(command);
  return command.addHelpText('after', EXIT_CODES);
}

/** Runs `check` on the program behind -- and prints what it found. */
export async function reportNativeSites(
  options: NativeSitesOptions,
  session: Session,
  check: (program: readonly string[], host: ToolHost) => Promise<NativeSitesReport>,
  name: string,
): Promise<void> {
  session.useOutput(options);
  const program = session.program;
  if (program === undefined || program.length === 0) {
    throw new UsageError({
      fact: 'There is no program to run',
      reason: 'nothing stands behind --',
      next: `Write leakscope ${name} [options] -- CMD ...`,
    });
  }
  const report = await check(program, session);
  if (options.html !== undefined) {
    await writeWholeFile(
      options.html,
      (file) => file.writeFile(formatNativeSitesHtml(report)),
      session.fileOptions,
    );
  }
  session.print(report, () => formatNativeSites(report, { limit: options.limit }, session.style));
  session.exitCode = HUNT_EXIT_CODES[report.verdict];
}
