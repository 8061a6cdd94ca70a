import { expect, test } from 'vitest';
import { AccessError } from '../base/errors.ts';
import {
  accessErrorOf,
  describeAccess,
  explainRefusal,
  openLiveMemory,
  type RefusalInputs,
} from './access.ts';

const status = (uid: number, effective = '0000000000000000', permitted = effective) =>
  `Name:\tx\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nGid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapPrm:\t${permitted}\nCapEff:\t${effective}\n`;

const explain = (inputs: Partial<RefusalInputs>) =>
  explainRefusal(4242, {
    ownStatus: status(1000),
    targetStatus: status(1000),
    ptraceScope: undefined,
    isDumpable: true,
    isInOtherUserNamespace: false,
    ...inputs,
  });

const ALL = '000001ffffffffff';
/** What Docker gives by default: no SYS_PTRACE. */
const DOCKER = '00000000a80425fb';

test("another user's process needs root", () => {
  const { facts, fix } = explain({ targetStatus: status(33) });
  expect(facts[0]).toBe('it belongs to user 33 and leakscope runs as user 1000');
  expect(fix).toContain('sudo leakscope … 4242');
});

test('root without SYS_PTRACE is told how to add it to a container, not to use sudo', () => {
  const { facts, fix } = explain({ ownStatus: status(0, DOCKER), targetStatus: status(33) });
  expect(facts[1]).toContain('SYS_PTRACE');
  expect(fix).toContain('--cap-add=SYS_PTRACE');
  expect(fix).not.toContain('sudo');
});

test('a process that has given up its dumpable flag is named as such', () => {
  expect(explain({ isDumpable: false }).facts[0]).toContain('not dumpable');
});

test('a process with more capabilities than ours is named as such', () => {
  const { facts } = explain({
    ownStatus: status(0, DOCKER),
    targetStatus: status(0, ALL),
  });
  expect(facts[0]).toContain('capabilities that leakscope lacks');
});

test.each([
  [1, 'only the program that started it', 'hunt -- CMD'],
  [2, 'only root', 'sudo'],
  [3, 'until the next boot', 'reboot'],
])('ptrace_scope %i is explained and has its own way out', (ptraceScope, fact, fix) => {
  const refusal = explain({ ptraceScope });
  expect(refusal.facts[0]).toContain(`ptrace_scope is ${ptraceScope}`);
  expect(refusal.facts[0]).toContain(fact);
  expect(refusal.fix).toContain(fix);
});

test('with the capability only namespaces and security modules are left', () => {
  const ownStatus = status(0, ALL);
  expect(explain({ ownStatus, isInOtherUserNamespace: true }).facts[0]).toContain('user namespace');
  expect(explain({ ownStatus }).facts[0]).toContain('SELinux');
});

test('a process that does not exist is said not to exist', () => {
  expect(describeAccess(2 ** 22 + 1)).toEqual({
    pid: 2 ** 22 + 1,
    readable: false,
    facts: ['there is no such process'],
  });
  expect(() => openLiveMemory(2 ** 22 + 1)).toThrow(AccessError);
});

test('our own process can be read', () => {
  expect(describeAccess(process.pid)).toMatchObject({ readable: true });
});

test('the error says fact, reason and next step', () => {
  const { text } = accessErrorOf({ pid: 7, readable: false, facts: ['a', 'b'], fix: 'Do c' });
  expect(text).toEqual({ fact: 'Cannot read process 7', reason: 'a; b', next: 'Do c.' });
});
