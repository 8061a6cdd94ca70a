// `leakscope hunt PID`, `leakscope hunt A B C` and `leakscope hunt -- CMD ...`: the main job. Captures over time, of a process
// or from files, a verdict, and its exit code.

import type { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { formatHunt } from '../report/hunt-text.ts';
import type { HuntReport } from '../report/schemas.ts';
import { huntProcess } from '../watch/hunt.ts';
import { huntFiles } from '../watch/hunt-files.ts';
import {
  addExamples,
  addRemoteOptions,
  addTargetOptions,
  parseDuration,
  parseWholeNumber,
  type RemoteCommandOptions,
} from './options.ts';
import { nameChildren } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { type StartedProgram, startProgram, waitForPython } from './start-program.ts';
import { noteGaps, parsePid, parseTarget } from './target.ts';
import { withTracer } from './trace-window.ts';

export interface HuntCommandOptions extends OutputOptions, Partial<RemoteCommandOptions> {
  every: number;
  snapshots: number;
  after?: number;
  load?: string;
  /** Frames of tracebacks. */
  trace?: number;
  redact?: boolean;
}

export const HUNT_EXIT_CODES = { 'no-leak': 0, leak: 1, inconclusive: 5 } as const;
/** A program that leakscope starts imports and fills its caches first; a process that runs already has done so. */
const START_UP_SECONDS = 2;
/** Of `--trace` without a number. */
const USUAL_FRAMES = 10;

export function addHuntCommand(program: Command, session: Session): void {
  const command = program
    .command('hunt')
    .description('what leaks, who holds it and what to do: captures over time and a verdict')
    .usage(
      '[options] PID\n       leakscope hunt [options] FILE FILE ...\n       leakscope hunt [options] -- CMD [ARGUMENT ...]',
    )
    .argument(
      '[targets...]',
      'a running Python process, or snapshot or core files of one in the order of their captures',
    )
    .option(
      '--load <command>',
      'run this shell command while hunting, as the load that makes it leak',
    )
    .option(
      '--after <duration>',
      `wait before the first capture (default: 0s; ${START_UP_SECONDS}s behind --)`,
      parseDuration,
    )
    .option(
      '--trace [frames]',
      'switch tracemalloc on for the hunt, to name the lines (changes the process; asks, or --yes)',
      parseWholeNumber(1, 128),
    )
    .option('--redact', 'no contents of objects in the report: only types, names in code and sizes')
    .action((targets: readonly string[], { trace, ...options }: HuntCommandOptions) => {
      session.useOutput(options);
      const frames = (trace as number | true | undefined) === true ? USUAL_FRAMES : trace;
      return huntTargets(
        targets,
        { ...options, ...(frames !== undefined && { trace: frames }) },
        session,
      );
    });
  addRemoteOptions(command, '--trace');
  addRoundOptions(command);
  addTargetOptions(command);
  addExamples(command, [
    'leakscope hunt 4242',
    'leakscope hunt 4242 --every 30s --snapshots 6',
    'leakscope hunt 4242 --load "wrk -d 30 http://localhost:8000/"',
    'leakscope hunt 4242 --trace',
    'leakscope hunt monday.lscope tuesday.lscope wednesday.lscope thursday.lscope',
    'leakscope hunt --json -- python -m app.main --port 8000',
  ]);
  command.addHelpText(
    'after',
    '\nExit code: 0 nothing leaks, 1 a leak was found, 5 inconclusive, 2 wrong arguments,\n3 access refused, 4 this Python cannot be read, 70 a bug in leakscope.',
  );
}

export const addRoundOptions = (command: Command): Command =>
  command
    .option('--every <duration>', 'time between captures', parseDuration, 5)
    .option(
      '--snapshots <count>',
      'captures; a suspect grew between each two',
      parseWholeNumber(2, 1000),
      4,
    );

async function huntTargets(
  targets: readonly string[],
  options: HuntCommandOptions,
  session: Session,
): Promise<void> {
  const program = session.program;
  if ((targets.length === 0) === (program === undefined) || program?.length === 0) {
    throw new UsageError({
      fact: 'What to hunt is not clear',
      reason:
        targets.length === 0
          ? 'neither a pid nor files nor a program were given'
          : 'there are both a target and --',
      next: 'Write leakscope hunt PID, leakscope hunt FILE FILE ..., or leakscope hunt -- CMD ...',
    });
  }
  if (program !== undefined) return huntProgram(program, options, session);
  const files = parseFiles(targets, options);
  if (files === undefined) {
    return finishHunt(await huntTraced(parsePid(targets[0]), options, session), session);
  }
  const { signal, budget } = session;
  const onProgress = (text: string) => session.progress(text);
  const report = await huntFiles(files, {
    signal,
    budget,
    search: session.coreSearch,
    redact: options.redact === true,
    onProgress,
    onCapture: (capture) => noteGaps(capture, session),
  });
  finishHunt(report, session);
}

/** undefined where the target is one process. */
function parseFiles(
  targets: readonly string[],
  { load, after, trace }: HuntCommandOptions,
): readonly string[] | undefined {
  const parsed = targets.map(parseTarget);
  const files = parsed.flatMap((target) => (target.kind === 'file' ? [target.path] : []));
  if (files.length === 0 && targets.length === 1) return undefined;
  if (files.length < targets.length) {
    throw new UsageError({
      fact: 'One hunt is of one process',
      reason: files.length === 0 ? `${targets.length} pids were given` : 'there are pids and files',
      next: 'Give one pid, or snapshot or core files only.',
    });
  }
  if (files.length === 1) {
    throw new UsageError({
      fact: 'One snapshot file is one moment',
      reason: 'a hunt looks at what grows from capture to capture',
      next: 'Give four or more files of one process, or its pid.',
    });
  }
  if (load !== undefined || after !== undefined || trace !== undefined) {
    throw new UsageError({
      fact: 'Files are hunted as they are',
      reason: '--load, --after and --trace are for a running process',
      next: 'Leave them out, or give a pid.',
    });
  }
  return files;
}

/** Starts a program, hunts the Python in it, and ends it. */
export async function huntProgram(
  command: readonly string[],
  options: HuntCommandOptions,
  session: Session,
): Promise<void> {
  const started = await startProgram(command, session);
  try {
    const pid = await waitForPython(started, session);
    // The program is ours: nobody needs to be asked.
    const own = { after: START_UP_SECONDS, ...options, yes: true };
    const report = await huntTraced(pid, own, session);
    finishHunt(forProgram(report, options.redact === true ? ['CMD'] : command), session);
  } finally {
    await started.stop();
  }
}

/** With `--trace` the tracer is on from before the first capture until after the last. */
async function huntTraced(
  pid: number,
  options: HuntCommandOptions,
  session: Session,
): Promise<HuntReport> {
  if (options.trace === undefined) return huntPid(pid, options, session);
  const wanted = { ...options, command: 'hunt --trace', frames: options.trace };
  return withTracer(pid, wanted, session, () => huntPid(pid, options, session));
}

async function huntPid(
  pid: number,
  options: HuntCommandOptions,
  session: Session,
): Promise<HuntReport> {
  let load: StartedProgram | undefined;
  if (options.load !== undefined) load = await startProgram(['sh', '-c', options.load], session);
  try {
    if (options.after !== undefined && options.after > 0) {
      session.progress(`waiting ${options.after} s before the first capture`);
      await session.sleep(options.after * 1000);
    }
    const report = await huntProcess(pid, {
      everySeconds: options.every,
      snapshots: options.snapshots,
      signal: session.signal,
      budget: session.budget,
      redact: options.redact === true,
      onProgress: (text) => session.progress(text),
    }).catch((error: unknown) => {
      throw nameChildren(pid, error);
    });
    if (load?.hasEnded()) noteEarlyEnd(load, report, session);
    return report;
  } finally {
    await load?.stop();
  }
}

function finishHunt(report: HuntReport, session: Session): void {
  session.print(report, () => formatHunt(report, session.style));
  session.exitCode = HUNT_EXIT_CODES[report.verdict];
}

/** The process is ended after the hunt: no command can name its pid, and a longer hunt has to start it again. */
function forProgram(report: HuntReport, command: readonly string[]): HuntReport {
  const again = `leakscope hunt$<options> -- ${command.join(' ')}`;
  return {
    ...report,
    next: [],
    nextMeasurement:
      report.nextMeasurement?.replace(/leakscope hunt \d+(?<options>( --\w+ \w+)*)/, again) ?? null,
  };
}

function noteEarlyEnd(load: StartedProgram, report: HuntReport, session: Session): void {
  session.note(
    `the load ended (${load.ending()}) before the last capture, ${report.seconds} s after the first: the verdict is about both`,
  );
}
