// Await chains on drawn graphs: what real Pythons show is in tests/integration/execution.test.ts.

import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { type Execution, FutureState, GeneratorState } from '../graph/execution.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';
import { computeTasks, groupTasks } from './tasks.ts';

/** All of `coroutines` are suspended in their own function of app.py, on the line of their row from 1. */
function withExecution(
  graph: HeapGraph,
  coroutines: number[],
  futures: [node: number, state: FutureState, isTask: 0 | 1][],
): HeapGraph {
  const none = new Uint32Array(0);
  const rows = [...coroutines].sort((a, b) => a - b);
  const futureRows = [...futures].sort((a, b) => a[0] - b[0]);
  const execution: Execution = {
    facts: {
      threads: [],
      codes: [{ name: 'f', qualname: 'f', file: '/srv/app.py', firstLine: 1 }],
    },
    frameCode: none,
    frameLine: none,
    frameGenerator: none,
    firstLocal: new Uint32Array(1),
    localName: none,
    localNode: none,
    generatorNode: Uint32Array.from(rows),
    generatorState: Uint8Array.from(rows, () => GeneratorState.suspended),
    generatorCode: new Uint32Array(rows.length),
    generatorLine: Uint32Array.from(rows, (node) => coroutines.indexOf(node) + 1),
    futureNode: Uint32Array.from(futureRows, ([node]) => node),
    futureState: Uint8Array.from(futureRows, ([, state]) => state),
    futureIsTask: Uint8Array.from(futureRows, ([, , isTask]) => isTask),
  };
  return { ...graph, execution };
}

test('a chain ends at the future, and tasks on the same line are one group', () => {
  const { graph, node } = drawGraph(`
    one: _asyncio.Task .coro -> x, ._coro -> outer, ._fut_waiter -> future
    two: _asyncio.Task ._coro -> other, ._fut_waiter -> one
    three: _asyncio.Task ._coro -> third, ._fut_waiter -> one
    outer: coroutine .cr_await -> inner
    inner: coroutine .cr_await -> iter
    iter: _asyncio.FutureIter <future> -> future
    other: coroutine .cr_await -> one
    third: coroutine .cr_await -> one
    future: _asyncio.Future
  `);
  const coroutines = ['outer', 'inner', 'other', 'third'].map(node);
  const drawn = withExecution(graph, coroutines, [
    [node('one'), FutureState.pending, 1],
    [node('two'), FutureState.pending, 1],
    [node('three'), FutureState.cancelled, 1],
    [node('future'), FutureState.pending, 0],
  ]);
  const tasks = computeTasks(drawn);
  const [one, two, three] = ['one', 'two', 'three'].map((name) =>
    tasks.find((task) => task.node === node(name)),
  );
  expect(one?.stack.map((step) => step.line)).toEqual([1, 2]);
  expect(one).toMatchObject({ state: 'pending', isReady: false, waitsFor: 'asyncio.Future' });
  expect(two).toMatchObject({ awaits: [node('one')], waitsFor: expect.stringMatching(/^task/) });
  expect(three).toMatchObject({ state: 'cancelled', stack: [], awaits: [] });
  expect(groupTasks(tasks).map((group) => group.tasks.length)).toEqual([1, 1, 1]);
  expect(groupTasks([one!, one!, two!]).map((group) => group.tasks.length)).toEqual([2, 1]);
});

test('coroutines that await each other, which only damaged memory has, come to an end', () => {
  const { graph, node } = drawGraph(`
    task: _asyncio.Task ._coro -> a
    a: coroutine .cr_await -> b
    b: coroutine .cr_await -> a
  `);
  const drawn = withExecution(graph, [node('a'), node('b')], [[node('task'), 0, 1]]);
  expect(computeTasks(drawn)[0].stack.length).toBeLessThan(300);
});

test('a graph of an older file has no tasks', () => {
  expect(computeTasks(drawGraph('root module app -> app').graph)).toEqual([]);
});
