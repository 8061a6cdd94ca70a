// The decoding of a large heap by two threads: this one has the earlier half of pymalloc's pools and all that lies outside,
// a second thread (decode-worker.ts) the later half. Turns what both find into what one would have found.
//
// Pools are decoded in order of address and the rest behind them, so that the second half can be appended as if it had
// been decoded here (see decoded-part.ts).

import { assert } from '../base/assert.ts';
import { isContradicted } from '../cpython/decoded-part.ts';
import type { ObjectFinder } from '../cpython/find-objects.ts';
import type { FoundObjects } from '../cpython/found-objects.ts';
import { forEachLiveBlock, type Pymalloc, poolsInOrder } from '../cpython/pymalloc.ts';
import type { MemoryImage } from '../memory/memory-image.ts';
import type { Address } from '../memory/memory-reader.ts';
import { HelperThread, type Message } from '../threads/helper-thread.ts';
import { workerFileOf } from '../threads/worker-file.ts';
import type { DecodeWorkerAnswer, DecodeWorkerRequest } from './decode-worker.ts';
import type { FinderFacts } from './make-finder.ts';
import type { RowMoves } from './sort-found.ts';
import type { PreviewInputs, Previews } from './write-previews.ts';

type AnswerOf<Kind> = Extract<DecodeWorkerAnswer, { kind: Kind }>;

export class DecodeThread {
  private readonly thread: HelperThread<DecodeWorkerRequest, DecodeWorkerAnswer>;
  /** Rows [firstRow, endRow) are the other thread's. */
  private firstRow = 0;
  private endRow = 0;

  /** Starts it, which takes some 40 ms in which others can work. */
  constructor() {
    this.thread = new HelperThread(workerFileOf('decode-worker', import.meta.url));
  }

  private ask<Kind extends DecodeWorkerAnswer['kind']>(
    kind: Kind,
    message: Message<DecodeWorkerRequest>,
  ): Promise<AnswerOf<Kind>> {
    const asked = this.thread.ask(message).then((answer) => {
      assert(answer.kind === kind, `the answer is ${kind}`);
      return answer as AnswerOf<Kind>;
    });
    // Whoever waits for it is told; when it fails, nobody may be waiting yet.
    asked.catch(() => {});
    return asked;
  }

  /** Admits all live blocks, when what the collector tracks is marked. */
  async admitBlocks(finder: ObjectFinder, image: MemoryImage, facts: FinderFacts): Promise<void> {
    const { pymalloc } = facts;
    const { admission, types } = finder;
    const { objectBits, trackedBits, rawBlockBits, listsAreKnown } = admission;
    const pools = poolsInOrder(pymalloc);
    const half = pools.length >>> 1;
    const asked = this.ask('admitted', {
      content: {
        kind: 'admit',
        halves: image.halves,
        runs: image.runs,
        facts,
        bits: { objectBits, trackedBits, rawBlockBits },
        listsAreKnown,
        pools: pools.subarray(half),
      },
    });
    addBlocks(finder, image, pymalloc, pools.subarray(0, half));
    const { blocks, typeWords } = await asked;
    this.firstRow = admission.word.length;
    const typeIdOf = typeWords.map((word) => types.typeIdOfWord(word));
    if (typeIdOf.includes(-1)) {
      // Chains of damaged metatypes: what is a type depends on where one begins.
      admission.forgetBlocksFrom(pymalloc.poolWord[pools[half]]);
      addBlocks(finder, image, pymalloc, pools.subarray(half));
      this.endRow = this.firstRow;
    } else {
      admission.appendBlocks(blocks, Uint32Array.from(typeIdOf));
      this.endRow = admission.word.length;
    }
  }

  /** Decodes the rows of blocks, when roots are admitted; `decodeSome` is for what is left. */
  async decodeBlocks(
    finder: ObjectFinder,
    found: FoundObjects,
    weakDicts: readonly Address[],
    decodeRows: (endRow: number) => Promise<void>,
  ): Promise<void> {
    const { firstRow, endRow } = this;
    if (firstRow === endRow) return;
    const start = finder.admission.mark;
    const asked = this.askForPart(finder, found, weakDicts);
    await decodeRows(firstRow);
    const { part } = await asked;
    if (!isContradicted(part, finder.admission, start)) finder.appendPart(found, part, endRow);
  }

  private askForPart(
    { admission }: ObjectFinder,
    found: FoundObjects,
    weakDicts: readonly Address[],
  ): Promise<AnswerOf<'decoded'>> {
    const { firstRow, endRow } = this;
    const objectBits = admission.objectBits.slice();
    const { doubtful } = admission.blocks;
    return this.ask('decoded', {
      content: {
        kind: 'decode',
        objectBits,
        doubtful,
        weakDicts,
        columns: {
          shallowSize: found.shallowSize.array.subarray(firstRow, endRow),
          allocatedSize: found.allocatedSize.array.subarray(firstRow, endRow),
          referenceCount: found.referenceCount.array.subarray(firstRow, endRow),
          flags: found.flags.array.subarray(firstRow, endRow),
          firstEdge: found.firstEdge.array.subarray(firstRow, endRow + 1),
        },
      },
      transfer: [objectBits.buffer as ArrayBuffer],
    });
  }

  /** See `SortHelper`. */
  async sortColumns(
    columns: readonly (Uint8Array | Uint32Array)[],
    moves: RowMoves,
  ): Promise<void> {
    await this.ask('sorted', { content: { kind: 'sort', columns, moves } });
  }

  /** When all rows are in the order of nodes. */
  writePreviews(
    finder: ObjectFinder,
    { word, typeId }: Pick<PreviewInputs, 'word' | 'typeId'>,
  ): Promise<Previews> {
    const typeWords = finder.types.words;
    const asked = this.ask('previews', {
      content: { kind: 'previews', word, typeId, typeWords },
    });
    const writing = asked.then(({ previews }) => previews);
    writing.catch(() => {});
    return writing;
  }

  /** Ends it, whatever it does. */
  close(): Promise<void> {
    return this.thread.close();
  }
}

function addBlocks(
  { admission }: ObjectFinder,
  image: MemoryImage,
  pymalloc: Pymalloc,
  pools: Uint32Array,
): void {
  forEachLiveBlock(image, pymalloc, (word, bytes) => admission.addBlock(word, bytes), pools);
}
