// `info` and `verify`: what a snapshot file holds, from its header to a report and its text.

import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { Snapshot } from '../graph/decode-snapshot.ts';
import { CELL_BYTES } from '../graph/snapshot-columns.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import type { InfoReport, VerifyReport } from './snapshot-schema.ts';
import { formatTable, plainStyle, type Style } from './text-layout.ts';

export interface SnapshotFacts extends Snapshot {
  path: string;
  byteLength: number;
}

type SectionLine = InfoReport['sections'][number];

export function buildInfoReport(snapshot: SnapshotFacts): InfoReport {
  const { index } = snapshot;
  const sections = buildSections(snapshot);
  const cellsOf = (name: string): number => sections.find((each) => each.name === name)?.cells ?? 0;
  const has = (name: string): boolean => sections.some((each) => each.name === name);
  return {
    schema: 'leakscope/info@1',
    ...buildFile(snapshot),
    bytesPerObject: snapshot.byteLength / Math.max(1, index.nodeCount),
    types: index.types.length,
    roots: cellsOf('rootNode'),
    has: { native: has('blockAddress'), traces: has('nodeTrace'), execution: has('frameCode') },
    sections,
  };
}

/** `snapshot` was read as a whole, in `totalMs`. */
export function buildVerifyReport(snapshot: SnapshotFacts, totalMs: number): VerifyReport {
  const sections = buildSections(snapshot);
  return {
    schema: 'leakscope/verify@1',
    ...buildFile(snapshot),
    sections: sections.length,
    blocks: sections.reduce((sum, each) => sum + each.blocks, 0),
    bytes: sections.reduce((sum, each) => sum + each.bytes, 0),
    totalMs,
  };
}

function buildFile({ path, byteLength, index, graph }: SnapshotFacts) {
  return {
    file: path,
    fileBytes: byteLength,
    format: index.version,
    references: index.edgeCount,
    target: buildTarget(index.capture),
    capture: buildCaptureLine(graph),
    coverage: index.capture.coverage,
    problems: buildProblems(index.capture.problems),
  };
}

const buildSections = ({ index }: SnapshotFacts): SectionLine[] =>
  index.sections.map(({ name, type, length, blocks }) => ({
    name,
    cells: length,
    bytes: length * CELL_BYTES[type],
    storedBytes: blocks.reduce((sum, block) => sum + block.storedLength, 0),
    blocks: blocks.length,
  }));

export function formatInfo(report: InfoReport, style: Style = plainStyle): string {
  const { capture, has } = report;
  const parts = [
    has.native ? 'C memory' : undefined,
    has.traces ? 'traces of tracemalloc' : undefined,
    has.execution ? 'threads and coroutines' : undefined,
  ].filter((part) => part !== undefined);
  const table = formatTable(
    [
      { title: 'section', align: 'left' },
      { title: 'cells', align: 'right' },
      { title: 'in memory', align: 'right' },
      { title: 'stored', align: 'right' },
    ],
    report.sections
      .filter(({ cells }) => cells > 0)
      .map(({ name, cells, bytes, storedBytes }) => [
        sanitizeText(name),
        formatCount(cells),
        formatBytes(bytes),
        formatBytes(storedBytes),
      ]),
    style,
  );
  return [
    formatCaptureLine(report.target, capture),
    formatFileLine(report),
    `captured ${capture.at}   ${formatNumberOf(report.types, 'type')}   ${formatNumberOf(report.roots, 'root')}   ` +
      `${report.bytesPerObject.toFixed(1)} bytes per object`,
    `has ${['objects and references', ...parts].join(', ')}`,
    '',
    ...table,
    '',
    formatCoverage(report.coverage),
    ...formatProblems(report.problems),
    '',
  ].join('\n');
}

export const formatVerify = (report: VerifyReport): string =>
  [
    formatCaptureLine(report.target, report.capture),
    formatFileLine(report),
    `whole: the checksums of ${formatNumberOf(report.blocks, 'block')} fit, ${formatNumberOf(report.sections, 'section')} of ` +
      `${formatBytes(report.bytes)} fit each other; ${formatDuration(report.totalMs / 1000)}`,
    '',
  ].join('\n');

const formatFileLine = (report: InfoReport | VerifyReport): string =>
  `${sanitizeText(report.file)}   ${formatBytes(report.fileBytes)}   format ${report.format}   ` +
  formatNumberOf(report.references, 'reference');
