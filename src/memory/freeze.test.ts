import { expect, test } from 'vitest';
import { AccessError } from '../base/errors.ts';
import { LiveTarget, openTarget, type ProcessControl } from './freeze.ts';
import type { LiveMemory } from './live-memory.ts';
import type { ProcessStatus } from './process-status.ts';

const PID = 4242;
const noMemory = { close() {} } as unknown as LiveMemory;

/** A process that exists only here, and what was done to it. */
class FakeSystem {
  readonly log: string[] = [];
  startTimeTicks = 100;
  state = 'S';
  tracerPid = 0;
  /** Threads that never stop. */
  stubborn = new Set<number>();
  threads = [PID, 4243];
  guardIsAlive = true;

  readonly control: ProcessControl = {
    findProcess: (pid) => this.status(pid),
    findProcessStat: (pid) => this.status(pid),
    listThreads: () => this.threads,
    findThreadStat: (_, tid) => ({
      ...this.status(tid),
      state: this.stubborn.has(tid) ? 'D' : this.state,
    }),
    signal: (_, signal) => {
      this.log.push(signal);
      this.state = signal === 'SIGSTOP' ? 'T' : 'S';
    },
    startWatchdog: () => {
      this.log.push('guard');
      this.guardIsAlive = true;
      const system = this;
      return {
        get isAlive() {
          return system.guardIsAlive;
        },
        waitUntilReady: () => {},
        arm: () => this.log.push('arm'),
        disarm: () => this.log.push('disarm'),
        close: () => this.log.push('close'),
      };
    },
  };

  status(pid: number): ProcessStatus {
    return {
      pid,
      name: 'python3',
      state: this.state,
      isExiting: false,
      parentPid: 1,
      threadCount: 2,
      startTimeTicks: this.startTimeTicks,
      uid: 0,
      processId: pid,
      tracerPid: this.tracerPid,
      namespacePids: [pid],
      rssBytes: 0,
      command: [],
      processStartedAt: 0,
    };
  }

  target(): LiveTarget {
    return new LiveTarget(this.status(PID), noMemory, this.control);
  }
}

test('the watchdog knows before the stop and forgets after the continue', () => {
  const system = new FakeSystem();
  const { value, pauseMs } = system.target().withFrozen(() => {
    system.log.push('use');
    return 7;
  });
  expect(value).toBe(7);
  expect(pauseMs).toBeGreaterThanOrEqual(0);
  expect(system.log).toEqual(['guard', 'arm', 'SIGSTOP', 'use', 'SIGCONT', 'disarm']);
});

test('an exception inside continues the target and comes out', () => {
  const system = new FakeSystem();
  expect(() =>
    system.target().withFrozen(() => {
      throw new Error('inside');
    }),
  ).toThrow('inside');
  expect(system.log.slice(-2)).toEqual(['SIGCONT', 'disarm']);
});

test('a process that got the pid of the target is never signalled', () => {
  const system = new FakeSystem();
  const target = system.target();
  system.startTimeTicks = 101;
  expect(() => target.withFrozen(() => 0)).toThrow(AccessError);
  expect(system.log).toEqual([]);
});

test('a pid that was reused while the watchdog started is not stopped', () => {
  const system = new FakeSystem();
  const { startWatchdog } = system.control;
  system.control.startWatchdog = (target) => {
    system.startTimeTicks = 101;
    return startWatchdog(target);
  };
  expect(() => system.target().withFrozen(() => 0)).toThrow(AccessError);
  expect(system.log).toEqual(['guard', 'arm', 'disarm']);
});

test('a pid that was reused while the target was stopped is not continued', () => {
  const system = new FakeSystem();
  expect(() =>
    system.target().withFrozen(() => {
      system.startTimeTicks = 101;
      throw new Error('ended');
    }),
  ).toThrow('ended');
  expect(system.log).not.toContain('SIGCONT');
});

test.each(['T', 't', 'Z', 'X'])('a target in state %s is refused without a signal', (state) => {
  const system = new FakeSystem();
  const target = system.target();
  system.state = state;
  expect(() => target.withFrozen(() => 0)).toThrow(AccessError);
  expect(system.log).toEqual([]);
});

test('a target that a debugger holds is refused without a signal', () => {
  const system = new FakeSystem();
  const target = system.target();
  system.tracerPid = 99;
  expect(() => target.withFrozen(() => 0)).toThrow(/process 99 holds it as a debugger/);
  expect(system.log).toEqual([]);
});

test('a target that was stopped by others while the watchdog started stays stopped', () => {
  const system = new FakeSystem();
  const { startWatchdog } = system.control;
  system.control.startWatchdog = (target) => {
    system.state = 'T';
    return startWatchdog(target);
  };
  expect(() => system.target().withFrozen(() => 0)).toThrow(/stopped already/);
  expect(system.log).toEqual(['guard', 'arm', 'disarm']);
});

test('a thread that cannot stop is named, and the target continued within a second', () => {
  const system = new FakeSystem();
  system.stubborn.add(4243);
  const begin = performance.now();
  expect(() => system.target().withFrozen(() => 0)).toThrow(/thread 4243 .* cannot be interrupted/);
  expect(performance.now() - begin).toBeLessThan(1500);
  expect(system.log.filter((entry) => entry === 'SIGSTOP')).toHaveLength(1);
  expect(system.log.slice(-2)).toEqual(['SIGCONT', 'disarm']);
});

test('a thread that gets no processor is waited for in several stops, between which the target runs', () => {
  const system = new FakeSystem();
  const { findThreadStat, signal } = system.control;
  let stops = 0;
  system.control.signal = (pid, name) => {
    signal(pid, name);
    if (name === 'SIGSTOP') stops++;
  };
  system.control.findThreadStat = (pid, tid) => {
    const stat = findThreadStat(pid, tid);
    return stat && tid === 4243 && stops < 3 ? { ...stat, state: 'R' } : stat;
  };
  const { value, pauseMs, vainPauseMs } = system.target().withFrozen(() => 7);
  expect(value).toBe(7);
  expect(pauseMs).toBeLessThan(500);
  expect(vainPauseMs).toBeGreaterThan(1000);
  expect(system.log.filter((entry) => entry.startsWith('SIG'))).toEqual(
    Array(3).fill(['SIGSTOP', 'SIGCONT']).flat(),
  );
});

test('a thread that was started during the stop is waited for', () => {
  const system = new FakeSystem();
  let lists = 0;
  system.control.listThreads = () => (++lists === 1 ? [PID] : [PID, 4243]);
  const states: string[] = [];
  const { findThreadStat } = system.control;
  system.control.findThreadStat = (pid, tid) => {
    states.push(`${tid}`);
    return findThreadStat(pid, tid);
  };
  system.target().withFrozen(() => {
    expect(states).toContain('4243');
  });
});

test('a copy during which somebody else continued the target is refused', () => {
  const system = new FakeSystem();
  expect(() =>
    system.target().withFrozen(() => {
      system.state = 'R';
    }),
  ).toThrow(/continued by somebody else/);
});

test('one watchdog serves many freezes, and a dead one is replaced before the next stop', () => {
  const system = new FakeSystem();
  const target = system.target();
  target.withFrozen(() => 0);
  target.withFrozen(() => 0);
  system.guardIsAlive = false;
  target.withFrozen(() => 0);
  expect(system.log.filter((entry) => entry === 'guard')).toHaveLength(2);
});

test('leakscope does not stop itself', () => {
  expect(() => openTarget(process.pid)).toThrow(/leakscope itself/);
});
