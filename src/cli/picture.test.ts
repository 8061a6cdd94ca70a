import { expect, test } from 'vitest';
import { UnsupportedError } from '../base/errors.ts';
import { renderPicture } from './picture.ts';

const never = new AbortController().signal;
const dot = 'digraph { a [label="Ticket é"]; a -> b [label=".items"] }';

test('a picture is drawn as SVG with its labels', async () => {
  const svg = Buffer.from(await renderPicture({ dot, format: 'svg' }, never)).toString();

  expect(svg).toContain('<svg');
  expect(svg).toContain('Ticket é');
}, 60_000);

test('a picture is drawn as PNG in which text is visible', async () => {
  const withText = await renderPicture({ dot, format: 'png' }, never);
  const without = await renderPicture(
    { dot: dot.replace('Ticket é', ' ').replace('.items', ' '), format: 'png' },
    never,
  );

  expect(Buffer.from(withText).subarray(1, 4).toString()).toBe('PNG');
  expect(withText.length).toBeGreaterThan(without.length);
}, 60_000);

test('a layout that takes too long is given up', async () => {
  // 400 nodes and 800 edges at random took Graphviz minutes.
  let seed = 1;
  const next = () => {
    seed = (seed * 48271) % 2147483647;
    return seed % 400;
  };
  const edges = Array.from({ length: 800 }, () => `n${next()} -> n${next()}`);

  const picture = renderPicture(
    { dot: `digraph { ${edges.join(';')} }`, format: 'svg' },
    never,
    1500,
  );

  await expect(picture).rejects.toBeInstanceOf(UnsupportedError);
}, 60_000);
