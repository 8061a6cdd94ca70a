// `leakscope allocations TARGET [LATER]`: where memory was allocated, as tracemalloc has recorded it.

import { type Command, Option } from 'commander';
import type { AllocationFilter } from '../analysis/allocation-filters.ts';
import type { GroupBy } from '../analysis/allocation-groups.ts';
import { AccessError, UnsupportedError, UsageError } from '../base/errors.ts';
import { readTraceFile } from '../capture/graph-file.ts';
import { writeWholeFile } from '../capture/whole-file.ts';
import type { CaptureFacts } from '../graph/heap-graph.ts';
import {
  buildAllocationsReport,
  buildObjectAllocation,
  collectStacks,
  type TracedMoment,
} from '../report/allocations-report.ts';
import type { AllocationsReport } from '../report/allocations-schema.ts';
import { formatAllocations } from '../report/allocations-text.ts';
import { drawFlameGraph, formatSpeedscope } from '../report/flame-graph.ts';
import { requireNodeAt } from './object-query.ts';
import {
  addExamples,
  addRemoteOptions,
  addTargetOptions,
  parseAddress,
  parseDuration,
  parseFileName,
  parseWholeNumber,
  type RemoteCommandOptions,
} from './options.ts';
import { openPython } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { makeSourceFinder } from './source-lines.ts';
import {
  captureOptionsOf,
  loadGraph,
  noteGaps,
  parseTarget,
  TARGET_HELP,
  type Target,
} from './target.ts';
import { withTracer } from './trace-window.ts';

/** Nothing can be said: as of a hunt without a verdict. */
const TRACER_IS_OFF = 5;
/** What the agent itself allocates is not the program's. */
const NO_AGENT: AllocationFilter = {
  inclusive: false,
  file: '*leakscope_agent.py',
  allFrames: true,
};

interface AllocationsOptions extends OutputOptions, RemoteCommandOptions {
  by: GroupBy;
  include: AllocationFilter[];
  exclude: AllocationFilter[];
  allFrames?: boolean;
  domain?: number;
  excludeDomain: number[];
  cumulative?: boolean;
  every?: number;
  start?: boolean;
  for: number;
  frames: number;
  limit: number;
  object?: number;
  flamegraph?: string;
  speedscope?: string;
}

export function addAllocationsCommand(program: Command, session: Session): void {
  const command = program
    .command('allocations')
    .description('where memory was allocated, and what grew: tracemalloc, read from outside')
    .argument('<target>', TARGET_HELP)
    .argument('[later]', 'a later moment, to see what grew')
    .addOption(
      new Option('--by <what>', 'what to sum up by')
        .choices(['line', 'file', 'traceback', 'domain'])
        .default('line'),
    )
    .option(
      '--include <glob>',
      'only files like it, or FILE:LINE; may be repeated',
      addFilter(true),
      [],
    )
    .option(
      '--exclude <glob>',
      'no files like it, or FILE:LINE; may be repeated',
      addFilter(false),
      [],
    )
    .option('--all-frames', 'filters look at every frame and not only at the innermost')
    .option(
      '--domain <number>',
      'only this domain of tracemalloc',
      parseWholeNumber(0, 2 ** 32 - 1),
    )
    .option(
      '--exclude-domain <number>',
      'not this domain; may be repeated',
      (text: string, before: number[]) => [...before, parseWholeNumber(0, 2 ** 32 - 1)(text)],
      [],
    )
    .option('--cumulative', 'count an allocation for every line (file) of its traceback')
    .option(
      '--every <duration>',
      'look at a pid again after this time, and show what grew',
      parseDuration,
    )
    .option('--start', 'switch tracemalloc on for a while (changes the process; asks, or --yes)')
    .option('--for <duration>', 'with --start: how long', parseDuration, 30)
    .option(
      '--frames <count>',
      'with --start: frames of a traceback to keep',
      parseWholeNumber(1, 128),
      10,
    )
    .option('-n, --limit <count>', 'places to list', parseWholeNumber(1, 100_000), 20)
    .option('--object <address>', 'the traceback of one object instead', parseAddress)
    .option('--flamegraph <file>', 'draw the tracebacks as an SVG', parseFileName)
    .option('--speedscope <file>', 'write them for speedscope', parseFileName)
    .action((target: string, later: string | undefined, options: AllocationsOptions) => {
      session.useOutput(options);
      if (options.start === true) return traceForAWhile(target, later, options, session);
      return options.object === undefined
        ? listAllocations(target, later, options, session)
        : showAllocation(target, later, options.object, options, session);
    });
  addRemoteOptions(command, '--start');
  addTargetOptions(command);
  addExamples(command, [
    'leakscope allocations 4242',
    "leakscope allocations 4242 --every 30s --exclude '<frozen *>' --exclude '*/site-packages/*'",
    'leakscope allocations before.lscope after.lscope --by traceback -n 5',
    'leakscope allocations 4242 --flamegraph allocations.svg',
    'leakscope allocations 4242 --start --for 30s --frames 10',
  ]);
}

/** `*.py` or `*.py:12`. */
const addFilter =
  (inclusive: boolean) =>
  (text: string, before: AllocationFilter[]): AllocationFilter[] => {
    const match = /^(.*):(\d+)$/.exec(text);
    const [file, line] = match === null ? [text, undefined] : [match[1], Number(match[2])];
    return [...before, { inclusive, file, line }];
  };

/** A domain that is wanted is a condition on all that is included; one that is not wanted leaves out any file. */
function filtersOf({
  include,
  exclude,
  domain,
  excludeDomain,
  allFrames,
  start,
}: AllocationsOptions): AllocationFilter[] {
  const included =
    domain === undefined
      ? include
      : (include.length === 0 ? [{ inclusive: true }] : include).map((each) => ({
          ...each,
          domain,
        }));
  const domains = excludeDomain.map((each) => ({ inclusive: false, domain: each }));
  return [
    ...[...included, ...exclude, ...domains].map((each) => ({
      ...each,
      allFrames: allFrames === true,
    })),
    ...(start === true ? [NO_AGENT] : []),
  ];
}

async function listAllocations(
  first: string,
  later: string | undefined,
  options: AllocationsOptions,
  session: Session,
): Promise<void> {
  const target = parseTarget(first);
  if (options.every !== undefined && (later !== undefined || target.kind === 'file')) {
    throw new UsageError({
      fact: '--every is for one running process',
      reason: 'two moments, or a file, were given',
      next: 'Write leakscope allocations PID --every 30s, or leakscope allocations BEFORE AFTER.',
    });
  }
  const moments = [await loadTraces(target, session)];
  const isOn = moments[0].traces !== undefined;
  if (later !== undefined) moments.push(await loadTraces(parseTarget(later), session));
  else if (options.every !== undefined && isOn) {
    session.progress(`waiting ${options.every} s`);
    await session.sleep(options.every * 1000);
    moments.push(await loadTraces(target, session));
  }
  await reportMoments(moments, options, session, null);
}

/** What is allocated while the tracer is on, and is still there in the end. */
async function traceForAWhile(
  first: string,
  later: string | undefined,
  options: AllocationsOptions,
  session: Session,
): Promise<void> {
  const target = parseTarget(first);
  if (target.kind === 'file' || later !== undefined || options.object !== undefined) {
    throw new UsageError({
      fact: '--start is for one running process',
      reason: 'a file, two moments or an object were given',
      next: 'Write leakscope allocations PID --start --for 30s',
    });
  }
  const wantedSeconds = options.every ?? options.for;
  const wanted = { ...options, command: 'allocations --start' };
  const { moments, window } = await withTracer(
    target.pid,
    wanted,
    session,
    async ({ objectNs }) => {
      // With a tracer of the program's own, what was there before is told apart by comparing.
      const before = objectNs === undefined ? [await loadTraces(target, session)] : [];
      session.progress(`tracemalloc is on for ${wantedSeconds} s; Ctrl-C ends it before`);
      const seconds = await session.waitOrInterrupt(wantedSeconds * 1000);
      const moments = [...before, await loadTraces(target, session)];
      return { moments, window: { seconds, frames: options.frames, objectNs: objectNs ?? null } };
    },
  );
  if (moments.at(-1)?.traces === undefined) throw switchedOff(target.pid);
  await reportMoments(moments, options, session, window);
}

const switchedOff = (pid: number): AccessError =>
  new AccessError({
    fact: `tracemalloc was switched off in process ${pid} before the time was over`,
    reason: 'the program did it, or another leakscope whose own time was over',
    next: 'Try again when that one has ended.',
  });

async function reportMoments(
  moments: readonly TracedMoment[],
  options: AllocationsOptions,
  session: Session,
  window: AllocationsReport['window'],
): Promise<void> {
  const now = moments[moments.length - 1];
  const before = moments.length > 1 ? moments[0] : undefined;
  session.progress('summing up');
  const filters = filtersOf(options);
  const report = buildAllocationsReport(before, now, {
    by: options.by,
    cumulative: options.cumulative === true,
    filters,
    limit: options.limit,
    findSource: makeSourceFinder(now.capture),
    window,
  });
  await writePictures(before, now, filters, options, session);
  printReport(report, session);
  if (before !== undefined && before.traces === undefined) {
    session.note(
      'note: the tracer was off at the earlier moment: there is nothing to compare with',
    );
  }
}

async function showAllocation(
  target: string,
  later: string | undefined,
  address: number,
  options: AllocationsOptions,
  session: Session,
): Promise<void> {
  if (later !== undefined || options.every !== undefined) {
    throw new UsageError({
      fact: '--object is for one moment',
      reason: 'two were given',
      next: `Write leakscope allocations ${target} --object 0x${address.toString(16)}`,
    });
  }
  const graph = await loadGraph(parseTarget(target), session);
  refuseUnreadable(graph.capture);
  printReport(buildObjectAllocation(graph, requireNodeAt(graph, address)), session);
}

function printReport(report: AllocationsReport, session: Session): void {
  session.print(report, () => formatAllocations(report, session.style));
  if (!report.tracing) session.exitCode = TRACER_IS_OFF;
}

/** Throws UnsupportedError where the tracer is on and cannot be read. */
async function loadTraces(target: Target, session: Session): Promise<TracedMoment> {
  const moment =
    target.kind === 'file'
      ? await readTraceFile(target.path, {
          ...captureOptionsOf(session),
          search: session.coreSearch,
        })
      : await captureTraces(target.pid, session);
  noteGaps(moment.capture, session);
  refuseUnreadable(moment.capture);
  return { traces: moment.traces, capture: moment.capture };
}

async function captureTraces(pid: number, session: Session): Promise<TracedMoment> {
  const live = openPython(pid);
  try {
    return await live.captureTraces(captureOptionsOf(session));
  } finally {
    live.close();
  }
}

function refuseUnreadable({ tracer, pid }: CaptureFacts): void {
  if (tracer?.state !== 'unreadable') return;
  throw new UnsupportedError({
    fact: `The traces of process ${pid} cannot be read from outside`,
    reason: tracer.reason ?? 'its tables were not found',
    next: 'Try again; if it stays so, use a Python of version 3.12 or newer, or one with symbols.',
  });
}

async function writePictures(
  before: TracedMoment | undefined,
  { traces, capture }: TracedMoment,
  filters: readonly AllocationFilter[],
  { flamegraph, speedscope }: AllocationsOptions,
  session: Session,
): Promise<void> {
  if (traces === undefined || (flamegraph === undefined && speedscope === undefined)) return;
  const stacks = collectStacks(before?.traces, traces, filters);
  const what = before?.traces === undefined ? 'allocated' : 'grown';
  const title = `bytes ${what} by traceback, pid ${capture.pid}, python ${capture.python}`;
  const write = (path: string, text: string) =>
    writeWholeFile(path, (file) => file.writeFile(text), session.fileOptions);
  if (flamegraph !== undefined) await write(flamegraph, drawFlameGraph(stacks, title));
  if (speedscope !== undefined) await write(speedscope, formatSpeedscope(stacks, title));
}
