// Unpacks Pythons of other Debian suites into .cache/suites/<suite>/root, with the machine's own mirror and apt, without
// root and without installing anything: `tsx scripts/suite-pythons.ts`. Fast when they are already there.
// The mirror is the one of the machine's apt sources; no host is named here. Only on Debian, x86-64.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface SuitePackages {
  /** Debian's name of the suite: `sid`. */
  suite: string;
  packages: readonly string[];
}

/** The Pythons that tests want besides those of pyenv. */
export const suitePythons: readonly (SuitePackages & { minors: readonly string[] })[] = [
  { suite: 'bullseye', packages: ['python3.9'], minors: ['3.9'] },
  { suite: 'trixie', packages: ['python3.13'], minors: ['3.13'] },
  { suite: 'sid', packages: ['python3.14', 'python3.15'], minors: ['3.14', '3.15'] },
];

const cacheDirectory = fileURLToPath(new URL('../.cache/suites', import.meta.url));
const archiveKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Where the files of a suite are unpacked: `<this>/usr/bin/python3.14`. `variant` tells sets of packages apart. */
export const suiteRoot = (suite: string, variant = ''): string =>
  join(cacheDirectory, `${suite}${variant}`, 'root');

/**
 * Downloads and unpacks `packages`, with what they depend on unless `alone`. Returns undefined, or in one sentence why
 * that was not possible. Several processes may do it at once: the last to finish throws its copy away.
 */
export function unpackSuite(
  { suite, packages }: SuitePackages,
  { variant = '', alone = false } = {},
): string | undefined {
  const directory = join(cacheDirectory, `${suite}${variant}`);
  if (existsSync(directory)) return undefined;
  const mirror = findDebianMirror();
  if (mirror === undefined) return 'the apt sources of this machine name no Debian mirror';
  if (!existsSync(archiveKeyring)) return `${archiveKeyring} is missing (debian-archive-keyring)`;
  const work = `${directory}.${process.pid}`;
  try {
    const options = prepareApt(work, mirror, suite);
    const failure =
      run('apt-get', [...options, '-q', 'update']) ??
      (alone
        ? run('apt-get', [...options, '-q', 'download', ...packages], join(work, 'archives'))
        : run('apt-get', [...options, '-q', '-y', '--download-only', 'install', ...packages]));
    if (failure !== undefined) return `the Debian suite ${suite} could not be fetched: ${failure}`;
    for (const archive of readdirSync(join(work, 'archives'))) {
      if (!archive.endsWith('.deb')) continue;
      const unpacked = run('dpkg-deb', ['-x', join(work, 'archives', archive), join(work, 'root')]);
      if (unpacked !== undefined) return unpacked;
    }
    for (const name of ['lists', 'archives', 'parts'])
      rmSync(join(work, name), { recursive: true });
    if (!existsSync(directory)) renameSync(work, directory);
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Options that make apt use a folder of its own instead of the system's state. */
function prepareApt(work: string, mirror: string, suite: string): string[] {
  for (const name of ['lists/partial', 'archives/partial', 'parts', 'root']) {
    mkdirSync(join(work, name), { recursive: true });
  }
  writeFileSync(join(work, 'status'), '');
  writeFileSync(
    join(work, 'parts/suite.sources'),
    `Types: deb\nURIs: ${mirror}\nSuites: ${suite}\nComponents: main\nSigned-By: ${archiveKeyring}\n`,
  );
  const settings = {
    'Dir::State': work,
    'Dir::State::Lists': join(work, 'lists'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Etc::SourceList': '/dev/null',
    'Dir::Etc::SourceParts': join(work, 'parts'),
    'Dir::Cache': work,
    'Dir::Cache::archives': join(work, 'archives'),
    'APT::Architecture': 'amd64',
    'APT::Sandbox::User': '',
    'APT::Install-Recommends': '0',
    'Acquire::Retries': '3',
    // Otherwise a mirror that cannot be reached is a warning, and then all packages are unknown.
    'APT::Update::Error-Mode': 'any',
    // The archive of a suite that has ended keeps its old date.
    'Acquire::Check-Valid-Until': 'false',
    'Debug::NoLocking': '1',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}

/** The first URI of the machine's apt sources that serves Debian itself; undefined on other systems. */
function findDebianMirror(): string | undefined {
  const folder = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list'];
  if (existsSync(folder)) files.push(...readdirSync(folder).map((name) => join(folder, name)));
  for (const file of files.filter((name) => existsSync(name) && /\.(list|sources)$/.test(name))) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const uri = /^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s+)?)(\S+)/.exec(line)?.[1];
      if (uri !== undefined && /\/debian\/?$/.test(uri)) return uri;
    }
  }
  return undefined;
}

/** Runs a command; undefined if it succeeded, else the end of what it said. */
function run(command: string, args: string[], cwd?: string): string | undefined {
  const result = spawnSync(command, args, { encoding: 'utf8', cwd, timeout: 600_000 });
  if (result.error !== undefined) return `${command}: ${result.error.message}`;
  if (result.status === 0) return undefined;
  const lines = `${result.stdout}${result.stderr}`.trim().split('\n');
  // apt's own errors, not those of the hooks that an image has configured.
  const errors = lines.filter((line) => /^E: /.test(line));
  return `${command}: ${(errors.length > 0 ? errors : lines).slice(0, 2).join(' ')}`;
}

function main(): void {
  for (const entry of suitePythons) {
    const problem = unpackSuite(entry);
    const minors = entry.minors.join(' and ');
    console.log(problem ? `Python ${minors}: ${problem}` : `Python ${minors}: ${entry.suite}`);
    if (problem) process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
