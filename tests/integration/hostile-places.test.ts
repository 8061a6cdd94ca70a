// Pythons in unusual places: in a chroot, in a container, inside of a C program, with files that are no longer on the disk.
// Each is captured, its objects are found, it goes on; those in other namespaces are hunted from outside.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findPyenvVersions, type PyenvVersion } from '../../scripts/pyenv.ts';
import { suitePythons, suiteRoot } from '../../scripts/suite-pythons.ts';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { childrenOf, findProcess } from '../../src/memory/process-status.ts';
import { huntSchema, pathSchema, psSchema } from '../../src/report/schemas.ts';
import { runCommand, runJson } from '../support/command-line.ts';
import { type ExpectedObject, expectObjects } from '../support/expected-objects.ts';
import {
  allPythons,
  type RunningPython,
  type StartOptions,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const HOSTILE = fileURLToPath(new URL('../programs/hostile.py', import.meta.url));
const EMBEDDING = fileURLToPath(new URL('../programs/embedding.c', import.meta.url));
const DEMO = fileURLToPath(new URL('../../demos/unbounded_cache.py', import.meta.url));
const CACHE = dirname(dirname(suiteRoot('any')));
const isRoot = process.getuid?.() === 0;

interface Hostile {
  pid: number;
  counter: number;
  expected: ExpectedObject[];
}

let folder: string;
const running: RunningPython[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-place-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.stop()));
  rmSync(folder, { recursive: true });
});

async function start<Ready>(
  python: TestPython,
  program: string,
  options: StartOptions = {},
): Promise<RunningPython<Ready>> {
  const started = await startPython<Ready>(python, program, options);
  running.push(started);
  return started;
}

const commandPython = (name: string, command: string[], env = {}): TestPython => ({
  ...{ name, minor: '', command, env },
});

async function expectFound(pid: number, ready: Hostile): Promise<void> {
  const graph = await captureHeap(pid);
  expect(graph.capture).toMatchObject({ problems: [], coverage: 1 });
  expectObjects(graph, ready.expected);
}

/** Hunts the demo from outside, through the command line. */
async function expectHunted(pid: number): Promise<void> {
  const report = await runJson(huntSchema, 'hunt', `${pid}`, '--every', '1s');
  expect(report).toMatchObject({ verdict: 'leak', target: { pid } });
  expect(report.suspects[0]).toMatchObject({
    kind: 'retained',
    type: '__main__.Profile',
    holder: expect.stringContaining('_profiles'),
  });
}

const newestPyenv = findPyenvVersions().at(-1);
const chrootable = suitePythons
  .flatMap(({ suite, minors }) => minors.map((minor) => ({ suite, minor })))
  .filter(({ suite, minor }) => existsSync(join(suiteRoot(suite), `usr/bin/python${minor}`)));

describe('in a chroot', () => {
  test.skipIf(!isRoot).each(chrootable)(
    'Python $minor of $suite is hunted',
    async ({ suite, minor }) => {
      // Links of its own beside the suite's files, on the same disk.
      const root = join(CACHE, `chroot-${process.pid}`);
      const copied = spawnSync('cp', ['-al', suiteRoot(suite), root]);
      expect(copied.status).toBe(0);
      try {
        for (const name of ['bin', 'lib', 'lib64', 'sbin']) {
          if (!existsSync(join(root, name))) symlinkSync(`usr/${name}`, join(root, name));
        }
        copyFileSync(DEMO, join(root, 'demo.py'));
        const python = commandPython(`${minor} chroot`, [
          'chroot',
          root,
          `/usr/bin/python${minor}`,
        ]);
        const { pid } = await start(python, '/demo.py');
        expect(findProcess(pid)?.command.at(-1)).toBe('/demo.py');
        await expectHunted(pid);
      } finally {
        await Promise.all(running.splice(0).map((each) => each.stop()));
        rmSync(root, { recursive: true });
      }
    },
  );
});

describe('in a container', () => {
  const canUnshare = isRoot && spawnSync('unshare', ['-mpiu', '--fork', 'true']).status === 0;

  /** Its files are where nobody else sees them, its pid is 1, its threads have other numbers than outside. */
  function containerOf(pyenv: PyenvVersion, inside: string): TestPython {
    const script =
      'mount --bind "$1" "$2" && mount -t tmpfs none "$1" && shift 1 && place=$1 && shift 1 && exec "$place/bin/$@"';
    const command = [
      ...['unshare', '-mpiu', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script, 'sh'],
      ...[pyenv.prefix, inside, basename(pyenv.program)],
    ];
    return commandPython(`${pyenv.version} container`, command, {
      LD_LIBRARY_PATH: join(inside, 'lib'),
    });
  }

  test.skipIf(!canUnshare || newestPyenv === undefined)(
    'it is hunted from outside, and the error for its wrapper names it',
    async () => {
      const inside = join(folder, 'inside');
      mkdirSync(inside);
      const wrapper = await start<{ pid: number }>(containerOf(newestPyenv!, inside), DEMO);
      const [pid] = childrenOf(wrapper.pid);
      expect(wrapper.ready.pid).toBe(1);
      expect(findProcess(pid)?.namespacePids).toEqual([pid, 1]);
      await expectHunted(pid);
      const { code, stderr } = await runCommand('hunt', `${wrapper.pid}`);
      expect({ code, stderr }).toMatchObject({ code: 2 });
      expect(stderr).toContain(`its Python child is ${pid}`);
    },
  );

  test.skipIf(!canUnshare || newestPyenv === undefined)(
    'locals of its threads have the names of the threads',
    async () => {
      const inside = join(folder, 'inside');
      mkdirSync(inside);
      const wrapper = await start<Hostile>(containerOf(newestPyenv!, inside), HOSTILE, {
        args: ['threads'],
      });
      const [pid] = childrenOf(wrapper.pid);
      await expectFound(pid, wrapper.ready);
      const { id } = wrapper.ready.expected[0];
      const report = await runJson(pathSchema, 'path', `${pid}`, `${id}`);
      expect(report.path?.text).toMatch(/ in thread python/);
    },
  );
});

describe('inside of a C program', () => {
  const hasCompiler = spawnSync('gcc', ['--version']).status === 0;
  const embeddable = findPyenvVersions().filter(({ prefix, minor }) =>
    existsSync(join(prefix, `lib/libpython${minor}.so`)),
  );

  function compile(
    { prefix, minor }: PyenvVersion,
    options: string[],
    libraries: string[],
  ): string {
    const program = join(folder, 'server');
    const result = spawnSync(
      'gcc',
      [...options, `-I${prefix}/include/python${minor}`, EMBEDDING, '-o', program, ...libraries],
      { encoding: 'utf8' },
    );
    expect(result.stderr).not.toContain('error');
    expect(result.status).toBe(0);
    return program;
  }

  const cases = embeddable.flatMap((pyenv) =>
    ['-no-pie', '-pie'].map((how) => ({ version: pyenv.version, how, pyenv })),
  );
  test.skipIf(!hasCompiler).each(cases)(
    '$version is found, with a shared libpython and $how',
    async ({ how, pyenv }) => {
      const lib = join(pyenv.prefix, 'lib');
      const libraries = [`-L${lib}`, `-Wl,-rpath,${lib}`, `-lpython${pyenv.minor}`];
      const program = compile(pyenv, [how, ...(how === '-pie' ? ['-fPIE'] : [])], libraries);
      const python = commandPython(`${pyenv.version} embedded`, [program], {
        PYTHONHOME: pyenv.prefix,
      });
      const { pid, ready } = await start<Hostile>(python, HOSTILE, { args: ['plain'] });
      await expectFound(pid, ready);
      const { processes } = await runJson(psSchema, 'ps');
      expect(processes.find((each) => each.pid === pid)).toMatchObject({ readable: true });
    },
  );

  const statics = embeddable.slice(-4).flatMap((pyenv) => {
    const archive = spawnSync('find', [pyenv.prefix, '-name', `libpython${pyenv.minor}.a`], {
      encoding: 'utf8',
    }).stdout.split('\n')[0];
    return archive === '' ? [] : [{ version: pyenv.version, archive, pyenv }];
  });
  test.skipIf(!hasCompiler).each(statics)(
    '$version is found, linked into a stripped program without exported symbols',
    async ({ archive, pyenv }) => {
      const libraries = [archive, '-ldl', '-lm', '-lpthread', '-lutil'];
      const program = compile(pyenv, ['-no-pie', '-s'], libraries);
      const python = commandPython(`${pyenv.version} static`, [program], {
        PYTHONHOME: pyenv.prefix,
      });
      const { pid, ready } = await start<Hostile>(python, HOSTILE, { args: ['plain'] });
      await expectFound(pid, ready);
    },
  );
});

describe('whose files have changed on the disk', () => {
  const shared = findPyenvVersions()
    .map((pyenv) => ({
      ...pyenv,
      library: join(pyenv.prefix, `lib/libpython${pyenv.minor}.so.1.0`),
    }))
    .filter(({ library }) => existsSync(library));

  async function startWithCopy(pyenv: (typeof shared)[number]) {
    const library = join(folder, basename(pyenv.library));
    copyFileSync(pyenv.library, library);
    const program = join(folder, `python${pyenv.minor}`);
    copyFileSync(pyenv.program, program);
    const python = commandPython(`${pyenv.version} copied`, [program], {
      LD_LIBRARY_PATH: folder,
      PYTHONHOME: pyenv.prefix,
    });
    const { pid, ready } = await start<Hostile>(python, HOSTILE, { args: ['plain'] });
    return { pid, ready, library, program };
  }

  test.each(shared)('$version is read after its files were deleted', async (pyenv) => {
    const { pid, ready, library, program } = await startWithCopy(pyenv);
    rmSync(library);
    rmSync(program);
    await expectFound(pid, ready);
  });

  test.each(shared)('$version is read after an upgrade put other files there', async (pyenv) => {
    const { pid, ready, library, program } = await startWithCopy(pyenv);
    const other = shared.find(({ minor }) => minor !== pyenv.minor) ?? pyenv;
    for (const [from, to] of [
      [other.library, library],
      [other.program, program],
    ]) {
      copyFileSync(from, `${to}.new`);
      renameSync(`${to}.new`, to);
    }
    expect(statSync(library).size).toBe(statSync(other.library).size);
    await expectFound(pid, ready);
  });
});

test('what runs through the loader of another C library is hunted', async ({ skip }) => {
  const python = allPythons().findLast(({ command }) => command.length > 1);
  if (python === undefined) return skip('no Python of another suite');
  const { pid } = await start(python, DEMO);
  await expectHunted(pid);
});
