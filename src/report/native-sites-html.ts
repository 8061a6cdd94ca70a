// The report of `leakscope valgrind` and `leakscope heaptrack` as one HTML file that needs nothing else: no script, no
// font, no picture from anywhere. Text of the target is escaped; control characters have been made visible.

import { escapeMarkup, formatBytes, formatDuration, formatNumberOf } from '../base/format.ts';
import type { NativeSite, NativeSitesReport } from './native-sites-schema.ts';
import { formatEnding, formatLosses, formatSiteLoss, formatSiteName } from './native-sites-text.ts';

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --bar: #d9534f; --calm: #3a8f5c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
code, pre, td.number { font-family: ui-monospace, monospace; font-size: 13px; }
h1 { font-size: 1.3rem; margin-bottom: 0.2rem; }
.verdict { font-size: 1.15rem; padding: 0.6rem 0.9rem; border-left: 6px solid var(--bar); background: #8881; }
.verdict.no-leak { border-color: var(--calm); } .verdict.inconclusive { border-color: #c90; }
details { border: 1px solid var(--line); border-radius: 6px; margin: 0.6rem 0; padding: 0.4rem 0.8rem; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.bar { display: block; height: 5px; background: var(--bar); margin: 0.3rem 0; border-radius: 3px; }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: 0.2rem 1rem; } dt { opacity: 0.7; } dd { margin: 0; overflow-wrap: anywhere; }
ol { padding-left: 2rem; } .folded { opacity: 0.6; } .faint { opacity: 0.7; }
`;

/** A whole page. */
export function formatNativeSitesHtml(report: NativeSitesReport): string {
  const { tool, program } = report;
  const largest = Math.max(1, ...report.sites.map((site) => site.bytes));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeMarkup(report.summary)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeMarkup(tool.name)}: <code>${escapeMarkup(program.command.join(' '))}</code></h1>
<p class="faint">${escapeMarkup(`${tool.name} ${tool.version}, leakscope ${report.leakscope}; ${formatDuration(program.seconds)}, ${formatEnding(report)}`)}</p>
<p class="verdict ${report.verdict}"><strong>${escapeMarkup(report.verdict)}</strong>: ${escapeMarkup(report.summary)}</p>
${formatList(report.nextMeasurement === null ? report.reasons : [...report.reasons, `would decide: ${report.nextMeasurement}`])}
${report.sites.map((site, i) => formatSite(site, i, largest)).join('\n')}
<h2>Besides</h2>
${formatList(formatBesides(report))}
</body>
</html>
`;
}

const formatList = (texts: readonly string[]): string =>
  texts.length === 0
    ? ''
    : `<ul>${texts.map((text) => `<li>${escapeMarkup(text)}</li>`).join('')}</ul>`;

function formatSite(site: NativeSite, index: number, largest: number): string {
  const rows: [string, string][] = [
    ['lost', formatLosses(site.losses).join(', ')],
    ['function', formatSiteName(site)],
    ['source', site.file === null ? 'not known' : `${site.file}:${site.line ?? '?'}`],
    ['library', site.library],
  ];
  const python = [site.python, site.pythonSource].filter((text) => text !== null).join(' at ');
  if (python !== '') rows.splice(1, 0, ['python', python]);
  if (site.holdsBytes > 0) rows.push(['holds', `${formatBytes(site.holdsBytes)} more`]);
  rows.push(['advice', site.advice]);
  return `<details${index < 5 ? ' open' : ''}>
<summary><strong>${escapeMarkup(formatSiteLoss(site))}</strong> ${escapeMarkup(site.kind)} <code>${escapeMarkup(formatSiteName(site))}</code>
<span class="bar" style="width: ${((100 * site.bytes) / largest).toFixed(1)}%"></span></summary>
<dl>${rows.map(([name, value]) => `<dt>${name}</dt><dd>${escapeMarkup(value)}</dd>`).join('')}</dl>
<ol>${site.stack.map(formatRow).join('')}</ol>
</details>`;
}

function formatRow(row: NativeSite['stack'][number]): string {
  const name = `<code>${escapeMarkup(row.function ?? '(no symbol)')}</code>`;
  if (row.folded > 0) {
    return `<li class="folded">${name} ${escapeMarkup(row.library)}, ${formatNumberOf(row.folded, 'frame')}</li>`;
  }
  const where = row.file === null ? row.library : `${row.file}:${row.line ?? '?'}`;
  return `<li>${name} ${escapeMarkup(where)}</li>`;
}

function formatBesides(report: NativeSitesReport): string[] {
  const texts = formatLosses(report.interpreter).map(
    (text) => `the interpreter and Python code: ${text}`,
  );
  if (report.suppressed > 0)
    texts.push(`suppressed: ${formatNumberOf(report.suppressed, 'record')}`);
  for (const error of report.otherErrors) texts.push(`${error.kind}: ${error.count}`);
  texts.push(...report.notes, `options: ${report.tool.options.join(' ')}`);
  return texts;
}
