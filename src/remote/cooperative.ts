// Finds and calls an agent that the program itself has started (`leakscope run -- CMD`, or `listen()` of
// agent/leakscope_agent.py): turns a pid into a connection, without writing to its memory. undefined where there is none.
// Node cannot ask a socket who is at its other end: that it is the process's user is known by the folder, which nobody
// else (but root) can have made or can write to. Removes the sockets that killed programs have left.

import { lstatSync, readdirSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { findProcess, findProcText } from '../memory/process-status.ts';
import { type Hello, LineReader, parseHello } from './protocol.ts';
import { findInnerPid } from './target-writer.ts';

const HELLO_LIMIT_MS = 3000;
const MAX_SOCKETS = 1000;
/** Where the sockets of a process are, if not in the default folder of its user. */
export const AGENTS_VARIABLE = 'LEAKSCOPE_AGENTS';

export interface CalledAgent {
  socket: Socket;
  hello: Hello;
  lines: LineReader;
}

/** The agent of `pid`; undefined if it has none, or if what answers is not it. Takes 3 seconds at most. */
export async function findCooperativeAgent(pid: number): Promise<CalledAgent | undefined> {
  const uid = findProcess(pid)?.uid;
  if (uid === undefined) return undefined;
  const innerPid = findInnerPid(pid);
  for (const folder of findFolders(pid, uid)) {
    for (const root of [`/proc/${pid}/root`, '']) {
      const path = `${root}${folder}/${innerPid}.sock`;
      if (!isFolderOf(`${root}${folder}`, uid) || !isSocketOf(path, uid)) continue;
      const agent = await callAgent(path, innerPid);
      if (agent !== undefined) return agent;
    }
  }
  return undefined;
}

function findFolders(pid: number, uid: number): string[] {
  const environment = findProcText(`/proc/${pid}/environ`)?.split('\0') ?? [];
  const given = environment.find((each) => each.startsWith(`${AGENTS_VARIABLE}=`));
  const folders = [`/tmp/leakscope-agents-${uid}`, '/tmp/leakscope-agents-0'];
  const path = given?.slice(AGENTS_VARIABLE.length + 1);
  return path?.startsWith('/') ? [path, ...folders] : folders;
}

/** Of this user or root, and closed to all others. */
function isFolderOf(path: string, uid: number): boolean {
  try {
    const status = lstatSync(path);
    return status.isDirectory() && [uid, 0].includes(status.uid) && (status.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

function isSocketOf(path: string, uid: number): boolean {
  try {
    const status = lstatSync(path);
    return status.isSocket() && [uid, 0].includes(status.uid);
  } catch {
    return false;
  }
}

/** Where programs that this user starts listen. */
const ownFolder = (): string =>
  process.env[AGENTS_VARIABLE] ?? `/tmp/leakscope-agents-${process.geteuid?.()}`;

/** Removes the sockets of programs of this user that were killed: nobody answers there. */
export async function removeDeadSockets(): Promise<void> {
  const folder = ownFolder();
  if (!isFolderOf(folder, process.geteuid?.() ?? -1)) return;
  const names = readdirSync(folder).filter((name) => /^\d+\.sock$/.test(name));
  for (const name of names.slice(0, MAX_SOCKETS)) {
    const path = `${folder}/${name}`;
    if (!(await isDead(path))) continue;
    try {
      unlinkSync(path);
    } catch {
      // Another leakscope was faster.
    }
  }
}

const isDead = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });

function callAgent(path: string, innerPid: number): Promise<CalledAgent | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const giveUp = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(undefined);
    };
    const timer = setTimeout(giveUp, HELLO_LIMIT_MS);
    socket.on('error', giveUp);
    socket.on('close', giveUp);
    const lines: LineReader = new LineReader(socket, (line) => {
      const hello = parseHello(line);
      if (hello === undefined || hello.pid !== innerPid) return giveUp();
      clearTimeout(timer);
      socket.off('error', giveUp);
      socket.off('close', giveUp);
      lines.onLine = undefined;
      resolve({ socket, hello, lines });
    });
  });
}
