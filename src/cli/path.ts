// `leakscope path TARGET ADDRESS|TYPE`: what keeps an object alive, or the object of a type that retains the most.

import type { Command } from 'commander';
import { findPath } from '../analysis/path-steps.ts';
import { findOtherHolders, prepareHolderSearch } from '../analysis/second-holder.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { buildPathReport, formatPath } from '../report/path-report.ts';
import { analyseHeap } from '../watch/analyse-heap.ts';
import { requireNodes } from './object-query.ts';
import { addExamples, addTargetOptions } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, TARGET_HELP } from './target.ts';

export function addPathCommand(program: Command, session: Session): void {
  const command = program
    .command('path')
    .description('the best path from a root to an object, and the next independent one')
    .argument('<target>', TARGET_HELP)
    .argument('<object>', 'its address, or the name of its type')
    .action((target: string, object: string, options: OutputOptions) => {
      session.useOutput(options);
      return printPath(target, object, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope path 4242 0x7f3a2c1d9e50',
    'leakscope path before.lscope app.sessions.Session',
  ]);
}

async function printPath(target: string, query: string, session: Session): Promise<void> {
  const graph = await loadGraph(parseTarget(target), session);
  const nodes = requireNodes(graph, query);
  const hasRoom = requireAnalysisRoom(graph, session.budget);
  session.progress('computing retained sizes and paths');
  const { retainedSize, paths: tree } = await analyseHeap(graph, hasRoom);
  const node = nodes.reduce((best, each) =>
    retainedSize[each] > retainedSize[best] ? each : best,
  );
  const path = findPath(graph, tree, node);
  const search = prepareHolderSearch(graph, tree, buildReverseEdges(graph));
  const others = path === undefined ? undefined : findOtherHolders(search, node);
  const isKnown = others !== undefined && (others.paths.length > 0 || others.isComplete);
  const report = buildPathReport(graph, node, {
    query,
    matches: nodes.length,
    retainedSize,
    path,
    alsoHeldBy: isKnown ? others.paths : undefined,
  });
  await session.printResult(report, () => formatPath(report, session.style));
}
