// Compiles the sources and tests/bench into .cache/bench: what others build in `dist` meanwhile does not matter.

import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { pathOf } from './bench-page.ts';

export function compileBench(): void {
  const tsc = spawnSync('npx', ['tsc', '-p', pathOf('tests/bench/tsconfig.json')], {
    encoding: 'utf8',
  });
  if (tsc.status !== 0) {
    process.stderr.write(`tsc complains; measuring what it made all the same:\n${tsc.stdout}\n`);
  }
  cpSync(pathOf('layouts'), pathOf('.cache/bench/layouts'), { recursive: true });
}
