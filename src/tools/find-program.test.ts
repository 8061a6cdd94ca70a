import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findExecutable, findProgram, refuseShell } from './find-program.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-find-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function script(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

describe('the program of a command line', () => {
  test('is searched on PATH', () => {
    expect(findExecutable('sh')).toMatch(/^\/.*\/sh$/);
    expect(findExecutable('no-such-program')).toBeUndefined();
  });

  test('is the interpreter that a script names, with the script as its argument', () => {
    const python = script('python3.11', '\x7fELF');
    const app = script('app', `#!${python} -u\nprint()`);
    expect(findProgram([app, 'x'])).toEqual({
      command: [python, '-u', app, 'x'],
      isPython: true,
      shell: undefined,
    });
  });

  test.each(['#!/usr/bin/env sh', '#!/usr/bin/env -S sh', '#!/usr/bin/env -S A=1 sh'])(
    'is found behind env: %s',
    (line) => {
      const app = script('app.sh', `${line}\n`);
      const program = findProgram([app]);
      expect(program.shell).toBeDefined();
      expect(program.command.slice(-1)).toEqual([app]);
      expect(() => refuseShell(program, 'valgrind', 'Do this.')).toThrow('would follow the shell');
    },
  );

  test('that does not exist, is a folder or may not be run is refused', () => {
    mkdirSync(join(folder, 'folder'));
    writeFileSync(join(folder, 'text'), 'x');
    for (const name of ['no-such-program', join(folder, 'folder'), join(folder, 'text'), '']) {
      expect(() => findProgram([name])).toThrow('there is no such program');
    }
  });

  test('that is a text without an interpreter is refused', () => {
    const file = script('text.txt', 'import os');
    expect(() => findProgram([file])).toThrow('neither a program nor a script');
  });

  test('that names itself for ever is refused', () => {
    const file = join(folder, 'loop');
    script('loop', `#!${file}\n`);
    expect(() => findProgram([file])).toThrow('names a script');
  });
});
