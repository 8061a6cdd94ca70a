// `leakscope valgrind -- CMD ...`: the blocks that native code lost, by the place in an extension that allocated them.

import type { Command } from 'commander';
import { checkWithValgrind } from '../tools/valgrind.ts';
import {
  addNativeSitesOptions,
  type NativeSitesOptions,
  reportNativeSites,
} from './native-sites-command.ts';
import { addExamples, parseFileName } from './options.ts';
import type { Session } from './session.ts';

interface ValgrindCommandOptions extends NativeSitesOptions {
  pymalloc?: boolean;
  traceChildren?: boolean;
  suppressions: string[];
}

export function addValgrindCommand(program: Command, session: Session): void {
  const command = program
    .command('valgrind')
    .description('what native code lost, by call site: runs a program under memcheck')
    .usage('[options] -- CMD [ARGUMENT ...]')
    .option('--pymalloc', "keep Python's own allocator: faster, objects of extensions are not seen")
    .option(
      '--trace-children',
      'check the programs that it starts as well (but no children that are forks of itself)',
    )
    .option(
      '--suppressions <file>',
      "drop what this file of valgrind's format matches (may be repeated)",
      (file: string, files: string[]) => [...files, parseFileName(file)],
      [],
    )
    .action((options: ValgrindCommandOptions) =>
      reportNativeSites(
        options,
        session,
        (cmd, host) =>
          checkWithValgrind(
            cmd,
            {
              pymalloc: options.pymalloc === true,
              traceChildren: options.traceChildren === true,
              suppressions: options.suppressions,
            },
            host,
          ),
        'valgrind',
      ),
    );
  addNativeSitesOptions(command);
  addExamples(command, [
    'leakscope valgrind -- python tests/soak.py',
    'leakscope valgrind --html lost.html -- python -m app.main --requests 1000',
    'leakscope valgrind --suppressions mine.supp --json -- python app.py',
  ]);
}
