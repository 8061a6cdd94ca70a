// What is refused and with which words; what is found is tested on real Pythons in tests/integration/runtime.test.ts.

import { expect, test } from 'vitest';
import { UnsupportedError } from '../base/errors.ts';
import { buildMemoryImage } from '../memory/memory-image.ts';
import { findRuntime } from './find-runtime.ts';
import { dataRangesOf, type RuntimeElf, type RuntimeInputs } from './runtime-candidates.ts';

const DATA = 0x7f0000400000;

interface Fake {
  path?: string;
  /** Content of the data segment. */
  data?: Buffer;
  symbols?: Record<string, number>;
  is64Bit?: boolean;
  canBeOpened?: boolean;
}

function inputs(fake: Fake): RuntimeInputs {
  const { path = '/usr/bin/program', data = Buffer.alloc(8192), symbols = {} } = fake;
  const elf: RuntimeElf = {
    path,
    is64Bit: fake.is64Bit ?? true,
    findSymbol: (name) => symbols[name],
    findSection: () => undefined,
  };
  return {
    memory: buildMemoryImage([{ address: DATA, bytes: data }]),
    mappings: [
      { start: DATA - 0x100000, end: DATA, readable: true, writable: false, path },
      { start: DATA, end: DATA + data.length, readable: true, writable: true, path },
    ],
    openElf: (wanted) => (wanted === path && fake.canBeOpened !== false ? elf : undefined),
  };
}

function refusal(fake: Fake): string {
  try {
    return JSON.stringify(findRuntime(inputs(fake)));
  } catch (error) {
    expect(error).toBeInstanceOf(UnsupportedError);
    return (error as UnsupportedError).message;
  }
}

/** _Py_DebugOffsets as it begins. */
function debugOffsets(hex: number, freeThreaded = 0): Buffer {
  const data = Buffer.alloc(8192);
  data.write('xdebugpy', 64, 'latin1');
  data.writeUInt32LE(hex, 72);
  data.writeUInt32LE(freeThreaded, 80);
  return data;
}

test('a program without an interpreter is no Python', () => {
  expect(findRuntime(inputs({}))).toEqual({
    kind: 'not-python',
    reason: 'no CPython interpreter is mapped into it',
  });
  expect(findRuntime(inputs({ canBeOpened: false }))).toEqual({
    kind: 'not-python',
    reason: 'none of its mapped files could be opened',
  });
});

test('PyPy is refused by name', () => {
  expect(refusal({ path: '/usr/lib/libpypy3.9-c.so' })).toContain('it is PyPy (libpypy3.9-c.so)');
});

test.each(['/usr/bin/python2.7', '/usr/lib/libpython3.6m.so.1.0'])(
  'a Python older than _PyRuntime is refused: %s',
  (path) => {
    expect(refusal({ path })).toMatch(/Cannot read Python (2\.7|3\.6)/);
  },
);

test('a 3.7 is refused although it has _PyRuntime', () => {
  const message = refusal({ path: '/usr/bin/python3.7', symbols: { _PyRuntime: DATA + 64 } });
  expect(message).toContain('Cannot read Python 3.7');
  expect(message).toContain('Run the program on a newer Python');
});

test('a version newer than the layouts is refused, not read as the newest one', () => {
  expect(refusal({ data: debugOffsets(0x031000f0) })).toContain('Cannot read Python 3.16');
});

test('a free-threaded build is refused by what it states and by its name', () => {
  expect(refusal({ data: debugOffsets(0x030d00f0, 1) })).toContain('free-threaded');
  expect(refusal({ path: '/usr/lib/libpython3.14t.so.1.0' })).toContain('free-threaded');
});

test('a 32-bit program is refused', () => {
  expect(refusal({ is64Bit: false })).toContain('it is a 32-bit program');
});

test('an interpreter that is not initialized is told apart from one that cannot be read', () => {
  expect(refusal({ data: debugOffsets(0x030d00f0) })).toContain('is not initialized');
});

test('a _PyRuntime that fails its checks is refused with the check', () => {
  const data = debugOffsets(0x030d00f0);
  data.fill(0x77, 64 + 584);
  expect(refusal({ data })).toContain('_PyRuntime.initialized is neither 0 nor 1');
});

test('the data of a file is its writable mappings and the .bss behind them', () => {
  const mapping = (start: number, end: number, writable: boolean, path: string) => ({
    start,
    end,
    readable: true,
    writable,
    path,
  });
  const mappings = [
    mapping(0x1000, 0x2000, false, '/lib/a.so'),
    mapping(0x2000, 0x3000, true, '/lib/a.so'),
    mapping(0x3000, 0x5000, true, ''),
    mapping(0x5000, 0x6000, true, '[heap]'),
    mapping(0x8000, 0x9000, true, ''),
    mapping(0x9000, 0xa000, true, '/lib/b.so'),
  ];
  expect(dataRangesOf(mappings, '/lib/a.so')).toEqual([{ start: 0x2000, end: 0x5000 }]);
  expect(dataRangesOf(mappings, '/lib/b.so')).toEqual([{ start: 0x9000, end: 0xa000 }]);
});
