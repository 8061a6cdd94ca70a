// `leakscope doctor [PID]`: what it takes to read a process here, what is missing, and the one line that mends it.
// Without a pid, the machine: would leakscope be allowed to read a process of the same user, and one of others?

import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { UnsupportedError } from '../base/errors.ts';
import { findProcessAllocator } from '../capture/capture-heap.ts';
import { supportedMinors } from '../cpython/version.ts';
import { describeAccess, findPtraceScope, hasPtraceCapability } from '../memory/access.ts';
import { findProcess, findProcText, procNumbersAreOurs } from '../memory/process-status.ts';
import { formatDoctor } from '../report/doctor-report.ts';
import type { DoctorReport } from '../report/schemas.ts';
import { addExamples, addOutputOptions } from './options.ts';
import { probePython } from './python-processes.ts';
import { findPythonsBelow } from './resolve-target.ts';
import type { OutputOptions, Session } from './session.ts';
import { parsePid } from './target.ts';

type Check = DoctorReport['checks'][number];

const ok = (name: string, fact: string): Check => ({ name, state: 'ok', fact, fix: null });
const warning = (name: string, fact: string, fix: string | null = null): Check => ({
  name,
  state: 'warning',
  fact,
  fix,
});
const failed = (name: string, fact: string, fix: string | null = null): Check => ({
  name,
  state: 'failed',
  fact,
  fix,
});

export function addDoctorCommand(program: Command, session: Session): void {
  const command = program
    .command('doctor')
    .description('what is missing to read a process, and the one line that fixes it')
    .argument('[pid]', 'the process that you want to read')
    .action((pid: string | undefined, options: OutputOptions) => {
      session.useOutput(options);
      const report = buildDoctorReport(pid === undefined ? null : parsePid(pid));
      session.print(report, () => formatDoctor(report, session.style));
      session.exitCode = exitCodeOf(report);
    });
  addOutputOptions(command);
  addExamples(command, ['leakscope doctor', 'leakscope doctor 4242']);
}

/** As the other commands would end: 3 if access is refused, 4 if this Python cannot be read. */
function exitCodeOf(report: DoctorReport): number {
  if (report.ok) return 0;
  const failures = report.checks.filter((check) => check.state === 'failed');
  return failures.some((check) => check.name === 'access' || check.name === 'process') ? 3 : 4;
}

function buildDoctorReport(pid: number | null): DoctorReport {
  const checks = [
    checkPlatform(),
    checkProc(),
    ...(pid === null ? checkRights() : checkProcess(pid)),
  ];
  return {
    schema: 'leakscope/doctor@1',
    pid,
    ok: checks.every((check) => check.state !== 'failed'),
    checks,
  };
}

function checkPlatform(): Check {
  const fact = `${process.platform} ${process.arch}, Node ${process.versions.node}`;
  if (process.platform !== 'linux') {
    return failed('platform', fact, 'leakscope reads /proc: run it on Linux, beside the process.');
  }
  if (process.arch === 'arm64') {
    return warning('platform', `${fact}: the layouts are the same, but nobody has verified them`);
  }
  if (process.arch !== 'x64') return failed('platform', `${fact} is not supported`);
  return ok('platform', fact);
}

function checkProc(): Check {
  if (procNumbersAreOurs()) return ok('/proc', 'shows the processes that leakscope can signal');
  return failed(
    '/proc',
    '/proc is missing or belongs to another pid namespace',
    'Mount one for this namespace: mount -t proc proc /proc',
  );
}

function checkRights(): Check[] {
  const uid = process.geteuid?.() ?? -1;
  const hasCapability = hasPtraceCapability(findProcText('/proc/self/status') ?? '');
  const scope = findPtraceScope() ?? 0;
  const who = `user ${uid}, ${hasCapability ? 'with' : 'without'} the capability SYS_PTRACE; kernel.yama.ptrace_scope is ${scope}`;
  if (scope === 3) {
    return [
      failed(
        'rights',
        `${who}: nobody may read other processes`,
        'Set it to 1 in /etc/sysctl.d and reboot.',
      ),
    ];
  }
  if (hasCapability) return [ok('rights', `${who}: every process can be read`)];
  const inContainer =
    existsSync('/.dockerenv') ||
    existsSync('/run/.containerenv') ||
    process.env.KUBERNETES_SERVICE_HOST !== undefined;
  const fix = inContainer
    ? 'docker run --cap-add=SYS_PTRACE, in Kubernetes kubectl debug --profile=sysadmin --target=CONTAINER'
    : 'sudo leakscope, or start the program under it: leakscope hunt -- CMD';
  if (scope === 0) {
    return [
      ok('rights', `${who}: processes of the same user with no more capabilities can be read`),
    ];
  }
  const whom =
    scope === 1
      ? 'only programs that leakscope starts can be read'
      : 'only root can read processes';
  return [warning('rights', `${who}: ${whom}`, fix)];
}

function checkProcess(pid: number): Check[] {
  const status = findProcess(pid);
  if (status === undefined) {
    return [
      failed('process', `there is no process ${pid}`, 'leakscope ps lists the Python processes.'),
    ];
  }
  const command = status.command.join(' ') || status.name;
  const checks = [ok('process', `${pid}, user ${status.uid}: ${command}`), checkAccess(pid)];
  if (checks[1].state === 'failed') return checks;
  return [
    ...checks,
    checkState(status.state, status.tracerPid),
    checkPython(pid),
    checkAllocator(pid),
  ];
}

function checkAccess(pid: number): Check {
  const access = describeAccess(pid);
  const facts = access.facts.join('; ');
  if (!access.readable) return failed('access', facts, access.fix ?? null);
  return ok('access', `its memory can be opened${facts === '' ? '' : `; ${facts}`}`);
}

function checkState(state: string, tracerPid: number): Check {
  if (tracerPid !== 0) {
    return failed(
      'state',
      `process ${tracerPid} holds it as a debugger`,
      `Detach the debugger or strace with pid ${tracerPid}.`,
    );
  }
  if (state === 'T')
    return failed('state', 'it is stopped', 'Let it run (kill -CONT), or wait until it does.');
  return ok('state', 'it runs and no debugger holds it');
}

function checkPython(pid: number): Check {
  const probe = probePython(pid);
  if (probe.kind === 'python') {
    return ok('python', `${probe.version}, ${probe.build}; found by ${probe.method.join(', ')}`);
  }
  if (probe.kind === 'refused') {
    const { fact, reason, next } = probe.error.text;
    const name = probe.error instanceof UnsupportedError ? 'python' : 'access';
    return failed(name, `${fact}: ${reason}`, next);
  }
  const below = findPythonsBelow(pid);
  const fix =
    below.length === 0
      ? `leakscope ps lists the Python processes; versions ${supportedMinors().at(-1)} to ${supportedMinors()[0]} are read.`
      : `Its Python: ${below.slice(0, 10).join(', ')}. leakscope doctor ${below[0]}`;
  return failed('process', `no Python in it: ${probe.reason}`, fix);
}

/** Objects are found under any allocator; blocks of C code are told apart in glibc's alone. */
function checkAllocator(pid: number): Check {
  const { name, evidence } = findProcessAllocator(pid);
  if (name === 'glibc') return ok('allocator', `glibc: ${evidence}`);
  return warning(
    'allocator',
    `${name}: ${evidence}; what C code allocates is one account of the ledger, and what large buffers take is estimated`,
  );
}
