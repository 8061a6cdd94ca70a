// Copies of real Pythons with flipped bits, odd words, mixed-up and missing pages are decoded and analysed: each becomes a
// consistent graph or is refused, in bounded time and memory. LEAKSCOPE_FUZZ_COUNT=5000 for a long run; a failure
// prints the stack and the seed. See tests/programs/fuzz_decode.ts.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { finishCommand } from '../support/command-line.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const TARGET = fileURLToPath(new URL('../programs/fuzz_target.py', import.meta.url));
const FUZZ = fileURLToPath(new URL('../programs/fuzz_decode.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');
const COUNT = Number(process.env.LEAKSCOPE_FUZZ_COUNT ?? 20);
const FIRST_SEED = Number(process.env.LEAKSCOPE_FUZZ_SEED ?? 1);
/** Node with the copy itself takes 200 to 250; the rest is room for garbage. */
const MOST_RSS_MIB = 800;
const TIME_LIMIT_MS = 120_000 + COUNT * 5000;

interface Outcome {
  seed: number;
  outcome: 'graph' | 'refused';
  nodes: number;
  ms: number;
}

describeEachPython('damaged copies', (python) => {
  let running: RunningPython | undefined;
  afterEach(() => running?.stop());

  test(
    'are decoded or refused, never more',
    async () => {
      running = await startPython(python, TARGET);
      const args = ['--import', TSX, FUZZ, `${running.pid}`, `${FIRST_SEED}`, `${COUNT}`];
      const result = await finishCommand(
        spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      const lines = result.stdout.trim().split('\n');
      const ending = `${lines.at(-1)}\n${result.stderr}`;
      expect({ code: result.code, ending }).toEqual({ code: 0, ending: `${lines.at(-1)}\n` });

      const { good, maxRssMib } = JSON.parse(lines.at(-1)!) as { good: number; maxRssMib: number };
      const outcomes = lines
        .filter((line) => line.startsWith('{"seed"'))
        .map((line) => JSON.parse(line) as Outcome);
      expect(outcomes).toHaveLength(COUNT);
      const graphs = outcomes.filter(({ outcome }) => outcome === 'graph');
      // Else the damage is too great to test the decoders.
      expect(graphs.length).toBeGreaterThan(COUNT / 3);
      // Damage does not make objects.
      expect(Math.max(...graphs.map(({ nodes }) => nodes))).toBeLessThan(good * 1.5);
      expect(maxRssMib).toBeLessThan(MOST_RSS_MIB);
    },
    TIME_LIMIT_MS,
  );
});
