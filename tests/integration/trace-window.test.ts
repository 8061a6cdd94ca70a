// tracemalloc switched on in a running program for a while, and off again: what is told of the window, and that the program
// is left as it was found, also by a leakscope that is killed. The program asks its own tracer and prints whether it is on.

import { afterEach, expect, test } from 'vitest';
import { allocationsSchema } from '../../src/report/allocations-schema.ts';
import { huntSchema } from '../../src/report/schemas.ts';
import {
  finishCommand,
  runCommand,
  runJson,
  startCommand,
  untilStderr,
} from '../support/command-line.ts';
import { describeEachPython, type RunningPython, startPython } from '../support/pythons.ts';

interface Ready {
  pid: number;
}

/** Keeps one ticket in ten, and writes a line whenever its tracer is switched on or off. */
const PROGRAM = `
import json, os, sys, time, tracemalloc
if "traced" in sys.argv:
    tracemalloc.start(3)
class Ticket:
    def __init__(self, number):
        self.text = "ticket %d" % number
def make(number):
    return Ticket(number)
kept = []
number = 0
was_tracing = tracemalloc.is_tracing()
print(json.dumps({"pid": os.getpid()}), flush=True)
while True:
    for _ in range(50):
        number += 1
        ticket = make(number)
        if number % 10 == 0:
            kept.append(ticket)
    time.sleep(0.005)
    if tracemalloc.is_tracing() != was_tracing:
        was_tracing = not was_tracing
        print("on" if was_tracing else "off", flush=True)
`;
const LINE = PROGRAM.split('\n').findIndex((line) => line.includes('return Ticket')) + 1;
const isMade = ({ line }: { line: number | null }): boolean => line === LINE;

let running: RunningPython<Ready> | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

describeEachPython('a window of tracemalloc', (python) => {
  test('shows what was allocated in it and stayed, and leaves the tracer off', async () => {
    running = await startPython<Ready>(python, PROGRAM);
    const window = ['--start', '--for', '1s', '--frames', '2', '--yes', '--by', 'traceback'];

    const report = await runJson(allocationsSchema, 'allocations', `${running.pid}`, ...window);

    expect(report.window).toMatchObject({ seconds: 1, frames: 2 });
    expect(report.window?.objectNs?.with).toBeGreaterThan(report.window?.objectNs?.without ?? 0);
    expect(report.tracer?.maxFrames).toBe(2);
    const place = report.top.find(isMade);
    expect(report.top.some(({ file }) => file?.includes('leakscope'))).toBe(false);
    expect(place?.traceback).toHaveLength(2);
    // One ticket in ten of some hundred turns.
    expect(place?.count).toBeGreaterThan(50);
    expect([await running.nextLine(), await running.nextLine()]).toEqual(['on', 'off']);
  });

  test('leaves a tracer on that the program has switched on', async () => {
    running = await startPython<Ready>(python, PROGRAM, { args: ['traced'] });

    // Without --yes: no code runs in it.
    const args = ['allocations', `${running.pid}`, '--start', '--for', '1s', '--json'];
    const { stdout, stderr } = await runCommand(...args);
    expect(stderr).toContain('on in process');
    const report = allocationsSchema.parse(JSON.parse(stdout));

    expect(report.window?.objectNs).toBeNull();
    expect(report.tracer?.maxFrames).toBe(3);
    expect(report.top.find(isMade)?.countGrowth).toBeGreaterThan(0);
    const after = await runJson(allocationsSchema, 'allocations', `${running.pid}`);
    expect(after.tracing).toBe(true);
  });

  test('ends when leakscope is killed', async () => {
    running = await startPython<Ready>(python, PROGRAM);
    const child = startCommand([
      'allocations',
      `${running.pid}`,
      '--start',
      '--for',
      '60s',
      '--yes',
    ]);
    const ended = finishCommand(child);
    expect(await running.nextLine()).toBe('on');

    child.kill('SIGKILL');

    expect(await running.nextLine()).toBe('off');
    await ended;
  });

  test('lets a hunt name the line, and ends with it', async () => {
    running = await startPython<Ready>(python, PROGRAM);

    const args = ['hunt', `${running.pid}`, '--trace', '2', '--yes', '--every', '1s', '--json'];
    const { stdout, stderr } = await runCommand(...args);

    expect(stderr).toMatch(
      /^switched tracemalloc on in process \d+ for .* and off again, through /m,
    );
    const report = huntSchema.parse(JSON.parse(stdout));
    const suspect = report.suspects.find(({ type }) => /Ticket$/.test(type));
    expect(suspect?.allocatedAt?.[0]).toMatchObject({ file: '<string>', line: LINE });
    expect([await running.nextLine(), await running.nextLine()]).toEqual(['on', 'off']);
  });

  test('ends at Ctrl-C, and shows what was traced until then', async () => {
    running = await startPython<Ready>(python, PROGRAM);
    const args = ['allocations', `${running.pid}`, '--start', '--for', '60s', '--yes', '--json'];
    const child = startCommand([...args, '--progress']);
    const ended = finishCommand(child);
    await untilStderr(child, /tracemalloc is on for 60 s/);
    child.kill('SIGINT');

    const { code, stdout } = await ended;

    expect(code).toBe(0);
    const report = allocationsSchema.parse(JSON.parse(stdout));
    expect(report.window?.seconds).toBeLessThan(50);
    expect(report.top.length).toBeGreaterThan(0);
    expect([await running.nextLine(), await running.nextLine()]).toEqual(['on', 'off']);
  });

  test('that another leakscope closes says so, and shows nothing of it', async () => {
    running = await startPython<Ready>(python, PROGRAM);
    const args = ['allocations', `${running.pid}`, '--start', '--yes', '--progress', '--json'];
    const first = startCommand([...args, '--for', '60s']);
    const firstEnded = finishCommand(first);
    await untilStderr(first, /tracemalloc is on for 60 s/);
    const second = startCommand([...args, '--for', '61s']);
    const secondEnded = finishCommand(second);
    await untilStderr(second, /tracemalloc is on for 61 s/);
    first.kill('SIGINT');
    const report = allocationsSchema.parse(JSON.parse((await firstEnded).stdout));
    expect(report.top.some(({ file }) => file?.includes('leakscope'))).toBe(false);
    second.kill('SIGINT');
    const { code, stderr } = await secondEnded;
    expect(code).toBe(3);
    expect(stderr).toContain('was switched off in process');
  });

  test('is not opened without consent', async () => {
    running = await startPython<Ready>(python, PROGRAM);
    const { code, stderr } = await runCommand('allocations', `${running.pid}`, '--start');
    expect(code).toBe(2);
    expect(stderr).toContain('Add --yes');
    const after = await runJson(allocationsSchema, 'allocations', `${running.pid}`);
    expect(after.tracing).toBe(false);
  });
});
