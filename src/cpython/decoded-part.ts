// What a second thread has decoded: the rows of one part of the blocks, as if there were no others. Turns into a part of the
// whole in `ObjectFinder.appendPart`, which leaves everything as if one thread had decoded all rows in their order.
//
// The parts could only contradict each other where one takes for a buffer what the other takes for an object or for a
// buffer of its own, which healthy memory does not have: then the part is given up and decoded again by the first thread.

import { type BitSet, hasBit } from '../base/bit-set.ts';
import type { Problem } from '../base/problems.ts';
import { EdgeKind, NONE } from '../graph/heap-graph.ts';
import type { LargeSizes } from './found-objects.ts';
import type { AdmissionMark, ObjectAdmission } from './object-admission.ts';

/** Strings and types are in the order in which they were met. */
export interface DecodedPart {
  edgeTargetWord: Uint32Array;
  edgeKind: Uint8Array;
  /** String ids are those of `strings`. */
  edgeLabel: Uint32Array;
  /** Words of objects that references led to and that were not known before. */
  met: Uint32Array;
  ownedBits: BitSet;
  weakSourceWord: Uint32Array;
  weakTargetWord: Uint32Array;
  strings: string[];
  typeWords: number[];
  problems: Problem[];
  largeSizes: [number, LargeSizes][];
  referencesFollowed: number;
  referencesLost: number;
}

/** Whether the part would have come out otherwise behind what was decoded here since `mark`. */
export function isContradicted(
  part: DecodedPart,
  admission: ObjectAdmission,
  mark: AdmissionMark,
): boolean {
  const { ownedBits, objectBits } = admission;
  for (let i = 0; i < ownedBits.length; i++) {
    if ((ownedBits[i] & part.ownedBits[i]) !== 0) return true;
  }
  return (
    part.met.some((word) => hasBit(ownedBits, word) && !hasBit(objectBits, word)) ||
    admission.admittedSince(mark).some((word) => hasBit(part.ownedBits, word))
  );
}

/** Copies the part's labels into `out`; the ids of strings become those of the whole. */
export function renumberLabels(
  { edgeKind, edgeLabel }: DecodedPart,
  stringIdOf: Uint32Array,
  out: Uint32Array,
): void {
  for (let edge = 0; edge < edgeLabel.length; edge++) {
    const label = edgeLabel[edge];
    out[edge] = label === NONE || isNumber[edgeKind[edge]] === 1 ? label : stringIdOf[label];
  }
}

/** Per EdgeKind: whether labels are numbers and no strings. */
const isNumber = new Uint8Array(256);
for (const kind of [EdgeKind.item, EdgeKind.conservative, EdgeKind.stackValue]) isNumber[kind] = 1;
