// Arrays of numpy, compared with what numpy says of itself: size, what they are views of, the objects in them.

import { describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { EdgeKind, findNodeAt, findPreview, type HeapGraph } from '../../src/graph/heap-graph.ts';
import { findPythonWithPackages, startPython, type TestPython } from '../support/pythons.ts';

interface ArrayFacts {
  label: string;
  id: number;
  size: number;
  base: number;
  dtype: number;
  items: number[];
  preview: string;
}

const CODE = `
import gc, json, sys
import numpy

owner = numpy.arange(1000, dtype='int32')
made = {
    'numbers': owner,
    'view': owner[10:20],
    'view of a view': owner[10:500:3].reshape(2, -1)[:, 5:],
    'matrix': numpy.zeros((30, 40)),
    'fortran': numpy.zeros((3, 4, 5), order='F'),
    'empty': numpy.zeros((0, 7)),
    'objects': numpy.array([[1], 'two', None, {'three': 3}], dtype=object),
    'matrix of objects': numpy.array([[object() for _ in range(3)] for _ in range(4)]),
    'records': numpy.array([(1, 'a')], dtype=numpy.dtype([('number', 'i4'), ('object', 'O')], align=True)),
    'texts': numpy.array(['one', 'three']),
    'large': numpy.ones(300_000),
    'transposed': numpy.zeros((20, 30)).T,
    'from bytes': numpy.frombuffer(b'12345678', dtype='u1'),
}
gc.collect()
rows = [
    {
        'label': label, 'id': id(a), 'size': sys.getsizeof(a), 'base': 0 if a.base is None else id(a.base),
        'dtype': id(a.dtype), 'items': [id(each) for each in a.ravel()] if a.dtype == object else [],
        'preview': '<ndarray shape=%s dtype=%s>' % (a.shape, a.dtype.type.__name__),
    }
    for label, a in made.items()
]
print(json.dumps(rows), flush=True)
sys.stdin.read()
`;

const python = findPythonWithPackages();
const title = `arrays of numpy${python === undefined ? ' (skipped: no packages of PyPI)' : ''}`;

describe.skipIf(python === undefined)(title, () => {
  test('have the sizes, views, dtypes and objects that numpy tells', async () => {
    const running = await startPython<ArrayFacts[]>(python as TestPython, CODE);
    try {
      const graph = await captureHeap(running.pid);
      const told = running.ready.map((row) => ({ ...row, preview: row.preview.slice(0, 120) }));
      expect(told.map((row) => ({ label: row.label, ...readArray(graph, row.id) }))).toEqual(told);
      expect(graph.capture.problems.filter(({ kind }) => kind.startsWith('array'))).toEqual([]);
      const conservative = running.ready.filter(({ id }) => countScanned(graph, id) > 0);
      expect(conservative.map(({ label }) => label)).toEqual(['records']);
    } finally {
      await running.stop();
    }
  });
});

function readArray(graph: HeapGraph, id: number): Omit<ArrayFacts, 'label'> {
  const node = findNodeAt(graph, id);
  if (node === undefined) throw new Error('the array was not found');
  const facts = { id, size: graph.shallowSize[node], base: 0, dtype: 0, items: [] as number[] };
  for (let edge = graph.firstEdge[node]; edge < graph.firstEdge[node + 1]; edge++) {
    const target = graph.address[graph.edgeTarget[edge]];
    if (graph.edgeKind[edge] === EdgeKind.item) facts.items.push(target);
    if (graph.edgeKind[edge] !== EdgeKind.attribute) continue;
    const name = graph.strings[graph.edgeLabel[edge]];
    if (name === 'base') facts.base = target;
    if (name === 'dtype') facts.dtype = target;
  }
  return { ...facts, preview: findPreview(graph, node) ?? '' };
}

function countScanned(graph: HeapGraph, id: number): number {
  const node = findNodeAt(graph, id) ?? 0;
  const kinds = graph.edgeKind.subarray(graph.firstEdge[node], graph.firstEdge[node + 1]);
  return kinds.filter((kind) => kind === EdgeKind.conservative).length;
}
