// A hunt's two captures of a large heap in one process, phase by phase: `scale.js PID` captures, prints a JSON line, waits for
// a line on stdin (the heap has grown then), captures again, compares, judges, and prints the result. Its peak resident set is
// that of the whole.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openCapture } from '../../src/capture/capture-heap.ts';
import { EvidenceCollector } from '../../src/report/evidence.ts';
import { judgeHunt } from '../../src/report/verdict.ts';

export interface ScaleMeasurement {
  objects: number;
  references: number;
  copiedBytes: number;
  pauseMs: number;
  /** Of the first capture: from the pid to the graph, and to the shapes of its paths. */
  captureMs: number;
  firstShapesMs: number;
  /** Of the second one, beside the first; and comparing the two. */
  secondCaptureMs: number;
  compareMs: number;
  /** Growth, dominators, second holders, suspects, report. */
  judgeMs: number;
  totalMs: number;
  suspects: string[];
  /** Peak resident set of the reader, Node.js included: after the first capture, and in the end. */
  capturePeakBytes: number;
  peakBytes: number;
}

function peakBytes(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(kilobytes?.[1]) * 1024;
}

async function measureScale(pid: number): Promise<ScaleMeasurement> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const collector = new EvidenceCollector();
  const times = [performance.now()];
  const lap = (): void => void times.push(performance.now());
  const live = openCapture(pid);
  const first = await live.capture();
  lap();
  const capturePeakBytes = peakBytes();
  const { nodeCount, edgeCount, capture } = first;
  collector.add(first);
  lap();
  console.log(JSON.stringify({ captured: nodeCount }));
  await lines.next();
  const resumedAt = performance.now();
  const second = await live.capture();
  const secondAt = performance.now();
  live.close();
  collector.add(second);
  const comparedAt = performance.now();
  const evidence = collector.finish([], 2);
  if (evidence === undefined) throw new Error('no capture');
  const report = judgeHunt(evidence);
  const judgedAt = performance.now();
  process.stdin.destroy();
  const captureMs = times[1] - times[0];
  const firstShapesMs = times[2] - times[1];
  return {
    objects: nodeCount,
    references: edgeCount,
    copiedBytes: capture.copiedBytes,
    pauseMs: capture.pauseMs,
    captureMs,
    firstShapesMs,
    secondCaptureMs: secondAt - resumedAt,
    compareMs: comparedAt - secondAt,
    judgeMs: judgedAt - comparedAt,
    totalMs: captureMs + firstShapesMs + judgedAt - resumedAt,
    suspects: report.suspects.map((suspect) => `${suspect.type} in ${suspect.holder}`),
    capturePeakBytes,
    peakBytes: peakBytes(),
  };
}

console.log(JSON.stringify(await measureScale(Number(process.argv[2]))));
