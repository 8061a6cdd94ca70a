// `leakscope heaptrack -- CMD ...`: what native code had not freed when the program ended, by the place in an extension
// that allocated it. Much faster than valgrind; lost and kept memory are not told apart.

import type { Command } from 'commander';
import { checkWithHeaptrack } from '../tools/heaptrack.ts';
import {
  addNativeSitesOptions,
  type NativeSitesOptions,
  reportNativeSites,
} from './native-sites-command.ts';
import { addExamples } from './options.ts';
import type { Session } from './session.ts';

interface HeaptrackCommandOptions extends NativeSitesOptions {
  malloc?: boolean;
}

export function addHeaptrackCommand(program: Command, session: Session): void {
  const command = program
    .command('heaptrack')
    .description('what native code did not free, by call site: runs a program with heaptrack')
    .usage('[options] -- CMD [ARGUMENT ...]')
    .option(
      '--malloc',
      'PYTHONMALLOC=malloc: see Python objects of extensions too, at five times the time',
    )
    .action((options: HeaptrackCommandOptions) =>
      reportNativeSites(
        options,
        session,
        (cmd, host) => checkWithHeaptrack(cmd, { malloc: options.malloc === true }, host),
        'heaptrack',
      ),
    );
  addNativeSitesOptions(command);
  addExamples(command, [
    'leakscope heaptrack -- python tests/soak.py',
    'leakscope heaptrack --malloc --json -- python app.py',
  ]);
}
