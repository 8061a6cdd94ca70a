// `npm test`: sets up what the tests need (Pythons of other suites, packages of PyPI), runs the static checks and all
// tests, and ends with the plain line `N passed, N failed`. Nothing is installed outside .cache but, by root, missing
// programs of Debian's packages.
// LEAKSCOPE_REQUIRED_PYTHONS and LEAKSCOPE_REQUIRED_PACKAGES (see .ci/run) make an incomplete set-up an error.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packagesFolder } from '../tests/support/packages.ts';
import { findPyenvVersions } from './pyenv.ts';
import { suitePythons, unpackSuite } from './suite-pythons.ts';

/** Wheels only: nothing is compiled. */
const PACKAGES = [
  'aiohttp',
  'cython',
  'eventlet',
  'flask',
  'gevent',
  'gunicorn',
  'numpy',
  'pandas',
  'scipy',
  'uvloop',
];

interface VitestResults {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

/** Counts, with a test file that could not be loaded as one failure. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function setUpPythons(): boolean {
  const required = process.env.LEAKSCOPE_REQUIRED_PYTHONS?.split(',') ?? [];
  let complete = true;
  for (const entry of suitePythons) {
    const problem = unpackSuite(entry);
    if (problem === undefined) continue;
    console.log(`no Python ${entry.minors.join(', ')} of ${entry.suite}: ${problem}`);
    if (entry.minors.some((minor) => required.includes(minor))) complete = false;
  }
  return complete;
}

/** Installs the packages for pyenv's newest Python; without pyenv or PyPI the tests that need them are skipped. */
function setUpPackages(): boolean {
  const python = findPyenvVersions().at(-1);
  const problem = python === undefined ? 'no pyenv Python' : installPackages(python);
  if (problem === undefined) return true;
  console.log(`no packages of PyPI (${PACKAGES.join(', ')}): ${problem}`);
  return !process.env.LEAKSCOPE_REQUIRED_PACKAGES;
}

function installPackages({
  program,
  minor,
}: {
  program: string;
  minor: string;
}): string | undefined {
  const folder = packagesFolder(minor);
  const isThere = (name: string) =>
    [name, `${name}.py`].some((each) => existsSync(`${folder}/${each}`));
  if (PACKAGES.every(isThere)) return undefined;
  const work = `${folder}.${process.pid}`;
  mkdirSync(dirname(folder), { recursive: true });
  const options = ['--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
  const pip = spawnSync(
    program,
    ['-m', 'pip', 'install', ...options, '--target', work, ...PACKAGES],
    { encoding: 'utf8' },
  );
  if (pip.status === 0) {
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } else rmSync(work, { recursive: true, force: true });
  return pip.status === 0 ? undefined : (pip.stderr.trim().split('\n').at(-1) ?? 'pip failed');
}

/**
 * Programs (and libraries, by their paths) of Debian that tests use: installed by root where they are missing; named to
 * others, whose tests are skipped.
 */
const DEBIAN_TOOLS: Record<string, string> = {
  'g++': 'g++',
  gcc: 'gcc',
  gcore: 'gdb',
  heaptrack: 'heaptrack',
  prlimit: 'util-linux',
  prometheus: 'prometheus',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  valgrind: 'valgrind libc6-dbg',
  '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2': 'libjemalloc2',
  '/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4': 'libtcmalloc-minimal4',
  '/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0': 'libmimalloc2.0',
};

function setUpTools(): boolean {
  const isMissing = (tool: string) =>
    tool.startsWith('/') ? !existsSync(tool) : spawnSync(tool, ['--version']).error !== undefined;
  const missing = Object.keys(DEBIAN_TOOLS).filter(isMissing);
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.flatMap((tool) => DEBIAN_TOOLS[tool].split(' ')))];
  if (process.getuid?.() === 0) {
    runTool('apt-get', ['-q', 'update']);
    runTool('apt-get', [
      '-q',
      '-y',
      'install',
      '--no-install-recommends',
      ...packages,
      'libc6-dev',
    ]);
  }
  const left = missing.filter(isMissing);
  if (left.length === 0) return true;
  console.log(
    `missing: ${left.join(', ')}. As root: apt-get install ${packages.join(' ')} libc6-dev`,
  );
  return process.env.CI === undefined;
}

const runTool = (command: string, args: string[]): boolean =>
  spawnSync(command, args, { stdio: 'inherit' }).status === 0;

function runTests(): Counts {
  const output = fileURLToPath(new URL('../.cache/test-results.json', import.meta.url));
  rmSync(output, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`];
  const passed = runTool('npx', ['vitest', 'run', ...reporters, ...process.argv.slice(2)]);
  if (!existsSync(output)) return { passed: 0, failed: 1, skipped: 0 };
  const results = JSON.parse(readFileSync(output, 'utf8')) as VitestResults;
  const unloaded = results.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = results.numFailedTests + unloaded;
  return {
    passed: results.numPassedTests,
    // Errors outside of tests (an unhandled rejection) make vitest fail without a failed test.
    failed: failed === 0 && !passed ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  };
}

const complete = [setUpTools(), setUpPythons(), setUpPackages()].every(Boolean);
const checked = runTool('npm', ['run', '--silent', 'check']);
const counts = runTests();
const failed = counts.failed + (checked ? 0 : 1) + (complete ? 0 : 1);
if (!checked) console.log('the static checks failed (npm run check)');
if (!complete) console.log('the set-up that this run requires is incomplete');
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${failed} failed${skipped}`);
process.exitCode = failed === 0 ? 0 : 1;
