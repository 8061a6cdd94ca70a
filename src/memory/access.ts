// May this process be read, and if not, why: the facts that decide it, in words, and the one step that changes it. What
// `ps`, `doctor` and every AccessError say comes from here. The answer itself is the kernel's: /proc/PID/mem is opened.
// Source: kernel/ptrace.c (__ptrace_may_access), security/commoncap.c, security/yama/yama_lsm.c, ptrace(2), proc(5).
//
// Not handled: other security modules (SELinux, AppArmor), which leave no trace; they are named when nothing else fits.

import { readlinkSync, statSync } from 'node:fs';
import { AccessError } from '../base/errors.ts';
import { type LiveMemory, openMemory } from './live-memory.ts';
import {
  findProcess,
  findProcText,
  findStatusField,
  type ProcessStatus,
  procNumbersAreOurs,
} from './process-status.ts';

const CAP_SYS_PTRACE = 19n;

export interface AccessReport {
  pid: number;
  /** Whether its memory could be opened just now. */
  readable: boolean;
  /** Sentences without a full stop, the decisive one first: "it belongs to user 1000 and leakscope runs as user 33". */
  facts: string[];
  /** What would make it readable, as a sentence; absent when it is readable or nothing helps. */
  fix?: string;
}

/** Why a process can or cannot be read. Opens its memory, reads nothing of it, and sends no signal. */
export function describeAccess(pid: number): AccessReport {
  if (!procNumbersAreOurs()) {
    const facts = ['/proc shows the processes of another pid namespace'];
    return {
      pid,
      readable: false,
      facts,
      fix: 'Mount a /proc of this namespace, or run on the host',
    };
  }
  const target = findProcess(pid);
  if (target === undefined) return { pid, readable: false, facts: ['there is no such process'] };
  const unreadable = describeWithoutMemory(target);
  if (unreadable !== undefined) return { pid, readable: false, facts: [unreadable] };
  const failure = tryOpenMemory(pid);
  const surroundings = describeSurroundings(target);
  if (failure === undefined) return { pid, readable: true, facts: surroundings };
  if (failure === 'ENOENT' || failure === 'ESRCH') {
    return { pid, readable: false, facts: ['there is no such process'] };
  }
  const refusal = explainRefusal(pid, findRefusalInputs(target));
  return { pid, readable: false, ...refusal, facts: [...refusal.facts, ...surroundings] };
}

/** Opens the memory of a process; throws AccessError with the facts where that is refused. */
export function openLiveMemory(pid: number): LiveMemory {
  const report = describeAccess(pid);
  if (!report.readable) throw accessErrorOf(report);
  try {
    return openMemory(pid);
  } catch (cause) {
    throw accessErrorOf(describeAccess(pid), cause);
  }
}

/** The error that says why a process cannot be read. */
export function accessErrorOf(report: AccessReport, cause?: unknown): AccessError {
  return new AccessError(
    {
      fact: `Cannot read process ${report.pid}`,
      reason: report.facts.length === 0 ? 'the kernel refused' : report.facts.join('; '),
      next: `${report.fix ?? 'Run `leakscope ps` to see the processes that can be read'}.`,
    },
    { cause },
  );
}

/** A process that has no memory to read, whoever asks. */
function describeWithoutMemory(target: ProcessStatus): string | undefined {
  if (target.processId !== target.pid) return `it is a thread of process ${target.processId}`;
  if (target.state === 'Z' || target.state === 'X') {
    return 'it has ended and waits for its parent to take notice (zombie)';
  }
  if (target.parentPid === 2 || target.pid === 2) return 'it is a thread of the kernel';
  return undefined;
}

function tryOpenMemory(pid: number): string | undefined {
  try {
    openMemory(pid).close();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

/** What the kernel looks at when one process wants to read another. */
export interface RefusalInputs {
  /** Text of /proc/self/status and of the target's. */
  ownStatus: string;
  targetStatus: string;
  /** kernel.yama.ptrace_scope; undefined without yama. */
  ptraceScope: number | undefined;
  isDumpable: boolean;
  isInOtherUserNamespace: boolean;
}

export interface Refusal {
  facts: string[];
  fix?: string;
}

/** The first rule of the kernel that refuses, in the order in which it tests them; `pid` is for the advice. */
export function explainRefusal(pid: number, inputs: RefusalInputs): Refusal {
  const { ownStatus, targetStatus, ptraceScope } = inputs;
  const ownUid = findStatusField(ownStatus, 'Uid')?.split(/\s+/)[1];
  const targetUid = findStatusField(targetStatus, 'Uid')?.split(/\s+/)[1];
  if (ptraceScope === 3) {
    return {
      facts: ['kernel.yama.ptrace_scope is 3: no process may read another until the next boot'],
      fix: 'Set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot',
    };
  }
  if (hasPtraceCapability(ownStatus)) {
    const fact = inputs.isInOtherUserNamespace
      ? 'it belongs to another user namespace, in which leakscope has no capabilities'
      : 'the kernel refused although leakscope has the capability SYS_PTRACE (a security module such as SELinux or AppArmor)';
    return { facts: [fact], fix: 'Run leakscope on the host as root' };
  }
  const withoutCapability = 'leakscope does not have the capability SYS_PTRACE';
  const asRoot = `Run leakscope as root: sudo leakscope … ${pid}`;
  const fix = ownUid === '0' ? ADD_CAPABILITY : asRoot;
  const refusedBy = (fact: string): Refusal => ({ facts: [fact, withoutCapability], fix });
  if (!hasSameIds(ownStatus, targetStatus)) {
    return refusedBy(`it belongs to user ${targetUid} and leakscope runs as user ${ownUid}`);
  }
  if (!inputs.isDumpable) {
    return refusedBy(
      'it forbids reading (not dumpable: prctl, set-user-ID, or a program file that is not readable)',
    );
  }
  if (!hasCapabilitiesOf(ownStatus, targetStatus)) {
    return refusedBy('it has capabilities that leakscope lacks');
  }
  if (ptraceScope === 2) {
    return refusedBy('kernel.yama.ptrace_scope is 2: only root may read processes');
  }
  if (ptraceScope === 1) {
    const { facts } = refusedBy(
      'kernel.yama.ptrace_scope is 1: only the program that started it may read it',
    );
    return { facts, fix: `${fix}, ${WITH_PTRACE_SCOPE_1}` };
  }
  return refusedBy('the kernel refused (perhaps a security module such as SELinux or AppArmor)');
}

const ADD_CAPABILITY =
  'Give leakscope the capability SYS_PTRACE (docker run --cap-add=SYS_PTRACE; in Kubernetes securityContext.capabilities.add: [SYS_PTRACE])';
const WITH_PTRACE_SCOPE_1 =
  'or start the program under leakscope (leakscope hunt -- CMD), or allow it until the next boot: sudo sysctl kernel.yama.ptrace_scope=0';

function findRefusalInputs({ pid, uid }: ProcessStatus): RefusalInputs {
  return {
    ownStatus: findProcText('/proc/self/status') ?? '',
    targetStatus: findProcText(`/proc/${pid}/status`) ?? '',
    ptraceScope: findPtraceScope(),
    isDumpable: isDumpable(pid, uid),
    isInOtherUserNamespace: isInOtherUserNamespace(pid),
  };
}

function describeSurroundings(target: ProcessStatus): string[] {
  const facts: string[] = [];
  if (target.namespacePids.length > 1) {
    facts.push(`it runs in a container, as process ${target.namespacePids.at(-1)} there`);
  }
  if (target.tracerPid !== 0) facts.push(`process ${target.tracerPid} holds it as a debugger`);
  if (target.state === 'T') facts.push('it is stopped');
  return facts;
}

/** kernel.yama.ptrace_scope, 0 to 3; undefined where the kernel has no yama, which is as 0. */
export function findPtraceScope(): number | undefined {
  const text = findProcText('/proc/sys/kernel/yama/ptrace_scope');
  return text === undefined ? undefined : Number.parseInt(text, 10);
}

/** Whether a /proc/PID/status text says that its process has CAP_SYS_PTRACE. */
export const hasPtraceCapability = (status: string): boolean =>
  ((capabilities(status, 'CapEff') >> CAP_SYS_PTRACE) & 1n) === 1n;

/** The kernel wants the caller's user and group to equal all three of the target's (real, effective, saved). */
function hasSameIds(own: string, theirs: string): boolean {
  return ['Uid', 'Gid'].every((field) => {
    const ids = findStatusField(theirs, field)?.split(/\s+/) ?? [];
    const ownFileSystemId = findStatusField(own, field)?.split(/\s+/)[3];
    return ids.slice(0, 3).every((id) => id === ownFileSystemId);
  });
}

function hasCapabilitiesOf(own: string, theirs: string): boolean {
  return (capabilities(theirs, 'CapPrm') & ~capabilities(own, 'CapEff')) === 0n;
}

function capabilities(status: string, field: string): bigint {
  const text = findStatusField(status, field);
  return text === undefined ? 0n : BigInt(`0x${text}`);
}

/** The files in /proc of a process that is not dumpable belong to root. Cannot be told for root's own processes. */
function isDumpable(pid: number, uid: number): boolean {
  try {
    return uid === 0 || statSync(`/proc/${pid}/maps`).uid === uid;
  } catch {
    return true;
  }
}

function isInOtherUserNamespace(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user');
  } catch {
    return false;
  }
}
