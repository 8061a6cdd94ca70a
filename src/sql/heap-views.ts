// The views over what objects have in common: types, modules, roots, and strings. docs/sql.md has every column.

import { findModuleEntry } from '../analysis/module-origin.ts';
import { findPreview, type HeapGraph, NONE, RootKind } from '../graph/heap-graph.ts';
import type { SqlCapture } from './sql-capture.ts';
import { CAPTURE_COLUMN, type View } from './view-columns.ts';

const ROOT_KINDS = Object.keys(RootKind);
/** Entries of a module's dict that are looked at for `__file__`. */
const FILE_AMONG = 32;

const addressOf = ({ address }: HeapGraph, node: number): number | undefined =>
  node === NONE ? undefined : address[node];

const types: View = {
  name: 'types',
  about: 'one row for each type object, those without objects too',
  countRows: ({ graph }) => graph.types.length,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'type',
      type: 'text',
      about: 'as in objects; two types may have one name',
      open: ({ graph }) => {
        return (row) => graph.types[row].name;
      },
    },
    {
      name: 'module',
      type: 'text',
      about: 'the longest beginning of the name that is a module',
      open: ({ moduleOfType }) => {
        return (row) => moduleOfType[row];
      },
    },
    {
      name: 'address',
      type: 'address',
      about: 'of the type object; NULL: it is not among the objects',
      open: ({ graph }) => {
        return (row) => addressOf(graph, graph.types[row].node);
      },
    },
    {
      name: 'objects',
      type: 'whole',
      about: 'how many there are',
      open: ({ typeTotals: { count } }) => {
        return (row) => count[row];
      },
    },
    {
      name: 'shallow_bytes',
      type: 'whole',
      about: 'of all its objects',
      open: ({ typeTotals: { shallowSize } }) => {
        return (row) => shallowSize[row];
      },
    },
    {
      name: 'allocated_bytes',
      type: 'whole',
      about: 'of all its objects',
      open: ({ typeTotals: { allocatedSize } }) => {
        return (row) => allocatedSize[row];
      },
    },
    {
      name: 'retained_bytes',
      type: 'whole',
      about: 'what would be freed with all objects of this name, in its first row. Takes a while',
      open: ({ retainedByType }) => {
        return (row) => retainedByType[row];
      },
    },
  ],
};

const moduleRoots = ({ graph: { rootKind } }: SqlCapture): number[] =>
  [...rootKind.keys()].filter((root) => rootKind[root] === RootKind.module);

const modules: View = {
  name: 'modules',
  about: 'one row for each entry of sys.modules',
  countRows: (capture) => moduleRoots(capture).length,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'module',
      type: 'text',
      about: 'its name in sys.modules',
      open: (capture) => {
        const [rows, { rootLabel, strings }] = [moduleRoots(capture), capture.graph];
        return (row) => strings[rootLabel[rows[row]]];
      },
    },
    {
      name: 'address',
      type: 'address',
      about: 'of the module object',
      open: (capture) => {
        const [rows, { rootNode, address }] = [moduleRoots(capture), capture.graph];
        return (row) => address[rootNode[rows[row]]];
      },
    },
    {
      name: 'file',
      type: 'text',
      about: 'its __file__; NULL: it has none',
      open: (capture) => {
        const [rows, { graph }] = [moduleRoots(capture), capture];
        return (row) => findFile(graph, graph.rootNode[rows[row]]);
      },
    },
    {
      name: 'retained_bytes',
      type: 'whole',
      about: 'what would be freed with the module object. Takes a while',
      open: (capture) => {
        const { graph, retained, tree } = capture;
        const nodes = moduleRoots(capture).map((root) => graph.rootNode[root]);
        return (row) =>
          tree.immediateDominator[nodes[row]] === NONE ? undefined : retained[nodes[row]];
      },
    },
  ],
};

const findFile = (graph: HeapGraph, module: number): string | undefined =>
  findModuleEntry(graph, module, '__file__', FILE_AMONG)?.replace(/^'(.*)'$/s, '$1');

const roots: View = {
  name: 'roots',
  about: 'why objects are alive by themselves; an object may have several',
  countRows: ({ graph }) => graph.rootNode.length,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'address',
      type: 'address',
      about: 'of the object',
      open: ({ graph: { address, rootNode } }) => {
        return (row) => address[rootNode[row]];
      },
    },
    {
      name: 'kind',
      type: 'choice',
      about: ROOT_KINDS.join(', '),
      choices: () => ROOT_KINDS,
      open: ({ graph: { rootKind } }) => {
        return (row) => rootKind[row];
      },
    },
    {
      name: 'label',
      type: 'text',
      about: 'module name, variable and function, C field; NULL: none',
      open: ({ graph: { rootLabel, strings } }) => {
        return (row) => (rootLabel[row] === NONE ? undefined : strings[rootLabel[row]]);
      },
    },
  ],
};

const CUT = /…['"] \((\d+) chars\)$/;
/** The str of a row: previews are whole or end with how long the text is. */
const textOf = (graph: HeapGraph, node: number): string => findPreview(graph, node) ?? '';

const strings: View = {
  name: 'strings',
  about: 'one row for each str',
  countRows: ({ strNodes }) => strNodes.length,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'address',
      type: 'address',
      about: 'of the object, as in objects',
      open: ({ graph: { address }, strNodes }) => {
        return (row) => address[strNodes[row]];
      },
    },
    {
      name: 'text',
      type: 'text',
      about: 'at most its first 120 characters, escaped as in its repr, without quotes',
      open: ({ graph, strNodes }) => {
        return (row) => textOf(graph, strNodes[row]).replace(CUT, "'").slice(1, -1);
      },
    },
    {
      name: 'is_cut',
      type: 'flag',
      about: 'the text is longer: texts that look the same may differ behind',
      open: ({ graph, strNodes }) => {
        return (row) => CUT.test(textOf(graph, strNodes[row]));
      },
    },
    {
      name: 'shallow_bytes',
      type: 'whole',
      about: 'what sys.getsizeof returns',
      open: ({ graph: { shallowSize }, strNodes }) => {
        return (row) => shallowSize[strNodes[row]];
      },
    },
  ],
};

export const HEAP_VIEWS: readonly View[] = [types, modules, roots, strings];
