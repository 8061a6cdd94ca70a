// Compiles the extensions of tests/programs/native for one Python, into a folder of its own.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packagesFolder } from './packages.ts';
import { allPythons, type TestPython } from './pythons.ts';

const SOURCES = fileURLToPath(new URL('../programs/native/', import.meta.url));

/** The program that calls them. */
export const LOSE = join(SOURCES, 'lose.py');

export const hasTool = (name: string): boolean =>
  spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Folder of Python.h; undefined if this Python came without. */
export function findHeaders(python: TestPython): string | undefined {
  const [program, ...args] = python.command;
  const code = "import sysconfig; print(sysconfig.get_paths()['include'])";
  const { stdout } = spawnSync(program, [...args, '-c', code], {
    encoding: 'utf8',
    env: { ...process.env, ...python.env },
  });
  const folder = (stdout ?? '').trim();
  return existsSync(join(folder, 'Python.h')) ? folder : undefined;
}

/** A Python that extensions can be compiled for: with Cython, where `npm test` could fetch it. */
export function findPythonForExtensions(): { python: TestPython; hasCython: boolean } | undefined {
  const pythons = allPythons().filter((python) => findHeaders(python) !== undefined);
  const found = pythons.findLast((python) =>
    existsSync(join(packagesFolder(python.minor), 'Cython')),
  );
  if (found !== undefined) {
    const env = { ...found.env, PYTHONPATH: packagesFolder(found.minor) };
    return { python: { ...found, env }, hasCython: true };
  }
  if (process.env.LEAKSCOPE_REQUIRED_PACKAGES) throw new Error('Cython is missing');
  const python = pythons.at(-1);
  return python === undefined ? undefined : { python, hasCython: false };
}

export function run(command: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
  const { status, stderr, error } = spawnSync(command[0], command.slice(1), {
    encoding: 'utf8',
    env,
  });
  if (status !== 0) throw new Error(`${command.join(' ')}: ${error?.message ?? stderr}`);
}

/** Throws if it cannot be compiled. */
export function compileExtension(
  python: TestPython,
  source: 'c_losses.c' | 'cpp_losses.cpp' | 'cy_losses.pyx',
  folder: string,
): void {
  const name = source.replace(/\.\w+$/, '');
  const library = join(folder, `${name}.so`);
  const flags = ['-g', '-O2', '-fno-omit-frame-pointer', '-shared', '-fPIC'];
  const include = `-I${findHeaders(python)}`;
  let file = join(SOURCES, source);
  if (source.endsWith('.pyx')) {
    const output = join(folder, `${name}.c`);
    const [program, ...args] = python.command;
    run([program, ...args, '-m', 'cython', '-3', file, '-o', output], {
      ...process.env,
      ...python.env,
    });
    file = output;
  }
  run([source.endsWith('.cpp') ? 'g++' : 'gcc', ...flags, include, file, '-o', library]);
}
