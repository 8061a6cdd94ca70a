// Runs in a second thread beside the capture of a large heap: admits and decodes the objects of the later half of the pools,
// sorts some columns, and writes the previews of all. See decode-thread.ts for the other side.
//
// It reads the image and the columns of the other thread, and writes only where the other does not: bits of its own pools,
// rows of its own objects. What it meets beyond (objects, strings, types) it lists for the other.

import { assert } from '../base/assert.ts';
import { columnOn } from '../base/columns.ts';
import { Problems } from '../base/problems.ts';
import type { DecodedPart } from '../cpython/decoded-part.ts';
import type { ObjectFinder } from '../cpython/find-objects.ts';
import { findLayout } from '../cpython/layout.ts';
import type { AdmissionBits, AdmittedBlocks } from '../cpython/object-admission.ts';
import { makePreviewWriter } from '../cpython/preview.ts';
import { forEachLiveBlock } from '../cpython/pymalloc.ts';
import { MemoryImage, type PageRun } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { collectGarbage } from '../threads/collect-garbage.ts';
import { answerRequests, type Message } from '../threads/helper-thread.ts';
import { type FinderFacts, makeFinder } from './make-finder.ts';
import { type RowMoves, sortCells } from './sort-found.ts';
import { type Previews, writePreviews } from './write-previews.ts';

/** Columns of decoded objects from the first row of the part on. */
interface PartColumns {
  shallowSize: Uint32Array;
  allocatedSize: Uint32Array;
  referenceCount: Uint32Array;
  flags: Uint8Array;
  firstEdge: Uint32Array;
}

export interface AdmitRequest {
  kind: 'admit';
  halves: Uint32Array;
  runs: readonly PageRun[];
  facts: FinderFacts;
  bits: AdmissionBits;
  /** Whether all objects of the collector's lists are in `trackedBits`. */
  listsAreKnown: boolean;
  /** Rows of the pools to look into. */
  pools: Uint32Array;
}

export interface DecodeRequest {
  kind: 'decode';
  /** Of all blocks; for this thread alone. */
  objectBits: Uint32Array;
  doubtful: Uint32Array;
  /** Addresses. */
  weakDicts: readonly Address[];
  columns: PartColumns;
}

export interface SortRequest {
  kind: 'sort';
  columns: readonly (Uint8Array | Uint32Array)[];
  moves: RowMoves;
}

export interface PreviewRequest {
  kind: 'previews';
  /** Per node. */
  word: Uint32Array;
  typeId: Uint32Array;
  /** Per type. */
  typeWords: readonly number[];
}

export type DecodeWorkerRequest = AdmitRequest | DecodeRequest | SortRequest | PreviewRequest;

export type DecodeWorkerAnswer =
  | { kind: 'admitted'; blocks: AdmittedBlocks; typeWords: number[] }
  | { kind: 'decoded'; part: DecodedPart }
  | { kind: 'sorted' }
  | { kind: 'previews'; previews: Previews };

let finder: ObjectFinder | undefined;

answerRequests<DecodeWorkerRequest, DecodeWorkerAnswer>((request) => {
  if (request.kind === 'admit') return admit(request);
  if (request.kind === 'sort') {
    for (const cells of request.columns) sortCells(cells, request.moves);
    return { content: { kind: 'sorted' } };
  }
  assert(finder !== undefined, 'blocks are admitted first');
  return request.kind === 'decode' ? decode(finder, request) : preview(finder, request);
});

function admit(request: AdmitRequest): Message<DecodeWorkerAnswer> {
  const { facts, bits, pools } = request;
  const layout = findLayout(facts.features.minorText);
  assert(layout !== undefined, 'the layout is that of the other thread');
  const image = new MemoryImage(request.runs, request.halves);
  // Problems with types are counted by the other thread, which looks at all of them.
  const sharing = { isShared: true, bits, typeProblems: new Problems() };
  finder = makeFinder(image, layout, facts, new Problems(), sharing);
  const { admission, types } = finder;
  admission.listsAreKnown = request.listsAreKnown;
  forEachLiveBlock(image, facts.pymalloc, (word, bytes) => admission.addBlock(word, bytes), pools);
  return { content: { kind: 'admitted', blocks: admission.blocks, typeWords: types.words } };
}

function decode(
  finder: ObjectFinder,
  { objectBits, doubtful, weakDicts, columns }: DecodeRequest,
): Message<DecodeWorkerAnswer> {
  const { admission } = finder;
  const rowCount = admission.word.length;
  const start = admission.mark;
  admission.startPart(objectBits, doubtful);
  for (const address of weakDicts) finder.addWeakDict(address);
  const found = finder.startDecoding({
    shallowSize: columnOn(columns.shallowSize),
    allocatedSize: columnOn(columns.allocatedSize),
    referenceCount: columnOn(columns.referenceCount),
    flags: columnOn(columns.flags),
    // Its first cell is the last of the other thread's rows.
    firstEdge: columnOn(columns.firstEdge),
  });
  finder.decodeSome(found, rowCount, rowCount);
  const part = finder.takePart(found, start);
  admission.handOver();
  collectGarbage();
  const own = [part.edgeTargetWord, part.edgeKind, part.edgeLabel, part.ownedBits];
  const transfer = own.map(({ buffer }) => buffer as ArrayBuffer);
  return { content: { kind: 'decoded', part }, transfer };
}

function preview(
  finder: ObjectFinder,
  { word, typeId, typeWords }: PreviewRequest,
): Message<DecodeWorkerAnswer> {
  const { types } = finder;
  const previews = writePreviews(finder, makePreviewWriter(finder.layout), {
    word,
    typeId,
    types: typeWords.map((typeWord) => types.types[types.typeIdOfWord(typeWord)]),
  });
  const own = [previews.previewBytes, previews.previewStart];
  const transfer = own.map(({ buffer }) => buffer as ArrayBuffer);
  return { content: { kind: 'previews', previews }, transfer };
}
