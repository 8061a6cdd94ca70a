// Extension modules in C, C++ and Cython, as people write them, that lose memory and count it: `native` on the live process
// finds as many blocks as they counted, and as `leakscope valgrind` finds when it runs the same program.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nativeSchema } from '../../src/report/native-schema.ts';
import { valgrindSchema } from '../../src/report/native-sites-schema.ts';
import { finishCommand, runJson, startCommand } from '../support/command-line.ts';
import {
  compileExtension,
  findHeaders,
  findPythonForExtensions,
  hasTool,
  LOSE,
} from '../support/native-extensions.ts';
import { onePythonPerMinor, startPython, type TestPython } from '../support/pythons.ts';

interface Ready {
  pid: number;
  counts: Record<string, { blocks: number; bytes: number }>;
}

const RECALL = 0.995;
const C_LOSSES = ['c_losses.lose:2000:100', 'c_losses.lose_list:3:400', 'c_losses.lose:50:50000'];
const CPP_LOSSES = ['cpp_losses.lose_matrix:1000:40', 'cpp_losses.lose_buffer:500:3000'];

const canCompile = hasTool('gcc') && hasTool('g++');
const root = mkdtempSync(join(tmpdir(), 'leakscope-extensions-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sumBlocks = (counts: Ready['counts']): number =>
  Object.values(counts).reduce((sum, { blocks }) => sum + blocks, 0);

async function checkNative(python: TestPython, folder: string, losses: string[]): Promise<number> {
  const paths = [folder, python.env.PYTHONPATH].filter((path) => path !== undefined);
  const env = { PYTHONPATH: paths.join(':') };
  const running = await startPython<Ready>(python, LOSE, { args: [...losses, 'end=wait'], env });
  try {
    const report = await runJson(nativeSchema, 'native', `${running.pid}`);
    const objects = report.lostReferences.reduce((sum, { count }) => sum + count, 0);
    const found = report.lost.blocks + objects;
    const counted = sumBlocks(running.ready.counts);
    expect(found, `${found} of ${counted}`).toBeGreaterThan(counted * RECALL);
    // Some small ones are the interpreter's own.
    expect(found, `${found} of ${counted}`).toBeLessThan(counted + 40);
    return found;
  } finally {
    await running.stop();
  }
}

const withHeaders = onePythonPerMinor().filter((python) => findHeaders(python) !== undefined);

describe.skipIf(!canCompile).each(withHeaders.map((python) => ({ name: python.name, python })))(
  'extensions of $name',
  ({ python }) => {
    test('in C and C++ are found to lose what they counted', async () => {
      const folder = mkdtempSync(join(root, 'built-'));
      compileExtension(python, 'c_losses.c', folder);
      compileExtension(python, 'cpp_losses.cpp', folder);
      await checkNative(python, folder, [...C_LOSSES, ...CPP_LOSSES, 'c_losses.forget_bytes:500']);
    });
  },
);

const extensions = findPythonForExtensions();

describe.runIf(extensions?.hasCython === true && canCompile)('extensions of all languages', () => {
  const folder = mkdtempSync(join(root, 'all-'));
  const losses = [...C_LOSSES, ...CPP_LOSSES, 'cy_losses.lose_grid:300:20'];
  beforeAll(() => {
    const { python } = extensions!;
    compileExtension(python, 'c_losses.c', folder);
    compileExtension(python, 'cpp_losses.cpp', folder);
    compileExtension(python, 'cy_losses.pyx', folder);
  });

  test('lose as many blocks by native as by valgrind', { timeout: 240_000 }, async () => {
    const { python } = extensions!;
    const found = await checkNative(python, folder, losses);
    if (!hasTool('valgrind')) return;
    const child = startCommand(['valgrind', '--json', '--', ...python.command, LOSE, ...losses], {
      env: { ...python.env, PYTHONPATH: `${folder}:${python.env.PYTHONPATH}` },
    });
    const { sites } = valgrindSchema.parse(JSON.parse((await finishCommand(child)).stdout));
    const blocks = sites
      .flatMap(({ losses: { definite, indirect, possible } }) => [definite, indirect, possible])
      .reduce((sum, loss) => sum + loss.blocks, 0);
    expect(Math.abs(blocks - found), `${found}, valgrind ${blocks}`).toBeLessThan(
      found * 0.01 + 40,
    );
  });
});
