// One measurement in a process of its own, whose peak resident set is then that of the measurement:
// `measure.js graph PID | pause PID ROUNDS | synthetic NODES`, prints one JSON line. scripts/bench.ts compiles and runs it.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { computeDominators, computeRetainedSizes } from '../../src/analysis/dominators.ts';
import { computePathTree } from '../../src/analysis/paths.ts';
import { openCapture } from '../../src/capture/capture-heap.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import { openTarget } from '../../src/memory/freeze.ts';
import { copyLive } from '../../src/memory/live-copy.ts';
import { PAGE_SIZE } from '../../src/memory/memory-image.ts';
import { limitInlining } from '../../src/threads/limit-inlining.ts';
import { analyseHeap } from '../../src/watch/analyse-heap.ts';
import { buildLargeGraph } from '../support/random-graph.ts';

/** All of one capture and of the analyses that `top` and `hunt` need. */
export interface GraphMeasurement {
  nodeCount: number;
  edgeCount: number;
  copiedBytes: number;
  pauseMs: number;
  /** From the pid to the HeapGraph, finding the interpreter and the pause included. */
  captureMs: number;
  /** Dominators, retained sizes, and paths to all objects. */
  analysesMs: number;
  totalMs: number;
  /** Of processor time, all threads of this process: what a busy machine does not distort as much. */
  captureCpuMs: number;
  totalCpuMs: number;
  /** Peak resident set of this process, Node.js included, when the graph was done and in the end. */
  capturePeakBytes: number;
  totalPeakBytes: number;
  /** Resident set before anything was read: Node.js and the program. */
  emptyBytes: number;
  coverage: number;
}

export interface PauseMeasurement {
  /** One pair per round: the same pages of the same process, one after the other, into the same touched memory. */
  rounds: { pauseMs: number; copiedBytes: number; bareMs: number; bareBytes: number }[];
}

export interface SyntheticMeasurement {
  nodeCount: number;
  edgeCount: number;
  dominatorsMs: number;
  retainedMs: number;
  pathsMs: number;
  /** Of processor time: dominators and retained sizes. */
  dominatorsCpuMs: number;
  peakBytes: number;
}

/** Bytes of a line of /proc/self/status. */
function readStatus(name: 'VmHWM' | 'VmRSS'): number {
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(
    readFileSync('/proc/self/status', 'utf8'),
  );
  return Number(kilobytes?.[1]) * 1024;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function measureGraph(pid: number): Promise<GraphMeasurement> {
  const emptyBytes = readStatus('VmRSS');
  const cpuAtStart = cpuMs();
  const start = performance.now();
  const capture = openCapture(pid);
  const graph = await capture.capture();
  const captureMs = performance.now() - start;
  const captureCpuMs = cpuMs() - cpuAtStart;
  capture.close();
  const capturePeakBytes = readStatus('VmHWM');
  const captured = performance.now();
  await analyseHeap(graph, true);
  const analysesMs = performance.now() - captured;
  return {
    nodeCount: graph.nodeCount,
    edgeCount: graph.edgeCount,
    copiedBytes: graph.capture.copiedBytes,
    pauseMs: graph.capture.pauseMs,
    captureMs,
    analysesMs,
    totalMs: performance.now() - start,
    captureCpuMs,
    totalCpuMs: cpuMs() - cpuAtStart,
    capturePeakBytes,
    totalPeakBytes: readStatus('VmHWM'),
    emptyBytes,
    coverage: graph.capture.coverage,
  };
}

function analyse(
  graph: HeapGraph,
  size: HeapGraph['allocatedSize'],
): { dominatorsMs: number; retainedMs: number; pathsMs: number; dominatorsCpuMs: number } {
  const cpuAtStart = cpuMs();
  const start = performance.now();
  const tree = computeDominators(graph);
  const dominated = performance.now();
  computeRetainedSizes(tree, size);
  const retained = performance.now();
  const dominatorsCpuMs = cpuMs() - cpuAtStart;
  computePathTree(graph);
  return {
    dominatorsMs: dominated - start,
    retainedMs: retained - dominated,
    pathsMs: performance.now() - retained,
    dominatorsCpuMs,
  };
}

/** Of the runs only those of anonymous memory are read bare: other pages may have come from files, outside the pause. */
function measurePause(pid: number, roundCount: number): PauseMeasurement {
  const target = openTarget(pid);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const rounds: PauseMeasurement['rounds'] = [];
  try {
    for (let round = 0; round < roundCount; round++) {
      const { image, mappings, pauseMs, copiedBytes } = copyLive(target);
      const anonymous = mappings.filter((mapping) => mapping.inode === 0);
      const rows = [...image.runs.keys()].filter((row) => {
        const { address } = image.runs[row];
        return anonymous.some(({ start, end }) => address >= start && address < end);
      });
      const start = performance.now();
      for (const row of rows) readBare(memory, image.runs[row].address, image.bytesOfRun(row));
      const bareMs = performance.now() - start;
      const barePages = rows.reduce((sum, row) => sum + image.runs[row].pageCount, 0);
      rounds.push({ pauseMs, copiedBytes, bareMs, bareBytes: barePages * PAGE_SIZE });
    }
  } finally {
    closeSync(memory);
    target.close();
  }
  return { rounds };
}

const PIECE_BYTES = 4 << 20;

function readBare(file: number, address: number, room: Uint8Array): void {
  for (let done = 0; done < room.length; ) {
    const wanted = Math.min(PIECE_BYTES, room.length - done);
    const count = readSync(file, room, done, wanted, address + done);
    if (count === 0) throw new Error(`nothing to read at 0x${(address + done).toString(16)}`);
    done += count;
  }
}

function measureSynthetic(nodeCount: number): SyntheticMeasurement {
  const graph = buildLargeGraph(nodeCount, 3);
  const times = analyse(graph, graph.allocatedSize);
  return { nodeCount, edgeCount: graph.edgeCount, ...times, peakBytes: readStatus('VmHWM') };
}

async function measure(what: string, first: number, second: number): Promise<unknown> {
  if (what === 'graph') return measureGraph(first);
  if (what === 'pause') return measurePause(first, second);
  if (what === 'synthetic') return measureSynthetic(first);
  throw new Error(`nothing is measured by the name of ${what}`);
}

limitInlining();
const [what, first, second] = process.argv.slice(2);
console.log(JSON.stringify(await measure(what, Number(first), Number(second))));
