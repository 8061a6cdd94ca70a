// A conversation with an agent: turns requests into replies, and hands on what commands print meanwhile. One per console.

import type { Socket } from 'node:net';
import { AccessError } from '../base/errors.ts';
import { type LineReader, parseObject } from './protocol.ts';

/** How long the agent may take to end; less where the user has left a command that does not end. */
const CLOSE_LIMIT_MS = 2000;
const BUSY_CLOSE_LIMIT_MS = 200;

/** What an operation gave: its fields are the target's word and unchecked. */
export type Reply = Readonly<Record<string, unknown>>;

export interface RequestOptions {
  /** Called with what the command prints, as it comes; 1 is stdout, 2 is stderr. */
  onOutput?: (text: string, stream: 1 | 2) => void;
  /** Rejects after this time; by default it waits. */
  timeoutMs?: number;
}

/** The agent could not do what was asked; the message is its own. */
export class AgentError extends Error {}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
  onOutput: RequestOptions['onOutput'];
}

export class RemoteSession {
  readonly pid: number;
  /** `3.11.7` */
  readonly python: string;
  /** How the agent came in, for people. */
  readonly how: string;
  private readonly socket: Socket;
  private readonly waiting = new Map<number, Waiting>();
  private readonly onClosed: () => void;
  private lastId = 0;
  private isOpen = true;
  /** Output that belongs to no command any more: of a task that a command has started. */
  onLateOutput: RequestOptions['onOutput'];

  constructor(
    target: { pid: number; python: string; how: string },
    socket: Socket,
    lines: LineReader,
    onClosed: () => void,
  ) {
    this.pid = target.pid;
    this.python = target.python;
    this.how = target.how;
    this.socket = socket;
    this.onClosed = onClosed;
    socket.on('error', () => this.end());
    socket.on('close', () => this.end());
    lines.listen((line) => this.take(line));
  }

  /** Whether the agent can still be asked. */
  get isConnected(): boolean {
    return this.isOpen;
  }

  /** Rejects with AgentError where the agent could not do it, with AccessError when the target has ended. */
  request(op: string, args: object = {}, options: RequestOptions = {}): Promise<Reply> {
    return this.start(op, args, options).reply;
  }

  /** As `request`, with the number that `interrupt` takes. */
  start(
    op: string,
    args: object = {},
    { onOutput, timeoutMs }: RequestOptions = {},
  ): { id: number; reply: Promise<Reply> } {
    const id = ++this.lastId;
    if (!this.isOpen) return { id, reply: Promise.reject(this.lost()) };
    const reply = new Promise<Reply>((resolve, reject) => {
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              this.waiting.delete(id);
              reject(new AgentError(`no answer to ${op} within ${timeoutMs / 1000} s`));
            }, timeoutMs);
      const settle =
        <T>(done: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          done(value);
        };
      this.waiting.set(id, { resolve: settle(resolve), reject: settle(reject), onOutput });
    });
    this.socket.write(`${JSON.stringify({ ...args, id, op })}\n`);
    return { id, reply };
  }

  /** Interrupts a command, or whatever runs; resolves to whether there was something to interrupt. */
  async interrupt(of?: number): Promise<boolean> {
    const { found } = await this.request('interrupt', { of }, { timeoutMs: 5000 });
    return found === true;
  }

  /** Ends the agent's threads; resolves to whether they have ended: false while a command cannot be interrupted. */
  async close(): Promise<boolean> {
    if (!this.isOpen) return true;
    let isTidy = true;
    const isBusy = this.waiting.size > 0;
    const closed = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    this.socket.end(`${JSON.stringify({ op: 'close' })}\n`);
    const timer = setTimeout(
      () => {
        isTidy = false;
        this.socket.destroy();
      },
      isBusy ? BUSY_CLOSE_LIMIT_MS : CLOSE_LIMIT_MS,
    );
    await closed;
    clearTimeout(timer);
    this.end();
    return isTidy;
  }

  /** For exits that cannot wait. */
  destroy(): void {
    this.socket.destroy();
    this.end();
  }

  private take(line: string): void {
    const message = parseObject(line);
    if (message === undefined) {
      this.destroy();
      return;
    }
    const waiting = this.waiting.get(message.id as number);
    if (typeof message.out === 'string') {
      const stream = message.stream === 2 ? 2 : 1;
      (waiting?.onOutput ?? this.onLateOutput)?.(message.out, stream);
      return;
    }
    if (waiting === undefined) return;
    this.waiting.delete(message.id as number);
    if (message.ok === true) waiting.resolve(message);
    else waiting.reject(new AgentError(String(message.error ?? 'the agent gave no reason')));
  }

  private end(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const { reject } of this.waiting.values()) reject(this.lost());
    this.waiting.clear();
    this.onClosed();
  }

  private lost(): AccessError {
    return new AccessError({
      fact: `The connection to process ${this.pid} is closed`,
      reason: 'it has ended, or the agent in it has',
      next: 'Run `leakscope ps` to see whether it still runs.',
    });
  }
}
