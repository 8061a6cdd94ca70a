// Whether the columns of a HeapGraph that was read from a file fit each other, so that no analysis meets an index that
// leads nowhere. Column by column, since a file's are read one by one. What a capture builds needs no check.

import { EdgeKind, type HeapGraph, NONE, RootKind, type TypeRow } from './heap-graph.ts';
import { COLUMNS, type ColumnName } from './snapshot-columns.ts';

/** Kinds of edges whose label is a stringId. */
const NAMED_KINDS: ReadonlySet<number> = new Set([
  EdgeKind.internal,
  EdgeKind.attribute,
  EdgeKind.namedValue,
  EdgeKind.local,
]);

/** How large the parts of a graph are, which is known before a column is. */
export interface GraphSizes {
  nodeCount: number;
  edgeCount: number;
  typeCount: number;
  stringCount: number;
  /** Cells of a column. */
  lengthOf(name: ColumnName): number;
}

export type GraphColumns = Pick<HeapGraph, ColumnName>;

/** What is wrong with it, in words; undefined if nothing is. O(nodes + edges). */
export function checkGraph(graph: HeapGraph): string | undefined {
  const sizes = sizesOf(graph);
  const lengths = checkLengths(sizes) ?? checkTypes(graph.types, sizes);
  if (lengths !== undefined) return lengths;
  for (const name of Object.keys(COLUMNS) as ColumnName[]) {
    const contradiction = checkColumn(name, graph, sizes);
    if (contradiction !== undefined) return contradiction;
  }
  return checkNative(graph) ?? checkTraces(graph) ?? checkExecution(graph);
}

const sizesOf = (graph: HeapGraph): GraphSizes => ({
  nodeCount: graph.nodeCount,
  edgeCount: graph.edgeCount,
  typeCount: graph.types.length,
  stringCount: graph.strings.length,
  lengthOf: (name) => graph[name].length,
});

export function checkLengths({ nodeCount, edgeCount, lengthOf }: GraphSizes): string | undefined {
  const lengths: [ColumnName, number][] = [
    ['address', nodeCount],
    ['typeId', nodeCount],
    ['shallowSize', nodeCount],
    ['allocatedSize', nodeCount],
    ['referenceCount', nodeCount],
    ['nodeFlags', nodeCount],
    ['firstEdge', nodeCount + 1],
    ['previewStart', nodeCount + 1],
    ['edgeTarget', edgeCount],
    ['edgeKind', edgeCount],
    ['edgeLabel', edgeCount],
    ['weakTarget', lengthOf('weakSource')],
    ['rootKind', lengthOf('rootNode')],
    ['rootLabel', lengthOf('rootNode')],
  ];
  for (const [name, length] of lengths) {
    const found = lengthOf(name);
    if (found !== length) return `${name} has ${found} cells and not ${length}`;
  }
  return undefined;
}

export function checkTypes(
  types: readonly TypeRow[],
  { nodeCount }: Pick<GraphSizes, 'nodeCount'>,
): string | undefined {
  return types.some(({ node }) => node !== NONE && node >= nodeCount)
    ? 'a type leads nowhere'
    : undefined;
}

/** One column; `edgeLabel` needs `edgeKind`, which tells what it means. */
export function checkColumn(
  name: ColumnName,
  columns: GraphColumns,
  sizes: GraphSizes,
): string | undefined {
  const { nodeCount, edgeCount } = sizes;
  switch (name) {
    case 'address':
      return checkAddresses(columns.address);
    case 'typeId':
      return leadsBelow(name, columns.typeId, sizes.typeCount);
    case 'edgeTarget':
    case 'weakSource':
    case 'weakTarget':
    case 'rootNode':
      return leadsBelow(name, columns[name], nodeCount);
    case 'firstEdge':
      return ascends(columns.firstEdge, edgeCount) ? undefined : 'firstEdge does not ascend';
    case 'previewStart':
      return ascends(columns.previewStart, sizes.lengthOf('previewBytes'))
        ? undefined
        : 'previewStart does not ascend';
    case 'edgeKind':
      return checkEdgeKinds(columns.edgeKind);
    case 'edgeLabel':
      return checkEdgeLabels(columns.edgeLabel, columns.edgeKind, sizes.stringCount);
    case 'rootKind':
      return columns.rootKind.some((kind) => kind >= ROOT_KIND_COUNT)
        ? 'rootKind is unknown'
        : undefined;
    case 'rootLabel':
      return columns.rootLabel.some((label) => label !== NONE && label >= sizes.stringCount)
        ? 'rootLabel leads nowhere'
        : undefined;
    default:
      return undefined;
  }
}

const ROOT_KIND_COUNT = Object.keys(RootKind).length;
const EDGE_KIND_COUNT = Object.keys(EdgeKind).length;

function leadsBelow(name: string, column: Uint32Array, limit: number): string | undefined {
  for (let i = 0; i < column.length; i++) if (column[i] >= limit) return `${name} leads nowhere`;
  return undefined;
}

function checkAddresses(address: Float64Array): string | undefined {
  for (let node = 1; node < address.length; node++) {
    if (!(address[node - 1] < address[node])) return 'address does not ascend';
  }
  return undefined;
}

function checkEdgeKinds(edgeKind: Uint8Array): string | undefined {
  for (let edge = 0; edge < edgeKind.length; edge++) {
    const kind = edgeKind[edge];
    if (kind >= EDGE_KIND_COUNT) return 'edgeKind is unknown';
    if (kind === EdgeKind.dictValue && (edge === 0 || edgeKind[edge - 1] !== EdgeKind.dictKey)) {
      return 'a dict value has no key';
    }
  }
  return undefined;
}

function checkEdgeLabels(
  edgeLabel: Uint32Array,
  edgeKind: Uint8Array,
  stringCount: number,
): string | undefined {
  const isNamed = Uint8Array.from({ length: 256 }, (_, kind) => (NAMED_KINDS.has(kind) ? 1 : 0));
  for (let edge = 0; edge < edgeLabel.length; edge++) {
    const label = edgeLabel[edge];
    if (label >= stringCount && label !== NONE && isNamed[edgeKind[edge]] === 1) {
      return 'edgeLabel leads nowhere';
    }
  }
  return undefined;
}

export function checkTraces({
  traces,
  nodeCount,
}: Pick<HeapGraph, 'traces' | 'nodeCount'>): string | undefined {
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

export function checkNative({
  native,
  nodeCount,
}: Pick<HeapGraph, 'native' | 'nodeCount'>): string | undefined {
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

export function checkExecution({
  execution,
  nodeCount,
  strings,
}: Pick<HeapGraph, 'execution' | 'nodeCount'> & {
  strings: { length: number };
}): string | undefined {
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
