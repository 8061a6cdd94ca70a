// `doctor`: what was checked, what is in the way, and the one line that mends it.

import { sanitizeText } from '../base/format.ts';
import type { DoctorReport } from './schemas.ts';
import { formatHanging, padEnd, plainStyle, type Style } from './text-layout.ts';

const WORDS = { ok: 'ok', warning: 'note', failed: 'FAILED' } as const;

export function formatDoctor(report: DoctorReport, style: Style = plainStyle): string {
  const nameWidth = Math.max(0, ...report.checks.map((check) => check.name.length));
  const lines = report.checks.flatMap((check) => {
    const word = WORDS[check.state];
    const prefix = `${padEnd(word, 6)}  ${padEnd(check.name, nameWidth)}  `;
    const text = formatHanging(prefix, sanitizeText(check.fact));
    const paint =
      check.state === 'ok' ? style.calm : check.state === 'failed' ? style.alarm : style.strong;
    text[0] = paint(word) + text[0].slice(word.length);
    if (check.fix !== null)
      text.push(...formatHanging(`${' '.repeat(prefix.length)}do: `, sanitizeText(check.fix)));
    return text;
  });
  const what = report.pid === null ? 'this machine' : `process ${report.pid}`;
  const verdict = report.ok ? `${what} can be read` : `${what} cannot be read`;
  return [...lines, '', report.ok ? style.calm(verdict) : style.alarm(verdict), ''].join('\n');
}
