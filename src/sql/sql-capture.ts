// One capture as queries see it: its graph, its number, and what is computed of it when a column that is asked for needs it.

import {
  computeDominators,
  computeRetainedSizes,
  type DominatorTree,
} from '../analysis/dominators.ts';
import { computeRetainedByType } from '../analysis/retained-by-type.ts';
import { growableUint32 } from '../base/columns.ts';
import { EdgeKind, type HeapGraph, RootKind } from '../graph/heap-graph.ts';
import { computeTypeTotals, type TypeTotals } from '../graph/type-totals.ts';

/** No container: of `lengths`. */
export const NO_LENGTH = -1;
const CONTAINERS = new Set(
  'list tuple dict set frozenset frozendict collections.deque collections.OrderedDict collections.defaultdict'.split(
    ' ',
  ),
);

export interface SqlCaptureOptions {
  /** From 1, in the order of the command line. */
  number: number;
  /** As the user gave it: a pid, or a file's path. */
  target: string;
  /** Called before dominators are computed, which takes memory and time; may throw. */
  beforeAnalysis?: ((graph: HeapGraph) => void) | undefined;
}

export class SqlCapture {
  readonly graph: HeapGraph;
  readonly number: number;
  readonly target: string;
  private readonly beforeAnalysis: (graph: HeapGraph) => void;
  private foundTree: DominatorTree | undefined;
  private foundRetained: Float64Array | undefined;
  private foundRetainedByType: Float64Array | undefined;
  private foundLengths: Int32Array | undefined;
  private foundEdgeSources: Uint32Array | undefined;
  private foundTotals: TypeTotals | undefined;
  private foundStrNodes: Uint32Array | undefined;
  private foundModules: readonly string[] | undefined;

  constructor(graph: HeapGraph, { number, target, beforeAnalysis = () => {} }: SqlCaptureOptions) {
    this.graph = graph;
    this.number = number;
    this.target = target;
    this.beforeAnalysis = beforeAnalysis;
  }

  get tree(): DominatorTree {
    if (this.foundTree === undefined) {
      this.beforeAnalysis(this.graph);
      this.foundTree = computeDominators(this.graph);
    }
    return this.foundTree;
  }

  /** Per node, bytes; 0 of what no root reaches. */
  get retained(): Float64Array {
    this.foundRetained ??= computeRetainedSizes(this.tree, this.graph.allocatedSize);
    return this.foundRetained;
  }

  /** Per row of the graph's types; those of one name are in the first row of that name. */
  get retainedByType(): Float64Array {
    this.foundRetainedByType ??= computeRetainedByType(this.graph, this.tree, this.retained);
    return this.foundRetainedByType;
  }

  /** Per node: entries of a container, NO_LENGTH of what is none. */
  get lengths(): Int32Array {
    this.foundLengths ??= computeLengths(this.graph);
    return this.foundLengths;
  }

  /** Per edge: the node that it comes from. */
  get edgeSources(): Uint32Array {
    if (this.foundEdgeSources === undefined) {
      const { firstEdge, nodeCount, edgeCount } = this.graph;
      const sources = new Uint32Array(edgeCount);
      for (let node = 0; node < nodeCount; node++) {
        sources.fill(node, firstEdge[node], firstEdge[node + 1]);
      }
      this.foundEdgeSources = sources;
    }
    return this.foundEdgeSources;
  }

  get typeTotals(): TypeTotals {
    this.foundTotals ??= computeTypeTotals(this.graph);
    return this.foundTotals;
  }

  /** Of objects whose type is str itself and whose text was kept, ascending. */
  get strNodes(): Uint32Array {
    if (this.foundStrNodes === undefined) {
      const { typeId, types, previewStart, nodeCount } = this.graph;
      const isStr = types.map(({ name }) => name === 'str');
      const nodes = growableUint32();
      for (let node = 0; node < nodeCount; node++) {
        if (isStr[typeId[node]] && previewStart[node] < previewStart[node + 1]) nodes.push(node);
      }
      this.foundStrNodes = nodes.finish();
    }
    return this.foundStrNodes;
  }

  /** Per row of the graph's types: the module that it belongs to. */
  get moduleOfType(): readonly string[] {
    this.foundModules ??= findModulesOfTypes(this.graph);
    return this.foundModules;
  }
}

function computeLengths({ nodeCount, firstEdge, edgeKind, typeId, types }: HeapGraph): Int32Array {
  const isContainer = types.map(({ name }) => CONTAINERS.has(name));
  const isEntry = new Uint8Array(256);
  for (const kind of [EdgeKind.item, EdgeKind.setItem, EdgeKind.dictValue, EdgeKind.namedValue]) {
    isEntry[kind] = 1;
  }
  const lengths = new Int32Array(nodeCount);
  for (let node = 0; node < nodeCount; node++) {
    let length = 0;
    const end = firstEdge[node + 1];
    for (let edge = firstEdge[node]; edge < end; edge++) length += isEntry[edgeKind[edge]];
    lengths[node] = length > 0 || isContainer[typeId[node]] ? length : NO_LENGTH;
  }
  return lengths;
}

/** `app.models` of `app.models.User.Meta`: the longest beginning that is a module; else all but the last part. */
function findModulesOfTypes({ types, rootKind, rootLabel, strings }: HeapGraph): string[] {
  const modules = new Set<string>();
  for (let root = 0; root < rootKind.length; root++) {
    if (rootKind[root] === RootKind.module) modules.add(strings[rootLabel[root]]);
  }
  return types.map(({ name }) => {
    for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
      const module = name.slice(0, dot);
      if (modules.has(module)) return module;
    }
    const last = name.lastIndexOf('.');
    return last > 0 ? name.slice(0, last) : 'builtins';
  });
}
