// `leakscope run -- CMD`: runs a program with leakscope's agent waiting in its Pythons, so that `console` can come in without
// writing to their memory. Terminal, signals and exit code are the program's own.

import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { AGENT_FOLDER } from '../remote/agent-source.ts';
import { removeDeadSockets } from '../remote/cooperative.ts';
import { addExamples } from './options.ts';
import type { Session } from './session.ts';
import { waitForSpawn } from './start-program.ts';

const SIGNAL_BASE = 128;
const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

export function addRunCommand(program: Command, session: Session): void {
  const command = program
    .command('run')
    .description('runs a program so that console can come in without writing to its memory')
    .usage('-- CMD [ARGUMENT ...]')
    .action(() => runProgram(session));
  addExamples(command, [
    'leakscope run -- python -m app.main',
    'leakscope run -- gunicorn app:app',
  ]);
  command.addHelpText(
    'after',
    `
It puts a folder first in PYTHONPATH, whose sitecustomize starts one thread and then the site's own sitecustomize. Worker
processes have it, too. A Python that is started with -I, -E or -S has not. Exit code: that of the program.

The same from inside an application, in one line (the folder is ${AGENT_FOLDER}):
  import leakscope_agent; leakscope_agent.listen()`,
  );
}

async function runProgram(session: Session): Promise<void> {
  const { program } = session;
  if (program === undefined || program.length === 0) {
    throw new UsageError({
      fact: 'What to run is not clear',
      reason: 'there is no program behind --',
      next: 'Write leakscope run -- CMD ...',
    });
  }
  const path = [AGENT_FOLDER, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  const child = spawn(program[0], program.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, PYTHONPATH: path },
  });
  await waitForSpawn(child, program);
  // The terminal sends Ctrl-C to both: the program decides what it means.
  const stayAlive = (): void => {
    session.onInterrupt(stayAlive);
  };
  stayAlive();
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  await new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // A program that a signal has ended could not do it itself.
  await removeDeadSockets();
  session.exitCode =
    child.signalCode === null
      ? (child.exitCode ?? 0)
      : SIGNAL_BASE + (SIGNAL_NUMBERS[child.signalCode] ?? 0);
}
