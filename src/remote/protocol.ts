// The lines between leakscope and its agent: bytes -> JSON documents, one per line, with limits. What comes is the target's
// and may be anything; what does not fit closes the connection. The other end is agent/leakscope_agent.py.

import type { Socket } from 'node:net';

const MAX_LINE_BYTES = 64 << 20;

export interface Hello {
  /** Version of the agent. */
  hello: number;
  token: unknown;
  /** As the target's pid namespace numbers it. */
  pid: number;
  /** `3.11.7` */
  python: string;
}

/** Cuts a stream into lines; ends the connection when one is too long. `onLine` may be replaced. */
export class LineReader {
  onLine: ((line: string) => void) | undefined;
  private parts: Buffer[] = [];
  private byteCount = 0;
  /** Lines that came while nobody listened. */
  private waiting: string[] = [];

  constructor(socket: Socket, onLine: (line: string) => void) {
    this.onLine = onLine;
    socket.on('data', (chunk: Buffer) => {
      if (!this.take(chunk)) socket.destroy();
    });
  }

  /** From now on, and for what has come already. */
  listen(onLine: (line: string) => void): void {
    const { waiting } = this;
    this.waiting = [];
    this.onLine = onLine;
    for (const line of waiting) onLine(line);
  }

  private take(chunk: Buffer): boolean {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      this.parts.push(chunk.subarray(from, at));
      from = at + 1;
      const line = Buffer.concat(this.parts).toString('utf8');
      this.parts = [];
      this.byteCount = 0;
      if (this.onLine === undefined) this.waiting.push(line);
      else this.onLine(line);
    }
    this.parts.push(chunk.subarray(from));
    this.byteCount += chunk.length - from;
    return this.byteCount <= MAX_LINE_BYTES;
  }
}

/** undefined unless the line is a JSON object. */
export function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

export function parseHello(line: string): Hello | undefined {
  const value = line.length < 1000 ? parseObject(line) : undefined;
  if (typeof value?.hello !== 'number' || typeof value.pid !== 'number') return undefined;
  if (typeof value.python !== 'string' || !/^\d+\.\d+\.\d+$/.test(value.python)) return undefined;
  return { hello: value.hello, token: value.token, pid: value.pid, python: value.python };
}
