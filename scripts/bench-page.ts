// What the small benches have in common: their options, and from the rows of a table to a section of docs/benchmarks.md with
// the command, the machine and its load.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { replaceBetweenMarkers } from '../tests/bench/tables.ts';
import { findPyenvVersions } from './pyenv.ts';

/** Of the repository. */
export const pathOf = (path: string): string =>
  fileURLToPath(new URL(`../${path}`, import.meta.url));
/** The built command line. */
export const CLI = pathOf('dist/cli/main.js');

export interface BenchPage {
  /** Of the markers `bench-NAME` in docs/benchmarks.md. */
  name: string;
  /** Default `npm run bench:NAME`. */
  command?: string;
  /** Measures; the rows of the table as Markdown. */
  measure(python: string): Promise<readonly string[]>;
  /** One sentence: the target, and what the times are. */
  target: string;
  /** Of the table, and its second line. */
  head: readonly [string, string];
}

/** Prints the section; `--write` puts it into docs/benchmarks.md, `--python PROGRAM` measures another Python than the newest. */
export async function runBenchPage({
  name,
  command = `npm run bench:${name}`,
  measure,
  target,
  head,
}: BenchPage): Promise<void> {
  const { values } = parseArgs({
    options: { write: { type: 'boolean', default: false }, python: { type: 'string' } },
  });
  const python = values.python ?? findPyenvVersions().at(-1)?.program ?? 'python3';
  const version = spawnSync(python, ['-V'], { encoding: 'utf8' }).stdout.trim();
  const loadBefore = loadavg()[0].toFixed(1);
  const rows = await measure(python);
  const text = [
    `- Command: \`${command}${values.write ? `${command.includes(' -- ') ? '' : ' --'} --write` : ''}\`, ${new Date().toISOString().slice(0, 10)}.`,
    `- Machine: ${cpus().length} cores (${cpus()[0].model.trim()}), Linux ${release()}; Node.js ${process.versions.node}; ${version}. Load average when it began ${loadBefore}, at the end ${loadavg()[0].toFixed(1)}: above 1 others were at work too.`,
    `- Target: ${target}`,
    '',
    ...head,
    ...rows,
  ].join('\n');
  console.log(text);
  if (!values.write) return;
  const file = pathOf('docs/benchmarks.md');
  const page = readFileSync(file, 'utf8');
  writeFileSync(file, replaceBetweenMarkers(page, `bench-${name}`, `\n${text}\n`));
}
