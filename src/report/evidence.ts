// What a hunt's verdict is made of: the facts of each capture, the series that growth is computed from, and the last
// graph. Collected capture by capture (`watch/hunt.ts`), so that only one graph is in memory at a time.

import { buildCaptureTrack, type CaptureTrack, withoutObjects } from '../analysis/capture-track.ts';
import { countTypes, findGarbage, type Garbage } from '../analysis/garbage.ts';
import { type NativeSample, sampleNative } from '../analysis/native-growth.ts';
import { computePathTree, type PathTree } from '../analysis/paths.ts';
import { type HeapGraph, NodeFlag } from '../graph/heap-graph.ts';
import { buildCaptureLine, buildProblems } from './report-parts.ts';
import type { CaptureLine, ProblemLine } from './schemas.ts';

/** One sample of the resident set. */
export interface RssSample {
  /** ISO 8601, UTC. */
  at: string;
  bytes: number;
}

export interface CaptureEvidence {
  line: CaptureLine;
  atMs: number;
  /** Allocated bytes of all objects that roots reach, with the buffers that they own. */
  objectBytes: number;
  garbageBytes: number;
  /** Of the garbage: objects that the collector knows. */
  garbageTracked: number;
  garbageByType: ReadonlyMap<string, number>;
  collector: HeapGraph['capture']['collector'];
  /** What there was outside of Python objects; undefined if the capture did not look. */
  native: NativeSample | undefined;
  /** What tracemalloc's own tables take; 0 where it is off. */
  tracerBytes: number;
  problems: ProblemLine[];
}

export interface HuntEvidence {
  captures: readonly CaptureEvidence[];
  tracks: readonly CaptureTrack[];
  /** Of the last capture. */
  graph: HeapGraph;
  tree: PathTree;
  garbage: Garbage;
  rss: readonly RssSample[];
  /** How many captures there should have been: more than there are if the target ended early. */
  wantedCaptures: number;
  /** Why there were no more captures: `the process ended`; undefined if there are all. */
  endedBecause: string | undefined;
  /** Captures that failed at first and were tried again. */
  retries: readonly CaptureRetry[];
  /** The snapshot file of the last capture; undefined where the captures are of a process that was just hunted. */
  lastFile: string | undefined;
}

export interface CaptureRetry {
  /** From 0. */
  capture: number;
  reason: string;
}

/** Takes in one capture after the other. */
export class EvidenceCollector {
  private readonly captures: CaptureEvidence[] = [];
  private readonly tracks: CaptureTrack[] = [];
  private last: { graph: HeapGraph; tree: PathTree; garbage: Garbage } | undefined;

  private endedBecause: string | undefined;
  private readonly retries: CaptureRetry[] = [];

  get captureCount(): number {
    return this.captures.length;
  }

  /** O(nodes + edges); keeps 21 bytes per node of this capture until the next, and the graph itself. */
  add(graph: HeapGraph): void {
    const tree = computePathTree(graph);
    const garbage = findGarbage(graph, tree);
    const previous = this.tracks.at(-1);
    const track = buildCaptureTrack(graph, tree, previous);
    if (previous !== undefined) this.tracks[this.tracks.length - 1] = withoutObjects(previous);
    this.tracks.push(track);
    let allBytes = 0;
    for (let node = 0; node < graph.nodeCount; node++) allBytes += graph.allocatedSize[node];
    this.captures.push({
      line: buildCaptureLine(graph),
      atMs: Date.parse(graph.capture.at),
      objectBytes: allBytes - garbage.allocatedBytes,
      garbageBytes: garbage.allocatedBytes,
      garbageTracked: countTracked(graph, garbage),
      garbageByType: countTypes(graph, garbage.nodes),
      collector: graph.capture.collector,
      native: graph.native === undefined ? undefined : sampleNative(graph, graph.native),
      tracerBytes: graph.traces?.facts.tracerBytes ?? 0,
      problems: buildProblems(graph.capture.problems),
    });
    this.last = { graph, tree, garbage };
  }

  /** A capture failed, and is tried again. */
  noteRetry(capture: number, reason: string): void {
    this.retries.push({ capture, reason });
  }

  /** There are no more captures, because of this. */
  noteEnd(because: string): void {
    this.endedBecause = because;
  }

  /** undefined before the first capture. */
  finish(
    rss: readonly RssSample[],
    wantedCaptures: number,
    lastFile?: string,
  ): HuntEvidence | undefined {
    if (this.last === undefined) return undefined;
    const { captures, tracks, endedBecause, retries } = this;
    return { captures, tracks, ...this.last, rss, wantedCaptures, endedBecause, retries, lastFile };
  }
}

function countTracked(graph: HeapGraph, { nodes }: Garbage): number {
  let count = 0;
  for (let i = 0; i < nodes.length; i++) if (graph.nodeFlags[nodes[i]] & NodeFlag.tracked) count++;
  return count;
}
