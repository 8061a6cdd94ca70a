// `leakscope console PID`: Python inside a running process. Asks before anything is written, runs code from -c, stdin or a
// terminal, and says at the end what it did.

import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { formatNumberOf, sanitizeText } from '../base/format.ts';
import { openRemote } from '../remote/open-remote.ts';
import { AgentError, type RemoteSession, type Reply } from '../remote/remote-session.ts';
import type { ConsoleReport } from '../report/console-schema.ts';
import { askConsent } from './consent.ts';
import { openConsoleCommands } from './console-commands.ts';
import { runInteractive } from './console-repl.ts';
import { formatTraceback, printTo } from './console-text.ts';
import {
  addExamples,
  addOutputOptions,
  addRemoteOptions,
  type RemoteCommandOptions,
} from './options.ts';
import { nameChildren } from './resolve-target.ts';
import { INTERRUPTED, type OutputOptions, type Session } from './session.ts';
import { parsePid } from './target.ts';

interface ConsoleOptions extends OutputOptions, RemoteCommandOptions {
  code?: string;
}

const RAISED = 1;
const MAX_STDIN_BYTES = 8 << 20;
/** How long an interrupted command may take to end. */
const STOP_MS = 1000;

export function addConsoleCommand(program: Command, session: Session): void {
  const command = program
    .command('console')
    .description(
      'a Python console inside a running process: your output here, its output untouched',
    )
    .argument('<pid>', 'a running Python process')
    .option('-c, --code <code>', 'run this code (or % command), print what it gives, and leave')
    .action((pid: string, options: ConsoleOptions) => {
      session.useOutput(options);
      return runConsole(parsePid(pid), options, session);
    });
  addRemoteOptions(command);
  addOutputOptions(command);
  addExamples(command, [
    'leakscope console 4242',
    "leakscope console 4242 --yes -c 'len(app.sessions)'",
    'leakscope console 4242 --yes -c %tasks',
    'leakscope console 4242 --yes < check.py',
  ]);
  command.addHelpText(
    'after',
    `
This is one of the commands that change the process. It stops it for some milliseconds and writes about 300 bytes to its
memory: one call, which starts a thread. The thread connects to a socket that only you and the process can open, and runs
what you type. At the end the thread, the socket and the bytes are gone (see docs/design.md for what stays). If the process does not come by in time, the
call is taken back. --nudge: during some 300 ms a real Ctrl-C for the program is lost. A program that was started with leakscope run -- CMD has the thread already: nothing is written then.

Exit code: 0, or ${RAISED} if the code raised an exception; 2 wrong arguments, 3 refused or not run in time, 4 unsupported.`,
  );
}

async function runConsole(pid: number, options: ConsoleOptions, session: Session): Promise<void> {
  const isInteractive = options.code === undefined && process.stdin.isTTY === true;
  if (isInteractive && session.json) {
    throw new UsageError({
      fact: '--json needs code to run',
      reason: 'a console on a terminal prints no report',
      next: 'Give the code with -c, or on stdin.',
    });
  }
  if (options.yes !== true)
    await askConsent({ pid, command: 'console', what: 'until you leave' }, session);
  const code = isInteractive ? undefined : (options.code ?? (await readStdin()));
  const remote = await openRemote(pid, {
    timeoutMs: options.timeout * 1000,
    nudge: options.nudge === true,
    signal: session.signal,
    onProgress: (text) => session.progress(text),
    atExit: (cleanup) => session.atExit(cleanup),
  }).catch((error: unknown) => {
    throw nameChildren(pid, error);
  });
  session.endProgress();
  let commandCount = 1;
  try {
    if (code === undefined) commandCount = await runInteractive(remote, session);
    else await runCode(code, remote, session);
  } finally {
    sayGoodbye(remote, commandCount, await remote.close(), session);
  }
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    byteCount += (chunk as Buffer).length;
    if (byteCount > MAX_STDIN_BYTES) {
      throw new UsageError({
        fact: 'Cannot run what is on stdin',
        reason: 'it is more than 8 MiB',
        next: 'Import a module instead: import big_module.',
      });
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function runCode(code: string, remote: RemoteSession, session: Session): Promise<void> {
  if (/^\s*%\w/.test(code)) {
    const text = await openConsoleCommands(
      remote,
      session,
    )(code).catch((error: unknown) => {
      if (!(error instanceof AgentError)) throw error;
      throw new UsageError({
        fact: `The console in process ${remote.pid} could not do that`,
        reason: sanitizeText(error.message),
        next: 'leakscope console PID -c %help lists the commands.',
      });
    });
    const { pid, python, how } = remote;
    const report: ConsoleReport = {
      ...{ schema: 'leakscope/console@1', pid, python, how, value: null },
      ...{ stdout: `${text}\n`, stderr: '', failed: null, latencyMs: 0 },
    };
    session.print(report, () => `${text}\n`);
    return;
  }
  const printed = { 1: '', 2: '' };
  const startedAt = performance.now();
  const { id, reply } = remote.start(
    'run',
    { code },
    {
      onOutput: (text, stream) => {
        if (session.json) printed[stream] += text;
        else printTo(stream, text);
      },
    },
  );
  const result = await untilInterrupted(reply, () => remote.interrupt(id), session);
  if (result === undefined) return;
  const latencyMs = performance.now() - startedAt;
  printResult(result, { printed, latencyMs, remote }, session);
}

/** The reply; undefined if the user has interrupted the command and it does not end. */
async function untilInterrupted(
  reply: Promise<Reply>,
  interrupt: () => Promise<boolean>,
  session: Session,
): Promise<Reply | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let forget = () => {};
  const isStuck = new Promise<undefined>((resolve) => {
    forget = session.onInterrupt(() => {
      session.exitCode = INTERRUPTED;
      interrupt().catch(() => {});
      timer = setTimeout(() => resolve(undefined), STOP_MS);
    });
  });
  const result = await Promise.race([reply, isStuck]).finally(() => {
    clearTimeout(timer);
    forget();
  });
  if (result === undefined) reply.catch(() => {});
  return result;
}

function printResult(
  result: Reply,
  run: { printed: { 1: string; 2: string }; latencyMs: number; remote: RemoteSession },
  session: Session,
): void {
  const value = typeof result.value === 'string' ? result.value : null;
  const failed = typeof result.failed === 'string' ? result.failed : null;
  if (failed !== null && session.exitCode !== INTERRUPTED) session.exitCode = RAISED;
  if (typeof result.exit === 'number') session.exitCode = result.exit & 0xff;
  const { pid, python, how } = run.remote;
  if (session.json) {
    const report: ConsoleReport = {
      ...{ schema: 'leakscope/console@1', pid, python, how, value },
      ...{ stdout: run.printed[1], stderr: run.printed[2], failed, latencyMs: run.latencyMs },
    };
    session.print(report, () => '');
    return;
  }
  if (value !== null) printTo(1, `${value}\n`);
  if (failed !== null) process.stderr.write(`${formatTraceback(failed, session.style)}\n`);
}

function sayGoodbye(
  remote: RemoteSession,
  commandCount: number,
  isTidy: boolean,
  session: Session,
): void {
  const did = `ran ${formatNumberOf(commandCount, 'command')} in process ${remote.pid} through ${remote.how}`;
  session.note(
    isTidy
      ? `${did}; its threads there have ended and nothing is left`
      : `${did}; one still runs there, in C code that cannot be interrupted: it ends when that returns, and its thread with it`,
  );
}
