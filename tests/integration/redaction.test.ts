// What redaction drops and what it leaves, on real processes with a secret in every place: the decompressed bytes of a file,
// and the reports of a hunt. What is not redacted has the secrets, so that looking for them means something.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findPath, formatPath } from '../../src/analysis/path-steps.ts';
import { computePathTree } from '../../src/analysis/paths.ts';
import { captureHeap, openCapture } from '../../src/capture/capture-heap.ts';
import {
  openSnapshotFile,
  readSnapshotFile,
  writeSnapshotFile,
} from '../../src/capture/snapshot-file.ts';
import { typeNameOf } from '../../src/graph/heap-graph.ts';
import { redactGraph } from '../../src/graph/redact-graph.ts';
import { formatHunt } from '../../src/report/hunt-text.ts';
import { formatRepr } from '../../src/report/repr-text.ts';
import { captureSchema, huntSchema, topSchema } from '../../src/report/schemas.ts';
import { huntLive } from '../../src/watch/hunt.ts';
import { runCommand, runJson } from '../support/command-line.ts';
import {
  allPythons,
  describeEachPython,
  type RunningPython,
  startPython,
} from '../support/pythons.ts';

const SECRETS = fileURLToPath(new URL('../programs/planted_secrets.py', import.meta.url));
const WITH_SECRETS = {
  args: ['huntertwo_argument'],
  env: { SECRET: 'huntertwo_environment' },
};
const NUMBER = 1_835_627_089;
const LARGE_NUMBER = BigInt(`0x${Buffer.from('huntertwo_x').toString('hex').slice(0, 20)}`);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leakscope-redaction-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Everything that the file says: its header and all blocks, as they were before compression. */
function decompress(path: string): Buffer {
  const bytes = readFileSync(path);
  const { index } = openSnapshotFile(path);
  const parts = index.sections.flatMap(({ blocks }) =>
    blocks.map(({ position, storedLength, isDeflated }) => {
      const stored = bytes.subarray(position, position + storedLength);
      return isDeflated ? inflateRawSync(stored) : stored;
    }),
  );
  return Buffer.concat([inflateRawSync(bytes.subarray(bytes.readUInt32LE(24))), ...parts]);
}

/** The places of secrets of which a text tells; numbers as text and as the bytes of a preview. */
function findSecrets(text: Buffer): string[] {
  const found = [...text.toString('latin1').matchAll(/huntertwo_([a-z]+)/g)].map(([, at]) => at);
  const double = Buffer.alloc(8);
  double.writeDoubleLE(NUMBER + 0.5);
  const integer = Buffer.alloc(4);
  integer.writeUInt32LE(NUMBER);
  if (text.includes(double)) found.push('float');
  if (text.includes(integer) || text.includes(`${NUMBER}`)) found.push('int');
  if (text.includes(`${LARGE_NUMBER}`)) found.push('large');
  if (text.includes(Buffer.from('huntertwo_native').toJSON().data.join(','))) found.push('native');
  return [...new Set(found)].sort();
}

const IN_ALL = [
  ...['argument', 'attribute', 'bytearray', 'bytes', 'constant', 'dict', 'environment'],
  ...[
    'exception',
    'float',
    'int',
    'key',
    'large',
    'leaked',
    'local',
    'member',
    'native',
    'setattr',
  ],
  ...['shared', 'th', 'tuple'],
];

describeEachPython('redaction', (python) => {
  let target: RunningPython<{ pid: number }>;
  beforeAll(async () => {
    target = await startPython(python, SECRETS, WITH_SECRETS);
  });
  afterAll(() => target.stop());

  test('drops every secret, and leaves types, sizes and names in code', async () => {
    const file = (name: string) => join(folder, `${python.minor}-${name}.lscope`);
    const whole = await captureHeap(target.pid, { native: true });
    await writeSnapshotFile(file('whole'), whole);
    await writeSnapshotFile(
      file('redacted'),
      await captureHeap(target.pid, { native: true, redact: true }),
    );
    await writeSnapshotFile(file('later'), redactGraph(readSnapshotFile(file('whole'))));

    expect(findSecrets(decompress(file('whole')))).toEqual(expect.arrayContaining(IN_ALL));
    for (const name of ['redacted', 'later']) {
      expect(findSecrets(decompress(file(name)))).toEqual([]);
      const graph = readSnapshotFile(file(name));
      expect(graph.capture).toMatchObject({ isRedacted: true, command: [] });
      const tree = computePathTree(graph);
      const leak = graph.typeId.findIndex((_, node) => typeNameOf(graph, node) === '__main__.Leak');
      expect(formatPath(findPath(graph, tree, leak)!)).toMatch(
        /^__main__\.leaked\[\d+\] -> __main__\.Leak$/,
      );
      expect(formatRepr(graph, leak)).toMatch(/^<Leak note=<str>/);
    }
    const later = readSnapshotFile(file('later'));
    for (const name of ['address', 'typeId', 'shallowSize', 'edgeTarget', 'edgeLabel'] as const) {
      expect(later[name], name).toEqual(whole[name]);
    }
  });
});

describe('the commands', () => {
  const python = allPythons()[0];
  let target: RunningPython<{ pid: number }>;
  beforeAll(async () => {
    target = await startPython(python, SECRETS, WITH_SECRETS);
  });
  afterAll(() => target.stop());

  test('capture --redact and redact write files that say what they are', async () => {
    const file = (name: string) => join(folder, `cli-${name}.lscope`);
    const pid = `${target.ready.pid}`;
    expect((await runCommand('capture', pid, '-o', file('all'))).code).toBe(0);
    const captured = await runJson(captureSchema, 'capture', pid, '-o', file('now'), '--redact');
    const later = await runJson(captureSchema, 'redact', file('all'), '-o', file('later'));

    expect([captured.target.redacted, later.target.redacted]).toEqual([true, true]);
    expect(findSecrets(decompress(file('now')))).toEqual([]);
    expect(findSecrets(decompress(file('later')))).toEqual([]);
    const whole = await runJson(topSchema, 'top', file('all'), '--types');
    const redacted = await runJson(topSchema, 'top', file('later'), '--types');
    expect(redacted.types).toEqual(whole.types);
    const { code, stdout } = await runCommand('info', file('later'));
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/redacted/) });
    const native = await runCommand('native', pid, '--redact', '--json');
    expect({ code: native.code, found: findSecrets(Buffer.from(native.stdout)) }).toEqual({
      code: 0,
      found: [],
    });
    const again = await runCommand('redact', file('all'), '-o', file('later'));
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/exists already/) });
  });
});

describe('a redacted hunt', () => {
  test('names the leak, and nothing that is in it, as text and as JSON', async () => {
    const target = await startPython(allPythons()[0], SECRETS, WITH_SECRETS);
    const files: string[] = [];
    try {
      for (let i = 0; i < 4; i++) {
        const file = join(folder, `hunt-${i}.lscope`);
        files.push(file);
        expect((await runCommand('capture', `${target.pid}`, '-o', file)).code).toBe(0);
        target.send('4000');
        await target.nextLine();
      }
    } finally {
      await target.stop();
    }
    const whole = await runCommand('hunt', ...files);
    const text = await runCommand('hunt', ...files, '--redact');
    const report = await runJson(huntSchema, 'hunt', ...files, '--redact');

    expect(findSecrets(Buffer.from(whole.stdout))).toEqual(['argument', 'leaked']);
    expect(findSecrets(Buffer.from(text.stdout))).toEqual([]);
    expect(findSecrets(Buffer.from(JSON.stringify(report)))).toEqual([]);
    expect({ code: text.code, first: text.stdout.split('\n')[0] }).toEqual({
      code: 1,
      first: expect.stringMatching(/redacted/),
    });
    expect(report.suspects[0]).toMatchObject({
      type: '__main__.Leak',
      holder: '__main__.leaked',
      kind: 'retained',
    });
  });

  test('of a running process says nothing of it either', async () => {
    const target = await startPython(allPythons()[0], SECRETS, WITH_SECRETS);
    const live = openCapture(target.pid);
    try {
      const report = await huntLive(
        {
          python: live.python,
          isAlive: true,
          findRssBytes: () => live.findRssBytes(),
          // It leaks after each capture, however slow the machine is.
          capture: async (options) => {
            const graph = await live.capture(options);
            target.send('4000');
            await target.nextLine();
            return graph;
          },
        },
        {
          ...{ everySeconds: 0.1, snapshots: 4, redact: true },
          signal: new AbortController().signal,
          onProgress: () => {},
        },
      );
      expect(findSecrets(Buffer.from(JSON.stringify(report) + formatHunt(report)))).toEqual([]);
      expect(report).toMatchObject({ verdict: 'leak', target: { redacted: true, command: [] } });
    } finally {
      live.close();
      await target.stop();
    }
  });
});
