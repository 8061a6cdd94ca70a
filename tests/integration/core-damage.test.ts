// Cores that lack something: pages that a coredump_filter leaves out, an end that did not fit on the disk, files of the
// process that are gone or were replaced. What is there must be right, and what is missing must be said.

import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UnsupportedError, UserError } from '../../src/base/errors.ts';
import { readGraphFile } from '../../src/capture/graph-file.ts';
import { findNodeAt, type HeapGraph, typeNameOf } from '../../src/graph/heap-graph.ts';
import {
  countDifferences,
  cutOff,
  dumpCore,
  leaveOut,
  makeTestFolder,
  notesFirst,
  readCoreHeaders,
} from '../support/core-files.ts';
import { onePythonPerMinor, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/core_target.py', import.meta.url));
const folder = makeTestFolder('core damage');
/** The rows, their dicts where a version has such, and texts. */
const python = onePythonPerMinor().find(({ minor }) => minor === '3.11') ?? onePythonPerMinor()[0];

interface Ready {
  pid: number;
  extension: string;
  rows: number;
}

let running: RunningPython<Ready>;
let core = '';
let whole: HeapGraph;

beforeAll(async () => {
  running = await startPython<Ready>(python, PROGRAM, { args: [folder] });
  core = notesFirst(dumpCore(running.pid, folder), join(folder, 'core'));
  whole = await readGraphFile(core);
});
afterAll(() => running?.stop());

const countOf = (graph: HeapGraph, type: string): number =>
  graph.typeId.filter((typeId) => graph.types[typeId].name === type).length;

function expectSame(graph: HeapGraph): void {
  for (const name of ['address', 'shallowSize', 'edgeTarget', 'referenceCount'] as const) {
    expect(countDifferences(graph[name], whole[name]), name).toBe(0);
  }
}

/** Of each mapped ELF file the first page only, as the kernel dumps it (coredump_filter 0x33). */
test('pages that are as in their file are read there', async () => {
  const bytes = readFileSync(core);
  const isHead = ({
    offset,
    flags,
    fileBytes,
  }: {
    offset: number;
    flags: number;
    fileBytes: number;
  }) =>
    (flags & 2) === 0 &&
    fileBytes > 4096 &&
    bytes.toString('latin1', offset + 1, offset + 4) === 'ELF';
  const copy = Buffer.from(bytes);
  let heads = 0;
  for (const header of readCoreHeaders(bytes)) {
    if (!isHead(header)) continue;
    copy.writeBigUInt64LE(4096n, header.at + 32);
    heads++;
  }
  expect(heads).toBeGreaterThan(3);
  writeFileSync(join(folder, 'filtered'), copy);
  const graph = await readGraphFile(join(folder, 'filtered'));
  expectSame(graph);
  expect(graph.capture.core).toEqual({
    signal: null,
    missingFiles: [],
    unverifiedFiles: [],
    cutOffBytes: 0,
  });
});

test('without their first pages files are used if they fit, and that is said', async () => {
  const bytes = readFileSync(core);
  const path = leaveOut(
    core,
    join(folder, 'no heads'),
    ({ offset, flags }) =>
      (flags & 2) === 0 && bytes.toString('latin1', offset + 1, offset + 4) === 'ELF',
  );
  const graph = await readGraphFile(path);
  expectSame(graph);
  expect(graph.capture.core?.unverifiedFiles.some((name) => /python/.test(name))).toBe(true);
});

test('a core that was cut off anywhere gives what is left, or an error, and says what is missing', async () => {
  const headers = readCoreHeaders(readFileSync(core));
  const { offset } = headers.filter(({ type }) => type === 1)[0];
  const { length } = readFileSync(core);
  let partial = 0;
  const cuts = [10, 63, 64, 500, headers[0].offset + 300, offset - 100, offset + 100];
  for (let i = 1; i < 10; i++) cuts.push(offset + Math.floor(((length - offset) * i) / 10));
  // A shared libpython is mapped high, and without its data there is nothing.
  const user = headers.filter(({ type, address }) => type === 1 && address < 2 ** 47);
  for (const { offset: end } of user.slice(-8)) cuts.push(end + 50);
  for (const cut of cuts) {
    const path = cutOff(core, join(folder, 'cut'), cut);
    try {
      const graph = await readGraphFile(path);
      partial++;
      expect(graph.capture.core?.cutOffBytes).toBeGreaterThan(0);
      expect(graph.capture.core?.cutOffBytes).toBeLessThanOrEqual(length - cut);
      const unknown = graph.address.filter((address) => findNodeAt(whole, address) === undefined);
      expect(unknown.length / graph.nodeCount).toBeLessThan(0.001);
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      // Files that do not even begin as a core are no snapshots either.
      if (cut > 64) expect(error).toBeInstanceOf(UnsupportedError);
      if (cut > offset + 4096) expect((error as Error).message).toMatch(/cut off|missing/);
    }
  }
  expect(partial).toBeGreaterThan(0);
});

test('what a lost arena held is lost, counted, and nothing else', async () => {
  const words = readCoreHeaders(readFileSync(core));
  const list = running.ready.rows;
  const holder = words.find(
    ({ address, memoryBytes }) => address <= list && list < address + memoryBytes,
  );
  const path = leaveOut(
    core,
    join(folder, 'no arena'),
    (header) => header.address === holder?.address,
  );
  const graph = await readGraphFile(path);
  expect(findNodeAt(whole, list)).toBeDefined();
  expect(findNodeAt(graph, list)).toBeUndefined();
  expect(graph.capture.coverage).toBeLessThan(1);
  expect(graph.nodeCount).toBeGreaterThan(1000);
});

test('a library that is gone is named, with what it costs', async () => {
  const { extension } = running.ready;
  const aside = `${extension}.aside`;
  renameSync(extension, aside);
  try {
    const { capture, ...graph } = await readGraphFile(core);
    expect(capture.core?.missingFiles).toEqual([
      { path: extension, reason: 'not found', bytes: expect.any(Number) },
    ]);
    expect(countOf(graph as HeapGraph, '__main__.Row')).toBe(5000);
    // Another build in its place is not used.
    copyFileSync(process.execPath, extension);
    const replaced = await readGraphFile(core);
    expect(replaced.capture.core?.missingFiles[0].reason).toMatch(/is another (build|file)/);
    rmSync(extension);
    // Found where the user says: at its path below the folder, or right in it, or by its name.
    const sysroot = join(folder, 'sysroot');
    mkdirSync(sysroot, { recursive: true });
    copyFileSync(aside, join(sysroot, basename(extension)));
    for (const search of [{ sysroot }, { exe: aside }]) {
      const found = await readGraphFile(core, { search });
      expect(found.capture.core?.missingFiles).toEqual([]);
      expectSame(found);
    }
  } finally {
    renameSync(aside, extension);
  }
});

test('without the file of Python itself there is no capture, and with it there is', async () => {
  const own = join(folder, 'own python');
  mkdirSync(own);
  const { copied, started } = await startFromCopy(own);
  const path = dumpCore(started.pid, own);
  await started.stop();
  renameSync(copied, `${copied}.aside`);
  await expect(readGraphFile(path)).rejects.toThrow(
    new RegExp(
      `Cannot find the Python .*${basename(copied)}: not found.*--exe FILE.*--sysroot DIR`,
      's',
    ),
  );
  await expect(readGraphFile(path)).rejects.toBeInstanceOf(UnsupportedError);
  const graph = await readGraphFile(path, { search: { exe: `${copied}.aside` } });
  expect(countOf(graph, '__main__.Row')).toBe(5000);
});

/** Starts the program with a copy of the file that the interpreter's code is in: libpython, or the program. */
async function startFromCopy(into: string) {
  const maps = readFileSync(`/proc/${running.pid}/maps`, 'utf8');
  const runtime = /\S*\/libpython3\S*$/m.exec(maps)?.[0] ?? python.command.at(-1) ?? '';
  const copied = join(into, basename(runtime));
  copyFileSync(runtime, copied);
  const prefix = runtime.replace(/\/(bin|lib)\/[^/]*$/, '');
  const started = await startPython<Ready>(
    { ...python, command: python.command.map((part) => (part === runtime ? copied : part)) },
    PROGRAM,
    { args: [into], env: { LD_LIBRARY_PATH: into, PYTHONHOME: prefix } },
  );
  expect(readFileSync(`/proc/${started.pid}/maps`, 'utf8')).toContain(copied);
  return { copied, started };
}

test('types keep their names', () => {
  const node = findNodeAt(whole, running.ready.rows);
  expect(typeNameOf(whole, node!)).toBe('list');
  expect(countOf(whole, '_queue.SimpleQueue')).toBe(10);
});
