// `ps`: the Python processes of this machine as a table.

import {
  cutMiddle,
  formatBytes,
  formatDuration,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { PsReport } from './schemas.ts';
import {
  formatHanging,
  formatTable,
  PAGE_WIDTH,
  plainStyle,
  type Style,
  textWidth,
} from './text-layout.ts';

export function formatPs(report: PsReport, style: Style = plainStyle): string {
  if (report.processes.length === 0) {
    return 'no Python process is visible here. In a container, only its own processes are.\n';
  }
  const rows = report.processes.map((process) => [
    String(process.pid),
    process.python ?? '?',
    formatBytes(process.rssBytes),
    formatDuration(process.ageSeconds),
    process.user,
    process.readable ? 'yes' : 'no',
    sanitizeText(process.command.join(' ')),
  ]);
  const lines = formatTable(
    [
      { title: 'pid', align: 'right' },
      { title: 'python', align: 'left' },
      { title: 'RSS', align: 'right' },
      { title: 'up', align: 'right' },
      { title: 'user', align: 'left' },
      { title: 'readable', align: 'left' },
      { title: 'command', align: 'left' },
    ],
    rows,
    style,
  ).map((line, i) => (i === 0 ? line : cutCommand(line, rows[i - 1][6])));
  return [...lines, ...formatRefusals(report), ''].join('\n');
}

function cutCommand(line: string, command: string): string {
  const room = PAGE_WIDTH - (textWidth(line) - textWidth(command));
  return textWidth(line) <= PAGE_WIDTH
    ? line
    : line.slice(0, line.length - command.length) + cutMiddle(command, Math.max(20, room));
}

/** Each reason once, with the pids that it concerns. */
function formatRefusals(report: PsReport): string[] {
  const pidsByReason = new Map<string, number[]>();
  for (const { reason, pid } of report.processes) {
    if (reason === null) continue;
    pidsByReason.set(reason, [...(pidsByReason.get(reason) ?? []), pid]);
  }
  const lines = [...pidsByReason].flatMap(([reason, pids]) => {
    const shown = pids.slice(0, 8).join(', ');
    const more = pids.length > 8 ? ` and ${formatNumberOf(pids.length - 8, 'other')}` : '';
    return formatHanging('   ', `${shown}${more}: ${sanitizeText(reason)}`);
  });
  return lines.length === 0
    ? []
    : ['', 'not readable', ...lines, 'leakscope doctor PID says what mends it.'];
}
