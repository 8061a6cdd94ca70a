// Asks before code runs in a process: what will be done, in which process, for how long. On a terminal only; elsewhere `--yes`
// must have been given. A process that lets consoles in by itself is asked about, too: code runs in it all the same.

import { createInterface } from 'node:readline/promises';
import { UsageError } from '../base/errors.ts';
import { cutMiddle, sanitizeText } from '../base/format.ts';
import { findProcess } from '../memory/process-status.ts';
import { hasCooperativeAgent } from '../remote/open-remote.ts';
import type { Session } from './session.ts';

export interface Change {
  pid: number;
  /** Name of the command that makes it. */
  command: string;
  /** How long a thread of leakscope runs in the process, and what it does: `until you leave`. */
  what: string;
}

/** Throws UsageError, with nothing done, where nobody can be asked or the user does not agree. */
export async function askConsent({ pid, command, what }: Change, session: Session): Promise<void> {
  const next = 'Add --yes to run it without being asked.';
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) {
    throw new UsageError({
      fact: `leakscope ${command} runs code in process ${pid}, and nobody can be asked here`,
      reason: 'stdin or stderr is no terminal',
      next,
    });
  }
  const name = sanitizeText(cutMiddle(findProcess(pid)?.command.join(' ') ?? '', 60));
  const how = (await hasCooperativeAgent(pid))
    ? `the agent that it started itself takes
orders ${what}. Nothing is written to its memory from outside.`
    : `it is stopped for some milliseconds, one call is written to its
memory (about 300 bytes), and a thread of leakscope runs in it ${what}. Then all of that is gone.`;
  process.stderr.write(`This runs code in process ${pid} (${name}): ${how}\n`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question('Go on? [y/N] ', { signal: session.signal });
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new UsageError({
    fact: `Process ${pid} was not touched`,
    reason: 'you did not agree',
    next,
  });
}
