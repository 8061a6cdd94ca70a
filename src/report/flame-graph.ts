// Bytes by traceback as a flame graph: an SVG that needs nothing else, and a file for https://www.speedscope.app.
// Outermost frames at the bottom; the width of a frame is the bytes that were allocated in it and in what it called.
// Pure. Text of the target is escaped; control characters have been made visible.

import { cutEnd, escapeMarkup, formatBytes, formatShare, sanitizeText } from '../base/format.ts';
import { hashText } from '../base/hash.ts';
import type { TraceFrame } from '../graph/allocation-traces.ts';
import { leakscopeVersion } from './version.ts';

export interface TracedStack {
  /** The innermost first. */
  frames: readonly TraceFrame[];
  bytes: number;
}

const WIDTH = 1200;
const ROW = 17;
const MARGIN = 10;
const TITLE_HEIGHT = 40;
/** Narrower ones are left out: nobody could read or hit them. */
const LEAST_WIDTH = 0.5;
const CHARACTER_WIDTH = 6.6;
/** Frames above it are left out; tracebacks of a deep recursion are all alike. */
const MAX_DEPTH = 200;

interface Box {
  name: string;
  bytes: number;
  children: Map<string, Box>;
}

/** `sessions.py:48 open`, by the whole path. */
const nameOf = ({ file, line, function: name }: TraceFrame): string =>
  `${file}:${line}${name === '' ? '' : ` ${name}`}`;

/** The text in a box: the file without its folder. */
const shortName = (name: string): string =>
  name.slice(name.lastIndexOf('/', name.lastIndexOf(':')) + 1);

function buildTree(stacks: readonly TracedStack[]): { root: Box; depth: number } {
  const root: Box = { name: 'all', bytes: 0, children: new Map() };
  let depth = 0;
  for (const { frames, bytes } of stacks) {
    root.bytes += bytes;
    let box = root;
    for (let i = frames.length - 1; i >= Math.max(0, frames.length - MAX_DEPTH); i--) {
      const name = nameOf(frames[i]);
      const known = box.children.get(name);
      const child = known ?? { name, bytes: 0, children: new Map() };
      if (known === undefined) box.children.set(name, child);
      child.bytes += bytes;
      box = child;
    }
    depth = Math.max(depth, Math.min(frames.length, MAX_DEPTH));
  }
  return { root, depth };
}

/** A whole SVG document. `title` may be any text. */
export function drawFlameGraph(stacks: readonly TracedStack[], title: string): string {
  const { root, depth } = buildTree(stacks);
  const scale = root.bytes === 0 ? 0 : (WIDTH - 2 * MARGIN) / root.bytes;
  const bottom = TITLE_HEIGHT + depth * ROW;
  const boxes: string[] = [];
  let open: { box: Box; x: number; level: number }[] = [{ box: root, x: MARGIN, level: 0 }];
  while (open.length > 0) {
    const next: typeof open = [];
    for (const { box, x, level } of open) {
      if (box.bytes * scale < LEAST_WIDTH) continue;
      boxes.push(drawBox(box, x, bottom - level * ROW, box.bytes * scale, root.bytes));
      let left = x;
      const children = [...box.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const child of children) {
        next.push({ box: child, x: left, level: level + 1 });
        left += child.bytes * scale;
      }
    }
    open = next;
  }
  const height = bottom + ROW + MARGIN;
  return `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="11">
<title>${escapeMarkup(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${MARGIN}" y="24" font-size="15" fill="#222">${escapeMarkup(title)}</text>
${boxes.join('\n')}
</svg>
`;
}

function drawBox(box: Box, x: number, y: number, width: number, allBytes: number): string {
  const [left, wide] = [x.toFixed(2), width.toFixed(2)];
  const room = Math.floor((width - 6) / CHARACTER_WIDTH);
  const text = room < 3 ? '' : escapeMarkup(cutEnd(sanitizeText(shortName(box.name)), room));
  const share = formatShare(box.bytes / allBytes);
  const tip = escapeMarkup(`${sanitizeText(box.name)}: ${formatBytes(box.bytes)}, ${share}`);
  const label =
    text === '' ? '' : `<text x="${(x + 3).toFixed(2)}" y="${y + 12}" fill="#111">${text}</text>`;
  return `<g><title>${tip}</title><rect x="${left}" y="${y}" width="${wide}" height="${ROW - 1}" rx="2" fill="${colourOf(box.name)}"/>${label}</g>`;
}

/** Frames of one file have one colour. */
function colourOf(name: string): string {
  const hue = hashText(name.slice(0, name.lastIndexOf(':'))) % 360;
  return `hsl(${hue},60%,75%)`;
}

/** The JSON of a speedscope file: one sample for each traceback, weighed by its bytes. */
export function formatSpeedscope(stacks: readonly TracedStack[], name: string): string {
  const frames: { name: string; file: string; line: number }[] = [];
  const rowByName = new Map<string, number>();
  const rowOf = (frame: TraceFrame): number => {
    const key = nameOf(frame);
    const known = rowByName.get(key);
    if (known !== undefined) return known;
    const { file, line } = frame;
    const text =
      frame.function === '' ? sanitizeText(shortName(key)) : sanitizeText(frame.function);
    rowByName.set(key, frames.length);
    return frames.push({ name: text, file: sanitizeText(file), line }) - 1;
  };
  const samples = stacks.map((stack) => [...stack.frames].reverse().map(rowOf));
  const weights = stacks.map((stack) => stack.bytes);
  const endValue = weights.reduce((sum, bytes) => sum + bytes, 0);
  return `${JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    exporter: `leakscope ${leakscopeVersion}`,
    name,
    activeProfileIndex: 0,
    shared: { frames },
    profiles: [{ type: 'sampled', name, unit: 'bytes', startValue: 0, endValue, samples, weights }],
  })}\n`;
}
