// One capture of a watch: a snapshot file, its ledger, and, as soon as there are enough of them, what a hunt says of the files
// of the process. Each is a run of leakscope in a process of its own; what fails becomes an event, and the watch goes on.

import { join } from 'node:path';
import { UserError } from '../base/errors.ts';
import type { LedgerReport } from '../report/ledger-schema.ts';
import type { CaptureReport, HuntReport } from '../report/schemas.ts';
import type { WatchEvent } from '../report/watch-schema.ts';
import type { KeptCaptures } from './kept-captures.ts';
import type { CaptureTaker } from './watch-process.ts';

/** Three rounds: with fewer, a hunt is inconclusive. */
const ENOUGH_FOR_HUNT = 4;

export interface FinishedRun {
  stdout: string;
  stderr: string;
}

export interface CaptureTakerOptions {
  folder: string;
  kept: KeptCaptures;
  /** Runs leakscope with these arguments to its end. */
  run: (args: readonly string[]) => Promise<FinishedRun>;
}

export function makeCaptureTaker({ folder, kept, run }: CaptureTakerOptions): CaptureTaker {
  return async (pid, reason) => {
    const at = new Date();
    const line = { schema: 'leakscope/watch@1', at: at.toISOString(), pid } as const;
    const file = join(folder, `${pid}-${at.toISOString().replace(/[-:]|\.\d+/g, '')}.lscope`);
    try {
      const capture = parseReport<CaptureReport>(
        await run(['capture', String(pid), '-o', file, '--json', '--quiet']),
      );
      const ledger = await run(['ledger', file, '--json', '--quiet']);
      const removed = await kept.add({ file, pid, atSeconds: at.getTime() / 1000 });
      const event: WatchEvent = {
        ...line,
        event: 'capture',
        reason,
        file,
        fileBytes: capture.fileBytes,
        pauseMs: capture.capture.pauseMs,
        objects: capture.capture.objects,
        accounts: ledger.stdout === '' ? {} : parseReport<LedgerReport>(ledger).accounts,
        removed,
      };
      return [event, ...(await judge(line, kept.filesOf(pid), run))];
    } catch (error) {
      return [{ ...line, event: 'capture-failed', reason, problem: describeError(error) }];
    }
  };
}

async function judge(
  line: Pick<WatchEvent, 'schema' | 'at' | 'pid'>,
  files: readonly string[],
  run: CaptureTakerOptions['run'],
): Promise<WatchEvent[]> {
  if (files.length < ENOUGH_FOR_HUNT) return [];
  const report = parseReport<HuntReport>(await run(['hunt', ...files, '--json', '--quiet']));
  return [
    {
      ...line,
      event: 'verdict',
      verdict: report.verdict,
      summary: report.summary,
      suspects: report.suspects.map(({ kind, type, holder, fingerprint, bytes, bytesPerHour }) => ({
        kind,
        type,
        holder,
        fingerprint,
        bytes,
        bytesPerHour,
      })),
      command: `leakscope hunt ${files.join(' ')}`,
    },
  ];
}

/** A run that prints no report says why on stderr. */
function parseReport<R>({ stdout, stderr }: FinishedRun): R {
  if (stdout === '') throw new Error(stderr.trim().replace(/^leakscope: /, '') || 'it was ended');
  return JSON.parse(stdout) as R;
}

const describeError = (error: unknown): string =>
  error instanceof UserError
    ? `${error.text.fact}: ${error.text.reason}`
    : (error instanceof Error ? error.message : String(error)).replace(/\n/g, ' ');
