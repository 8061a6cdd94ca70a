// Hunts for tests: by the command line, as a user does, and in rounds that the test drives, with exactly known growth.

import { openCapture } from '../../src/capture/capture-heap.ts';
import { type HuntReport, huntSchema } from '../../src/report/schemas.ts';
import { huntLive } from '../../src/watch/hunt.ts';
import { runCommand } from './command-line.ts';

export interface HuntResult {
  report: HuntReport;
  exitCode: number | null;
}

/** `leakscope hunt PID --json` with further options. */
export async function huntByCommand(pid: number, ...options: string[]): Promise<HuntResult> {
  const { code, stdout, stderr } = await runCommand('hunt', `${pid}`, ...options, '--json');
  if (stdout === '') throw new Error(`hunt printed nothing (exit ${code}): ${stderr}`);
  return { report: huntSchema.parse(JSON.parse(stdout)), exitCode: code };
}

/** Hunts with `work` done before each capture; one round fewer than captures. */
export async function huntRounds(
  pid: number,
  work: () => Promise<void>,
  snapshots = 4,
): Promise<HuntReport> {
  const live = openCapture(pid);
  try {
    const source = {
      python: live.python,
      isAlive: true,
      findRssBytes: () => live.findRssBytes(),
      capture: async (options: Parameters<typeof live.capture>[0]) => {
        await work();
        return live.capture(options);
      },
    };
    return await huntLive(source, {
      everySeconds: 0.05,
      snapshots,
      signal: new AbortController().signal,
      onProgress: () => {},
    });
  } finally {
    live.close();
  }
}
