// The views over objects and references: objects and edges. docs/sql.md has every column.

import { frameOfSite } from '../graph/allocation-traces.ts';
import { EdgeKind, type HeapGraph, NONE, NodeFlag } from '../graph/heap-graph.ts';
import { findNumberText } from '../graph/number-preview.ts';
import { NO_LENGTH } from './sql-capture.ts';
import { CAPTURE_COLUMN, type ReadCell, type View, type ViewColumn } from './view-columns.ts';

const EDGE_KINDS = [...Object.keys(EdgeKind), 'weak'];
const WEAK = EDGE_KINDS.length - 1;

/** The preview as it is kept, numbers as text. */
function openPreview({ previewStart, previewBytes }: HeapGraph): ReadCell {
  return (node) => {
    const start = previewStart[node];
    const end = previewStart[node + 1];
    if (start === end) return undefined;
    const bytes = previewBytes.subarray(start, end);
    return findNumberText(bytes) ?? bytes;
  };
}

const flagColumn = (name: keyof typeof NodeFlag, about: string): ViewColumn => ({
  name,
  type: 'flag',
  about,
  open: ({ graph: { nodeFlags } }) => {
    return (node) => (nodeFlags[node] & NodeFlag[name]) !== 0;
  },
});

const objects: View = {
  name: 'objects',
  about: 'one row for each object',
  countRows: ({ graph }) => graph.nodeCount,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'address',
      type: 'address',
      about: 'what id() returns',
      open: ({ graph: { address } }) => {
        return (node) => address[node];
      },
    },
    {
      name: 'type',
      type: 'choice',
      about: 'module.qualname; built-ins without a module',
      choices: ({ graph }) => graph.types.map(({ name }) => name),
      open: ({ graph: { typeId } }) => {
        return (node) => typeId[node];
      },
    },
    {
      name: 'module',
      type: 'choice',
      about: 'of the type',
      choices: ({ moduleOfType }) => moduleOfType,
      open: ({ graph: { typeId } }) => {
        return (node) => typeId[node];
      },
    },
    {
      name: 'shallow_bytes',
      type: 'whole',
      about: 'what sys.getsizeof returns',
      open: ({ graph: { shallowSize } }) => {
        return (node) => shallowSize[node];
      },
    },
    {
      name: 'allocated_bytes',
      type: 'whole',
      about: 'memory of the object and of the buffers it owns, as the allocator rounds it',
      open: ({ graph: { allocatedSize } }) => {
        return (node) => allocatedSize[node];
      },
    },
    {
      name: 'retained_bytes',
      type: 'whole',
      about:
        'allocated memory that would be freed with it; NULL: no root reaches it. Takes a while',
      open: ({ retained, tree: { immediateDominator } }) => {
        return (node) => (immediateDominator[node] === NONE ? undefined : retained[node]);
      },
    },
    {
      name: 'refcount',
      type: 'whole',
      about: 'references to it; NULL: immortal',
      open: ({ graph: { referenceCount } }) => {
        return (node) => (referenceCount[node] === NONE ? undefined : referenceCount[node]);
      },
    },
    {
      name: 'length',
      type: 'whole',
      about: 'entries of a container; NULL: it is none',
      open: ({ lengths }) => {
        return (node) => (lengths[node] === NO_LENGTH ? undefined : lengths[node]);
      },
    },
    {
      name: 'preview',
      type: 'text',
      about: 'how its repr begins, of text and numbers and what has a name; NULL: none was kept',
      open: ({ graph }) => openPreview(graph),
    },
    {
      name: 'dominator',
      type: 'address',
      about:
        'the nearest object without which it would be freed; NULL: there is none. Takes a while',
      open: ({ graph, tree: { immediateDominator } }) => {
        return (node) => {
          const dominator = immediateDominator[node];
          return dominator >= graph.nodeCount ? undefined : graph.address[dominator];
        };
      },
    },
    {
      name: 'allocated_at',
      type: 'text',
      about: 'file:line where tracemalloc saw it allocated; NULL: not known',
      open: ({ graph }) => openAllocatedAt(graph),
    },
    flagColumn('tracked', 'in a list of the collector'),
    flagColumn('immortal', 'never freed'),
    flagColumn('static', 'in the data of a library and not in the heap'),
    flagColumn('partial', 'not fully understood: references may be missing'),
    flagColumn('running', 'a frame, generator or coroutine that is executing'),
  ],
};

function openAllocatedAt({ traces }: HeapGraph): ReadCell {
  if (traces === undefined) return () => undefined;
  const { nodeTrace, traceTraceback, firstFrame, frameSite } = traces;
  const texts: (string | undefined)[] = [];
  return (node) => {
    const trace = nodeTrace[node];
    if (trace === NONE) return undefined;
    const traceback = traceTraceback[trace];
    if (firstFrame[traceback] === firstFrame[traceback + 1]) return undefined;
    const site = frameSite[firstFrame[traceback]];
    let text = texts[site];
    if (text === undefined) {
      const { file, line } = frameOfSite(traces, site);
      text = `${file}:${line}`;
      texts[site] = text;
    }
    return text;
  };
}

/** Whether the label of an edge is a string, by kind. */
const NAMED = new Set<number>([
  EdgeKind.internal,
  EdgeKind.attribute,
  EdgeKind.namedValue,
  EdgeKind.local,
]);
const NUMBERED = new Set<number>([EdgeKind.item, EdgeKind.conservative, EdgeKind.stackValue]);

/** Weak references come behind the strong ones. */
const edges: View = {
  name: 'edges',
  about: 'one row for each reference from an object to an object',
  countRows: ({ graph }) => graph.edgeCount + graph.weakSource.length,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'source',
      type: 'address',
      about: 'who refers',
      open: ({ graph, edgeSources }) => {
        const { address, edgeCount, weakSource } = graph;
        return (row) => address[row < edgeCount ? edgeSources[row] : weakSource[row - edgeCount]];
      },
    },
    {
      name: 'target',
      type: 'address',
      about: 'to whom',
      open: ({ graph: { address, edgeCount, edgeTarget, weakTarget } }) => {
        return (row) => address[row < edgeCount ? edgeTarget[row] : weakTarget[row - edgeCount]];
      },
    },
    {
      name: 'kind',
      type: 'choice',
      about: `how: ${EDGE_KINDS.join(', ')}`,
      choices: () => EDGE_KINDS,
      open: ({ graph: { edgeCount, edgeKind } }) => {
        return (row) => (row < edgeCount ? edgeKind[row] : WEAK);
      },
    },
    {
      name: 'name',
      type: 'choice',
      about: 'of the attribute, variable or C field; NULL: it has none',
      choices: ({ graph }) => graph.strings,
      open: ({ graph: { edgeCount, edgeKind, edgeLabel } }) => {
        return (row) =>
          row < edgeCount && NAMED.has(edgeKind[row]) && edgeLabel[row] !== NONE
            ? edgeLabel[row]
            : undefined;
      },
    },
    {
      name: 'index',
      type: 'whole',
      about: 'of an item; byte offset of a conservative reference; NULL: neither',
      open: ({ graph: { edgeCount, edgeKind, edgeLabel } }) => {
        return (row) =>
          row < edgeCount && NUMBERED.has(edgeKind[row]) ? edgeLabel[row] : undefined;
      },
    },
    {
      name: 'key',
      type: 'address',
      about: 'of a dictValue: the object that is its key',
      open: ({ graph: { address, edgeCount, edgeKind, edgeTarget } }) => {
        return (row) =>
          row < edgeCount && edgeKind[row] === EdgeKind.dictValue
            ? address[edgeTarget[row - 1]]
            : undefined;
      },
    },
  ],
};

export const OBJECT_VIEWS: readonly View[] = [objects, edges];
