#!/usr/bin/env node
// The entry point: parses the command line, runs one command, and turns what it throws into a message and an exit code:
// 0 nothing leaks, 1 leak, 2 wrong arguments, 3 access refused, 4 unsupported, 5 inconclusive, 70 a bug, 130 Ctrl-C.

import { Command, CommanderError } from 'commander';
import { UsageError, UserError } from '../base/errors.ts';
import { leakscopeVersion } from '../report/version.ts';
import { addCaptureCommand } from './capture.ts';
import { addConsoleCommand } from './console.ts';
import { addDemoCommand } from './demo.ts';
import { addDoctorCommand } from './doctor.ts';
import { addGraphCommand } from './graph.ts';
import { addGrowthCommand } from './growth.ts';
import { addHeaptrackCommand } from './heaptrack.ts';
import { addHuntCommand } from './hunt.ts';
import { addLedgerCommand } from './ledger.ts';
import { addNativeCommand } from './native.ts';
import { addNewCommand } from './new.ts';
import { addPathCommand } from './path.ts';
import { addPsCommand } from './ps.ts';
import { addRunCommand } from './run.ts';
import { Session } from './session.ts';
import { addShowCommand } from './show.ts';
import { addTopCommand } from './top.ts';
import { addValgrindCommand } from './valgrind.ts';

const BUG = 70;
/** Commands that take `-- CMD ...`. */
const PROGRAM_STARTERS = ['hunt', 'valgrind', 'heaptrack', 'run'];

function buildProgram(session: Session): Command {
  const program = new Command('leakscope')
    .description(
      "Finds out why a running Python program's memory grows, by reading it from outside.",
    )
    .version(leakscopeVersion)
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'leakscope: ')),
    })
    .configureHelp({ showGlobalOptions: false, helpWidth: 100 })
    .addHelpText(
      'after',
      '\nStart with: leakscope ps, then leakscope hunt PID. Without a program of your own: leakscope demo.',
    );
  const adders = [
    addPsCommand,
    addDoctorCommand,
    addHuntCommand,
    addCaptureCommand,
    addTopCommand,
    addGrowthCommand,
    addNewCommand,
    addShowCommand,
    addPathCommand,
    addGraphCommand,
    addLedgerCommand,
    addNativeCommand,
    addValgrindCommand,
    addHeaptrackCommand,
    addConsoleCommand,
    addRunCommand,
    addDemoCommand,
  ];
  for (const add of adders) add(program, session);
  return program;
}

/** Everything behind the first `--` is a program to start and none of our options. */
function splitArguments(args: readonly string[]): { own: string[]; program: string[] | undefined } {
  const at = args.indexOf('--');
  if (at < 0) return { own: [...args], program: undefined };
  return { own: args.slice(0, at), program: args.slice(at + 1) };
}

function reportError(error: unknown, session: Session, commandName = ''): void {
  if (session.signal.aborted) return;
  session.endProgress();
  if (error instanceof CommanderError) {
    // Commander has printed help, version or its message already; the next step and the code are ours.
    session.exitCode = error.exitCode === 0 ? 0 : 2;
    if (session.exitCode !== 0 && error.code !== 'commander.help') {
      process.stderr.write(`Run: leakscope ${commandName === '' ? '' : `${commandName} `}--help\n`);
    }
    return;
  }
  if (error instanceof UserError) {
    process.stderr.write(
      `leakscope: ${error.text.fact}: ${error.text.reason}.\n${error.text.next}\n`,
    );
    session.exitCode = error.exitCode;
    return;
  }
  const text = error instanceof Error ? error.message : String(error);
  process.stderr.write(
    `leakscope: sorry, this is a bug in leakscope ${leakscopeVersion}: ${text.split('\n')[0]}\n` +
      `${commandName === 'console' ? '' : 'The target was not changed. '}Please report it with the output of LEAKSCOPE_DEBUG=1 leakscope ...\n`,
  );
  if (process.env.LEAKSCOPE_DEBUG === '1' && error instanceof Error)
    process.stderr.write(`${error.stack}\n`);
  session.exitCode = BUG;
}

async function main(): Promise<void> {
  const { own, program } = splitArguments(process.argv.slice(2));
  const session = new Session(program);
  let isEnding = false;
  process.on('uncaughtException', (error) => {
    reportError(error, session);
    // What fails again while it ends is not waited for.
    if (isEnding) process.exit(BUG);
    isEnding = true;
    void session.finish();
  });
  let commandName: string | undefined;
  try {
    if (program !== undefined && !PROGRAM_STARTERS.includes(own[0])) {
      throw new UsageError({
        fact: 'A program behind -- cannot be started here',
        reason: `only ${PROGRAM_STARTERS.slice(0, -1).join(', ')} and ${PROGRAM_STARTERS.at(-1)} start programs`,
        next: 'Write leakscope hunt -- CMD ...',
      });
    }
    const commands = buildProgram(session);
    commandName = commands.commands.find((command) => command.name() === own[0])?.name();
    await commands.parseAsync(own, { from: 'user' });
  } catch (error) {
    reportError(error, session, commandName);
  }
  await session.finish();
}

await main();
