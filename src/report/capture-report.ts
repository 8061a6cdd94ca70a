// `capture`: what one snapshot file holds and what taking it cost the target.

import {
  formatBytes,
  formatDuration,
  formatMs,
  formatNumberOf,
  sanitizeText,
} from '../base/format.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import {
  buildCaptureLine,
  buildProblems,
  buildTarget,
  formatCaptureLine,
  formatCoverage,
  formatProblems,
} from './report-parts.ts';
import type { CaptureReport } from './schemas.ts';

export const buildCaptureReport = (
  graph: HeapGraph,
  file: { path: string; bytes: number },
  totalMs: number,
): CaptureReport => ({
  schema: 'leakscope/capture@1',
  target: buildTarget(graph.capture),
  capture: buildCaptureLine(graph),
  file: file.path,
  fileBytes: file.bytes,
  references: graph.edgeCount,
  totalMs,
  method: graph.capture.method,
  coverage: graph.capture.coverage,
  problems: buildProblems(graph.capture.problems),
});

export function formatCapture(report: CaptureReport): string {
  const { capture } = report;
  return [
    formatCaptureLine(report.target, capture),
    `${sanitizeText(report.file)}   ${formatBytes(report.fileBytes)}   ` +
      `${formatNumberOf(report.references, 'reference')}   ` +
      `${formatBytes(capture.copiedBytes)} copied${capture.core === null ? ` in ${formatMs(capture.pauseMs)} ms` : ''}, ` +
      `${formatDuration(report.totalMs / 1000)} in all`,
    formatCoverage(report.coverage),
    ...formatProblems(report.problems),
    '',
  ].join('\n');
}
