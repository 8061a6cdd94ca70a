import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import {
  childrenOf,
  decodeProcessStat,
  findProcess,
  findProcessStat,
  findStatusField,
  listProcesses,
  listThreads,
  procNumbersAreOurs,
} from './process-status.ts';

const GONE = 2 ** 22 + 1;

test('a name with spaces and parentheses does not shift the fields behind it', () => {
  const text =
    '4242 (tmux: (x) y) S 17 4242 4242 34816 4242 4194304 1 2 3 4 5 6 7 8 20 0 3 0 227324 99 100';
  expect(decodeProcessStat(text)).toEqual({
    pid: 4242,
    name: 'tmux: (x) y',
    state: 'S',
    isExiting: false,
    parentPid: 17,
    threadCount: 3,
    startTimeTicks: 227324,
  });
});

test('a process that gives back its memory is exiting, whatever its state', () => {
  const text = '7 (python3) R 1 7 7 0 -1 4194308 1 2 3 4 5 6 7 8 20 0 3 0 227324 0 0';
  expect(decodeProcessStat(text)?.isExiting).toBe(true);
});

test('a text that is no stat file is undefined', () => {
  for (const text of ['', '4242', '4242 (a', '4242 (a) S 1']) {
    expect(decodeProcessStat(text)).toBeUndefined();
  }
});

test('a field of a status text is found at its start, not inside another name', () => {
  const status = 'Name:\tpython3\nPPid:\t7\nPid:\t9\nUid:\t1\t2\t3\t4\n';
  expect(findStatusField(status, 'Name')).toBe('python3');
  expect(findStatusField(status, 'Pid')).toBe('9');
  expect(findStatusField(status, 'Uid')).toBe('1\t2\t3\t4');
  expect(findStatusField(status, 'Tgid')).toBeUndefined();
});

test('our own process is described as Node knows it', () => {
  const own = findProcess(process.pid)!;
  expect(own.parentPid).toBe(process.ppid);
  expect(own.uid).toBe(process.geteuid?.());
  expect(own.processId).toBe(process.pid);
  expect(own.command.length).toBeGreaterThan(0);
  expect(own.threadCount).toBe(listThreads(process.pid).length);
  expect(own.rssBytes / process.memoryUsage().rss).toBeCloseTo(1, 0);
  expect(Math.abs(own.processStartedAt - (Date.now() / 1000 - process.uptime()))).toBeLessThan(2);
  expect(procNumbersAreOurs()).toBe(true);
});

test('a process that does not exist is undefined, without threads or children', () => {
  expect(findProcess(GONE)).toBeUndefined();
  expect(findProcessStat(GONE)).toBeUndefined();
  expect(listThreads(GONE)).toEqual([]);
  expect(childrenOf(GONE)).toEqual([]);
});

test('a child is listed with its parent until it has ended', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  expect(childrenOf(process.pid)).toContain(child.pid);
  expect(listProcesses().map(({ pid }) => pid)).toContain(child.pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(childrenOf(process.pid)).not.toContain(child.pid);
});
