// The agent itself, on every Python, without injection: programs that let consoles in by themselves. What it answers is
// compared with what the program says of itself.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AGENT_FOLDER } from '../../src/remote/agent-source.ts';
import { hasCooperativeAgent, openRemote } from '../../src/remote/open-remote.ts';
import type { RemoteSession } from '../../src/remote/remote-session.ts';
import { becomesTrue } from '../support/becomes-true.ts';
import { commandLine } from '../support/command-line.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/listening.py', import.meta.url));

interface Ready {
  pid: number;
  child: number;
  path: string;
  tasks: string[];
  /** Line on which the tasks wait. */
  line: number;
}

describeEachPython('the agent', (python) => {
  let folder: string;
  let target: RunningPython<Ready>;
  let remote: RemoteSession;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'leakscope-agents-'));
    target = await startPython<Ready>(python, PROGRAM, {
      args: [AGENT_FOLDER],
      env: { LEAKSCOPE_AGENTS: folder },
    });
    remote = await openRemote(target.pid);
  });
  afterAll(async () => {
    await remote?.close();
    await target?.stop();
    rmSync(folder, { recursive: true });
  });

  const run = (code: string, interactive = false) =>
    remote.request('run', { code, interactive }, { timeoutMs: 10_000 });

  test('listens at a socket of its user alone', () => {
    expect(remote.how).toContain('started itself');
    expect(statSync(target.ready.path).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('listens in forked children, too', async () => {
    expect(
      await becomesTrue(() => existsSync(join(folder, `${target.ready.child}.sock`)), 5000),
    ).toBe(true);
    const child = await openRemote(target.ready.child);
    expect((await child.request('run', { code: 'import os; os.getpid()' })).value).toBe(
      `${target.ready.child}`,
    );
    await child.close();
  });

  test.each([
    ['6 * 7', { value: '42' }],
    ['_ + 1', { value: '43' }],
    ['None', {}],
    ['x = 5', {}],
    ['x', { value: '5' }],
    ['visible', { value: "'of __main__'" }],
    ['visible = 2; visible', { value: '2' }],
    ['import __main__; __main__.visible', { value: "'of __main__'" }],
    ['def f(n):\n  return n * x\nf(3)', { value: '15' }],
    ['[x for _ in range(2)]', { value: '[5, 5]' }],
    ['"\\ud800 \\x1b[31m"', { value: "'\\ud800 \\x1b[31m'" }],
    ['exit(3)', { exit: 3 }],
  ])('runs %s', async (code, expected) => {
    const { id: _, ok, ...rest } = await run(code);
    expect(ok).toBe(true);
    expect(rest).toEqual(expected);
  });

  test.each([
    ['1/0', 'ZeroDivisionError: division by zero'],
    ['def g():\n  raise KeyError(1)\ng()', 'raise KeyError(1)'],
    ['raise SystemExit(3)', 'contained'],
    ['import sys; sys.exit("no")', 'contained'],
    ['x = = 2', 'SyntaxError'],
    ['input()', 'would read the program'],
    ['breakpoint()', 'would read the program'],
    ['nowhere', 'NameError'],
    ['raise BaseException("b")', 'BaseException: b'],
  ])('reports what %s raises', async (code, expected) => {
    const { failed } = await run(code);
    expect(failed).toContain(expected);
    if (!code.endsWith('()')) expect(failed).not.toContain('leakscope_agent');
  });

  test.each([
    ['def f():', true],
    ['def f():\n  pass', true],
    ['def f():\n  pass\n', false],
    ['(1,', true],
    ['"""a', true],
    ['if x:\n  1\nelse:', true],
    ['x', false],
    ['x = [\n1\n]', false],
    ['for i in []: pass', true],
    ['for i in []: pass\n', false],
    ['x = = 1', false],
    ['1)', false],
    ['import asyncio; await asyncio.sleep(0)', false],
    ['@property', true],
    ['a = 1\nb = 2', false],
    ['# comment', false],
    ['\\', true],
  ])('knows whether %j is complete', async (code, more) => {
    expect((await run(code, true)).more ?? false).toBe(more);
  });

  test('awaits on the loop of the program', async () => {
    const code =
      'import asyncio\nawait asyncio.sleep(0.01, asyncio.get_running_loop() is __import__("__main__").loop)';
    expect((await run(code)).value).toBe('True');
    expect(
      (await run('async def fails():\n  raise ValueError("f")\nawait fails()')).failed,
    ).toMatch(/in fails[\s\S]*ValueError: f/);
  });

  test('prints what an awaited coroutine prints, and nothing of the program', async () => {
    let printed = '';
    const code =
      'import asyncio\nasync def speak():\n  for i in range(3):\n    print("said", i); await asyncio.sleep(0.02)\nawait speak()';
    await remote.request(
      'run',
      { code },
      {
        onOutput: (text) => {
          printed += text;
        },
      },
    );
    expect(printed).toBe('said 0\nsaid 1\nsaid 2\n');
  });

  test('completes names and attributes', async () => {
    const names = async (text: string) => (await remote.request('complete', { text })).names;
    expect(await names('visi')).toEqual(['visible']);
    expect(await names('impo')).toEqual(['import']);
    expect(await names('print(path.starts')).toEqual(['startswith']);
    expect(await names('with_property.danger.')).toEqual([]);
    expect(await names('sys.no.such')).toEqual([]);
  });

  test('lists the tasks of the loop with their await chains', async () => {
    const { tasks, loops } = await remote.request('tasks');
    expect(loops).toBe(1);
    const rows = tasks as { name: string; state: string; frames: [string, number, string][] }[];
    const waiting = rows.filter(({ frames }) => frames[0]?.[2] === 'outer');
    expect(waiting.map(({ name }) => name).sort()).toEqual(target.ready.tasks);
    for (const { state, frames } of waiting) {
      expect(state).toBe('pending');
      expect(frames.slice(0, 2).map((frame) => frame[2])).toEqual(['outer', 'inner']);
      expect(frames[1][1]).toBe(target.ready.line);
    }
  });

  test('cancels one task and no other', async () => {
    const [name, ...others] = target.ready.tasks;
    expect((await remote.request('where', { task: name })).task).toMatchObject({ name });
    await remote.request('cancel', { task: name });
    await run('import asyncio; await asyncio.sleep(0.05)');
    const { tasks } = await remote.request('tasks');
    const names = (tasks as { name: string }[]).map((task) => task.name);
    expect(others.every((each) => names.includes(each))).toBe(true);
    expect(names).not.toContain(name);
    await expect(remote.request('where', { task: name })).rejects.toThrow('no task');
  });

  test('shows the stacks of the threads but not its own', async () => {
    const { threads } = await remote.request('stack');
    const rows = threads as { name: string; frames: [string, number, string][] }[];
    expect(rows.map(({ name }) => name).sort()).toEqual(['', 'MainThread', 'reader']);
    const main = rows.find(({ name }) => name === 'MainThread');
    expect(main?.frames.map((frame) => frame[2])).toContain('run_forever');
  });

  test('tells the state of the collector', async () => {
    const { value } = await run('import gc; gc.get_threshold(), gc.isenabled()');
    const { thresholds, enabled, collected } = await remote.request('gc', { collect: true });
    expect(value).toBe(`((${(thresholds as number[]).join(', ')}), ${enabled ? 'True' : 'False'})`);
    expect(collected).toBeTypeOf('number');
  });

  test('says no to what it does not know', async () => {
    await expect(remote.request('no-such')).rejects.toThrow('does not know');
  });

  test('takes its socket away with the program', async () => {
    const second = await startPython<Ready>(python, PROGRAM, {
      args: [AGENT_FOLDER],
      env: { LEAKSCOPE_AGENTS: folder },
    });
    expect(await hasCooperativeAgent(second.pid)).toBe(true);
    second.send('end');
    expect(await becomesTrue(() => !existsSync(second.ready.path), 5000)).toBe(true);
    await second.stop();
  });
});

describeEachPython('leakscope run -- CMD', (python) => {
  test('starts programs into which console comes, with the sitecustomize that was there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'leakscope-run-'));
    writeFileSync(join(folder, 'sitecustomize.py'), 'import sys\nsys.was_customized = True\n');
    const mark = join(folder, 'ready');
    const code = `
import os, sys
with open(${JSON.stringify(mark)} + '.part', 'w') as file: file.write('%d %s %s' % (os.getpid(), sys.was_customized, any(each.endswith('/agent') for each in sys.path)))
os.rename(${JSON.stringify(mark)} + '.part', ${JSON.stringify(mark)})
sys.stdin.read()
sys.exit(7)`;
    const [program, ...args] = commandLine('run', '--', ...python.command, '-c', code);
    const child = spawn(program, args, {
      stdio: ['pipe', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ...python.env,
        PYTHONPATH: folder,
        LEAKSCOPE_AGENTS: join(folder, 'agents'),
      },
    });
    const ended = new Promise((resolve) => child.once('exit', (exitCode) => resolve(exitCode)));
    try {
      expect(await becomesTrue(() => existsSync(mark), 20_000)).toBe(true);
      const [pid, wasCustomized, hasFolder] = readFileSync(mark, 'utf8').split(' ');
      expect([wasCustomized, hasFolder]).toEqual(['True', 'False']);
      const ask = (...options: string[]) => {
        const [node, ...cli] = commandLine('console', pid, '--json', '-c', '1 + 1', ...options);
        return spawnSync(node, cli, { encoding: 'utf8' });
      };
      const refused = ask();
      expect(refused).toMatchObject({ status: 2, stdout: '' });
      expect(refused.stderr).toContain('runs code in process');
      const { stdout } = ask('--yes');
      expect(JSON.parse(stdout)).toMatchObject({
        value: '2',
        how: expect.stringContaining('itself'),
      });
      child.stdin?.end();
      expect(await ended).toBe(7);
    } finally {
      child.kill();
      await ended;
      rmSync(folder, { recursive: true });
    }
  });
});
