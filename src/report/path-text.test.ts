import { describe, expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { findPath } from '../analysis/path-steps.ts';
import { computePathTree } from '../analysis/paths.ts';
import { formatSteps, writePath } from './path-text.ts';

/** The path to `goal`, in one line and as a ladder; the node `grows` is marked. */
function check(drawing: string, goal: string, grows?: string) {
  const { graph, node } = drawGraph(drawing);
  const path = findPath(graph, computePathTree(graph), node(goal));
  if (path === undefined) throw new Error(`${goal} is unreachable`);
  const written = writePath(graph, path, {
    growsAt: grows === undefined ? undefined : node(grows),
    retainedSize: graph.allocatedSize,
  });
  return { line: written.text, ladder: formatSteps(written.steps, 85) };
}

const APP = `
  root module app -> app
  app: module 64 __dict__ -> appDict
  appDict: dict 232 [registryName] -> registry
  registryName: str 50 "'registry'"
  registry: app.Registry 48 .open -> open
  open: dict 232 [key] -> ticket
  key: int 28 "123"
  ticket: app.Ticket 48/512
`;

describe('one line', () => {
  test('an entry of a dict that an attribute of a module holds', () => {
    expect(check(APP, 'ticket').line).toBe('app.registry.open[123] -> app.Ticket');
  });

  test('a local of a coroutine is named with its function, not with what holds the coroutine', () => {
    const { line } = check(
      `
      root module app -> app
      app: module 64 .task -> task
      task: _asyncio.Task 100 <task_coro> -> coro
      coro: coroutine 100 "<coroutine leaking_coro at main.py:31>" local data -> data
      data: list 88 [5] -> text
      text: str 15049 "'00xx'"
      `,
      'text',
    );

    expect(line).toBe("local 'data' of leaking_coro (main.py:31) -> list[5] -> str");
  });

  test('a local of a running frame is the beginning of a path', () => {
    const { line } = check(
      `
      root local local 'rows' of load (load.py:7) -> rows
      rows: list 88 [0] -> row
      row: dict 232
      `,
      'row',
    );

    expect(line).toBe("local 'rows' of load (load.py:7) -> list[0] -> dict");
  });
});

describe('the ladder', () => {
  test('names each step, its type and length, and where the growth sits', () => {
    expect(check(APP, 'ticket', 'open').ladder).toEqual([
      'module app',
      '  .registry     Registry',
      '  .open         dict (1)                <-- grows here',
      '  [123]         Ticket  512 B retained',
    ]);
  });

  test('of a long chain shows both ends and says how many steps are left out', () => {
    const links = Array.from({ length: 200 }, (_, i) => `n${i}: app.Node 48 .next -> n${i + 1}`);
    const { ladder } = check(
      `root module app -> app\napp: module .head -> n0\n${links.join('\n')}`,
      'n199',
    );

    expect(ladder.length).toBeLessThan(20);
    const omitted = ladder.filter((line) => line.includes('…'));
    expect(omitted).toHaveLength(1);
    // The module and 200 nodes; what is neither shown nor counted would be lost.
    const shown = ladder.length - 1;
    expect(shown + Number(/\d+/.exec(omitted[0])?.[0])).toBe(201);
  });
});
