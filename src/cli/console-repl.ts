// The console on a terminal: reads lines, asks the agent whether they are complete, runs them, and prints what comes back.
// Ctrl-C interrupts the command that runs, else drops the line; Ctrl-D leaves. The history is kept across runs.

import { createInterface, type Interface } from 'node:readline';
import { UserError } from '../base/errors.ts';
import { AgentError, type RemoteSession } from '../remote/remote-session.ts';
import { type ConsoleCommands, openConsoleCommands } from './console-commands.ts';
import { cleanText, formatTraceback, printTo } from './console-text.ts';
import { HISTORY_LINES, openHistory } from './line-history.ts';
import type { Session } from './session.ts';

const PROMPT = '>>> ';
const MORE = '... ';
const COMPLETE_LIMIT_MS = 1000;
const INDENT = '    ';

/** Returns how many commands were run. */
export async function runInteractive(remote: RemoteSession, session: Session): Promise<number> {
  process.stderr.write(
    `Python ${remote.python} in process ${remote.pid}. %help lists what else there is. Ctrl-D leaves.\n`,
  );
  const history = openHistory('console_history');
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    historySize: HISTORY_LINES,
    history: history.read(),
    removeHistoryDuplicates: true,
    prompt: PROMPT,
    completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
      void complete(remote, line).then((result) => done(null, result));
    },
  });
  const state: ReplState = {
    ...{ running: undefined, buffer: [], commandCount: 0 },
    runCommand: openConsoleCommands(remote, session),
  };
  terminal.on('history', (lines: string[]) => history.write(lines));
  terminal.on('SIGINT', () => interrupt(terminal, remote, state));
  const onAbort = () => terminal.close();
  session.signal.addEventListener('abort', onAbort);
  remote.onLateOutput = (text, stream) => {
    printTo(stream, text);
    if (state.running === undefined) terminal.prompt(true);
  };
  try {
    terminal.prompt();
    for await (const line of terminal) {
      const isOver = await takeLine(line, state, remote, session);
      if (isOver || !remote.isConnected) break;
      terminal.setPrompt(state.buffer.length > 0 ? MORE : PROMPT);
      terminal.prompt();
    }
  } finally {
    session.signal.removeEventListener('abort', onAbort);
    terminal.close();
  }
  process.stdout.write('\n');
  return state.commandCount;
}

interface ReplState {
  /** Number of the request that runs. */
  running: number | undefined;
  /** Lines that are no complete command yet. */
  buffer: string[];
  commandCount: number;
  /** The % commands. */
  runCommand: ConsoleCommands;
}

function interrupt(terminal: Interface, remote: RemoteSession, state: ReplState): void {
  if (state.running !== undefined) {
    void remote.interrupt(state.running).catch(() => {});
    return;
  }
  state.buffer = [];
  process.stdout.write('\nKeyboardInterrupt\n');
  terminal.write(null, { ctrl: true, name: 'e' });
  terminal.write(null, { ctrl: true, name: 'u' });
  terminal.setPrompt(PROMPT);
  terminal.prompt();
}

/** Whether the user leaves. */
async function takeLine(
  line: string,
  state: ReplState,
  remote: RemoteSession,
  session: Session,
): Promise<boolean> {
  if (state.buffer.length === 0 && line.trim() === '') return false;
  try {
    if (state.buffer.length === 0 && line.trimStart().startsWith('%')) {
      state.commandCount++;
      const text = await state.runCommand(line);
      session.endProgress();
      process.stdout.write(`${text}\n`);
      return false;
    }
    state.buffer.push(line);
    const { id, reply } = remote.start(
      'run',
      { code: state.buffer.join('\n'), interactive: true },
      { onOutput: (text, stream) => printTo(stream, text) },
    );
    state.running = id;
    const result = await reply;
    if (result.more === true) return false;
    state.buffer = [];
    state.commandCount++;
    if (typeof result.value === 'string') process.stdout.write(`${cleanText(result.value)}\n`);
    if (typeof result.failed === 'string') {
      process.stdout.write(`${formatTraceback(result.failed, session.style)}\n`);
    }
    return 'exit' in result;
  } catch (error) {
    if (!(error instanceof AgentError) && !(error instanceof UserError)) throw error;
    state.buffer = [];
    const text =
      error instanceof UserError ? `${error.text.fact}: ${error.text.reason}` : error.message;
    process.stdout.write(`${session.style.alarm(cleanText(text))}\n`);
    return false;
  } finally {
    state.running = undefined;
  }
}

async function complete(remote: RemoteSession, line: string): Promise<[string[], string]> {
  if (line.trim() === '') return [[INDENT], ''];
  if (line.startsWith('%')) {
    const names = ['tasks', 'where', 'cancel', 'stack', 'obj', 'gc', 'top', 'growth', 'help'];
    return [names.map((name) => `%${name}`).filter((name) => name.startsWith(line)), line];
  }
  try {
    const reply = await remote.request(
      'complete',
      { text: line },
      { timeoutMs: COMPLETE_LIMIT_MS },
    );
    const names = Array.isArray(reply.names) ? reply.names.map(String) : [];
    return [names.filter((name) => /^[\p{L}\p{N}_]+$/u.test(name)), String(reply.prefix ?? '')];
  } catch {
    // The agent is busy with a command: then there is nothing to offer.
    return [[], line];
  }
}
