// Whether the parts of a HeapGraph that a file has as JSON are whole: only what readers rely on to be there is checked.
// What a capture builds needs no check.

import type { TracerFacts } from './allocation-traces.ts';
import type { ExecutionFacts } from './execution.ts';
import { ACCOUNTS, type NativeFacts } from './native-heap.ts';

export function isNativeFacts(facts: NativeFacts | undefined): boolean {
  if (facts === undefined) return true;
  const isNumber = (value: unknown): boolean => typeof value === 'number';
  return (
    isNumber(facts?.ledger?.rssBytes) &&
    ACCOUNTS.every((name) => isNumber(facts.ledger.accounts?.[name])) &&
    [facts.groups, facts.threads, facts.mappings, facts.arenas].every(Array.isArray) &&
    facts.groups.every((group) => isNumber(group?.state) && typeof group.signature === 'string')
  );
}

export function isTracerFacts(facts: TracerFacts | undefined): boolean {
  if (facts === undefined) return true;
  const areTexts = (texts: unknown): boolean =>
    Array.isArray(texts) && texts.every((text) => typeof text === 'string');
  return (
    [facts.maxFrames, facts.tracedBytes, facts.tracerBytes].every(Number.isFinite) &&
    areTexts(facts.files) &&
    areTexts(facts.functions)
  );
}

export function isExecutionFacts(facts: ExecutionFacts | undefined): boolean {
  if (facts === undefined) return true;
  const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  return (
    [facts?.threads, facts?.codes].every(Array.isArray) &&
    facts.threads.every(
      (thread) =>
        [thread?.ident, thread?.nativeId, thread?.firstFrame, thread?.frameCount].every(isCount) &&
        typeof thread.kernelName === 'string',
    ) &&
    facts.codes.every(
      (code) =>
        [code?.name, code?.qualname, code?.file].every((text) => typeof text === 'string') &&
        isCount(code.firstLine),
    )
  );
}
