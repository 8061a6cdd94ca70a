// The text of the agent's file as the target runs it: agent/leakscope_agent.py with the line that starts it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The folder that comes first in PYTHONPATH of programs that `leakscope run` starts. */
export const AGENT_FOLDER = fileURLToPath(new URL('../../agent', import.meta.url));

/** `uids`: users besides root and the target's own whom the agent takes orders from. */
export function agentSource(socketPath: string, token: string, uids: readonly number[]): string {
  const source = readFileSync(`${AGENT_FOLDER}/leakscope_agent.py`, 'utf8');
  const start = `connect('${socketPath}', '${token}', (${uids.map((uid) => `${uid},`).join('')}))`;
  // Under a name of its own in tracebacks and traces; a string of JSON is one of Python.
  const text = JSON.stringify(`${source}\n\n${start}\n`);
  return `exec(compile(${text}, 'leakscope_agent.py', 'exec'))\n`;
}
