// The screen of `leakscope watch`: on a terminal a block of lines at its end that is drawn anew with each sample, with what
// happened above it; elsewhere one line after the other.

import type { Style } from '../report/text-layout.ts';
import type { WatchEvent } from '../report/watch-schema.ts';
import { formatWatchNote, formatWatchSample, formatWatchScreen } from '../report/watch-text.ts';
import type { UsageHistory } from '../watch/usage-history.ts';

const WIDTH_WITHOUT_TERMINAL = 100;

export class WatchDisplay {
  private readonly style: Style;
  private readonly windowSeconds: number;
  private readonly out: NodeJS.WriteStream;
  /** Lines of the block that stand on the terminal now. */
  private drawn = 0;
  private started: Extract<WatchEvent, { event: 'started' }> | undefined;
  private startedAt = 0;
  private capture: Extract<WatchEvent, { event: 'capture' }> | undefined;
  private captures = 0;
  private verdict: Extract<WatchEvent, { event: 'verdict' }> | undefined;

  constructor(windowSeconds: number, style: Style, out: NodeJS.WriteStream = process.stdout) {
    this.windowSeconds = windowSeconds;
    this.style = style;
    this.out = out;
  }

  private get width(): number {
    return this.out.columns ?? WIDTH_WITHOUT_TERMINAL;
  }

  show(event: WatchEvent, history: UsageHistory, startedAt: number): void {
    this.remember(event, startedAt);
    if (event.event !== 'sample') {
      this.erase();
      this.print(formatWatchNote(event, this.width, this.style));
      return;
    }
    if (this.out.isTTY !== true) {
      this.print([formatWatchSample(event)]);
      return;
    }
    const points = history.list();
    const lines = formatWatchScreen(
      {
        sample: event,
        rssBytes: points.map((point) => point.rssBytes),
        windowSeconds: Math.min(
          this.windowSeconds,
          (points.at(-1)?.atSeconds ?? 0) - (points[0]?.atSeconds ?? 0),
        ),
        command: this.started?.command ?? [],
        startedAt: this.startedAt,
        capture: this.capture,
        captures: this.captures,
        verdict: this.verdict,
      },
      this.width,
      this.style,
    );
    this.erase();
    // What has no room on the terminal would be scrolled, and could not be drawn over.
    const shown = lines.slice(0, Math.max(1, (this.out.rows ?? 24) - 1));
    this.print(shown);
    this.drawn = shown.reduce((rows, line) => rows + this.rowsOf(line), 0);
  }

  private remember(event: WatchEvent, startedAt: number): void {
    if (event.event === 'started') {
      this.started = event;
      this.startedAt = startedAt;
      this.capture = undefined;
      this.captures = 0;
      this.verdict = undefined;
    } else if (event.event === 'capture') {
      this.capture = event;
      this.captures++;
    } else if (event.event === 'verdict') this.verdict = event;
  }

  /** Rows that a line takes, which is wrapped where it is wider than the terminal. */
  private rowsOf(line: string): number {
    const text = line.replace(/\u001b\[\d+m/g, '');
    return Math.max(1, Math.ceil(text.length / this.width));
  }

  private erase(): void {
    if (this.drawn > 0) this.out.write(`\u001b[${this.drawn}A\r\u001b[J`);
    this.drawn = 0;
  }

  private print(lines: readonly string[]): void {
    if (lines.length > 0) this.out.write(`${lines.join('\n')}\n`);
  }
}
