// Whether the columns of a HeapGraph that was read from a file fit each other, so that no analysis meets an index that
// leads nowhere. What a capture builds needs no check.

import { EdgeKind, type HeapGraph, NONE, RootKind } from './heap-graph.ts';

/** Kinds of edges whose label is a stringId. */
const NAMED_KINDS: ReadonlySet<number> = new Set([
  EdgeKind.internal,
  EdgeKind.attribute,
  EdgeKind.namedValue,
  EdgeKind.local,
]);

/** What is wrong with it, in words; undefined if nothing is. O(nodes + edges). */
export function checkGraph(graph: HeapGraph): string | undefined {
  const { nodeCount, edgeCount } = graph;
  const lengths: [string, { length: number }, number][] = [
    ['address', graph.address, nodeCount],
    ['typeId', graph.typeId, nodeCount],
    ['shallowSize', graph.shallowSize, nodeCount],
    ['allocatedSize', graph.allocatedSize, nodeCount],
    ['referenceCount', graph.referenceCount, nodeCount],
    ['nodeFlags', graph.nodeFlags, nodeCount],
    ['firstEdge', graph.firstEdge, nodeCount + 1],
    ['previewStart', graph.previewStart, nodeCount + 1],
    ['edgeTarget', graph.edgeTarget, edgeCount],
    ['edgeKind', graph.edgeKind, edgeCount],
    ['edgeLabel', graph.edgeLabel, edgeCount],
    ['weakTarget', graph.weakTarget, graph.weakSource.length],
    ['rootKind', graph.rootKind, graph.rootNode.length],
    ['rootLabel', graph.rootLabel, graph.rootNode.length],
  ];
  for (const [name, column, length] of lengths) {
    if (column.length !== length) return `${name} has ${column.length} cells and not ${length}`;
  }
  const below: [string, Uint32Array, number][] = [
    ['typeId', graph.typeId, graph.types.length],
    ['edgeTarget', graph.edgeTarget, nodeCount],
    ['weakSource', graph.weakSource, nodeCount],
    ['weakTarget', graph.weakTarget, nodeCount],
    ['rootNode', graph.rootNode, nodeCount],
  ];
  for (const [name, column, limit] of below) {
    for (let i = 0; i < column.length; i++) if (column[i] >= limit) return `${name} leads nowhere`;
  }
  if (!ascends(graph.firstEdge, edgeCount)) return 'firstEdge does not ascend';
  if (!ascends(graph.previewStart, graph.previewBytes.length))
    return 'previewStart does not ascend';
  for (let node = 1; node < nodeCount; node++) {
    if (!(graph.address[node - 1] < graph.address[node])) return 'address does not ascend';
  }
  for (const { node } of graph.types) if (node !== NONE && node >= nodeCount) return 'types';
  const kindCount = Object.keys(RootKind).length;
  for (let root = 0; root < graph.rootKind.length; root++) {
    if (graph.rootKind[root] >= kindCount) return 'rootKind is unknown';
    const label = graph.rootLabel[root];
    if (label !== NONE && label >= graph.strings.length) return 'rootLabel leads nowhere';
  }
  return checkEdges(graph) ?? checkNative(graph) ?? checkTraces(graph) ?? checkExecution(graph);
}

function checkTraces({ traces, nodeCount }: HeapGraph): string | undefined {
  if (traces === undefined) return undefined;
  const { traceAddress, traceSize, traceDomain, traceTraceback, firstFrame, frameSite } = traces;
  const { siteFile, siteLine, siteFunction, nodeTrace, facts } = traces;
  const traceCount = traceAddress.length;
  const siteCount = siteFile.length;
  if (
    [traceSize, traceDomain, traceTraceback].some(({ length }) => length !== traceCount) ||
    [siteLine, siteFunction].some(({ length }) => length !== siteCount) ||
    nodeTrace.length !== nodeCount
  ) {
    return 'the columns of traces differ in length';
  }
  if (!ascends(firstFrame, frameSite.length)) return 'firstFrame does not ascend';
  const leads: [string, Uint32Array, number, boolean][] = [
    ['traceTraceback', traceTraceback, firstFrame.length - 1, false],
    ['frameSite', frameSite, siteCount, false],
    ['siteFile', siteFile, facts.files.length, false],
    ['siteFunction', siteFunction, facts.functions.length, true],
    ['nodeTrace', nodeTrace, traceCount, true],
  ];
  for (const [name, column, limit, mayBeNone] of leads) {
    for (let i = 0; i < column.length; i++) {
      if (column[i] >= limit && !(mayBeNone && column[i] === NONE)) return `${name} leads nowhere`;
    }
  }
  return undefined;
}

function checkNative({ native, nodeCount }: HeapGraph): string | undefined {
  if (native === undefined) return undefined;
  const {
    blockAddress,
    blockSize,
    blockGroup,
    excessNode,
    excessCount,
    heldNode,
    heldGroup,
    facts,
  } = native;
  if (excessNode.length !== excessCount.length) return 'excessNode and excessCount differ';
  if (excessNode.some((node) => node >= nodeCount)) return 'excessNode leads nowhere';
  if (heldNode.length !== heldGroup.length) return 'heldNode and heldGroup differ';
  if (heldNode.some((node) => node >= nodeCount)) return 'heldNode leads nowhere';
  const groupCount = facts.groups.length;
  if (heldGroup.some((group) => group >= groupCount)) return 'heldGroup leads nowhere';
  if (facts.groups.some(({ partOf }) => partOf !== undefined && !(partOf < groupCount))) {
    return 'partOf leads nowhere';
  }
  if (blockSize.length !== blockAddress.length || blockGroup.length !== blockAddress.length) {
    return 'the columns of blocks differ in length';
  }
  for (let block = 0; block < blockGroup.length; block++) {
    if (blockGroup[block] >= facts.groups.length) return 'blockGroup leads nowhere';
    if (block > 0 && !(blockAddress[block - 1] < blockAddress[block])) {
      return 'blockAddress does not ascend';
    }
  }
  return undefined;
}

function checkExecution({ execution, nodeCount, strings }: HeapGraph): string | undefined {
  if (execution === undefined) return undefined;
  const { facts, frameCode, frameLine, frameGenerator, firstLocal } = execution;
  const { localName, localNode, generatorNode, futureNode } = execution;
  const { threads, codes } = facts;
  const lengths: [string, { length: number }, number][] = [
    ['frameLine', frameLine, frameCode.length],
    ['frameGenerator', frameGenerator, frameCode.length],
    ['firstLocal', firstLocal, frameCode.length + 1],
    ['localNode', localNode, localName.length],
    ['generatorState', execution.generatorState, generatorNode.length],
    ['generatorCode', execution.generatorCode, generatorNode.length],
    ['generatorLine', execution.generatorLine, generatorNode.length],
    ['futureState', execution.futureState, futureNode.length],
    ['futureIsTask', execution.futureIsTask, futureNode.length],
  ];
  for (const [name, column, length] of lengths) {
    if (column.length !== length) return `${name} has ${column.length} cells and not ${length}`;
  }
  const below: [string, Uint32Array, number][] = [
    ['frameCode', frameCode, codes.length],
    ['localName', localName, strings.length],
    ['localNode', localNode, nodeCount],
    ['generatorNode', generatorNode, nodeCount],
    ['futureNode', futureNode, nodeCount],
  ];
  for (const [name, column, limit] of below) {
    if (column.some((cell) => cell >= limit)) return `${name} leads nowhere`;
  }
  if (frameGenerator.some((node) => node !== NONE && node >= nodeCount)) return 'frameGenerator';
  if (execution.generatorCode.some((code) => code !== NONE && code >= codes.length)) {
    return 'generatorCode leads nowhere';
  }
  if (!ascends(firstLocal, localName.length)) return 'firstLocal does not ascend';
  for (const { firstFrame, frameCount } of threads) {
    if (firstFrame + frameCount > frameCode.length) return 'the frames of a thread lead nowhere';
  }
  return undefined;
}

function ascends(column: Uint32Array, end: number): boolean {
  if (column[0] !== 0 || column[column.length - 1] !== end) return false;
  for (let i = 1; i < column.length; i++) if (column[i] < column[i - 1]) return false;
  return true;
}

function checkEdges(graph: HeapGraph): string | undefined {
  const { edgeCount, edgeKind, edgeLabel, strings } = graph;
  const kindCount = Object.keys(EdgeKind).length;
  const isNamed = Uint8Array.from({ length: 256 }, (_, kind) => (NAMED_KINDS.has(kind) ? 1 : 0));
  for (let edge = 0; edge < edgeCount; edge++) {
    const kind = edgeKind[edge];
    if (kind >= kindCount) return 'edgeKind is unknown';
    if (isNamed[kind] === 1) {
      const label = edgeLabel[edge];
      if (label !== NONE && label >= strings.length) return 'edgeLabel leads nowhere';
    } else if (
      kind === EdgeKind.dictValue &&
      (edge === 0 || edgeKind[edge - 1] !== EdgeKind.dictKey)
    ) {
      return 'a dict value has no key';
    }
  }
  return undefined;
}
