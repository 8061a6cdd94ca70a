// tracemalloc switched on in a running program for a while, and off again: what is told of the window, and that the program
// is left as it was found, also by a leakscope that is killed. The program asks its own tracer and prints whether it is on.

import { afterEach, expect, test } from 'vitest';
import { allocationsSchema } from '../../src/report/allocations-schema.ts';
import { huntSchema } from '../../src/report/schemas.ts';
import { finishCommand, runCommand, runJson, startCommand } from '../support/command-line.ts';
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
    expect(place?.traceback).toHaveLength(2);
    // One ticket in ten of some hundred turns.
    expect(place?.count).toBeGreaterThan(50);
    expect([await running.nextLine(), await running.nextLine()]).toEqual(['on', 'off']);
  });

  test('leaves a tracer on that the program has switched on', async () => {
    running = await startPython<Ready>(python, PROGRAM, { args: ['traced'] });

    const report = await runJson(
      allocationsSchema,
      ...['allocations', `${running.pid}`, '--start', '--for', '1s', '--yes'],
    );

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

    const report = await runJson(
      huntSchema,
      ...['hunt', `${running.pid}`, '--trace', '2', '--yes', '--every', '1s'],
    );

    const suspect = report.suspects.find(({ type }) => /Ticket$/.test(type));
    expect(suspect?.allocatedAt?.[0]).toMatchObject({ file: '<string>', line: LINE });
    expect([await running.nextLine(), await running.nextLine()]).toEqual(['on', 'off']);
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
