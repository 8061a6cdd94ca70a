// `leakscope top TARGET`: types by count, size and retained size, and the biggest objects.

import { type Command, Option } from 'commander';
import { computeDominators, computeRetainedSizes } from '../analysis/dominators.ts';
import { computeRetainedByType } from '../analysis/retained-by-type.ts';
import { requireAnalysisRoom } from '../capture/analysis-room.ts';
import { computeTypeTotals } from '../graph/type-totals.ts';
import type { TopReport } from '../report/schemas.ts';
import { buildTopReport, formatTop, type TopOrder } from '../report/top-report.ts';
import { addExamples, addTargetOptions, parseWholeNumber } from './options.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, openFile, parseTarget, TARGET_HELP } from './target.ts';

interface TopOptions extends OutputOptions {
  limit: number;
  by: TopOrder;
  types?: boolean;
}

export function addTopCommand(program: Command, session: Session): void {
  const command = program
    .command('top')
    .description('types by count, size and retained size; the biggest objects')
    .argument('<target>', TARGET_HELP)
    .option('-n, --limit <count>', 'types and objects to list', parseWholeNumber(1, 100_000), 20)
    .addOption(
      new Option('--by <column>', 'sort types by')
        .choices(['count', 'shallow', 'allocated', 'retained'])
        .default('retained'),
    )
    .option('--types', 'only count and size of types: of a file of any size at once')
    .action((target: string, options: TopOptions) => {
      session.useOutput(options);
      return runTop(target, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope top 4242',
    'leakscope top 4242 --by count --limit 50',
    'leakscope top before.lscope --json',
    'leakscope top before.lscope --types',
  ]);
}

async function runTop(target: string, options: TopOptions, session: Session): Promise<void> {
  const report =
    options.types === true
      ? await buildTypes(target, options, session)
      : await buildTop(target, options, session);
  await session.printResult(report, () => formatTop(report, session.style));
}

/** Captures the process or reads the file, and sorts its types. */
export async function buildTop(
  target: string,
  options: Pick<TopOptions, 'by' | 'limit'>,
  session: Session,
): Promise<TopReport> {
  const graph = await loadGraph(parseTarget(target), session);
  requireAnalysisRoom(graph, session.budget);
  session.progress('computing retained sizes');
  const tree = computeDominators(graph);
  const retainedSize = computeRetainedSizes(tree, graph.allocatedSize);
  return buildTopReport(graph, {
    retainedSize: retainedSize.subarray(0, graph.nodeCount),
    retainedByType: computeRetainedByType(graph, tree, retainedSize),
    order: options.by,
    limit: options.limit,
  });
}

/** The same without retained sizes and objects. */
async function buildTypes(
  target: string,
  { by, limit }: TopOptions,
  session: Session,
): Promise<TopReport> {
  const parsed = parseTarget(target);
  const { graph, index } =
    parsed.kind === 'file'
      ? openFile(parsed.path, session)
      : { graph: await loadGraph(parsed, session), index: undefined };
  const typeTotals = index?.typeTotals ?? computeTypeTotals(graph);
  const order = by === 'retained' ? 'allocated' : by;
  const sizes = { retainedSize: undefined, retainedByType: undefined };
  return buildTopReport(graph, { ...sizes, order, limit, typeTotals });
}
