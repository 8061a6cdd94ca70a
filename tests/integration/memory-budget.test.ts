// A budget of memory that is held: with less than a capture takes, it is refused in words and within the budget; the target
// runs on. What leakscope took is its own peak as the kernel counts it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishCommand, startCommand } from '../support/command-line.ts';
import { onePythonPerMinor, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../bench/heap.py', import.meta.url));
const OBJECTS = 1_200_000;
const REPORT_PEAK = `data:text/javascript,${encodeURIComponent(
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of a program.
  "import { writeSync } from 'node:fs'; process.on('exit', () => writeSync(2, `peak ${process.resourceUsage().maxRSS * 1024}`));",
)}`;

interface Outcome {
  code: number | null;
  stdout: string;
  /** Without the peak. */
  stderr: string;
  peakBytes: number;
}

async function run(...args: string[]): Promise<Outcome> {
  const child = startCommand(args, { env: { NODE_OPTIONS: `--import ${REPORT_PEAK}` } });
  const { code, stdout, stderr } = await finishCommand(child);
  const [said, peak] = stderr.split(/peak (?=\d+$)/);
  return { code, stdout, stderr: said, peakBytes: Number(peak) };
}

const stateOf = (pid: number): string =>
  /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

describe('--max-memory', () => {
  const python = onePythonPerMinor().at(-1);
  let target: RunningPython;
  beforeAll(async () => {
    if (python === undefined) throw new Error('no Python');
    target = await startPython(python, PROGRAM, { args: [String(OBJECTS)] });
  }, 60_000);
  afterAll(() => target.stop());

  test.each([['top'], ['hunt', '--snapshots', '2', '--every', '0s']])(
    '%s is held, or refused with a number that is enough',
    async (command, ...options) => {
      const pid = String(target.pid);
      const free = await run(command, pid, ...options);
      expect(free.stderr).toBe('');
      expect([0, 5]).toContain(free.code);
      const emptyBytes = (await run('ps')).peakBytes;

      const wanted = new Set<string>();
      for (const share of [0.1, 0.3, 0.5, 0.7, 0.9]) {
        const limit = Math.round(emptyBytes + share * (free.peakBytes - emptyBytes));
        const { code, stderr, peakBytes } = await run(
          command,
          pid,
          ...options,
          '--max-memory',
          String(limit),
        );
        expect(peakBytes, `${share} of the way: ${stderr}`).toBeLessThanOrEqual(limit);
        expect(stateOf(target.pid)).not.toBe('T');
        if (code === free.code) continue;
        expect(code, stderr).toBe(4);
        expect(stderr).toMatch(
          /^leakscope: Cannot (copy|capture|analyse) .*(are left of --max-memory).*\nRaise --max-memory.*\n$/,
        );
        const enough = /to about ([\d.]+ \wB)/.exec(stderr)?.[1];
        if (enough !== undefined) wanted.add(enough.replace(' ', ''));
      }

      // It was refused at least once, and what it then asks for is enough.
      expect([...wanted].length).toBeGreaterThan(0);
      const again = await run(command, pid, ...options, '--max-memory', [...wanted].at(-1) ?? '');
      expect(again.code, again.stderr).toBe(free.code);
    },
    180_000,
  );

  test('is a size', async () => {
    const { code, stderr } = await run('top', String(target.pid), '--max-memory', 'much');
    expect(code).toBe(2);
    expect(stderr).toContain('Write a size such as 800MB, 4GB or 1.5GiB.');
  });
});
