// `npm run bench:remote [-- --write]`: how long a console takes to open and to answer, in programs on asyncio and in one that
// sleeps, beside exec() of the same code in the program itself, as Markdown; `--write` puts it into docs/benchmarks.md.
// Opening is from openRemote to the first answer, in a Node.js that runs already; the command line is timed apart.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { openRemote } from '../src/remote/open-remote.ts';
import { CLI, pathOf, runBenchPage } from './bench-page.ts';

const OPENINGS = 25;
const COMMANDS = 100;
const CODE = 'sum(range(1000))';
const TARGETS = [
  { mode: 'asyncio', name: 'asyncio, a timer of 20 ms', nudge: false },
  { mode: 'idle', name: 'asyncio, idle', nudge: false },
  { mode: 'sleeping', name: '`time.sleep`, with `--nudge`', nudge: true },
];

type Target = ChildProcessByStdio<Writable, Readable, null>;

async function measure(python: string, { mode, name, nudge }: (typeof TARGETS)[number]) {
  const args = [pathOf('tests/bench/console_target.py'), mode];
  const target: Target = spawn(python, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(target.stdout)[Symbol.asyncIterator]();
  const nextLine = async () => JSON.parse((await lines.next()).value as string);
  try {
    const { pid } = (await nextLine()) as { pid: number };
    const opened: number[] = [];
    const commands: number[] = [];
    for (let i = 0; i < OPENINGS; i++) {
      const start = performance.now();
      const remote = await openRemote(pid, { nudge });
      await remote.request('run', { code: CODE });
      opened.push(performance.now() - start);
      for (let j = 0; j < COMMANDS / OPENINGS; j++) {
        const begin = performance.now();
        await remote.request('run', { code: CODE });
        commands.push(performance.now() - begin);
      }
      await remote.close();
    }
    const whole = Array.from({ length: OPENINGS }, () => runCommandLine(pid, nudge));
    target.stdin.write(`${CODE}\n`);
    const inside = (await nextLine()) as number[];
    return `| ${[name, ...[opened, whole, commands, inside].flatMap(formatTimes)].join(' | ')} |`;
  } finally {
    target.stdin.end();
    await once(target, 'exit');
  }
}

function runCommandLine(pid: number, nudge: boolean): number {
  const args = [CLI, 'console', `${pid}`, '--yes', '-c', CODE, ...(nudge ? ['--nudge'] : [])];
  const start = performance.now();
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (stdout !== '499500\n') throw new Error(stderr);
  return performance.now() - start;
}

/** Median and 95th percentile. */
function formatTimes(times: readonly number[]): string[] {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (part: number): string => {
    const ms = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
    return ms < 1 ? ms.toFixed(3) : ms < 10 ? ms.toFixed(1) : ms.toFixed(0);
  };
  return [`${at(0.5)} / ${at(0.95)}`];
}

await runBenchPage({
  name: 'remote',
  measure: async (python) => {
    const rows: string[] = [];
    for (const target of TARGETS) rows.push(await measure(python, target));
    return rows;
  },
  target: `tests/bench/console_target.py; code: \`${CODE}\`. Milliseconds, median / 95th percentile of ${OPENINGS} openings and ${COMMANDS} commands.`,
  head: [
    '| program | opened, first answer | `console -c`, start to end | one command | `exec()` inside |',
    '| --- | ---: | ---: | ---: | ---: |',
  ],
});
