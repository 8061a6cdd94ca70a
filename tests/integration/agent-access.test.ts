// Who may come in through an agent that a program has started itself, and what such programs leave behind: another user is
// refused by the folder, by the agent and by leakscope; sockets of programs that were killed are removed.

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AGENT_FOLDER } from '../../src/remote/agent-source.ts';
import { hasCooperativeAgent } from '../../src/remote/open-remote.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { commandLine } from '../support/command-line.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';
import { startRemoteTarget } from '../support/remote-targets.ts';

const PROGRAM = fileURLToPath(new URL('../programs/listening.py', import.meta.url));
const NOBODY = 65534;
const [python] = allPythons();

/** Says what a caller of this user gets from a socket: the first bytes, or the error. */
const CALL = `
import os, socket, sys
os.setgid(${NOBODY}); os.setuid(${NOBODY})
caller = socket.socket(socket.AF_UNIX)
try:
    caller.connect(sys.argv[1])
    print("got", caller.recv(100))
except OSError as error:
    print(type(error).__name__)`;

describe('a program that lets consoles in', () => {
  let folder: string;
  let target: RunningPython<{ path: string; child: number }>;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'leakscope-agents-'));
    target = await startPython(python, PROGRAM, {
      args: [AGENT_FOLDER],
      env: { LEAKSCOPE_AGENTS: folder },
    });
  });
  afterEach(async () => {
    await target.stop();
    rmSync(folder, { recursive: true });
  });

  test.runIf(process.getuid?.() === 0)('answers root and its own user alone', async () => {
    const call = () =>
      spawnSync('python3', ['-c', CALL, target.ready.path], { encoding: 'utf8' }).stdout.trim();
    expect(call()).toBe('PermissionError');
    // With every door open, the agent still asks the kernel who calls.
    chmodSync(folder, 0o755);
    chmodSync(target.ready.path, 0o666);
    expect(call()).toMatch(/^(got b''|ConnectionResetError)$/);
  });

  test.runIf(process.getuid?.() === 0)('is not called in a folder of others', async () => {
    expect(await hasCooperativeAgent(target.pid)).toBe(true);
    chmodSync(folder, 0o755);
    expect(await hasCooperativeAgent(target.pid)).toBe(false);
    chmodSync(folder, 0o700);
    chownSync(folder, NOBODY, NOBODY);
    expect(await hasCooperativeAgent(target.pid)).toBe(false);
    chownSync(folder, 0, 0);
  });

  test('takes away the sockets of programs that were killed', async () => {
    await target.stop();
    expect(existsSync(target.ready.path)).toBe(true);
    target = await startPython(python, PROGRAM, {
      args: [AGENT_FOLDER],
      env: { LEAKSCOPE_AGENTS: folder },
    });
    const own = () => [target.pid, target.ready.child].map((pid) => `${pid}.sock`).sort();
    expect(await becomesTrue(() => `${readdirSync(folder).sort()}` === `${own()}`, 5000)).toBe(
      true,
    );
  });

  test('and is ended with leakscope run leaves none', async () => {
    const code = 'import time; print("on", flush=True); time.sleep(3600)';
    const [program, ...args] = commandLine('run', '--', ...python.command, '-c', code);
    const own = join(folder, 'own');
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...python.env, LEAKSCOPE_AGENTS: own },
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(readdirSync(own).length).toBe(1);
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
    expect(readdirSync(own)).toEqual([]);
  });
});

test.runIf(process.getuid?.() === 0)('console is refused to another user', async () => {
  const target = await startRemoteTarget(python, 'cpu');
  try {
    const [program, ...args] = commandLine('console', `${target.pid}`, '--yes', '-c', '1');
    const options = { encoding: 'utf8' as const, uid: NOBODY, gid: NOBODY };
    const { status, stderr } = spawnSync(program, args, options);
    expect(stderr).toContain(`Cannot`);
    expect(status).toBe(3);
  } finally {
    await target.stop();
  }
});
