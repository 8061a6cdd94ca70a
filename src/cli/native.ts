// `leakscope native TARGET`: memory of C code that nothing points at, forgotten Py_DECREFs, and their growth.

import type { Command } from 'commander';
import { assert } from '../base/assert.ts';
import { AccessError, UsageError } from '../base/errors.ts';
import { redactGraph } from '../graph/redact-graph.ts';
import { findProcess } from '../memory/process-status.ts';
import { buildNativeReport, formatNative, type NativeCapture } from '../report/native-report.ts';
import { requireNative } from './native-target.ts';
import { addExamples, addTargetOptions, parseDuration, parseWholeNumber } from './options.ts';
import { openPython } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { captureOptionsOf, parsePid, parseTarget, TARGET_HELP } from './target.ts';

interface NativeOptions extends OutputOptions {
  every?: number;
  limit: number;
  redact?: boolean;
}

export function addNativeCommand(program: Command, session: Session): void {
  const command = program
    .command('native')
    .description('C memory that nothing points at, missing DECREFs, and their growth')
    .argument('<target>', TARGET_HELP)
    .argument('[later]', 'a later moment, to see what grew')
    .option(
      '--every <duration>',
      'capture a pid again after this time, and show what grew',
      parseDuration,
    )
    .option('-n, --limit <count>', 'groups of blocks to list', parseWholeNumber(1, 100_000), 15)
    .option('--redact', 'do not print what memory holds')
    .action((target: string, later: string | undefined, options: NativeOptions) => {
      session.useOutput(options);
      return runNative(target, later, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope native 4242',
    'leakscope native 4242 --every 30s',
    'leakscope native before.lscope after.lscope --json',
  ]);
}

async function runNative(
  target: string,
  later: string | undefined,
  options: NativeOptions,
  session: Session,
): Promise<void> {
  if (options.every !== undefined && (later !== undefined || parseTarget(target).kind === 'file')) {
    throw new UsageError({
      fact: '--every is for one running process',
      reason: 'two moments, or a file, were given',
      next: 'Write leakscope native PID --every 30s, or leakscope native BEFORE AFTER.',
    });
  }
  const moments = await captureMoments(target, later, options, session);
  const [before, now] = options.redact === true ? redactMoments(moments) : moments;
  const report = buildNativeReport(before, now, {
    limit: options.limit,
    redact: now.graph.capture.isRedacted === true,
  });
  await session.printResult(report, () => formatNative(report, session.style));
}

type Moments = [before: NativeCapture | undefined, now: NativeCapture];

const redactMoments = ([before, now]: Moments): Moments => [
  before === undefined ? undefined : redactMoment(before),
  redactMoment(now),
];

function redactMoment(moment: NativeCapture): NativeCapture {
  const graph = redactGraph(moment.graph);
  return { graph, native: graph.native ?? moment.native };
}

/** The earlier moment, if there is one, and the last. */
async function captureMoments(
  target: string,
  later: string | undefined,
  { every }: NativeOptions,
  session: Session,
): Promise<Moments> {
  if (every !== undefined) return captureTwice(parsePid(target), every, session);
  const first = await requireNative(target, session);
  return later === undefined ? [undefined, first] : [first, await requireNative(later, session)];
}

/** Both of one process, whatever has its pid later. With a note, only the first of one that has ended meanwhile. */
async function captureTwice(pid: number, seconds: number, session: Session): Promise<Moments> {
  const live = openPython(pid);
  const read = async (): Promise<NativeCapture> => {
    const graph = await live.capture({ native: true, ...captureOptionsOf(session) });
    assert(graph.native !== undefined, 'the capture looked at C memory');
    return { graph, native: graph.native };
  };
  try {
    const first = await read();
    session.progress(`waiting ${seconds} s`);
    await session.sleep(seconds * 1000);
    try {
      return [first, await read()];
    } catch (error) {
      if (live.isAlive) throw error;
      refuseOther(pid);
      session.note(`process ${pid} has ended: this is what it held at the first capture`);
      return [undefined, first];
    }
  } finally {
    live.close();
  }
}

/** Throws AccessError if another process has the pid of the one that has ended. */
function refuseOther(pid: number): void {
  const other = findProcess(pid);
  if (other === undefined || 'XZ'.includes(other.state)) return;
  const began = new Date(other.processStartedAt * 1000).toISOString();
  throw new AccessError({
    fact: `Process ${pid} is no longer the one of the first capture`,
    reason: `that one has ended, and its pid was given to another, "${other.name}", which began at ${began}`,
    next: 'Find the program again with leakscope ps, and give its new pid.',
  });
}
