import { expect, test } from 'vitest';
import { decodeThreadRegisters } from './threads.ts';

test('a thread in a system call shows its arguments, stack and instruction pointer', () => {
  const text = '0 0x3 0x7f32e898e000 0x20000 0x0 0xffffffff 0x0 0x7ffd9ac804f8 0x7f32e8b0a2ad\n';
  expect(decodeThreadRegisters(text)).toEqual({
    stackPointer: 0x7ffd9ac804f8,
    instructionPointer: 0x7f32e8b0a2ad,
    systemCall: 0,
    registers: [3, 0x7f32e898e000, 0x20000, 0, 0xffffffff, 0],
  });
});

test('a thread outside the kernel shows stack and instruction pointer only', () => {
  expect(decodeThreadRegisters('-1 0x7ffd9ac804f8 0x401000')).toEqual({
    stackPointer: 0x7ffd9ac804f8,
    instructionPointer: 0x401000,
    systemCall: -1,
    registers: [],
  });
});

test('a thread that runs or has ended shows nothing', () => {
  for (const text of ['running\n', '', 'a b c']) {
    expect(decodeThreadRegisters(text)).toEqual({ registers: [] });
  }
});
