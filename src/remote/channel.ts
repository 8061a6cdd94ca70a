// Waits at a Unix socket in a private folder for the one agent that knows the token and has the right pid. Turns a folder
// into a connection; everything else that connects is closed. Once somebody was accepted, folder and socket are removed.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { agentSource } from './agent-source.ts';
import { formatBootstrap } from './bootstrap.ts';
import { type ChannelFolder, createChannelFolder } from './channel-folder.ts';
import { type Hello, LineReader, parseHello } from './protocol.ts';

/** What connects says hello at once. */
const HELLO_LIMIT_MS = 5000;
const MAX_CALLERS = 64;

export interface AcceptedAgent {
  socket: Socket;
  hello: Hello;
  lines: LineReader;
}

export interface Channel {
  /** The line that makes a program connect, and the file with it. */
  line: string;
  scriptPath: string;
  /** Resolves once; never rejects. */
  accepted: Promise<AcceptedAgent>;
  /** Callers that were turned away: a wrong token or pid, or no hello. */
  readonly refused: number;
  /** Removes socket and folder; an accepted connection stays. */
  close(): void;
}

export interface ChannelOptions {
  pid: number;
  /** The pid by which the target knows itself. */
  innerPid: number;
  hasGevent: boolean;
  /** Users besides root and its own that the agent accepts, as the target sees them. */
  uids: readonly number[];
}

/** Throws AccessError if there is no place for it. */
export function openChannel({ pid, innerPid, hasGevent, uids }: ChannelOptions): Channel {
  const folder = createChannelFolder(pid);
  const token = randomBytes(16).toString('hex');
  const callers = new Set<Socket>();
  let refused = 0;
  let accept: (agent: AcceptedAgent) => void = () => {};
  const accepted = new Promise<AcceptedAgent>((resolve) => {
    accept = resolve;
  });
  let isOpen = true;
  const server = createServer((socket) => {
    if (!isOpen || callers.size >= MAX_CALLERS) {
      socket.destroy();
      return;
    }
    callers.add(socket);
    const turnAway = () => {
      if (callers.delete(socket)) refused++;
      socket.destroy();
    };
    const timer = setTimeout(turnAway, HELLO_LIMIT_MS);
    socket.on('error', turnAway);
    const lines = new LineReader(socket, (line) => {
      clearTimeout(timer);
      const hello = parseHello(line);
      const isRight =
        hello !== undefined && isSameText(hello.token, token) && hello.pid === innerPid && isOpen;
      if (!isRight) return turnAway();
      callers.delete(socket);
      lines.onLine = undefined;
      close();
      accept({ socket, hello, lines });
    });
  });
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    server.close();
    for (const caller of callers) caller.destroy();
    folder.remove();
  };
  try {
    const { targetPath } = folder;
    folder.writeFile('a.py', agentSource(`${targetPath}/s`, token, uids));
    const line = formatBootstrap(`${targetPath}/a.py`, hasGevent);
    folder.writeFile('b.py', line);
    listen(server, folder);
    return {
      line,
      scriptPath: `${targetPath}/b.py`,
      accepted,
      get refused() {
        return refused;
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function listen(server: Server, folder: ChannelFolder): void {
  // Node binds at once, so the mask holds for this socket alone.
  const before = process.umask(0o177);
  try {
    server.listen({ path: `${folder.ownPath}/s` });
  } finally {
    process.umask(before);
  }
  folder.shareSocket();
  server.on('error', () => {});
}

function isSameText(given: unknown, expected: string): boolean {
  if (typeof given !== 'string' || given.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(given, 'latin1'), Buffer.from(expected, 'latin1'));
}
