// Runs in a worker thread, so that a picture which Graphviz takes too long for can be given up: DOT to SVG with Graphviz
// in WebAssembly, SVG to PNG with resvg and DejaVu's fonts. Gets `PictureJob` as worker data, posts back the bytes.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { initWasm, Resvg } from '@resvg/resvg-wasm';
import { instance } from '@viz-js/viz';

export interface PictureJob {
  dot: string;
  format: 'svg' | 'png';
}

const require = createRequire(import.meta.url);
/** Pixels per unit of SVG, and the widest PNG: a picture of 60 objects stays legible and below some 20 MB in memory. */
const SCALE = 2;
const MAX_WIDTH = 6000;

async function render(job: PictureJob): Promise<Uint8Array> {
  const viz = await instance();
  const svg = viz.renderString(job.dot, { format: 'svg', engine: 'dot' });
  if (job.format === 'svg') return Buffer.from(svg);
  await initWasm(readFileSync(require.resolve('@resvg/resvg-wasm/index_bg.wasm')));
  const font = {
    fontBuffers: [readFileSync(require.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'))],
    defaultFontFamily: 'DejaVu Sans',
  };
  const picture = new Resvg(svg, { font, background: 'white' });
  const width = Math.min(MAX_WIDTH, Math.round(picture.width * SCALE));
  picture.free();
  const scaled = new Resvg(svg, {
    font,
    background: 'white',
    fitTo: { mode: 'width', value: width },
  });
  return scaled.render().asPng();
}

parentPort?.postMessage(await render(workerData as PictureJob));
