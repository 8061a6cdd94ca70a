// The Pythons that integration tests run against, and how a test starts a program in one: found on this machine, never
// named. pyenv's versions, python3.x of $PATH and /usr/bin, and what scripts/suite-pythons.ts unpacked into .cache.
// LEAKSCOPE_MORE_PYTHONS=/opt/a/bin/python3:/opt/b/bin/python3 adds some. LEAKSCOPE_REQUIRED_PYTHONS=3.8,3.9 makes a
// missing version an error, so that CI does not skip it.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { findPyenvVersions } from '../../scripts/pyenv.ts';
import { suitePythons, suiteRoot } from '../../scripts/suite-pythons.ts';
import { packagesFolder } from './packages.ts';

const SUPPORTED_MINORS = ['3.8', '3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15'];
const READY_TIMEOUT_MS = 60_000;

export interface TestPython {
  /** `3.11.7 pyenv`, `3.14 sid`, `3.11.2 system` */
  name: string;
  /** `3.11` */
  minor: string;
  /** Program and first arguments; more than one where a Python of another suite runs through its own loader. */
  command: readonly string[];
  /** Variables that it needs. */
  env: Readonly<Record<string, string>>;
}

let found: readonly TestPython[] | undefined;

/** All supported Pythons of this machine, ordered by version. Throws if a required one is missing. */
export function allPythons(): readonly TestPython[] {
  if (found !== undefined) return found;
  const pythons = [
    ...givenPythons(),
    ...pyenvPythons(),
    ...findSystemPythons(),
    ...findSuitePythons(),
  ].filter((python) => SUPPORTED_MINORS.includes(python.minor));
  const order = (python: TestPython) => SUPPORTED_MINORS.indexOf(python.minor);
  pythons.sort((a, b) => order(a) - order(b));
  const required = process.env.LEAKSCOPE_REQUIRED_PYTHONS?.split(',') ?? [];
  const missing = required.filter((minor) => !pythons.some((python) => python.minor === minor));
  if (missing.length > 0) throw new Error(`required but not found: Python ${missing.join(', ')}`);
  found = pythons;
  return pythons;
}

/** The first Python of each version: for what does not depend on how it was built. */
export function onePythonPerMinor(): TestPython[] {
  return allPythons().filter(
    (python, row, pythons) => pythons.findIndex((other) => other.minor === python.minor) === row,
  );
}

/** One Python of `minor`; undefined if this machine has none. */
export const findPython = (minor: string): TestPython | undefined =>
  allPythons().find((python) => python.minor === minor);

/** The Python for which `npm test` fetched packages of PyPI (aiohttp, numpy), with them importable. */
export function findPythonWithPackages(): TestPython | undefined {
  const python = allPythons().findLast((each) => existsSync(packagesFolder(each.minor)));
  if (python !== undefined) {
    return { ...python, env: { ...python.env, PYTHONPATH: packagesFolder(python.minor) } };
  }
  if (process.env.LEAKSCOPE_REQUIRED_PACKAGES) throw new Error('the packages of PyPI are missing');
  return undefined;
}

/** A `describe` for each Python: `title (3.11.7 pyenv)`. By default one of each version; `all` takes every build. */
export function describeEachPython(
  title: string,
  define: (python: TestPython) => void,
  { all = false, minors }: { all?: boolean; minors?: readonly string[] } = {},
): void {
  const pythons = (all ? allPythons() : onePythonPerMinor()).filter(
    (python) => minors === undefined || minors.includes(python.minor),
  );
  if (pythons.length === 0)
    it(`${title} needs a Python`, () => expect.fail('npm test fetches some'));
  describe.each(pythons.map((python) => ({ python, name: python.name })))(
    `${title} ($name)`,
    (row) => define(row.python),
  );
}

const pyenvPythons = (): TestPython[] =>
  findPyenvVersions().map(({ version, minor, program }) => ({
    name: `${version} pyenv`,
    minor,
    command: [program],
    env: {},
  }));

/** python3.x of /usr/bin and $PATH, without scripts (shims), which are not the process that runs. */
function findSystemPythons(): TestPython[] {
  const folders = ['/usr/bin', ...(process.env.PATH ?? '').split(':')];
  const programs = new Set<string>();
  for (const folder of folders) {
    if (!existsSync(folder) || folder.includes('pyenv')) continue;
    for (const name of readdirSync(folder)) {
      if (/^python3\.\d+$/.test(name)) programs.add(realpathSync(join(folder, name)));
    }
  }
  return [...programs].flatMap((program) => {
    if (readFileSync(program).toString('latin1', 0, 4) !== '\x7fELF') return [];
    return askVersion(program, 'system');
  });
}

/** Programs that LEAKSCOPE_MORE_PYTHONS names, separated by colons: of their versions they are the first. */
const givenPythons = (): TestPython[] =>
  (process.env.LEAKSCOPE_MORE_PYTHONS ?? '')
    .split(':')
    .filter((program) => program !== '')
    .flatMap((program) => askVersion(program, 'given'));

function askVersion(program: string, origin: string): TestPython[] {
  const code = "import sys; print('.'.join(map(str, sys.version_info[:3])))";
  const version = spawnSync(program, ['-c', code], { encoding: 'utf8' }).stdout.trim();
  const minor = /^3\.\d+/.exec(version)?.[0];
  if (minor === undefined) return [];
  return [{ name: `${version} ${origin}`, minor, command: [program], env: {} }];
}

/** Unpacked Pythons run with the loader and the libraries of their own suite: /proc/PID/exe is the loader. */
function findSuitePythons(): TestPython[] {
  return suitePythons.flatMap(({ suite, minors }) => {
    const root = suiteRoot(suite);
    const loader = ['usr/lib64/ld-linux-x86-64.so.2', 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2']
      .map((path) => join(root, path))
      .find((path) => existsSync(path));
    if (loader === undefined) return [];
    const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu']
      .map((path) => join(root, path))
      .join(':');
    return minors
      .filter((minor) => existsSync(join(root, `usr/bin/python${minor}`)))
      .map((minor) => ({
        name: `${minor} ${suite}`,
        minor,
        command: [loader, '--library-path', libraries, join(root, `usr/bin/python${minor}`)],
        env: { PYTHONHOME: join(root, 'usr') },
      }));
  });
}

export interface RunningPython<Ready = unknown> {
  /** The process that runs Python itself, not a wrapper. */
  pid: number;
  /** The first line that the program printed, as JSON. */
  ready: Ready;
  /** Writes one line to its stdin. */
  send(line: string): void;
  /** The next line of its stdout; rejects when it ends or says nothing for a minute. */
  nextLine(): Promise<string>;
  /** What it has written to stderr so far. */
  stderr(): string;
  /** Resolves when it has ended by itself. */
  ended: Promise<void>;
  /** Ends it, also when it is stopped, and waits until it is gone. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Arguments of the program. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Arguments of the interpreter: `['-X', 'tracemalloc']`. */
  interpreterArgs?: readonly string[];
  /** Its working directory. */
  cwd?: string;
}

const running = new Set<ChildProcessByStdio<Writable, Readable, Readable>>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts a `.py` file, or code, and waits for its first line, which must be JSON and says that it is ready. A program
 * should end when its stdin does, so that none stays behind if the test runner is killed.
 */
export async function startPython<Ready = unknown>(
  python: TestPython,
  programOrCode: string,
  { args = [], env = {}, interpreterArgs = [], cwd }: StartOptions = {},
): Promise<RunningPython<Ready>> {
  const program = programOrCode.endsWith('.py') ? [programOrCode] : ['-c', programOrCode];
  const [file, ...first] = python.command;
  const child = spawn(file, [...first, ...interpreterArgs, ...program, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd,
    env: { ...withoutPythonVariables(), PYTHONUNBUFFERED: '1', ...python.env, ...env },
  });
  running.add(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A program that has ended no longer reads: nextLine reports that better than EPIPE.
  child.stdin.on('error', () => {});
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  void ended.then(() => running.delete(child));
  const nextLine = lineReader(child.stdout, () => `${python.name}: ${stderr.trim()}`);
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    const line = await nextLine();
    return {
      pid: child.pid ?? 0,
      ready: JSON.parse(line) as Ready,
      send: (text) => child.stdin.write(`${text}\n`),
      nextLine,
      stderr: () => stderr,
      ended,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A function that hands out the lines of a stream one by one. */
function lineReader(stream: Readable, describeFailure: () => string): () => Promise<string> {
  const lines: string[] = [];
  let ended = false;
  let wake = () => {};
  createInterface({ input: stream })
    .on('line', (line) => {
      lines.push(line);
      wake();
    })
    .on('close', () => {
      ended = true;
      wake();
    });
  return async () => {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (lines.length === 0) {
      if (ended) throw new Error(`the program ended. ${describeFailure()}`);
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`the program printed no line. ${describeFailure()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return lines.shift()!;
  };
}

function withoutPythonVariables(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('PYTHON'));
  return Object.fromEntries(kept);
}
