import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { computeLength, formatRepr } from './repr-text.ts';

const { graph, node } = drawGraph(`
  root module app -> session
  session: app.sessions.Session 48 .user_id -> n118, .state -> open, .items -> numbers, .__weakref__ -> none
  plain: app.Plain 48 __dict__ -> plainDict
  plainDict: dict 232 'name' -> open, [keyObject] -> n118
  keyObject: app.Key 48
  n118: int 28 "118"
  open: str 53 "'open'"
  none: NoneType 16 "None"
  numbers: list 88 [0] -> n118, [1] -> n118, [2] -> n118, [3] -> n118, [4] -> n118, [5] -> n118, [6] -> n118
  pair: tuple 56 [0] -> n118
  empty: dict 64
  emptyList: list 56
  mapping: dict 232 [open] -> n118, [keyObject] -> numbers
  members: set 216 {} -> n118, {} -> open
  ordered: collections.OrderedDict 300 [open] -> n118
  nothing: app.Nothing 16
`);

test.each([
  ['n118', '118'],
  ['session', "<Session user_id=118 state='open' items=<list, 7 items>>"],
  ['plain', "<Plain name='open'>"],
  ['numbers', '[118, 118, 118, 118, 118, … 7 items]'],
  ['pair', '(118,)'],
  ['empty', '{}'],
  ['emptyList', '[]'],
  ['mapping', "{'open': 118, <Key>: <list, 7 items>}"],
  ['members', "{118, 'open'}"],
  ['ordered', "OrderedDict({'open': 118})"],
  ['nothing', '<Nothing>'],
])('%s is written %s', (name, text) => expect(formatRepr(graph, node(name))).toBe(text));

test('a repr is cut at its limit', () => {
  expect(formatRepr(graph, node('session'), 20)).toBe('<Session user_id=11…');
});

test('the length of a container counts entries, not edges; other objects have none', () => {
  expect(computeLength(graph, node('mapping'))).toBe(2);
  expect(computeLength(graph, node('empty'))).toBe(0);
  expect(computeLength(graph, node('session'))).toBeNull();
});
