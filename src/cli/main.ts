#!/usr/bin/env node
// The entry point: parses the command line, runs one command, and turns what it throws into a message and an exit code:
// 0 nothing leaks, 1 leak, 2 wrong arguments, 3 access refused, 4 unsupported, 5 inconclusive, 70 a bug, 130 Ctrl-C.

import { Command, CommanderError } from 'commander';
import { UsageError, UserError } from '../base/errors.ts';
import { leakscopeVersion } from '../report/version.ts';
import { limitInlining } from '../threads/limit-inlining.ts';
import { Session } from './session.ts';

const BUG = 70;
/** Commands that take `-- CMD ...`. */
const PROGRAM_STARTERS = ['hunt', 'valgrind', 'heaptrack', 'run'];

/** In the order of the help. Each command's code is loaded when it runs: that of all takes longer than some commands. */
const COMMANDS: Record<string, () => Promise<(program: Command, session: Session) => void>> = {
  ps: async () => (await import('./ps.ts')).addPsCommand,
  doctor: async () => (await import('./doctor.ts')).addDoctorCommand,
  hunt: async () => (await import('./hunt.ts')).addHuntCommand,
  capture: async () => (await import('./capture.ts')).addCaptureCommand,
  redact: async () => (await import('./redact.ts')).addRedactCommand,
  info: async () => (await import('./info.ts')).addInfoCommand,
  verify: async () => (await import('./verify.ts')).addVerifyCommand,
  top: async () => (await import('./top.ts')).addTopCommand,
  growth: async () => (await import('./growth.ts')).addGrowthCommand,
  new: async () => (await import('./new.ts')).addNewCommand,
  show: async () => (await import('./show.ts')).addShowCommand,
  path: async () => (await import('./path.ts')).addPathCommand,
  graph: async () => (await import('./graph.ts')).addGraphCommand,
  allocations: async () => (await import('./allocations.ts')).addAllocationsCommand,
  stacks: async () => (await import('./stacks.ts')).addStacksCommand,
  tasks: async () => (await import('./tasks.ts')).addTasksCommand,
  ledger: async () => (await import('./ledger.ts')).addLedgerCommand,
  native: async () => (await import('./native.ts')).addNativeCommand,
  sql: async () => (await import('./sql.ts')).addSqlCommand,
  valgrind: async () => (await import('./valgrind.ts')).addValgrindCommand,
  heaptrack: async () => (await import('./heaptrack.ts')).addHeaptrackCommand,
  console: async () => (await import('./console.ts')).addConsoleCommand,
  run: async () => (await import('./run.ts')).addRunCommand,
  watch: async () => (await import('./watch.ts')).addWatchCommand,
  demo: async () => (await import('./demo.ts')).addDemoCommand,
};

/** With the command `wanted`, or with all, which the help and an unknown name need; the version needs none. */
async function buildProgram(session: Session, wanted: string | undefined): Promise<Command> {
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
  const isKnown = wanted !== undefined && Object.hasOwn(COMMANDS, wanted);
  const isVersion = wanted === '--version' || wanted === '-V';
  const loaders = isKnown ? [COMMANDS[wanted]] : isVersion ? [] : Object.values(COMMANDS);
  for (const load of loaders) (await load())(program, session);
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
    const commands = await buildProgram(session, own[0]);
    commandName = commands.commands.find((command) => command.name() === own[0])?.name();
    await commands.parseAsync(own, { from: 'user' });
  } catch (error) {
    reportError(error, session, commandName);
  }
  await session.finish();
}

limitInlining();
await main();
