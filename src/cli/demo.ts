// `leakscope demo [NAME]`: starts a program that comes with leakscope, hunts it, prints the verdict and ends the program.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { AccessError, UsageError } from '../base/errors.ts';
import { padEnd } from '../report/text-layout.ts';
import { addRoundOptions, type HuntCommandOptions, huntProgram } from './hunt.ts';
import { addExamples, addOutputOptions } from './options.ts';
import type { Session } from './session.ts';

const FOLDER = fileURLToPath(new URL('../../demos/', import.meta.url));
const DEFAULT_DEMO = 'coroutine_strings';

interface DemoOptions extends HuntCommandOptions {
  list?: boolean;
  python?: string;
}

export function addDemoCommand(program: Command, session: Session): void {
  const command = program
    .command('demo')
    .description('starts a leaking program that comes with leakscope and hunts it')
    .argument('[name]', 'which one', DEFAULT_DEMO)
    .option('--list', 'list the demos')
    .option('--python <program>', 'run it with this Python (default: the first on PATH)')
    .action((name: string, options: DemoOptions) => {
      session.useOutput(options);
      return runDemo(name, options, session);
    });
  addRoundOptions(command);
  // A demo is small and leaks fast: it need not take as long as a service.
  command.setOptionValueWithSource('every', 2, 'default');
  addOutputOptions(command);
  command.addHelpText(
    'after',
    `\nDemos: ${listNames(listDemos())}.\n\nExit code: 0 whatever the verdict.`,
  );
  addExamples(command, ['leakscope demo', 'leakscope demo --list', 'leakscope demo healthy']);
}

async function runDemo(name: string, options: DemoOptions, session: Session): Promise<void> {
  const demos = listDemos();
  if (options.list) {
    const width = Math.max(...demos.map((demo) => demo.name.length));
    session.print({ demos }, () =>
      demos.map((demo) => `${padEnd(demo.name, width)}  ${demo.about}\n`).join(''),
    );
    return;
  }
  const demo = demos.find((each) => each.name === name.replaceAll('-', '_'));
  if (demo === undefined) {
    throw new UsageError({
      fact: `There is no demo "${name}"`,
      reason: `there are ${listNames(demos)}`,
      next: 'leakscope demo --list says what each does.',
    });
  }
  const file = join(FOLDER, `${demo.name}.py`);
  const python = options.python ?? findPython();
  session.note(`${python} ${file}`);
  await huntProgram([python, file], options, session);
  // The leak is the demo's purpose: `npm run demo` would call it a failure.
  session.exitCode = 0;
}

interface Demo {
  name: string;
  about: string;
}

const listNames = (demos: readonly Demo[]): string => demos.map((demo) => demo.name).join(', ');

/** Name and first sentence of each program in demos/. */
function listDemos(): Demo[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.py'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      const about = /^"""(.+)$/m.exec(text)?.[1] ?? '';
      return { name: file.slice(0, -3), about };
    });
}

/** The first CPython of PATH that leakscope reads: 3.8 or later. Throws AccessError if there is none. */
function findPython(): string {
  const minors = Array.from({ length: 8 }, (_, i) => `python3.${15 - i}`);
  for (const name of ['python3', 'python', ...minors]) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const file = join(folder, name);
      if (folder !== '' && existsSync(file) && isReadablePython(file)) return file;
    }
  }
  throw new AccessError({
    fact: 'There is no Python to run the demo with',
    reason: 'PATH has no CPython from 3.8 to 3.15 (python3, python, python3.x)',
    next: 'Install one (apt-get install python3), or name one: leakscope demo --python PROGRAM',
  });
}

const CHECK =
  'import sys, platform; v = sys.version_info; ' +
  'sys.exit(not (platform.python_implementation() == "CPython" and (3, 8) <= v < (3, 16)))';

/** Starts it, since a name says little: pyenv's shims exist for versions that are not active. */
const isReadablePython = (file: string): boolean =>
  spawnSync(file, ['-c', CHECK], { stdio: 'ignore', timeout: 10_000 }).status === 0;
