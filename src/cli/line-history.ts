// The lines that were typed into a shell of leakscope's, kept across runs in a file that only its owner may read.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export const HISTORY_LINES = 1000;

export interface LineHistory {
  /** The newest first, as readline wants it. */
  read(): string[];
  write(lines: readonly string[]): void;
}

/** `name`: `console_history`. */
export function openHistory(name: string): LineHistory {
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state');
  const path = join(state, 'leakscope', name);
  return {
    read: () => {
      try {
        return readFileSync(path, 'utf8').split('\n').filter(Boolean).slice(0, HISTORY_LINES);
      } catch {
        return [];
      }
    },
    write: (lines) => {
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        writeFileSync(path, `${lines.slice(0, HISTORY_LINES).join('\n')}\n`, { mode: 0o600 });
        // The mode above is for a new file only.
        chmodSync(path, 0o600);
      } catch {
        // A shell without a history is one all the same.
      }
    },
  };
}
