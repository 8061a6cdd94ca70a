import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../base/errors.ts';
import { findGroupRoom, findMachineRoom, MemoryBudget } from './memory-budget.ts';

const filesOf = (files: Record<string, string>) => (path: string) => files[path];

describe('what the machine has left', () => {
  it('is what the kernel calls available, less a reserve', () => {
    const text = 'MemTotal:        1000000 kB\nMemFree: 1 kB\nMemAvailable:     500000 kB\n';
    expect(findMachineRoom(text)).toBe(500_000 * 1024 - 0.05 * 1_000_000 * 1024);
  });

  it('keeps 256 MB at most for others', () => {
    const text = 'MemTotal:  100000000 kB\nMemAvailable:   50000000 kB\n';
    expect(findMachineRoom(text)).toBe(50_000_000 * 1024 - 256e6);
  });

  it('is unknown where the kernel does not say', () => {
    expect(findMachineRoom('MemTotal:  100000000 kB\n')).toBeUndefined();
    expect(findMachineRoom('')).toBeUndefined();
  });
});

describe('what the control group has left', () => {
  it('counts pages of files as free, since the kernel drops them', () => {
    const room = findGroupRoom(
      '0::/app',
      filesOf({
        '/sys/fs/cgroup/app/memory.max': '1000000000',
        '/sys/fs/cgroup/app/memory.current': '900000000',
        '/sys/fs/cgroup/app/memory.stat':
          'anon 600000000\nactive_file 100000000\ninactive_file 200000000',
      }),
    );
    expect(room?.bytes).toBe(1e9 - 9e8 + 3e8 - 5e7);
    expect(room?.of).toContain('whose limit is 1.0 GB');
  });

  it('is that of the tightest group on the way up', () => {
    const room = findGroupRoom(
      '0::/pod/app',
      filesOf({
        '/sys/fs/cgroup/pod/app/memory.max': 'max',
        '/sys/fs/cgroup/pod/app/memory.current': '900000000',
        '/sys/fs/cgroup/pod/memory.max': '2000000000',
        '/sys/fs/cgroup/pod/memory.current': '1900000000',
        '/sys/fs/cgroup/memory.max': '8000000000',
        '/sys/fs/cgroup/memory.current': '1900000000',
      }),
    );
    expect(room?.bytes).toBe(1e8 - 1e8);
  });

  it('is found in version 1, whose "no limit" is a large number', () => {
    const files = {
      '/sys/fs/cgroup/memory/job/memory.limit_in_bytes': '500000000',
      '/sys/fs/cgroup/memory/job/memory.usage_in_bytes': '100000000',
      '/sys/fs/cgroup/memory/job/memory.stat': 'active_file 1\ntotal_active_file 5000000',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '100000000',
    };
    expect(findGroupRoom('4:memory:/job\n1:cpu:/x', filesOf(files))?.bytes).toBe(405e6 - 25e6);
    expect(findGroupRoom('4:memory:/', filesOf(files))).toBeUndefined();
  });

  it('is nothing where there is no group', () => {
    expect(findGroupRoom('', filesOf({}))).toBeUndefined();
    expect(findGroupRoom('0::/', filesOf({}))).toBeUndefined();
    expect(findGroupRoom('garbage\n0:memory', filesOf({}))).toBeUndefined();
  });
});

describe('a budget', () => {
  const reasonOf = (budget: MemoryBudget, bytes: number): string | undefined => {
    try {
      budget.require(bytes, 'copy process 7', 5e8);
      return undefined;
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedError);
      return (error as UnsupportedError).message;
    }
  };

  it('allows what fits, and says what is missing where it does not', () => {
    const budget = new MemoryBudget({
      maxBytes: 1e9,
      ownBytes: () => 2e8,
      findSystemRooms: () => [{ bytes: 4e9, of: 'on this machine' }],
    });
    expect(reasonOf(budget, 7.5e8)).toBeUndefined();
    expect(reasonOf(budget, 7.6e8)).toBe(
      'Cannot copy process 7: it needs another 760 MB, and 750 MB are left of --max-memory 1.0 GB. ' +
        'Raise --max-memory to about 737 MB, or work on a machine with more: gcore writes a core file, which can be read elsewhere.',
    );
  });

  it('tells what fits without refusing', () => {
    const budget = new MemoryBudget({
      maxBytes: 1e9,
      ownBytes: () => 2e8,
      findSystemRooms: () => [],
    });
    expect(budget.hasRoom(7.5e8)).toBe(true);
    expect(budget.hasRoom(7.6e8)).toBe(false);
  });

  it('names the machine where that is tighter than the option', () => {
    const budget = new MemoryBudget({
      maxBytes: 8e9,
      ownBytes: () => 0,
      findSystemRooms: () => [{ bytes: 1e6, of: 'on this machine' }],
    });
    expect(reasonOf(budget, 2e6)).toContain('1.0 MB are left on this machine. Free some memory');
  });

  it('collects garbage before it refuses', () => {
    let own = 9e8;
    const budget = new MemoryBudget({
      maxBytes: 1e9,
      ownBytes: () => own,
      findSystemRooms: () => [],
      collectGarbage: () => {
        own = 3e8;
      },
    });
    expect(reasonOf(budget, 5e8)).toBeUndefined();
  });

  it('notices that too much was taken already', () => {
    const budget = new MemoryBudget({
      maxBytes: 1e9,
      ownBytes: () => 1.1e9,
      findSystemRooms: () => [],
    });
    expect(reasonOf(budget, 0)).toContain('it needs more memory: 0 B are left of --max-memory');
  });

  it('allows all where nobody tells a limit', () => {
    expect(reasonOf(new MemoryBudget({ findSystemRooms: () => [] }), 1e15)).toBeUndefined();
  });

  it('knows this machine', () => {
    expect(reasonOf(new MemoryBudget(), 1)).toBeUndefined();
    expect(reasonOf(new MemoryBudget(), 1e15)).toContain('are left');
  });
});
