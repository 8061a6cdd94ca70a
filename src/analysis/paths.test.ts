import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { smallGraphs } from '../../tests/support/random-graph.ts';
import { hasBit } from '../base/bit-set.ts';
import { NONE } from '../graph/heap-graph.ts';
import { findPath, formatPath } from './path-steps.ts';
import { computePathTree } from './paths.ts';
import { computeReachable } from './reachability.ts';

/** Expects the best path to `node` of a drawing, as text. */
function checkPath(drawing: string, name: string, expected: string): void {
  const { graph, node } = drawGraph(drawing);
  const path = findPath(graph, computePathTree(graph), node(name));
  expect(path && formatPath(path)).toBe(expected);
}

describe('the best path', () => {
  test('goes through a module of the program and hides the dicts of instances', () => {
    checkPath(
      `
      root module app -> app
      app: module __dict__ -> appDict
      appDict: dict [n1] -> registry
      n1: str "'registry'"
      registry: app.Registry __dict__ -> registryDict
      registryDict: dict '_open' -> open
      open: dict [n2] -> t
      n2: int "123"
      t: Ticket
      `,
      't',
      'app.registry._open[123] -> Ticket',
    );
  });

  // 3.11 and later keep the names of all variables in one tuple, those of functions around it last.
  test.each([
    ['.co_freevars', '[0] -> n2'],
    ['.co_localsplusnames', '[0] -> n1, [1] -> n2'],
  ])('names what a function uses of the one around it, by %s', (field, names) => {
    checkPath(
      `
      root module app -> app
      app: module .show -> show
      show: function .__code__ -> code, .__closure__ -> closure
      code: code ${field} -> names
      names: tuple ${names}
      n1: str "'article'"
      n2: str "'failures'"
      closure: tuple [0] -> cell
      cell: cell .cell_contents -> list
      list: list [3] -> t
      t: T
      `,
      't',
      "app.show closure 'failures'[3] -> T",
    );
  });

  test('prefers a module of the program to a shorter path from a local or from C code', () => {
    checkPath(
      `
      root native -> t
      root local work (main.py:31) -> l
      root module app -> app
      l: list [0] -> t
      app: module .a -> a
      a: A .b -> b
      b: B .c -> t
      t: T
      `,
      't',
      'app.a.b.c -> T',
    );
  });

  test('begins at the class that a singleton of the standard library belongs to', () => {
    const { graph, node } = drawGraph(`
      root module app -> app
      root module asyncio.log -> asyncio
      root module logging -> logging
      app: module .log -> log
      asyncio: module .logger -> log
      logging: module .Logger -> Logger
      Logger: type .manager -> manager
      log: Logger .manager -> manager
      manager: logging.Manager .loggerDict -> loggers
      loggers: dict
    `);
    const types = graph.types.map((row) => ({
      ...row,
      name: row.name === 'Logger' ? 'logging.Logger' : row.name,
    }));
    const named = { ...graph, types };

    const path = findPath(named, computePathTree(named), node('loggers'));
    expect(path && formatPath(path)).toBe('logging.Logger.manager.loggerDict -> dict');
  });

  test('leaves out in what a context and a threading.local keep their values', () => {
    const context = `
      root thread context of thread main -> context
      context: Context <ctx_vars> -> vars
      vars: hamt <h_root> -> tree
      tree: hamt_bitmap_node [user] -> value
      user: ContextVar .name -> name
      name: str "'user'"
      value: app.User
      `;
    const local = `
      root module app -> app
      app: module .local -> local
      local: _thread._local <dummies> -> dicts
      dicts: dict [ref] -> own
      own: dict [n] -> seen
      ref: weakref
      n: str "'seen'"
      seen: list
      `;

    checkPath(context, 'value', "context of thread main[ContextVar 'user'] -> app.User");
    checkPath(local, 'seen', 'app.local.seen -> list');
  });

  test('prefers a local to the internals of the standard library', () => {
    checkPath(
      `
      root module threading -> threading
      root local local 'data' of leaking_coro (main.py:31) -> data
      threading: module ._active -> active
      active: dict [k] -> t
      data: list [5] -> t
      k: int "1"
      t: T
      `,
      't',
      "local 'data' of leaking_coro (main.py:31)[5] -> T",
    );
  });

  test('tells an installed library by its file and prefers the program', () => {
    checkPath(
      `
      root module lib -> lib
      root module app -> app
      lib: module __dict__ -> libDict
      libDict: dict [f] -> file, 'cache' -> cache
      f: str "'__file__'"
      file: str "'/v/lib/python3.12/site-packages/lib/__init__.py'"
      cache: dict 'x' -> t
      app: module .a -> a
      a: A .b -> b
      b: B .c -> c
      c: C .d -> t
      t: T
      `,
      't',
      'app.a.b.c.d -> T',
    );
  });

  test('does not go through a function to the globals of its module', () => {
    checkPath(
      `
      root module app -> app
      root module other -> other
      app: module .f -> f
      f: function .__globals__ -> otherDict
      other: module __dict__ -> otherDict
      otherDict: dict 'x' -> x
      x: X .deep -> t
      t: T
      `,
      't',
      'other.x.deep -> T',
    );
  });

  test('does not enter a module through an import of it', () => {
    checkPath(
      `
      root module app -> app
      root module json -> json
      app: module .json -> json
      json: module ._default -> t
      t: T
      `,
      't',
      'json._default -> T',
    );
  });

  test('stays at the head of a long list although its tail is held by a local', () => {
    const links = Array.from({ length: 300 }, (_, i) => `n${i}: Node .next -> n${i + 1}`);
    const { graph, node } = drawGraph(`
      root module app -> app
      root local append (app.py:3) -> n300
      app: module .head -> n0
      ${links.join('\n')}
      n300: Node
    `);

    const tree = computePathTree(graph);

    expect(tree.rootRow[node('n299')]).toBe(0);
    const path = findPath(graph, tree, node('n299'));
    expect(path?.steps.map((step) => step.omitted).reduce((a, b) => a + b)).toBe(276);
    expect(path && formatPath(path)).toMatch(/^app\.head(\.next){11} \.\.\. (\.next)+ -> Node$/);
  });

  test('writes each kind of edge', () => {
    checkPath(
      `
      root thread context of thread "main" -> a
      a: A <context> -> b
      b: B <+24> -> c
      c: coroutine local rows -> d
      d: set {} -> e
      e: frame <stack 1> -> f
      f: dict [g] -> h
      g: app.Key
      h: T type -> i
      `,
      'i',
      'context of thread "main"<context><+24> local \'rows\'{...}<stack 1>[<app.Key>].__class__ -> object',
    );
  });

  test('exists for exactly the reachable nodes, and each step of it is an edge of the graph', () => {
    fc.assert(
      fc.property(smallGraphs(16), (graph) => {
        const tree = computePathTree(graph);
        const reachable = computeReachable(graph);
        const placed = new Set<number>();
        for (const node of tree.order) {
          const parent = tree.parentNode[node];
          if (parent === NONE) {
            expect(graph.rootNode[tree.rootRow[node]]).toBe(node);
          } else {
            expect(placed.has(parent)).toBe(true);
            expect(tree.rootRow[node]).toBe(tree.rootRow[parent]);
            const edge = tree.parentEdge[node];
            expect(graph.edgeTarget[edge]).toBe(node);
            expect(edge).toBeGreaterThanOrEqual(graph.firstEdge[parent]);
            expect(edge).toBeLessThan(graph.firstEdge[parent + 1]);
          }
          placed.add(node);
        }
        for (let node = 0; node < graph.nodeCount; node++) {
          expect(placed.has(node)).toBe(hasBit(reachable, node));
          expect(tree.rootRow[node] === NONE).toBe(!hasBit(reachable, node));
        }
      }),
    );
  });
});
