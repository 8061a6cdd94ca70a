import { expect, test } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { buildReverseEdges } from '../graph/reverse-edges.ts';
import { buildPicture } from './graph-picture.ts';

const bounds = { depth: 3, fanOut: 5, nodeLimit: 60, reverse: undefined };

function picture(
  drawing: string,
  start: string,
  options: Partial<Parameters<typeof buildPicture>[2]>,
) {
  const { graph, node } = drawGraph(drawing);
  const reverse = buildReverseEdges(graph);
  return buildPicture(graph, node(start), {
    ...bounds,
    reverse,
    direction: 'backward',
    ...options,
  });
}

const wide = `
  root module app -> app
  app: module 64 .items -> items
  items: list 88 ${Array.from({ length: 400 }, (_, i) => `[${i}] -> t${i}`).join(', ')}
  ${Array.from({ length: 400 }, (_, i) => `t${i}: app.Ticket 48 .next -> t${(i + 1) % 400}`).join('\n')}
`;

test('neighbours beyond the fan-out become one node that counts them', () => {
  const { dot, omitted } = picture(wide, 'items', { direction: 'forward', depth: 1 });

  expect(omitted).toBe(395);
  expect(dot).toContain('… 395 more');
  expect(dot.match(/label="\[\d+\]"/g)).toHaveLength(5);
});

test('no more nodes are drawn than the limit', () => {
  const { nodes, dot } = picture(wide, 'items', {
    direction: 'forward',
    depth: 20,
    fanOut: 50,
    nodeLimit: 30,
  });

  expect(nodes).toBe(30);
  expect(dot.match(/^ {2}n\d+ \[/gm)).toHaveLength(30);
});

test('backward shows who refers, and names roots', () => {
  const { dot } = picture(wide, 't7', { depth: 2 });

  expect(dot).toContain('label=".items"');
  expect(dot).toContain('label="[7]"');
  expect(dot).toContain('root: app');
});

test('text of the target cannot break out of a label', () => {
  const { graph, node } = drawGraph('root module app -> a\na: str 50');
  const text = Buffer.from(`'\\" ]; evil -> n1 [label="\n'`);
  const hostile = {
    ...graph,
    previewBytes: new Uint8Array(text),
    previewStart: Uint32Array.of(0, text.length),
  };

  const { dot } = buildPicture(hostile, node('a'), { ...bounds, direction: 'forward' });

  // Outside of quoted strings nothing of it is left.
  expect(dot).toContain('evil');
  expect(dot.replace(/"(?:[^"\\]|\\.)*"/g, '""')).not.toContain('evil');
});
