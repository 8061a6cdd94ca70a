// Files that are targets: snapshots that leakscope wrote, and ELF core files; told apart by how they begin.

import type { HeapGraph } from '../graph/heap-graph.ts';
import { redactGraph } from '../graph/redact-graph.ts';
import { isCoreFile, refuseNoCore } from '../memory/core-file.ts';
import type { CoreSearch } from '../memory/core-libraries.ts';
import { openCoreCapture } from './capture-core.ts';
import type { CaptureOptions, TraceOptions } from './capture-heap.ts';
import type { TraceCapture } from './read-traces.ts';
import { openSnapshotFile } from './snapshot-file.ts';

export interface GraphFileOptions extends Omit<CaptureOptions, 'wantsPss'> {
  /** Where the files of a core's process are. */
  search?: CoreSearch;
}

/**
 * The graph in a file; a snapshot stays open, and its columns are read when they are asked for. Throws UsageError for a file
 * that is neither, and what `openSnapshotFile` and a capture throw.
 */
export async function readGraphFile(
  path: string,
  { search, ...options }: GraphFileOptions = {},
): Promise<HeapGraph> {
  if (!isCoreFile(path)) {
    refuseNoCore(path);
    return openSnapshotFile(path, { budget: options.budget }).graph;
  }
  const capture = openCoreCapture(path, search);
  try {
    const graph = await capture.capture({ native: true, ...options });
    return options.redact === true ? redactGraph(graph) : graph;
  } finally {
    capture.close();
  }
}

/** What tracemalloc had recorded, out of a file. Throws as `readGraphFile`. */
export async function readTraceFile(
  path: string,
  { search, ...options }: TraceOptions & Pick<GraphFileOptions, 'search'>,
): Promise<TraceCapture> {
  if (!isCoreFile(path)) {
    refuseNoCore(path);
    const { traces, capture } = openSnapshotFile(path, { budget: options.budget }).graph;
    return { traces, capture };
  }
  const capture = openCoreCapture(path, search);
  try {
    return await capture.captureTraces(options);
  } finally {
    capture.close();
  }
}
