import { expect, test } from 'vitest';
import { Problems } from '../base/problems.ts';
import { buildMemoryImage } from '../memory/memory-image.ts';
import type { PythonRuntime } from './find-runtime.ts';
import { readTrackedObjects } from './gc-lists.ts';

const BASE = 0x7f0000000000;

/** Memory of 16 KiB in which lists are linked by addresses. */
function makeLists() {
  const bytes = new Uint8Array(16384);
  const view = new DataView(bytes.buffer);
  const write = (address: number, value: number) =>
    view.setBigUint64(address - BASE, BigInt(value), true);
  return {
    write,
    /** A circular list through `head`; `flags` are the low bits of _gc_next and _gc_prev. */
    link(head: number, nodes: readonly number[], flags: readonly [number, number] = [0, 0]) {
      const ring = [head, ...nodes];
      ring.forEach((node, i) => {
        const isHead = i === 0;
        write(node, ring[(i + 1) % ring.length] + (isHead ? 0 : flags[0]));
        write(node + 8, ring[(i + ring.length - 1) % ring.length] + (isHead ? 0 : flags[1]));
      });
    },
    read(heads: readonly number[]) {
      const image = buildMemoryImage([{ address: BASE, bytes }]);
      const problems = new Problems();
      const interpreters = [{ gcState: BASE, generationHeads: heads }];
      const runtime = { interpreters } as unknown as PythonRuntime;
      const tracked = readTrackedObjects(image, runtime, problems);
      const addresses = [...tracked.words].map((word) => image.addressOfWord(word));
      return { ...tracked, addresses, problems: problems.list() };
    },
  };
}

const HEADS = [0, 24, 48, 80].map((offset) => BASE + offset);
const node = (i: number) => BASE + 256 + i * 64;

test('objects lie behind their heads, list by list, whatever the flags are', () => {
  const lists = makeLists();
  lists.link(HEADS[0], [node(3), node(1)], [1, 3]);
  lists.link(HEADS[1], []);
  lists.link(HEADS[2], [node(0), node(7), node(2)], [2, 1]);
  lists.link(HEADS[3], [node(5)]);
  const found = lists.read(HEADS);
  const expected = [3, 1, 0, 7, 2, 5].map((i) => node(i) + 16);
  expect(found.addresses).toEqual(expected);
  expect(found.countByGeneration).toEqual([2, 0, 3, 1]);
  expect(found.problems).toEqual([]);
});

test('heads may lie at a multiple of 4 that is none of 8', () => {
  const lists = makeLists();
  const heads = [20, 44, 68, 104].map((offset) => BASE + offset);
  for (const head of heads) lists.link(head, []);
  lists.link(heads[1], [node(1), node(2)]);
  expect(lists.read(heads).addresses).toEqual([node(1) + 16, node(2) + 16]);
});

test('a list is left where a link is not answered, and the others are read', () => {
  const lists = makeLists();
  lists.link(HEADS[0], [node(1), node(2), node(3)]);
  lists.link(HEADS[1], [node(4)]);
  lists.link(HEADS[2], []);
  lists.link(HEADS[3], [node(6)]);
  lists.write(node(3) + 8, node(6));
  const found = lists.read(HEADS);
  expect(found.addresses).toEqual([node(1), node(2), node(4), node(6)].map((at) => at + 16));
  expect(found.damagedLists).toBe(1);
  expect(found.problems).toEqual([{ kind: 'gc-list-damaged', count: 1, examples: [node(2)] }]);
});

test.each([
  ['nowhere', 0],
  ['memory that was not copied', 0x123456789000],
  ['an address above all memory', 2 ** 60],
  ['a node met before', node(1)],
])('a link to %s ends the list', (_what, target) => {
  const lists = makeLists();
  for (const head of HEADS) lists.link(head, []);
  lists.link(HEADS[0], [node(1), node(2), node(3)]);
  lists.write(node(3), target);
  const found = lists.read(HEADS);
  expect(found.addresses).toEqual([node(1), node(2), node(3)].map((at) => at + 16));
  expect(found.damagedLists).toBe(1);
});

test('an object whose first page was not copied is not read', () => {
  const lists = makeLists();
  for (const head of HEADS) lists.link(head, []);
  lists.link(HEADS[0], [BASE + 16384 - 16]);
  expect(lists.read(HEADS)).toMatchObject({ addresses: [], damagedLists: 1 });
});
