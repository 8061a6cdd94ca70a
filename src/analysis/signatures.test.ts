import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { computeSignatures } from './signatures.ts';

/** Whether object `o` has the same signature in both drawings. */
function looksTheSame(before: string, after: string): boolean {
  const [a, b] = [before, after].map((text) => {
    const { graph, node } = drawGraph(text);
    return computeSignatures(graph)[node('o')];
  });
  return a === b;
}

test('a str with another text is another object', () => {
  expect(looksTheSame(`o: str 50 "'a'"`, `o: str 50 "'a'"`)).toBe(true);
  expect(looksTheSame(`o: str 50 "'a'"`, `o: str 50 "'b'"`)).toBe(false);
  expect(looksTheSame(`o: str 50 "'a..."`, `o: str 90 "'a..."`)).toBe(false);
});

test('a dict that got more entries is the same dict', () => {
  const keys = `k1: str "'a'"\nk2: str "'b'"`;
  const ten = Array.from({ length: 10 }, (_, i) => `[k${i}] -> v${i}`);
  const strs = Array.from({ length: 11 }, (_, i) => `k${i}: int "${i}"`).join('\n');
  expect(
    looksTheSame(
      `o: dict 232 ${ten.join(', ')}\n${strs}`,
      `o: dict 360 ${[...ten, '[k10] -> v10'].join(', ')}\n${strs}`,
    ),
  ).toBe(true);
  expect(looksTheSame(`o: dict [k1] -> v\n${keys}`, `o: dict [k2] -> v\n${keys}`)).toBe(false);
});

test('a tuple with another item is another tuple', () => {
  const items = 'a: T @0x9000\nb: T @0xa000';
  expect(looksTheSame(`o: tuple [0] -> a\n${items}`, `o: tuple [0] -> b\n${items}`)).toBe(false);
});

test('an instance with another name in it is another instance', () => {
  expect(looksTheSame(`o: T .name -> n\nn: str "'a'"`, `o: T .name -> n\nn: str "'b'"`)).toBe(
    false,
  );
  expect(looksTheSame(`o: T .items -> l\nl: list @0x9000`, `o: T .items -> l\nl: list`)).toBe(true);
});
