// The ObjectFinder of a capture: what it must know of the interpreter, of pymalloc and of malloc, as plain data. So both
// threads of a large capture make theirs from the same.

import type { Problems } from '../base/problems.ts';
import { ObjectFinder } from '../cpython/find-objects.ts';
import type { Layout } from '../cpython/layout.ts';
import type { AdmissionBits } from '../cpython/object-admission.ts';
import { blockSizeAt, type Pymalloc } from '../cpython/pymalloc.ts';
import { referenceCountsOf } from '../cpython/reference-counts.ts';
import type { VersionFeatures } from '../cpython/version.ts';
import { ChunkFinder } from '../malloc/chunk-finder.ts';
import type { AddressRange } from '../memory/address-ranges.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';

export interface FinderFacts {
  features: VersionFeatures;
  typeType: Address;
  /** Addresses of `PyInterpreterState.types` of all interpreters (3.12). */
  typesStates: readonly Address[];
  pymalloc: Pymalloc;
  /** Anonymous writable mappings, stacks left out. */
  heapRanges: readonly AddressRange[];
}

/** What another thread gives to a finder; see `FindObjectsOptions`. */
export interface FinderSharing {
  isShared?: boolean;
  bits?: AdmissionBits;
  typeProblems?: Problems;
}

export function makeFinder(
  image: MemoryImage,
  layout: Layout,
  { features, pymalloc, heapRanges, ...facts }: FinderFacts,
  problems: Problems,
  sharing: FinderSharing = {},
): ObjectFinder {
  return new ObjectFinder({
    image,
    layout,
    problems,
    ...facts,
    ...sharing,
    referenceCounts: referenceCountsOf(features),
    managedFlags: features.managedFlags,
    pools: { blockBytes: (word) => blockSizeAt(pymalloc, word) },
    chunks: new ChunkFinder(image, heapRanges),
    blockHeaderBytes: pymalloc.dataOffsetWords * 8,
  });
}
