// `leakscope growth A B` and `leakscope growth PID --every 5s`: what grew between two moments, by type and by path.

import type { Command } from 'commander';
import { computePathTree } from '../analysis/paths.ts';
import { buildShapes } from '../analysis/shapes.ts';
import { UsageError } from '../base/errors.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { buildGrowthReport, formatGrowth } from '../report/growth-report.ts';
import { addExamples, addTargetOptions, parseDuration, parseWholeNumber } from './options.ts';
import { openPython } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { captureOptionsOf, loadGraph, parseTarget, TARGET_HELP } from './target.ts';

interface GrowthOptions extends OutputOptions {
  every: number;
  rounds: number;
  limit: number;
}

export function addGrowthCommand(program: Command, session: Session): void {
  const command = program
    .command('growth')
    .description('what grew between two moments, by type and by path')
    .argument('<before>', `${TARGET_HELP}; a pid alone is captured twice`)
    .argument('[after]', 'the later moment')
    .option('--every <duration>', 'time between the captures of a pid', parseDuration, 5)
    .option(
      '--rounds <count>',
      'how often to compare a pid with what it was before',
      parseWholeNumber(1),
      1,
    )
    .option('-n, --limit <count>', 'types and paths to list', parseWholeNumber(1, 100_000), 20)
    .action((before: string, after: string | undefined, options: GrowthOptions) => {
      session.useOutput(options);
      return after === undefined
        ? watchGrowth(before, options, session)
        : compare(before, after, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope growth before.lscope after.lscope',
    'leakscope growth before.lscope 4242',
    'leakscope growth 4242 --every 10s --rounds 6',
  ]);
}

async function compare(
  before: string,
  after: string,
  options: GrowthOptions,
  session: Session,
): Promise<void> {
  const from = await loadGraph(parseTarget(before), session);
  const to = await loadGraph(parseTarget(after), session);
  noteStrangers(from, to, session);
  await printGrowth(from, to, options, session);
}

async function watchGrowth(
  target: string,
  options: GrowthOptions,
  session: Session,
): Promise<void> {
  const parsed = parseTarget(target);
  if (parsed.kind === 'file') {
    throw new UsageError({
      fact: 'One snapshot file is one moment',
      reason: 'growth compares two',
      next: `Write leakscope growth ${target} AFTER, with a later file of the same process or its pid.`,
    });
  }
  const capture = openPython(parsed.pid);
  const read = () => capture.capture({ native: true, ...captureOptionsOf(session) });
  try {
    let from = await read();
    for (let round = 1; round <= options.rounds; round++) {
      session.progress(`round ${round} of ${options.rounds}: waiting ${options.every} s`);
      await session.sleep(options.every * 1000);
      const to = await read();
      await printGrowth(from, to, options, session);
      from = to;
    }
  } finally {
    capture.close();
  }
}

async function printGrowth(
  from: HeapGraph,
  to: HeapGraph,
  options: GrowthOptions,
  session: Session,
): Promise<void> {
  requireAnalysisRoom(to, session.budget);
  session.progress('computing paths');
  const [before, after] = [from, to].map(
    (graph) => buildShapes(graph, computePathTree(graph)).table,
  );
  const report = buildGrowthReport(from, to, { limit: options.limit, shapes: { before, after } });
  await session.printResult(report, () => formatGrowth(report, session.style));
}

/** Comparing two processes may be wanted (two workers), but is a mistake more often. */
export function noteStrangers(from: HeapGraph, to: HeapGraph, session: Session): void {
  const [a, b] = [from.capture, to.capture];
  // The start time is computed from the clock's idea of when the machine booted, which may be corrected in between.
  const starts = [a.processStartedAt, b.processStartedAt];
  // 0: a core does not tell it.
  const isSame = a.pid === b.pid && (starts.includes(0) || Math.abs(starts[0] - starts[1]) < 5);
  if (!isSame)
    session.note(`note: the captures are of different processes (pid ${a.pid} and pid ${b.pid})`);
  if (Date.parse(b.at) < Date.parse(a.at))
    session.note('note: the second capture is older than the first');
}
