// `leakscope ps`: the Python processes of this machine, with their version, and whether each can be read.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { UnsupportedError } from '../base/errors.ts';
import { findMappings } from '../memory/mappings.ts';
import { listProcesses, type ProcessStatus } from '../memory/process-status.ts';
import { formatPs } from '../report/ps-report.ts';
import type { PsReport } from '../report/schemas.ts';
import { addExamples, addOutputOptions } from './options.ts';
import { looksLikePython, probePython } from './python-processes.ts';
import type { OutputOptions, Session } from './session.ts';

export function addPsCommand(program: Command, session: Session): void {
  const command = program
    .command('ps')
    .description('which Python processes run here, and whether each can be read')
    .action((options: OutputOptions) => {
      session.useOutput(options);
      const report = buildPsReport();
      session.print(report, () => formatPs(report, session.style));
    });
  addOutputOptions(command);
  addExamples(command, ['leakscope ps', 'leakscope ps --json']);
}

function buildPsReport(): PsReport {
  const users = readUserNames();
  const processes: PsReport['processes'] = [];
  for (const status of listProcesses()) {
    if (status.pid === process.pid || status.state === 'Z') continue;
    if (!looksLikePython(status, findMappings(status.pid))) continue;
    const line = buildLine(status, users);
    if (line !== undefined) processes.push(line);
  }
  return { schema: 'leakscope/ps@1', processes };
}

function buildLine(status: ProcessStatus, users: ReadonlyMap<number, string>) {
  const probe = probePython(status.pid);
  // Some other program that has mapped a file with "python" in its name.
  if (probe.kind === 'not-python') return undefined;
  const refusal = probe.kind === 'refused' ? probe.error : undefined;
  return {
    pid: status.pid,
    parentPid: status.parentPid,
    python: probe.kind === 'python' ? probe.version : null,
    rssBytes: status.rssBytes,
    ageSeconds: Math.max(0, Date.now() / 1000 - status.processStartedAt),
    user: users.get(status.uid) ?? String(status.uid),
    command: status.command,
    readable: refusal === undefined,
    reason:
      refusal === undefined
        ? null
        : refusal instanceof UnsupportedError
          ? `${refusal.text.fact}: ${refusal.text.reason}`
          : refusal.text.reason,
  };
}

/** Names of /etc/passwd by uid: a convenience, users of a directory service keep their number. */
function readUserNames(): Map<number, string> {
  const names = new Map<number, string>();
  try {
    for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
      const [name, , uid] = line.split(':');
      if (uid !== undefined) names.set(Number(uid), name);
    }
  } catch {
    // Then numbers are shown.
  }
  return names;
}
