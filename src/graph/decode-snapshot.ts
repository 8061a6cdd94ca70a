// The bytes of a `.lscope` file (format: snapshot-header.ts) as a HeapGraph whose columns are read when they are first asked
// for, so that a command pays for what it needs. A column is checked by itself and against the others' lengths before
// anybody sees it: a damaged or made-up file is a UsageError, at the latest when what is damaged is used.

import { UsageError } from '../base/errors.ts';
import { isExecutionFacts, isNativeFacts, isTracerFacts } from './check-facts.ts';
import {
  checkColumn,
  checkExecution,
  checkLengths,
  checkNative,
  checkTraces,
  checkTypes,
  type GraphColumns,
  type GraphSizes,
} from './check-graph.ts';
import { BLOCK_CELLS, bytesOf, decodeBlock } from './column-blocks.ts';
import type { HeapGraph } from './heap-graph.ts';
import {
  ALL_COLUMNS,
  CELL_BYTES,
  COLUMNS,
  type Column,
  type ColumnName,
  type DocumentName,
  EXECUTION_COLUMNS,
  NATIVE_COLUMNS,
  TRACE_COLUMNS,
} from './snapshot-columns.ts';
import {
  damaged,
  type Inflater,
  isDocument,
  parseJson,
  readBlock,
  readIndex,
  type Section,
  type SnapshotIndex,
  type SnapshotReader,
} from './snapshot-header.ts';
import { areSameTotals, computeTypeTotals } from './type-totals.ts';

export interface Snapshot {
  readonly index: SnapshotIndex;
  /** Its columns are read when they are first asked for, and kept. */
  readonly graph: HeapGraph;
}

export interface OpenOptions {
  /** Called before a column is allocated; may throw. */
  onAllocate?: ((bytes: number) => void) | undefined;
}

/** Reads the header only. Throws UsageError if the bytes are no snapshot, of a newer version, cut off or damaged. */
export function openSnapshot(
  reader: SnapshotReader,
  inflater: Inflater,
  options: OpenOptions = {},
): Snapshot {
  const index = readIndex(reader, inflater);
  const sections = new SectionReader(reader, inflater, index, options);
  return { index, graph: buildGraph(sections) };
}

/** Reads everything, and tests every checksum and whether all of it fits. */
export function readSnapshot(
  reader: SnapshotReader,
  inflater: Inflater,
  options: OpenOptions = {},
): Snapshot {
  const { index, graph } = openSnapshot(reader, inflater, options);
  // The copy has plain values: every getter has run.
  const whole: HeapGraph = { ...graph };
  for (const section of index.sections) {
    if (Object.hasOwn(ALL_COLUMNS, section.name) || isDocument(section.name)) continue;
    for (const block of section.blocks) readBlock(reader, inflater, block);
  }
  const { typeTotals } = index;
  if (typeTotals !== undefined && !areSameTotals(typeTotals, computeTypeTotals(whole))) {
    throw damaged(reader, 'the sums of its types are not those of its objects');
  }
  return { index, graph: whole };
}

class SectionReader {
  readonly index: SnapshotIndex;
  readonly sizes: GraphSizes;
  private readonly reader: SnapshotReader;
  private readonly inflater: Inflater;
  private readonly onAllocate: (bytes: number) => void;
  private readonly byName: ReadonlyMap<string, Section>;

  constructor(
    reader: SnapshotReader,
    inflater: Inflater,
    index: SnapshotIndex,
    { onAllocate = () => {} }: OpenOptions,
  ) {
    this.reader = reader;
    this.inflater = inflater;
    this.index = index;
    this.onAllocate = onAllocate;
    this.byName = new Map(index.sections.map((section) => [section.name, section]));
    this.sizes = {
      nodeCount: index.nodeCount,
      edgeCount: index.edgeCount,
      typeCount: index.types.length,
      stringCount: index.stringCount,
      lengthOf: (name) => this.sectionOf(name).length,
    };
    this.refuse(checkLengths(this.sizes) ?? checkTypes(index.types, this.sizes));
  }

  refuse(contradiction: string | undefined): void {
    if (contradiction !== undefined) throw damaged(this.reader, contradiction);
  }

  has(name: string): boolean {
    return this.byName.has(name);
  }

  private sectionOf(name: string): Section {
    const section = this.byName.get(name);
    if (section === undefined) throw damaged(this.reader, `the section ${name} is missing`);
    return section;
  }

  readColumn(name: string): Column {
    const section = this.sectionOf(name);
    if (section.type !== ALL_COLUMNS[name]) {
      throw damaged(this.reader, `the section ${name} has cells of another type`);
    }
    const column = this.allocate(section);
    this.fill(section, column);
    return column;
  }

  /** undefined if the file does not have it. */
  findDocument(name: DocumentName): unknown {
    if (this.index.version === 1) return this.index.documents[name];
    if (!this.has(name)) return undefined;
    const section = this.sectionOf(name);
    if (section.type !== 'u8') throw damaged(this.reader, `the section ${name} is no text`);
    const bytes = this.allocate(section);
    this.fill(section, bytes);
    return parseJson(this.reader, bytes as Uint8Array);
  }

  private allocate({ name, type, length }: Section): Column {
    this.onAllocate(length * CELL_BYTES[type]);
    try {
      if (type === 'u8') return new Uint8Array(length);
      return type === 'u32' ? new Uint32Array(length) : new Float64Array(length);
    } catch (cause) {
      throw new UsageError(
        {
          fact: `Cannot read ${this.reader.name}`,
          reason: `${length} cells of ${name} do not fit into memory`,
          next: 'Read it on a machine with more memory.',
        },
        { cause },
      );
    }
  }

  private fill(section: Section, into: Column): void {
    const into8 = bytesOf(into);
    let filled = 0;
    let start = 0;
    for (const block of section.blocks) {
      const bytes = readBlock(this.reader, this.inflater, block);
      if (section.form === 'bytes') into8.set(bytes, filled);
      else {
        const end = Math.min(start + BLOCK_CELLS, section.length);
        decodeBlock({ planes: block.planes, bytes }, section, into as Uint32Array, start, end);
        start = end;
      }
      filled += block.length;
    }
  }
}

function buildGraph(sections: SectionReader): HeapGraph {
  const { index, sizes } = sections;
  const columns = defineLazily<GraphColumns>(Object.keys(COLUMNS) as ColumnName[], (name) =>
    sections.readColumn(name),
  );
  const checked = defineLazily<GraphColumns>(Object.keys(COLUMNS) as ColumnName[], (name) => {
    sections.refuse(checkColumn(name, columns, sizes));
    return columns[name];
  });
  const parts = defineLazily<Pick<HeapGraph, 'strings' | 'native' | 'traces' | 'execution'>>(
    ['strings', 'native', 'traces', 'execution'],
    (name) => READ_PART[name](sections),
  );
  return Object.defineProperties(
    { nodeCount: index.nodeCount, edgeCount: index.edgeCount },
    {
      ...Object.getOwnPropertyDescriptors(checked),
      types: { value: index.types, enumerable: true },
      ...Object.getOwnPropertyDescriptors(parts),
      capture: { value: index.capture, enumerable: true },
    },
  ) as HeapGraph;
}

const READ_PART = {
  strings: readStrings,
  native: readNative,
  traces: readTraces,
  execution: readExecution,
};

function readStrings(sections: SectionReader): HeapGraph['strings'] {
  const strings = sections.findDocument('strings') as string[];
  const isWhole =
    Array.isArray(strings) &&
    strings.length === sections.sizes.stringCount &&
    strings.every((text) => typeof text === 'string');
  sections.refuse(isWhole ? undefined : 'its strings are not those that it says');
  return strings;
}

function readNative(sections: SectionReader): HeapGraph['native'] {
  const facts = sections.findDocument('nativeFacts') as NonNullable<HeapGraph['native']>['facts'];
  if (facts === undefined) return undefined;
  sections.refuse(isNativeFacts(facts) ? undefined : 'its native facts lack a part');
  const native = { ...readColumns(sections, NATIVE_COLUMNS), facts } as HeapGraph['native'];
  sections.refuse(checkNative({ native, nodeCount: sections.index.nodeCount }));
  return native;
}

function readTraces(sections: SectionReader): HeapGraph['traces'] {
  const facts = sections.findDocument('traceFacts') as NonNullable<HeapGraph['traces']>['facts'];
  if (facts === undefined) return undefined;
  sections.refuse(isTracerFacts(facts) ? undefined : 'its facts of traces lack a part');
  const traces = { ...readColumns(sections, TRACE_COLUMNS), facts } as HeapGraph['traces'];
  sections.refuse(checkTraces({ traces, nodeCount: sections.index.nodeCount }));
  return traces;
}

function readExecution(sections: SectionReader): HeapGraph['execution'] {
  const facts = sections.findDocument('executionFacts') as NonNullable<
    HeapGraph['execution']
  >['facts'];
  if (facts === undefined) return undefined;
  sections.refuse(isExecutionFacts(facts) ? undefined : 'its facts of threads lack a part');
  const execution = {
    ...readColumns(sections, EXECUTION_COLUMNS),
    facts,
  } as HeapGraph['execution'];
  const { nodeCount, stringCount } = sections.index;
  sections.refuse(checkExecution({ execution, nodeCount, strings: { length: stringCount } }));
  return execution;
}

const readColumns = (sections: SectionReader, names: object): Record<string, Column> =>
  Object.fromEntries(Object.keys(names).map((name) => [name, sections.readColumn(name)]));

/** An object with getters that call `read` the first time. What failed is tried again. */
function defineLazily<T extends object>(
  names: readonly (keyof T)[],
  read: (name: keyof T & string) => unknown,
): T {
  const lazy = {};
  for (const name of names) {
    let value: unknown;
    let isRead = false;
    Object.defineProperty(lazy, name, {
      enumerable: true,
      get() {
        if (!isRead) {
          value = read(name as keyof T & string);
          isRead = true;
        }
        return value;
      },
    });
  }
  return lazy as T;
}
