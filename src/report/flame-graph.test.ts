import { SaxesParser } from 'saxes';
import { describe, expect, test } from 'vitest';
import { drawFlameGraph, formatSpeedscope, type TracedStack } from './flame-graph.ts';

const frame = (file: string, line: number, name = '') => ({ file, line, function: name });
const HOSTILE = '/srv/<&"\'>\u001b[31m\ud800\u0000.py';
const STACKS: TracedStack[] = [
  { frames: [frame('/srv/app/a.py', 1, 'make'), frame('/srv/app/main.py', 9)], bytes: 600 },
  { frames: [frame(HOSTILE, 2), frame('/srv/app/main.py', 9)], bytes: 300 },
  { frames: [frame('/srv/app/main.py', 12)], bytes: 100 },
];

interface Box {
  title: string;
  x: number;
  y: number;
  width: number;
}

/** Throws unless it is well-formed XML. */
function parseBoxes(svg: string): Box[] {
  const boxes: Box[] = [];
  let title = '';
  let isTitle = false;
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    isTitle = name === 'title';
    if (name !== 'rect' || attributes.x === undefined) return;
    const number = (key: string) => Number(attributes[key].value);
    boxes.push({ title, x: number('x'), y: number('y'), width: number('width') });
  });
  parser.on('text', (text) => {
    if (isTitle) title = text;
  });
  parser.on('closetag', () => {
    isTitle = false;
  });
  parser.write(svg).close();
  return boxes;
}

describe('a flame graph', () => {
  test('has a box for each frame, as wide as its bytes, above its caller', () => {
    const boxes = parseBoxes(drawFlameGraph(STACKS, 'allocated'));

    const byTitle = (start: string) => boxes.find(({ title }) => title.startsWith(start))!;
    const all = byTitle('all');
    const main = byTitle('/srv/app/main.py:9');
    const made = byTitle('/srv/app/a.py:1 make');
    expect(boxes).toHaveLength(5);
    expect(all.title).toBe('all: 1.0 kB, 100 %');
    expect(main.width / all.width).toBeCloseTo(0.9, 3);
    expect(made.width / all.width).toBeCloseTo(0.6, 3);
    expect(made.y).toBeLessThan(main.y);
    expect(made.x).toBeGreaterThanOrEqual(main.x - 0.01);
    expect(made.x + made.width).toBeLessThanOrEqual(main.x + main.width + 0.01);
  });

  test('stays valid with any text, many frames and nothing at all', () => {
    expect(
      parseBoxes(drawFlameGraph(STACKS, HOSTILE)).some(({ title }) => title.includes('<&"')),
    ).toBe(true);
    expect(parseBoxes(drawFlameGraph([], 'nothing'))).toEqual([]);
    const deep = Array.from({ length: 60_000 }, (_, i) => frame('deep.py', i));
    expect(parseBoxes(drawFlameGraph([{ frames: deep, bytes: 1 }], 'deep')).length).toBeLessThan(
      1000,
    );
    const many = Array.from({ length: 50_000 }, (_, i) => ({
      frames: [frame('many.py', i)],
      bytes: 1,
    }));
    expect(drawFlameGraph(many, 'many').length).toBeLessThan(10_000);
  });
});

test('a speedscope file has samples with the outermost frame first', () => {
  const file = JSON.parse(formatSpeedscope(STACKS, 'allocated'));
  const [profile] = file.profiles;
  const names = profile.samples.map((sample: number[]) =>
    sample.map((row) => file.shared.frames[row].name),
  );
  expect(names[0]).toEqual(['main.py:9', 'make']);
  expect(names[2]).toEqual(['main.py:12']);
  expect(profile).toMatchObject({ unit: 'bytes', weights: [600, 300, 100], endValue: 1000 });
  expect(file.$schema).toBe('https://www.speedscope.app/file-format-schema.json');
});
