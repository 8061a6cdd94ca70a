// `leakscope graph TARGET ADDRESS -o FILE`: the picture of what an object refers to, or of what refers to it.

import { extname } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../base/errors.ts';
import { formatCount } from '../base/format.ts';
import { writeWholeFile } from '../capture/whole-file.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { buildPicture, MAX_PICTURE_NODES } from '../report/graph-picture.ts';
import {
  buildCaptureLine,
  buildObjectLine,
  buildProblems,
  buildTarget,
} from '../report/report-parts.ts';
import type { GraphReport } from '../report/schemas.ts';
import { requireNodeAt } from './object-query.ts';
import { addExamples, addTargetOptions, parseAddress, parseWholeNumber } from './options.ts';
import { renderPicture } from './picture.ts';
import type { OutputOptions, Session } from './session.ts';
import { loadGraph, parseTarget, TARGET_HELP } from './target.ts';

interface GraphOptions extends OutputOptions {
  output?: string;
  direction: 'forward' | 'backward';
  depth: number;
  fanOut: number;
  nodes: number;
}

export function addGraphCommand(program: Command, session: Session): void {
  const command = program
    .command('graph')
    .description('the reference picture of one object, as SVG, PNG or DOT')
    .argument('<target>', TARGET_HELP)
    .argument('<address>', 'of the object, as show and hunt print it', parseAddress)
    .option('-o, --output <file>', 'x.svg, x.png or x.dot (default: DOT on stdout)')
    .addOption(
      new Option('--direction <direction>', 'what refers to it, or what it refers to')
        .choices(['backward', 'forward'])
        .default('backward'),
    )
    .option('--depth <steps>', 'steps away from the object', parseWholeNumber(1, 20), 4)
    .option('--fan-out <count>', 'neighbours per object', parseWholeNumber(1, 50), 6)
    .option('--nodes <count>', 'objects in all', parseWholeNumber(2, MAX_PICTURE_NODES), 60)
    .action((target: string, address: number, options: GraphOptions) => {
      session.useOutput(options);
      return drawGraph(target, address, options, session);
    });
  addTargetOptions(command);
  addExamples(command, [
    'leakscope graph 4242 0x7f3a2c1d9e50 -o held-by.svg',
    'leakscope graph before.lscope 0x7f3a2c1d9e50 --direction forward -o holds.png',
    'leakscope graph 4242 0x7f3a2c1d9e50 | dot -Tpdf > held-by.pdf',
  ]);
}

async function drawGraph(
  target: string,
  address: number,
  options: GraphOptions,
  session: Session,
): Promise<void> {
  const format = formatOf(options.output);
  const graph = await loadGraph(parseTarget(target), session);
  const node = requireNodeAt(graph, address);
  const picture = buildPicture(graph, node, {
    direction: options.direction,
    reverse: options.direction === 'backward' ? buildReverseEdges(graph) : undefined,
    depth: options.depth,
    fanOut: options.fanOut,
    nodeLimit: options.nodes,
  });
  const { output } = options;
  if (output !== undefined) {
    session.progress('drawing');
    const bytes =
      format === 'dot'
        ? picture.dot
        : await renderPicture({ dot: picture.dot, format }, session.signal);
    await writeWholeFile(output, (file) => file.writeFile(bytes), session.fileOptions);
  }
  const report: GraphReport = {
    schema: 'leakscope/graph@1',
    target: buildTarget(graph.capture),
    capture: buildCaptureLine(graph),
    object: buildObjectLine(graph, node, undefined),
    direction: options.direction,
    format,
    file: output ?? null,
    dot: output === undefined ? picture.dot : null,
    nodes: picture.nodes,
    edges: picture.edges,
    omitted: picture.omitted,
    coverage: graph.capture.coverage,
    problems: buildProblems(graph.capture.problems),
  };
  await session.printResult(report, () =>
    output === undefined ? picture.dot : formatDrawn(report, output),
  );
}

const formatDrawn = (report: GraphReport, output: string): string =>
  `${output}   ${report.nodes} objects, ${report.edges} references` +
  `${report.omitted === 0 ? '' : `, ${formatCount(report.omitted)} neighbours left out`}\n`;

function formatOf(output: string | undefined): GraphReport['format'] {
  if (output === undefined) return 'dot';
  switch (extname(output).toLowerCase()) {
    case '.svg':
      return 'svg';
    case '.png':
      return 'png';
    case '.dot':
    case '.gv':
      return 'dot';
    default:
      throw new UsageError({
        fact: `"${output}" names no format that can be drawn`,
        reason: 'its name ends in none of .svg, .png and .dot',
        next: 'Write for example -o picture.svg',
      });
  }
}
