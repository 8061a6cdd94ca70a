import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { drawGraph } from '../../tests/support/drawn-graph.ts';
import { UsageError } from '../base/errors.ts';
import { readSnapshotFile, writeSnapshotFile } from './snapshot-file.ts';

const { graph } = drawGraph('root module app -> a\na: list 56 [0] -> b\nb: str 50 "\'x\'"');

/** A disk that fills: after so many writes each fails as the kernel would let it. */
const disk = vi.hoisted(() => ({ writesLeft: Number.POSITIVE_INFINITY }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  const open: typeof real.open = async (...args) => {
    const file = await real.open(...args);
    const write = file.write.bind(file) as (...args: unknown[]) => Promise<unknown>;
    return Object.assign(file, {
      write: (...args: unknown[]) =>
        disk.writesLeft-- > 0
          ? write(...args)
          : Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
    });
  };
  return { ...real, open };
});

let folder: string;
beforeEach(() => {
  disk.writesLeft = Number.POSITIVE_INFINITY;
  folder = mkdtempSync(join(tmpdir(), 'leakscope-snapshot-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a snapshot file holds the graph and only its owner may read it', async () => {
  const path = join(folder, 'a.lscope');

  const written = await writeSnapshotFile(path, graph);

  expect(readSnapshotFile(path)).toEqual(graph);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(path).size).toBe(written);
  expect(readdirSync(folder)).toEqual(['a.lscope']);
});

test('an aborted write leaves the earlier file as it was, and nothing else', async () => {
  const path = join(folder, 'a.lscope');
  writeFileSync(path, 'earlier');
  const abort = new AbortController();

  const writing = writeSnapshotFile(path, graph, {
    signal: abort.signal,
    onProgress: () => abort.abort(new Error('enough')),
  });

  await expect(writing).rejects.toThrow('enough');
  expect(readFileSync(path, 'utf8')).toBe('earlier');
  expect(readdirSync(folder)).toEqual(['a.lscope']);
});

test('a disk that is full at any write is said to be full, and keeps nothing of the file', async () => {
  const path = join(folder, 'a.lscope');
  let failures = 0;
  for (let write = 0; write < 100; write++) {
    disk.writesLeft = write;
    const result = await writeSnapshotFile(path, graph).catch((error) => error);
    if (typeof result === 'number') break;
    failures++;
    expect(result).toBeInstanceOf(UsageError);
    expect(result.text.reason).toBe('the disk is full');
    expect(readdirSync(folder)).toEqual([]);
  }
  expect(failures).toBeGreaterThan(10);
  expect(readSnapshotFile(path)).toEqual(graph);
});

test.each([
  ['no/such/folder/a.lscope', 'there is no such folder'],
  ['.', 'it is a folder'],
])('writing to %s says why not', async (name, reason) => {
  const error = await writeSnapshotFile(join(folder, name), graph).catch((each) => each);
  expect(error).toBeInstanceOf(UsageError);
  expect(error.text.reason).toBe(reason);
  expect(readdirSync(folder)).toEqual([]);
});

test('a file that is missing, cut off, or a pipe is a UsageError and no hang', async () => {
  const path = join(folder, 'a.lscope');
  expect(() => readSnapshotFile(path)).toThrow(/there is no such file/);

  await writeSnapshotFile(path, graph);
  truncateSync(path, 100);
  expect(() => readSnapshotFile(path)).toThrow(/cut off/);

  const pipe = join(folder, 'pipe');
  execFileSync('sh', ['-c', 'mkfifo "$0"', pipe]);
  expect(() => readSnapshotFile(pipe)).toThrow(/not a regular file/);
  expect(existsSync(pipe)).toBe(true);
});
