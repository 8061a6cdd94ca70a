// What the program was doing, for a graph: the frames of its threads in columns, and for each generator and each asyncio
// future among the objects where it stands. Reads the copy, which must still be there, and adds nodes and strings.

import { hasBit } from '../base/bit-set.ts';
import { growableUint8, growableUint32 } from '../base/columns.ts';
import type { Problems } from '../base/problems.ts';
import type { CodeFacts, CodeReader } from '../cpython/code-reader.ts';
import type { PythonRuntime } from '../cpython/find-runtime.ts';
import { makeFindFutureState } from '../cpython/futures.ts';
import { GENERATOR_STRUCTS, makeFindGenerator } from '../cpython/generators.ts';
import { findGilHolders } from '../cpython/gil.ts';
import type { PythonThread } from '../cpython/threads.ts';
import {
  type CodeRow,
  type Execution,
  GeneratorState,
  type ThreadRow,
} from '../graph/execution.ts';
import { NONE } from '../graph/heap-graph.ts';
import type { ThreadState } from '../memory/threads.ts';
import type { SortedObjects } from './sort-found.ts';

export interface ExecutionSource {
  runtime: PythonRuntime;
  codeReader: CodeReader;
  threads: readonly PythonThread[];
  kernelThreads: readonly ThreadState[];
  /** As the target sees it. */
  mainThreadId: number;
  sorted: SortedObjects;
  intern: (text: string) => number;
  problems: Problems;
}

/** About 2 microseconds a frame, generator or future. Problems: `generator-unreadable`, `future-unreadable`. */
export function buildExecution(source: ExecutionSource): Execution {
  const codes = new CodeRows();
  const frames = buildFrames(source, codes);
  const generators = buildGenerators(source, codes);
  return {
    ...frames.columns,
    ...generators,
    ...buildFutures(source),
    facts: { threads: [...frames.threads, ...listOtherThreads(source)], codes: codes.rows },
  };
}

/** Each code object once. */
class CodeRows {
  readonly rows: CodeRow[] = [];
  private readonly rowByAddress = new Map<number, number>();

  rowOf(code: CodeFacts): number {
    const known = this.rowByAddress.get(code.address);
    if (known !== undefined) return known;
    const row = this.rows.length;
    this.rows.push({
      name: code.co_name,
      qualname: code.co_qualname,
      file: code.co_filename,
      firstLine: code.co_firstlineno,
    });
    this.rowByAddress.set(code.address, row);
    return row;
  }
}

// --- Threads ------------------------------------------------------------------------------------------------------------

function buildFrames(source: ExecutionSource, codes: CodeRows) {
  const { codeReader, runtime, sorted, intern } = source;
  const nodeAt = makeNodeAt(sorted);
  const holders = findGilHolders(codeReader.memory, runtime);
  const frameCode = growableUint32();
  const frameLine = growableUint32();
  const frameGenerator = growableUint32();
  const firstLocal = growableUint32();
  const localName = growableUint32();
  const localNode = growableUint32();
  firstLocal.push(0);
  const threads: ThreadRow[] = [];
  for (const thread of source.threads) {
    const firstFrame = frameCode.length;
    for (const frame of thread.frames) {
      frameCode.push(codes.rowOf(frame.code));
      frameLine.push(frame.line);
      frameGenerator.push(nodeAt(frame.generator));
      for (const variable of frame.variables) {
        const node = nodeAt(variable.address);
        if (node === NONE) continue;
        localName.push(intern(variable.name));
        localNode.push(node);
      }
      firstLocal.push(localName.length);
    }
    threads.push({
      ident: thread.threadId,
      interpreterId: thread.interpreterId,
      nativeId: thread.nativeId,
      isMain: thread.nativeId === source.mainThreadId,
      holdsGil: holders.has(thread.address),
      firstFrame,
      frameCount: thread.frames.length,
      ...kernelFactsOf(source, thread.nativeId),
      isCutOff: thread.isCutOff || lacksStack(source, thread.nativeId),
    });
  }
  return {
    threads,
    columns: {
      frameCode: frameCode.finish(),
      frameLine: frameLine.finish(),
      frameGenerator: frameGenerator.finish(),
      firstLocal: firstLocal.finish(),
      localName: localName.finish(),
      localNode: localNode.finish(),
    },
  };
}

function kernelFactsOf({ kernelThreads }: ExecutionSource, nativeId: number) {
  const state = kernelThreads.find((thread) => thread.innerTid === nativeId);
  return { kernelName: state?.name ?? '', systemCall: state?.systemCall };
}

const lacksStack = ({ kernelThreads }: ExecutionSource, nativeId: number): boolean =>
  kernelThreads.some((thread) => thread.innerTid === nativeId && thread.lacksStack === true);

/** Threads that Python does not know. */
function listOtherThreads(source: ExecutionSource): ThreadRow[] {
  const known = new Set(source.threads.map((thread) => thread.nativeId));
  return source.kernelThreads
    .filter((thread) => !known.has(thread.innerTid))
    .map((thread) => ({
      ident: 0,
      interpreterId: 0,
      nativeId: thread.innerTid,
      kernelName: thread.name,
      isMain: thread.innerTid === source.mainThreadId,
      holdsGil: false,
      systemCall: thread.systemCall,
      firstFrame: 0,
      frameCount: 0,
      isCutOff: false,
    }));
}

// --- Generators and futures ---------------------------------------------------------------------------------------------

function buildGenerators(source: ExecutionSource, codes: CodeRows) {
  const { codeReader, sorted, problems } = source;
  const { found } = sorted;
  const find = makeFindGenerator(codeReader);
  const kindOf = found.types.map((type) =>
    !type.isHeapType && Object.hasOwn(GENERATOR_STRUCTS, type.tp_name) ? type.tp_name : undefined,
  );
  const generatorNode = growableUint32();
  const generatorState = growableUint8();
  const generatorCode = growableUint32();
  const generatorLine = growableUint32();
  const typeIds = found.typeId.array;
  for (let node = 0; node < found.word.length; node++) {
    const kind = kindOf[typeIds[node]];
    if (kind === undefined) continue;
    const address = found.image.addressOfWord(found.word.array[node]);
    const generator = find(address, kind);
    if (generator === undefined) problems.add('generator-unreadable', address);
    generatorNode.push(node);
    generatorState.push(generator?.state ?? GeneratorState.finished);
    const place = generator?.place;
    generatorCode.push(place === undefined ? NONE : codes.rowOf(place.code));
    generatorLine.push(place?.line ?? 0);
  }
  return {
    generatorNode: generatorNode.finish(),
    generatorState: generatorState.finish(),
    generatorCode: generatorCode.finish(),
    generatorLine: generatorLine.finish(),
  };
}

function buildFutures({ codeReader, sorted, problems }: ExecutionSource) {
  const { found } = sorted;
  const finders = found.types.map((type) => makeFindFutureState(codeReader, type));
  const futureNode = growableUint32();
  const futureState = growableUint8();
  const futureIsTask = growableUint8();
  const typeIds = found.typeId.array;
  for (let node = 0; node < found.word.length; node++) {
    const finder = finders[typeIds[node]];
    if (finder === undefined) continue;
    const address = found.image.addressOfWord(found.word.array[node]);
    const state = finder.find(address);
    if (state === undefined) {
      problems.add('future-unreadable', address);
      continue;
    }
    futureNode.push(node);
    futureState.push(state);
    futureIsTask.push(finder.isTask ? 1 : 0);
  }
  return {
    futureNode: futureNode.finish(),
    futureState: futureState.finish(),
    futureIsTask: futureIsTask.finish(),
  };
}

/** The node of the object at an address; NONE if there is none. */
function makeNodeAt({ found, nodeOf }: SortedObjects): (address: number) => number {
  return (address) => {
    const word = address === 0 ? 0 : found.image.wordAtAddress(address);
    return word !== 0 && hasBit(found.objectBits, word) ? nodeOf(word) : NONE;
  };
}
