import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { computeFingerprint } from './fingerprint.ts';
import { computePathTree } from './paths.ts';
import { buildShapes, formatShape } from './shapes.ts';

/** Each shape of a drawing as text, with the number of its nodes. */
function shapesOf(drawing: string): Record<string, number> {
  const { graph } = drawGraph(drawing);
  const { table } = buildShapes(graph, computePathTree(graph));
  return Object.fromEntries(
    [...table.nodeCount].map((count, shape) => [formatShape(table, shape), count]),
  );
}

function fingerprintOf(drawing: string, name: string): string {
  const { graph, node } = drawGraph(drawing);
  const { table, shapeOfNode } = buildShapes(graph, computePathTree(graph));
  return computeFingerprint(table, shapeOfNode[node(name)]);
}

describe('shapes', () => {
  test('merge the entries of a container and keep names of attributes', () => {
    expect(
      shapesOf(`
        root module app -> app
        app: module .cache -> cache, .other -> t3
        cache: dict [k1] -> t1, [k2] -> t2
        k1: str "'a'"
        k2: str "'b'"
        t1: T
        t2: T
        t3: T
      `),
    ).toEqual({
      'app -> module': 1,
      'app.cache -> dict': 1,
      'app.other -> T': 1,
      'app.cache[*] -> T': 2,
      'app.cache<key> -> str': 2,
    });
  });

  test('leave out the entries of weak containers', () => {
    const shapes = shapesOf(`
      root module app -> app
      app: module .refs -> refs, .weak -> weak
      refs: list [0] -> plain
      weak: dict [k1] -> dying, [k2] -> living
      k1: str "'dead'"
      k2: str "'alive'"
      plain: weakref
      dying: weakref .__callback__ -> remove
      living: weakref .__callback__ -> remove
      remove: function
      garbage: T .self -> garbage
      alive: T
      root module app -> alive
      weak plain -> garbage
      weak dying -> garbage
      weak living -> alive
    `);
    expect(shapes['app.weak[*] -> weakref']).toBe(0);
    expect(shapes['app.weak<key> -> str']).toBe(0);
    // Nobody takes a reference without a callback out of its list.
    expect(shapes['app.refs[*] -> weakref']).toBe(1);
  });

  test('leave out how a class knows its subclasses', () => {
    const shapes = shapesOf(`
      root module app -> base
      root type tp_subclasses -> static
      base: type <tp_subclasses> -> table
      static: dict [k3] -> dying3
      dying3: weakref
      weak dying3 -> garbage
      table: dict [k1] -> dying, [k2] -> living
      k1: int
      k2: int
      dying: weakref
      living: weakref
      garbage: type .mro -> garbage
      alive: type
      root module app -> alive
      weak dying -> garbage
      weak living -> alive
    `);
    expect(shapes['app<tp_subclasses>[*] -> weakref']).toBe(0);
    expect(shapes['tp_subclasses[*] -> weakref']).toBe(0);
    expect(shapes['app<tp_subclasses><key> -> int']).toBe(0);
  });

  test('count what an entry of a weak container costs for what it refers to', () => {
    const { graph, node } = drawGraph(`
      root module app -> app
      app: module .weak -> weak, .thing -> thing
      weak: set {} -> entry
      entry: weakref 80 .__callback__ -> remove
      thing: T 100
      weak entry -> thing
    `);
    const { table, shapeOfNode } = buildShapes(graph, computePathTree(graph));
    expect(table.allocatedBytes[shapeOfNode[node('thing')]]).toBe(180);
  });

  test('keep weak references of which one object has many', () => {
    const refs = Array.from({ length: 20 }, (_, i) => i);
    const shapes = shapesOf(`
      root module app -> app
      app: module .refs -> refs, .thing -> thing
      refs: list ${refs.map((i) => `[${i}] -> r${i}`).join(', ')}
      ${refs.map((i) => `r${i}: weakref .__callback__ -> remove\nweak r${i} -> thing`).join('\n')}
    `);
    expect(shapes['app.refs[*] -> weakref']).toBe(20);
  });

  test('of a long linked list are three', () => {
    const links = Array.from({ length: 200 }, (_, i) => `d${i}: dict 'next' -> d${i + 1}`);
    expect(
      shapesOf(`root module app -> app\napp: module .head -> d0\n${links.join('\n')}\nd200: dict`),
    ).toEqual({ 'app -> module': 1, 'app.head -> dict': 1, 'app.head[*] -> dict': 200 });
  });

  test('of a structure that repeats after several steps are bounded', () => {
    const rows = Array.from(
      { length: 100 },
      (_, i) => `a${i}: A .b -> b${i}\nb${i}: B .c -> c${i}\nc${i}: C .a -> a${i + 1}`,
    );
    const shapes = shapesOf(`root module app -> app\napp: module .a -> a0\n${rows.join('\n')}`);
    expect(Object.keys(shapes).length).toBeLessThan(8);
  });

  test('of a structure without repetition are bounded too', () => {
    const rows = Array.from({ length: 500 }, (_, i) => `n${i}: T${i} .n -> n${i + 1}`);
    const shapes = shapesOf(`root module app -> n0\n${rows.join('\n')}`);
    expect(Math.max(...Object.keys(shapes).map((text) => text.split('.n').length))).toBeLessThan(
      70,
    );
  });

  test('leave the dict of an instance out of the path of what it holds', () => {
    const withDict = `
      root module app -> app
      app: module __dict__ -> d
      d: dict [k] -> r
      k: str "'registry'"
      r: R .items -> list
      list: list [0] -> t
      t: T`;
    const inline = `
      root module app -> app
      app: module .registry -> r
      r: R __dict__ -> d
      d: dict 'items' -> list
      list: list [7] -> t
      t: T`;

    expect(Object.keys(shapesOf(withDict))).toContain('app.registry.items[*] -> T');
    expect(Object.keys(shapesOf(inline))).toContain('app.registry.items[*] -> T');
    expect(fingerprintOf(withDict, 't')).toBe(fingerprintOf(inline, 't'));
  });
});

describe('the fingerprint', () => {
  const drawing = (attribute: string, type: string, line: number, address: string) => `
    root local local 'data' of work (main.py:${line}) in thread "t-${line}" -> data
    data: list ${address} .${attribute} -> t
    t: ${type}`;

  test('does not depend on addresses, lines, threads or numbers in names', () => {
    expect(fingerprintOf(drawing('job_17', 'T', 31, '@0x9000'), 't')).toBe(
      fingerprintOf(drawing('job_2', 'T', 99, '@0x5000'), 't'),
    );
    expect(fingerprintOf(drawing('job_17', 'T', 31, ''), 't')).toMatch(/^[0-9a-f]{8}$/);
  });

  test('differs when a name or a type differs', () => {
    const one = fingerprintOf(drawing('job', 'T', 1, ''), 't');
    expect(fingerprintOf(drawing('task', 'T', 1, ''), 't')).not.toBe(one);
    expect(fingerprintOf(drawing('job', 'U', 1, ''), 't')).not.toBe(one);
  });

  test('is the same in another version of leakscope', () => {
    expect(fingerprintOf('root module app -> a\na: dict [k] -> t\nt: T', 't')).toBe('606baaae');
  });
});
