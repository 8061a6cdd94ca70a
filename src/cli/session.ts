// One run of leakscope as its commands see it: where to print, how to report progress, what to stop and tidy up when the
// user presses Ctrl-C or a reader of our output goes away, and the exit code.
//
// Ctrl-C: the signal aborts what is running, so that the target is let go where it was stopped; then files and child
// processes are tidied up, and leakscope ends with 130. A second Ctrl-C, or 3 seconds, does not wait for the command. A
// command may take the first Ctrl-C for itself (`onInterrupt`): then the second is the first.

import { setImmediate } from 'node:timers/promises';
import { explainFileError, type WholeFileOptions } from '../capture/whole-file.ts';
import type { CoreSearch } from '../memory/core-libraries.ts';
import { MemoryBudget } from '../memory/memory-budget.ts';
import { colourStyle, plainStyle, type Style } from '../report/text-layout.ts';
import { sleep } from '../watch/sleep.ts';

export const INTERRUPTED = 130;
/** As for an output file that cannot be written. */
const CANNOT_PRINT = 2;
const PATIENCE_MS = 3000;

export interface OutputOptions {
  json?: boolean;
  quiet?: boolean;
  progress?: boolean;
  /** Bytes. */
  maxMemory?: number;
  /** Where the files of a core's process are. */
  sysroot?: string;
  exe?: string;
}

export class Session {
  exitCode = 0;
  /** What stands behind `--`: a program to start. Undefined without `--`. */
  readonly program: readonly string[] | undefined;
  private readonly controller = new AbortController();
  private readonly cleanups = new Set<() => void>();
  private interruptHandler: (() => void) | undefined;
  /** Of the part of this run that can be stopped by itself. */
  private scope: AbortSignal | undefined;
  private output: OutputOptions = {};
  private progressShown = '';
  /** What this run may allocate. */
  budget = new MemoryBudget();

  constructor(program: readonly string[] | undefined) {
    this.program = program;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => this.interrupt());
    }
    // `leakscope top PID | head`: the reader has what it wants, which is no error.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') this.reportLostOutput(error);
      this.end(this.exitCode);
    });
    process.stderr.on('error', () => undefined);
    process.on('exit', () => this.tidyUp());
  }

  /** Aborted when the user wants leakscope to stop. */
  get signal(): AbortSignal {
    return this.scope ?? this.controller.signal;
  }

  get json(): boolean {
    return this.output.json === true;
  }

  /** For writing a file that is not to stay behind half-written when the user stops leakscope. */
  get fileOptions(): WholeFileOptions {
    return { signal: this.signal, atExit: (cleanup) => this.atExit(cleanup) };
  }

  /** Colour is for people: a terminal, and no wish against it (https://no-color.org). */
  get style(): Style {
    const wanted =
      process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
    return wanted ? colourStyle : plainStyle;
  }

  /** Where the files of the process of a core file are, by the user's word. */
  get coreSearch(): CoreSearch {
    const { sysroot, exe } = this.output;
    return { sysroot, exe };
  }

  useOutput(options: OutputOptions): void {
    this.output = options;
    this.budget = new MemoryBudget({ maxBytes: options.maxMemory });
  }

  /** Prints a report: its data with `--json` (one line), else its text, which ends with a line break. */
  print(report: object, text: () => string): void {
    this.endProgress();
    process.stdout.write(this.json ? `${JSON.stringify(report)}\n` : text());
  }

  /** The same after a long calculation: a Ctrl-C that it kept out is heard first, and then nothing is printed. */
  async printResult(report: object, text: () => string): Promise<void> {
    await setImmediate();
    this.signal.throwIfAborted();
    this.print(report, text);
  }

  /** Something the user should know that is not the result: to stderr. */
  note(text: string): void {
    if (this.output.quiet === true) return;
    this.endProgress();
    process.stderr.write(`${text}\n`);
  }

  /** One line on a terminal, rewritten; a line for each `text` with --progress elsewhere. */
  progress(text: string): void {
    const { quiet, progress } = this.output;
    if (
      quiet === true ||
      (!process.stderr.isTTY && progress !== true) ||
      text === this.progressShown
    )
      return;
    this.progressShown = text;
    if (process.stderr.isTTY)
      process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    else process.stderr.write(`${text}\n`);
  }

  endProgress(): void {
    if (this.progressShown !== '' && process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    this.progressShown = '';
  }

  /** `cleanup` runs when leakscope ends, however it ends; the returned function takes it back. */
  atExit(cleanup: () => void): () => void {
    this.cleanups.add(cleanup);
    return () => this.cleanups.delete(cleanup);
  }

  /** Calls `handler` at the next Ctrl-C instead of stopping; the returned function takes it back. */
  onInterrupt(handler: () => void): () => void {
    this.interruptHandler = handler;
    return () => {
      this.interruptHandler = undefined;
    };
  }

  /** Runs a part of this run that `stop` aborts, and nothing else; one at a time. */
  startPart<T>(work: () => Promise<T>): { done: Promise<T>; stop(): void } {
    const part = new AbortController();
    this.scope = AbortSignal.any([this.controller.signal, part.signal]);
    const done = work().finally(() => {
      this.scope = undefined;
    });
    return { done, stop: () => part.abort(new Error('interrupted')) };
  }

  /** Resolves after `ms`, rejects with the abort reason when the user stops leakscope. */
  sleep = (ms: number): Promise<void> => sleep(ms, this.signal);

  /** Resolves after `ms`, or at the next Ctrl-C, which then stops nothing else; to the seconds that it took. */
  async waitOrInterrupt(ms: number): Promise<number> {
    this.signal.throwIfAborted();
    const startedAt = performance.now();
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        forget();
        resolve();
      };
      const timer = setTimeout(end, ms);
      const forget = this.onInterrupt(end);
    });
    return Math.min(ms, performance.now() - startedAt) / 1000;
  }

  /** Ends the process once what was printed has left it. */
  async finish(): Promise<never> {
    this.endProgress();
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    return this.end(this.controller.signal.aborted ? INTERRUPTED : this.exitCode);
  }

  /** stdout is a file on a full disk, or the like. */
  private reportLostOutput(error: NodeJS.ErrnoException): void {
    const { reason, next } = explainFileError(error) ?? { reason: error.message, next: '' };
    process.stderr.write(`leakscope: Cannot print the report: ${reason}.\n${next}\n`);
    this.exitCode = CANNOT_PRINT;
  }

  private interrupt(): void {
    const handler = this.interruptHandler;
    this.interruptHandler = undefined;
    if (handler !== undefined) {
      handler();
      return;
    }
    if (this.controller.signal.aborted) this.end(INTERRUPTED);
    this.controller.abort(new Error('interrupted'));
    setTimeout(() => this.end(INTERRUPTED), PATIENCE_MS).unref();
  }

  private end(exitCode: number): never {
    this.endProgress();
    this.tidyUp();
    process.exit(exitCode);
  }

  private tidyUp(): void {
    for (const cleanup of this.cleanups) {
      this.cleanups.delete(cleanup);
      try {
        cleanup();
      } catch {
        // The others are to run all the same; what one of them could not remove is not worth a stack trace now.
      }
    }
  }
}
