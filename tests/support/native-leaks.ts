// Compiles the libraries of tests/programs/native_leaks.py, starts it, and tells it what to do.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './native-extensions.ts';
import { startPython, type TestPython } from './pythons.ts';

const PROGRAMS = fileURLToPath(new URL('../programs/', import.meta.url));
const PROGRAM = join(PROGRAMS, 'native_leaks.py');

/** One build for all Pythons: the libraries need no headers. Throws if they cannot be compiled. */
export function compileLeaks(folder: string): void {
  const flags = ['-g', '-O2', '-shared', '-fPIC', '-pthread'];
  const output = (name: string) => ['-o', join(folder, `${name}.so`)];
  run(['gcc', ...flags, join(PROGRAMS, 'native_leaks.c'), ...output('native_leaks')]);
  // Pythons of other suites come without libstdc++.
  const isStatic = ['-static-libstdc++', '-static-libgcc'];
  run([
    'g++',
    ...flags,
    ...isStatic,
    join(PROGRAMS, 'native_boxes.cpp'),
    ...output('native_boxes'),
  ]);
}

export interface LeakingProgram {
  pid: number;
  /** Runs one of its functions, and returns what that did. */
  call<Answer>(...command: readonly unknown[]): Promise<Answer>;
  stop(): Promise<void>;
}

export async function startLeaks(
  python: TestPython,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<LeakingProgram> {
  const running = await startPython<{ pid: number }>(python, PROGRAM, { args: [folder], env });
  return {
    pid: running.pid,
    call: async <Answer>(...command: readonly unknown[]) => {
      running.send(JSON.stringify(command));
      return JSON.parse(await running.nextLine()) as Answer;
    },
    stop: running.stop,
  };
}
