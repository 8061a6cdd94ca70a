// `leakscope show TARGET ADDRESS`: one object in full.

import type { Command } from 'commander';
import { findPath } from '../analysis/path-steps.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { buildShowReport, formatShow } from '../report/show-report.ts';
import { analyseHeap } from '../watch/analyse-heap.ts';
import { requireNodeAt } from './object-query.ts';
import { addExamples, addTargetOptions, parseAddress, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, TARGET_HELP } from './target.ts';

interface ShowOptions extends OutputOptions {
  limit: number;
}

export function addShowCommand(program: Command, session: Session): void {
  const command = program
    .command('show')
    .description('one object: type, contents, sizes, what it refers to, who refers to it')
    .argument('<target>', TARGET_HELP)
    .argument('<address>', 'of the object, as top, new and hunt print it', parseAddress)
    .option(
      '-n, --limit <count>',
      'references to list in each direction',
      parseWholeNumber(1, 100_000),
      15,
    )
    .action((target: string, address: number, options: ShowOptions) => {
      session.useOutput(options);
      return showObject(target, address, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope show 4242 0x7f3a2c1d9e50',
    'leakscope show before.lscope 0x7f3a2c1d9e50 --json',
  ]);
}

async function showObject(
  target: string,
  address: number,
  options: ShowOptions,
  session: Session,
): Promise<void> {
  const graph = await loadGraph(parseTarget(target), session);
  const node = requireNodeAt(graph, address);
  const hasRoom = requireAnalysisRoom(graph, session.budget);
  session.progress('computing retained sizes and paths');
  const { retainedSize, paths } = await analyseHeap(graph, hasRoom);
  const report = buildShowReport(graph, node, {
    reverse: buildReverseEdges(graph),
    retainedSize,
    path: findPath(graph, paths, node),
    limit: options.limit,
  });
  await session.printResult(report, () => formatShow(report, session.style));
}
