// Writes layouts/cpython-3.X-x86_64.json (the format of src/cpython/layout.ts) from the debug information of real builds:
// `npm run layouts [3.11 ...]`. 3.8-3.13 from the unstripped libpython of pyenv, 3.14 and 3.15 from Debian's -dbg packages.
// Needs gdb, which reads the files offline; no process is looked at.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type StructGroup, structGroups } from './layout-structs.ts';
import { findPyenvVersions } from './pyenv.ts';
import { suiteRoot, unpackSuite } from './suite-pythons.ts';

const VERSIONS = ['3.8', '3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15'];

interface Build {
  /** `python 3.11.7, DWARF of libpython3.11.so.1.0` */
  source: string;
  /** Files with debug information: '' is the interpreter, else the name of an extension module. */
  binaries: Record<string, string>;
}

interface Dump {
  sizes: Record<string, number>;
  offsets: Record<string, number>;
  missing: string[];
  ambiguous: string[];
}

const modules = structGroups.flatMap((group) => group.module ?? []);

function findPyenvBuild(minor: string): Build | undefined {
  for (const { version, prefix } of findPyenvVersions().filter((each) => each.minor === minor)) {
    const library = join(prefix, `lib/libpython${minor}.so.1.0`);
    if (!existsSync(library)) continue;
    const folder = join(prefix, `lib/python${minor}/lib-dynload`);
    const binaries = { '': library, ...findModules(folder, minor, (file) => file) };
    return { source: `python ${version}, DWARF of libpython${minor}.so.1.0 (pyenv)`, binaries };
  }
  return undefined;
}

function findDebianBuild(minor: string): Build {
  const packages = ['-dbg', '-minimal', ''].map((suffix) => `python${minor}${suffix}`);
  const libraries = ['-dbg', '-minimal', '-stdlib'].map((suffix) => `libpython${minor}${suffix}`);
  const variant = `-debug-${minor}`;
  const problem = unpackSuite(
    { suite: 'sid', packages: [...packages, ...libraries] },
    { variant, alone: true },
  );
  if (problem !== undefined) throw new Error(`no debug information of ${minor}: ${problem}`);
  const root = suiteRoot('sid', variant);
  const debugFile = (binary: string): string => {
    const notes = spawnSync('readelf', ['-n', binary], { encoding: 'utf8' }).stdout;
    const id = /Build ID: (\w+)/.exec(notes)?.[1] ?? '';
    return join(root, 'usr/lib/debug/.build-id', id.slice(0, 2), `${id.slice(2)}.debug`);
  };
  const interpreter = join(root, `usr/bin/python${minor}`);
  const folder = join(root, `usr/lib/python${minor}/lib-dynload`);
  const binaries = { '': debugFile(interpreter), ...findModules(folder, minor, debugFile) };
  const changelog = join(root, `usr/share/doc/python${minor}-minimal/changelog.Debian.gz`);
  const entry = spawnSync('zcat', [changelog], { encoding: 'utf8' }).stdout;
  const version = /\(([^)]+)\)/.exec(entry)?.[1] ?? minor;
  const source = `python ${version.replace(/-.*/, '')}, DWARF of Debian's python${minor}-dbg ${version}`;
  return { source, binaries };
}

/** The extension modules of the list that are separate libraries, by name. */
function findModules(
  folder: string,
  minor: string,
  debugFile: (binary: string) => string,
): Record<string, string> {
  const found: Record<string, string> = {};
  const suffix = `.cpython-${minor.replace('.', '')}-x86_64-linux-gnu.so`;
  for (const module of modules) {
    const library = join(folder, `${module}${suffix}`);
    if (!existsSync(library)) continue;
    const file = debugFile(library);
    if (existsSync(file)) found[module] = file;
  }
  return found;
}

function dumpStructs(binaries: Record<string, string>, groups: readonly StructGroup[]): Dump {
  const work = mkdtempSync(join(tmpdir(), 'leakscope-layouts-'));
  try {
    const request = join(work, 'request.json');
    const output = join(work, 'answer.json');
    writeFileSync(request, JSON.stringify({ binaries, groups, output }));
    const script = fileURLToPath(new URL('dump-structs.gdb.py', import.meta.url));
    const gdb = spawnSync('gdb', ['-batch', '-nx', '-x', script], {
      encoding: 'utf8',
      env: { ...process.env, LEAKSCOPE_REQUEST: request },
    });
    if (!existsSync(output)) throw new Error(`gdb wrote nothing: ${gdb.stderr ?? gdb.error}`);
    return JSON.parse(readFileSync(output, 'utf8')) as Dump;
  } finally {
    rmSync(work, { recursive: true });
  }
}

/**
 * Macros of Objects/obmalloc.c, which debug information lacks: arenas of 1 MiB with pools of 16 KiB came with the radix
 * tree in 3.10.
 */
function addPymallocConstants(sizes: Record<string, number>): void {
  const hasRadixTree = sizes.arena_map_bot !== undefined;
  sizes.ARENA_SIZE = hasRadixTree ? 1 << 20 : 256 << 10;
  sizes.POOL_SIZE = hasRadixTree ? 16 << 10 : 4 << 10;
}

function generate(minor: string): void {
  const build = findPyenvBuild(minor) ?? findDebianBuild(minor);
  const dump = dumpStructs(build.binaries, structGroups);
  if (dump.ambiguous.length > 0) throw new Error(`${minor}: name a file for ${dump.ambiguous}`);
  addPymallocConstants(dump.sizes);
  const layout = {
    version: minor,
    architecture: 'x86_64',
    source: build.source,
    sizes: dump.sizes,
    offsets: dump.offsets,
  };
  const file = new URL(`../layouts/cpython-${minor}-x86_64.json`, import.meta.url);
  writeFileSync(file, `${JSON.stringify(layout, undefined, 1)}\n`);
  const structCount = Object.keys(dump.sizes).length;
  const fieldCount = Object.keys(dump.offsets).length;
  console.log(`${minor}: ${structCount} structs, ${fieldCount} fields, from ${build.source}`);
  console.log(`  not in it: ${dump.missing.join(' ') || 'none'}`);
}

const wanted = process.argv.slice(2);
for (const minor of wanted.length > 0 ? wanted : VERSIONS) generate(minor);
