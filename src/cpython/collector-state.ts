// What the cyclic collector says of itself: whether it is switched on, how often each generation has been collected, and
// how many objects that freed.
// Source: struct _gc_runtime_state (Include/internal/pycore_interp_structs.h, pycore_gc.h before 3.14).
//
// Not handled: the ring of statistics that 3.15 keeps behind a pointer: `collections` and `freedCount` are undefined there.

import { MemoryReadError } from '../base/errors.ts';
import type { CollectorFacts } from '../graph/heap-graph.ts';
import type { MemoryReader } from '../memory/memory-reader.ts';
import type { PythonRuntime } from './find-runtime.ts';

const GENERATIONS = 3;

/** The main interpreter's collector; undefined if its state cannot be read. */
export function findCollectorState(
  memory: MemoryReader,
  runtime: PythonRuntime,
): CollectorFacts | undefined {
  const { layout, interpreters } = runtime;
  const main = interpreters.find((interpreter) => interpreter.id === 0) ?? interpreters[0];
  const at = (field: string) => main.gcState + layout.offset(`_gc_runtime_state.${field}`);
  try {
    const thresholds: number[] = [];
    for (const head of main.generationHeads.slice(0, GENERATIONS)) {
      thresholds.push(memory.readI32(head + layout.offset('gc_generation.threshold')));
    }
    const collections: number[] = [];
    let freedCount = 0;
    const inlineStats = !layout.has('gc_stats.young');
    for (let i = 0; inlineStats && i < GENERATIONS; i++) {
      const stats = at('generation_stats') + i * layout.size('gc_generation_stats');
      collections.push(memory.readI64(stats + layout.offset('gc_generation_stats.collections')));
      freedCount += memory.readI64(stats + layout.offset('gc_generation_stats.collected'));
    }
    return {
      enabled: memory.readI32(at('enabled')) !== 0,
      thresholds,
      collections: inlineStats ? collections : undefined,
      freedCount: inlineStats ? freedCount : undefined,
    };
  } catch (error) {
    if (error instanceof MemoryReadError) return undefined;
    throw error;
  }
}
