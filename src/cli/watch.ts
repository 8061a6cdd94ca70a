// `leakscope watch PID`: a process's memory over time, on a terminal, as lines of JSON or as Prometheus metrics; captures by
// itself near a limit; goes on with the process that takes the place of one that ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { UsageError } from '../base/errors.ts';
import { formatBytes, formatCount } from '../base/format.ts';
import { explainFileError } from '../capture/whole-file.ts';
import { findMappings } from '../memory/mappings.ts';
import type { ProcessStatus } from '../memory/process-status.ts';
import type { WatchEvent } from '../report/watch-schema.ts';
import type { Threshold } from '../watch/capture-triggers.ts';
import {
  type FollowedProcess,
  findFollowed,
  listMatching,
  type Successor,
  successorOf,
} from '../watch/followed-process.ts';
import { KeptCaptures } from '../watch/kept-captures.ts';
import {
  isLoopback,
  type MetricsServer,
  parseListenAddress,
  startMetrics,
} from '../watch/metrics-server.ts';
import { type FinishedRun, makeCaptureTaker } from '../watch/take-capture.ts';
import { watchProcess } from '../watch/watch-process.ts';
import {
  addExamples,
  addOutputOptions,
  parseBytes,
  parseDuration,
  parseWholeNumber,
} from './options.ts';
import { looksLikePython, probePython } from './python-processes.ts';
import { openPython } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { parsePid } from './target.ts';
import { WatchDisplay } from './watch-screen.ts';

interface WatchCommandOptions extends OutputOptions {
  name?: string;
  every: number;
  window: number;
  for?: number;
  untilEnd?: boolean;
  metrics?: ReturnType<typeof parseMetricsAddress>;
  captures?: string;
  captureAt: Threshold[];
  captureEvery?: number;
  captureGap: number;
  keep: number;
  maxDisk: number;
}

const USUAL_THRESHOLDS: Threshold[] = [{ share: 0.7 }, { share: 0.85 }, { share: 0.95 }];
const LEAST_EVERY_SECONDS = 0.1;

export function addWatchCommand(program: Command, session: Session): void {
  const command = program
    .command('watch')
    .description(
      'memory over time: chart, trend, time until the limit; captures by itself; Prometheus metrics',
    )
    .argument('[pid]', 'a running Python process')
    .option('--name <text>', 'instead of a pid: the largest Python whose command contains the text')
    .option('--every <duration>', 'time between samples', parseDuration, 1)
    .option('--window <duration>', 'time that chart and trend look back', parseDuration, 3600)
    .option('--for <duration>', 'end after that time', parseDuration)
    .option('--until-end', 'end with the process, and do not wait for the one that takes its place')
    .option(
      '--metrics <address>',
      'serve Prometheus metrics at http://ADDRESS/metrics (127.0.0.1:9099, or a port of it)',
      parseMetricsAddress,
    )
    .option('--captures <folder>', 'take captures by itself, and keep them in this folder')
    .option(
      '--capture-at <level>',
      'at this share of the limit (85%) or resident set (2GB); may be repeated (default: 70%, 85%, 95%)',
      addThreshold,
      [],
    )
    .option('--capture-every <duration>', 'also by the clock', parseDuration)
    .option('--capture-gap <duration>', 'no two captures closer than this', parseDuration, 30)
    .option('--keep <count>', 'captures to keep', parseWholeNumber(1, 10_000), 8)
    .option('--max-disk <size>', 'room that they may take', parseBytes, 4e9)
    .action((pid: string | undefined, options: WatchCommandOptions) => {
      session.useOutput(options);
      return runWatch(pid, options, session);
    });
  addOutputOptions(command);
  addExamples(command, [
    'leakscope watch 4242',
    'leakscope watch --name app.main --metrics 127.0.0.1:9099',
    'leakscope watch 4242 --captures /var/tmp/app --capture-at 80% --capture-at 95%',
    'leakscope watch 4242 --json --every 10s',
  ]);
  command.addHelpText(
    'after',
    '\nWith --captures it captures once at the start, at each level, when the control group meets memory.high, and when memory\n' +
      'grows persistently; from the fourth capture of a process on it says what a hunt makes of them. docs/watch.md says more.',
  );
}

async function runWatch(
  pid: string | undefined,
  options: WatchCommandOptions,
  session: Session,
): Promise<void> {
  if (options.every < LEAST_EVERY_SECONDS) {
    throw new UsageError({
      fact: 'Samples cannot come that fast',
      reason: `--every is below ${LEAST_EVERY_SECONDS} s`,
      next: 'Write --every 1s.',
    });
  }
  const { first, successor } = findTarget(pid, options, session);
  const metrics = await openMetrics(options, session);
  const display = new WatchDisplay(options.window, session.style);
  const takesCaptures = options.captures !== undefined;
  if (takesCaptures) makeFolder(options.captures as string);
  try {
    await watchProcess(first, {
      everySeconds: options.every,
      windowSeconds: Math.max(options.window, options.every * 10),
      forSeconds: options.for,
      untilEnd: options.untilEnd === true,
      signal: session.signal,
      captures: takesCaptures
        ? {
            thresholds: options.captureAt.length > 0 ? options.captureAt : USUAL_THRESHOLDS,
            everySeconds: options.captureEvery,
            leastSecondsBetween: options.captureGap,
            take: makeCaptureTaker({
              folder: options.captures as string,
              kept: new KeptCaptures({ count: options.keep, bytes: options.maxDisk }),
              run: (args) => runLeakscope(args, session),
            }),
          }
        : undefined,
      findSuccessor: () => listMatching(successor, isPython)[0],
      onEvent: (event, history) => {
        metrics?.observe(event);
        if (session.json) printLine(event);
        else display.show(event, history, findFollowed(event.pid)?.startedAt ?? 0);
      },
    });
  } finally {
    metrics?.close();
  }
}

const printLine = (event: WatchEvent): void =>
  void process.stdout.write(`${JSON.stringify(event)}\n`);

function findTarget(
  pid: string | undefined,
  { name }: WatchCommandOptions,
  session: Session,
): { first: FollowedProcess; successor: Successor } {
  if ((pid === undefined) === (name === undefined)) {
    throw new UsageError({
      fact: 'What to watch is not clear',
      reason:
        pid === undefined
          ? 'neither a pid nor --name was given'
          : 'there are both a pid and --name',
      next: 'Write leakscope watch PID, or leakscope watch --name TEXT.',
    });
  }
  if (name !== undefined) {
    const matching = listMatching({ name }, isPython);
    if (matching.length === 0) {
      throw new UsageError({
        fact: `No Python process has "${name}" in its command`,
        reason: 'none of those that run here fits',
        next: 'leakscope ps lists them.',
      });
    }
    if (matching.length > 1) {
      session.note(
        `note: ${formatCount(matching.length)} processes have "${name}" in their commands; watching the largest, ${matching[0].pid}`,
      );
    }
    return { first: matching[0], successor: { name } };
  }
  const number = parsePid(pid as string);
  // The errors of a capture: no such process, no Python, a wrapper's pid. Nothing is stopped for it.
  openPython(number).close();
  const first = findFollowed(number);
  const successor = successorOf(number);
  if (first === undefined || successor === undefined) {
    throw new UsageError({
      fact: `Process ${number} cannot be watched`,
      reason: 'it has just ended',
      next: 'leakscope ps lists the Python processes that run.',
    });
  }
  return { first, successor };
}

const isPython = (status: ProcessStatus): boolean =>
  looksLikePython(status, findMappings(status.pid)) && probePython(status.pid).kind === 'python';

async function openMetrics(
  { metrics }: WatchCommandOptions,
  session: Session,
): Promise<MetricsServer | undefined> {
  if (metrics === undefined) return undefined;
  if (!isLoopback(metrics.host)) {
    session.note(
      `note: ${metrics.host} may be reached from other machines: whoever reaches it sees the process's command, its memory and the names of its types`,
    );
  }
  const server = await startMetrics(metrics);
  session.note(`metrics at http://${server.address}/metrics`);
  return server;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const why = explainFileError(cause);
    if (why === undefined) throw cause;
    throw new UsageError({ fact: `Cannot make the folder ${path}`, ...why }, { cause });
  }
}

/** Another leakscope, with the arguments that Node.js itself was given (how it reads TypeScript, in the source tree). */
function runLeakscope(args: readonly string[], session: Session): Promise<FinishedRun> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(
      process.execPath,
      [...process.execArgv, process.argv[1], ...args],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const forget = session.atExit(() => child.kill('SIGTERM'));
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        texts[name] += text;
      });
    }
    child.once('error', reject);
    child.once('close', () => {
      forget();
      resolve(texts);
    });
  });
}

function parseMetricsAddress(text: string) {
  const address = parseListenAddress(text);
  if (address === undefined) {
    throw new InvalidArgumentError('Write an address such as 127.0.0.1:9099 or :9099.');
  }
  return address;
}

/** `85%` of the limit, or a size. */
function addThreshold(text: string, before: Threshold[]): Threshold[] {
  const percent = /^(\d+(?:\.\d+)?) ?%$/.exec(text.trim());
  if (percent === null) return [...before, { bytes: parseBytes(text) }];
  const share = Number(percent[1]) / 100;
  if (!(share > 0 && share <= 1)) {
    throw new InvalidArgumentError(
      `Write a share from 1% to 100%, or a size such as ${formatBytes(2e9)}.`,
    );
  }
  return [...before, { share }];
}
