// What threads and tasks do, seen from outside, against asyncio.all_tasks() and sys._current_frames() of the target itself,
// on every build of every version.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { computeTasks } from '../../src/analysis/tasks.ts';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { readSnapshotFile, writeSnapshotFile } from '../../src/capture/snapshot-file.ts';
import type { HeapGraph } from '../../src/graph/heap-graph.ts';
import {
  type StacksReport,
  stacksSchema,
  type TasksReport,
  tasksSchema,
} from '../../src/report/execution-schema.ts';
import { formatHunt } from '../../src/report/hunt-text.ts';
import { buildStacksReport } from '../../src/report/stacks-report.ts';
import { buildTasksReport, formatTasks } from '../../src/report/tasks-report.ts';
import { runCommand, runJson } from '../support/command-line.ts';
import { huntRounds } from '../support/hunting.ts';
import {
  describeEachPython,
  findPython,
  type RunningPython,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/execution_truth.py', import.meta.url));

interface TaskTruth {
  address: number;
  name: string;
  coroutine: string;
  loop: number;
  chain: [name: string, line: number][];
}

interface TasksTruth {
  tasks: TaskTruth[];
  ended: TaskTruth[];
  loops: number[];
}

type FrameTruth = [name: string, file: string, line: number, locals: string[]];

interface ThreadsTruth {
  threads: { name: string; native: number; ident: number; daemon: boolean; frames: FrameTruth[] }[];
  main: { native: number; ident: number };
}

const running: RunningPython[] = [];
afterEach(async () => {
  for (const python of running.splice(0)) await python.stop();
});

async function start<T>(python: TestPython, ...args: string[]): Promise<RunningPython<T>> {
  const process = await startPython<T>(python, PROGRAM, { args });
  running.push(process);
  return process;
}

function reportTasks(graph: HeapGraph, wantsEnded = false): TasksReport {
  const execution = graph.execution!;
  return tasksSchema.parse(
    buildTasksReport(graph, execution, computeTasks(graph), {
      wantsEnded,
      limit: 100_000,
      findSourceLine: () => undefined,
    }),
  );
}

function reportStacks(graph: HeapGraph): StacksReport {
  const options = { wantsLocals: true, findSourceLine: () => undefined };
  return stacksSchema.parse(buildStacksReport(graph, graph.execution!, options));
}

/** Builds of other releases have C types of other sizes, which have nothing to do with tasks and frames. */
const isUnexpected = ({ kind }: { kind: string }): boolean => kind !== 'type-size-unexpected';
const hex = (address: number): string => `0x${address.toString(16)}`;
const byAddress = (a: { address: string }, b: { address: string }) =>
  a.address < b.address ? -1 : 1;

describeEachPython(
  'what a program does',
  (python) => {
    test('has the tasks of both loops that asyncio lists, with their coroutines and lines', async () => {
      const { pid, ready } = await start<TasksTruth>(python, 'tasks');
      const graph = await captureHeap(pid);
      const report = reportTasks(graph);
      const found = report.tasks
        .map(({ address, name, state, loop }) => ({ address, name, state, loop }))
        .sort(byAddress);
      const expected = ready.tasks
        .map(({ address, name, loop }) => {
          return { address: hex(address), name, state: 'pending', loop: hex(loop) };
        })
        .sort(byAddress);
      expect(found).toEqual(expected);
      expect(report.loops.map((loop) => loop.address).sort()).toEqual(ready.loops.map(hex).sort());
      expect(report.loops.map((loop) => loop.thread).sort()).toEqual(['MainThread', 'second']);
      for (const truth of ready.tasks) {
        const task = report.tasks.find(({ address }) => address === hex(truth.address))!;
        const stack = task.stack.map((step) => [step.function, step.line]);
        // Python does not show what is behind an async generator or an __await__ of C.
        expect(stack.slice(0, truth.chain.length)).toEqual(truth.chain);
        expect(task.coroutine.endsWith(truth.coroutine)).toBe(true);
      }
      expect(report.problems.filter(isUnexpected)).toEqual([]);
    });

    test('knows what each task waits for, and for which tasks', async () => {
      const { pid, ready } = await start<TasksTruth>(python, 'tasks');
      const report = reportTasks(await captureHeap(pid), true);
      const waits = new Map<string, Set<string>>();
      for (const { coroutine, waitsFor } of report.tasks) {
        waits.set(coroutine, (waits.get(coroutine) ?? new Set()).add(`${waitsFor}`));
      }
      const waitsOf = (name: string) => [...(waits.get(name) ?? [])].sort();
      expect(waitsOf('wait_in_queue')).toEqual(['asyncio.Queue.get']);
      expect(waitsOf('wait_for_lock')).toEqual(['asyncio.Lock.acquire']);
      expect(waitsOf('asyncio.sleep')).toEqual(['asyncio.sleep']);
      expect(waitsOf('deep')).toEqual(['asyncio.Event.wait']);
      expect(waitsOf('wait_in_generator')).toEqual(['asyncio.Event.wait']);
      expect(waitsOf('wait_in_comprehension')).toEqual(['asyncio.Event.wait']);
      expect(waitsOf('wait_for_own')).toEqual(['asyncio.Event.wait']);
      expect(waitsOf('wait_for_plain')).toEqual(['asyncio.Future']);
      expect(waitsOf('wait_for_socket')[0]).toMatch(/^asyncio\.\w+\.sock_recv$/);
      expect(waitsOf('wait_for_line')).toEqual(['asyncio.StreamReader.readline']);
      expect(waitsOf('wait_with_limit')[0]).toMatch(/^asyncio\.wait_for/);
      expect(waitsOf('gather_two')).toEqual(['asyncio.gather']);
      expect(waitsOf('wait_for_both')).toEqual(['asyncio.wait']);
      expect(waitsOf('wait_for_task')).toEqual(['task named']);
      expect(waitsOf('wait_for_event')).toContain('its first step');

      const taskOf = (name: string) => report.tasks.find(({ coroutine }) => coroutine === name)!;
      expect(taskOf('wait_for_task').awaits.map(({ name }) => name)).toEqual(['named']);
      const named = report.tasks.find(({ name }) => name === 'named')!;
      expect(named.awaitedBy.map(({ address }) => address)).toEqual([
        taskOf('wait_for_task').address,
      ]);
      expect(taskOf('gather_two').awaitsTotal).toBe(2);
      expect(taskOf('wait_for_both').awaitsTotal).toBe(2);
      if (waits.has('in_group')) expect(taskOf('in_group').awaitsTotal).toBe(2);
      expect(taskOf('wait_in_generator').waitsAt?.function).toBe('numbers');
      expect(taskOf('wait_with_limit').ready).toBe(false);

      const states = ready.ended.map(({ address }) => {
        const task = report.tasks.find((each) => each.address === hex(address));
        return [task?.state, task?.exception];
      });
      expect(states).toEqual([
        ['done', null],
        ['failed', expect.stringContaining('KeyError')],
        ['cancelled', null],
      ]);
      expect(report.totals).toMatchObject({ running: 0, failed: 1, cancelled: 1 });
    });

    test('shows the task that runs, with the stack of its thread', async () => {
      const { pid, ready } = await start<{ address: number; line: number }>(python, 'running');
      const report = reportTasks(await captureHeap(pid));
      expect(report.tasks).toHaveLength(1);
      const [task] = report.tasks;
      expect(task).toMatchObject({
        address: hex(ready.address),
        state: 'running',
        coroutine: 'run_stand_still',
        waitsFor: null,
      });
      expect(task.stack.map((step) => step.function)).toEqual(['run_stand_still', 'stand_still']);
      expect(task.stack[1].line).toBe(ready.line);
    });

    test('has the threads with the frames, lines and variables that the target prints', async () => {
      const { pid, ready } = await start<ThreadsTruth>(python, 'threads', '200');
      const report = reportStacks(await captureHeap(pid));
      expect(report.threads).toHaveLength(ready.threads.length + 1);
      expect(report.threads[0]).toMatchObject({
        name: 'MainThread',
        isMain: true,
        isDaemon: false,
        nativeId: ready.main.native,
        ident: ready.main.ident,
        state: 'waiting',
        systemCall: 'read',
      });
      for (const truth of ready.threads) {
        const thread = report.threads.find(({ nativeId }) => nativeId === truth.native)!;
        expect(thread).toMatchObject({
          ident: truth.ident,
          isMain: false,
          isDaemon: true,
          isPython: true,
          holdsGil: false,
          state: 'waiting',
          isCutOff: false,
        });
        expect(thread.name?.replace('\\x1b', '\x1b')).toBe(truth.name);
        const frames = thread.frames.map(({ function: name, file, line, locals }) => [
          name.slice(name.lastIndexOf('.') + 1),
          file,
          line,
          locals!
            .map((local) => local.name)
            .filter((local) => !local.startsWith('.'))
            .sort(),
        ]);
        expect(frames).toEqual(truth.frames);
      }
      const locals = report.threads
        .flatMap((thread) => thread.frames)
        .flatMap((frame) => frame.locals!.map((local) => `${local.name} = ${local.repr}`));
      expect(locals).toEqual(
        expect.arrayContaining(["text = 'a text'", 'number = 3', 'value = [1, 2, 3]', 'n = 200']),
      );
      expect(report.problems.filter(isUnexpected)).toEqual([]);
    });

    test('names the thread that holds the GIL', async () => {
      const { pid } = await start<ThreadsTruth>(python, 'threads', '10', 'spin');
      const report = reportStacks(await captureHeap(pid));
      const holders = report.threads.filter((thread) => thread.holdsGil);
      expect(holders.map(({ name }) => name)).toEqual(['spins']);
      expect(holders[0].frames.at(-1)?.function).toBe('spin');
      expect(holders[0].state).toBe('running');
    });

    test('says the same from a snapshot file', async () => {
      const { pid } = await start<TasksTruth>(python, 'tasks');
      const graph = await captureHeap(pid);
      const folder = mkdtempSync(join(tmpdir(), 'leakscope-execution-'));
      try {
        const path = join(folder, 'a.lscope');
        await writeSnapshotFile(path, graph);
        const read = readSnapshotFile(path);
        expect(reportTasks(read, true)).toEqual(reportTasks(graph, true));
        expect(reportStacks(read)).toEqual(reportStacks(graph));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  },
  { all: true },
);

test('prints thousands of stuck tasks as one group, by the command line', async () => {
  const python = findPython('3.11') ?? findPython('3.14')!;
  const { pid } = await start<TasksTruth>(python, 'tasks', '10000');
  const report = await runJson(tasksSchema, 'tasks', `${pid}`, '--limit', '5');
  expect(report.groups).toHaveLength(5);
  expect(report.groups[0]).toMatchObject({
    count: 10_001,
    state: 'pending',
    coroutine: 'wait_in_queue',
    waitsAt: { function: 'wait_in_queue' },
    waitsFor: 'asyncio.Queue.get',
  });
  expect(report.groups[0].example.stack[0].source).toBe('return await queue.get()');
  expect(report.tasks).toHaveLength(5);
  const { stdout } = await runCommand('tasks', `${pid}`);
  expect(stdout).toContain('… the same 29 times more');
  const line = report.groups[0].waitsAt?.line;
  expect(stdout).toContain('10 001 x wait_in_queue   pending');
  expect(stdout).toContain(
    `waits      at execution_truth.py:${line} in wait_in_queue, for asyncio.Queue.get`,
  );
  expect(Math.max(...stdout.split('\n').map((text) => text.length))).toBeLessThan(180);
});

test('prints a deep recursion as one line, variables on request, and names without escapes', async () => {
  const python = findPython('3.12') ?? findPython('3.14')!;
  const { pid } = await start<ThreadsTruth>(python, 'threads', '20000');
  const { stdout } = await runCommand('stacks', `${pid}`, '--locals');
  expect(stdout).toContain('the same frame 19 999 times more');
  expect(stdout).toContain("text = 'a text'");
  expect(stdout).toContain('time.sleep(1000)');
  expect(stdout).toContain('reads \\x1b[31m');
  expect(stdout).not.toContain('\x1b');
  expect(stdout.split('\n').length).toBeLessThan(100);
});

test('a program without asyncio has no tasks', async () => {
  const python = findPython('3.11') ?? findPython('3.14')!;
  const { pid } = await start<ThreadsTruth>(python, 'threads', '1');
  const report = reportTasks(await captureHeap(pid));
  expect(report).toMatchObject({ tasks: [], groups: [], loops: [] });
  expect(formatTasks(report)).toContain('0 tasks in 0 loops');
});

describeEachPython('a hunt of tasks that never end', (python) => {
  test('names the line on which they wait, and who has the container at hand', async () => {
    const code = `
import asyncio, json, os, sys

class Broker:
    def __init__(self):
        self.workers = []

    async def pump(self, job):
        return await self.queue.get()

    async def serve(self):
        workers, self.queue = self.workers, asyncio.Queue()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("1", flush=True)
        while await reader.readline():
            for job in range(200):
                workers.append(loop.create_task(self.pump(job)))
            await asyncio.sleep(0)
            print("done", flush=True)

broker = Broker()
asyncio.run(broker.serve())
`;
    const process = await startPython<number>(python, code);
    running.push(process);
    const report = await huntRounds(process.pid, async () => {
      process.send('more');
      await process.nextLine();
    });
    expect(report.verdict).toBe('leak');
    const [suspect] = report.suspects;
    expect(suspect.waitsAt).toEqual({
      file: '<string>',
      line: 9,
      function: 'Broker.pump',
      for: 'asyncio.Queue.get',
      coroutine: 'Broker.pump',
      tasks: 800,
    });
    expect(suspect.hints).toContainEqual(
      expect.stringMatching(/^(Broker\.)?serve \(<string>:17\) has it as 'workers' now$/),
    );
    const text = formatHunt(report);
    expect(text).toContain('<string>:9 in Broker.pump, for asyncio.Queue.get   (800 tasks)');
  });
});
