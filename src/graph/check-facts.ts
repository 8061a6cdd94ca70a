// Whether the facts of a snapshot's header have what their readers rely on. What a capture builds needs no check.

import type { TracerFacts } from './allocation-traces.ts';
import { ACCOUNTS, type NativeFacts } from './native-heap.ts';

/** Of facts, only what readers rely on to be there is checked. */
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
