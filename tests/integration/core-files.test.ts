// A core of gcore against a live capture of the same idle process, on every build: the same objects, types, sizes, counts,
// references, roots, blocks of C code, frames. Each test says what a core cannot tell.

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureHeap } from '../../src/capture/capture-heap.ts';
import { readGraphFile } from '../../src/capture/graph-file.ts';
import { EdgeKind, type HeapGraph, NONE, RootKind } from '../../src/graph/heap-graph.ts';
import { ACCOUNTS, type Account } from '../../src/graph/native-heap.ts';
import { countDifferences, dumpCore, makeTestFolder } from '../support/core-files.ts';
import { allPythons, type RunningPython, startPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/coverage.py', import.meta.url));
const folder = makeTestFolder('core');

/**
 * glibc 2.42 puts the guard pages of threads' stacks inside of mappings (Linux 6.13), and gcore writes nothing of a mapping
 * behind the first page that it cannot read: those stacks are not in its cores.
 */
const hasAllStacks = ({ capture }: HeapGraph): boolean =>
  capture.problems.every(({ kind }) => kind !== 'stack-not-in-core');

describe.each(allPythons().map((python) => ({ name: python.name, python })))(
  'a core of gcore ($name)',
  ({ python }) => {
    let running: RunningPython;
    let live: HeapGraph;
    let core: HeapGraph;

    beforeAll(async () => {
      running = await startPython(python, PROGRAM, { args: [folder] });
      live = await captureHeap(running.pid, { native: true });
      core = await readGraphFile(dumpCore(running.pid, folder));
    });
    afterAll(() => running?.stop());

    test('has the same objects with types, sizes, counts and contents', () => {
      for (const name of ['address', 'shallowSize', 'referenceCount', 'nodeFlags'] as const) {
        expect(countDifferences(core[name], live[name]), name).toBe(0);
      }
      const typeNames = (graph: HeapGraph) =>
        Array.from(graph.typeId, (typeId) => graph.types[typeId].name);
      expect(countDifferences(typeNames(core), typeNames(live))).toBe(0);
      expect(Buffer.compare(core.previewBytes, live.previewBytes)).toBe(0);
    });

    test('has the same sizes but for C memory of zeros, of which a core does not tell whether it was resident', () => {
      const larger = Array.from(core.allocatedSize).filter(
        (size, i) => size > live.allocatedSize[i],
      );
      expect(larger).toEqual([]);
      expect(countDifferences(core.allocatedSize, live.allocatedSize)).toBeLessThan(10);
    });

    test('has the same references', () => {
      for (const name of [
        'firstEdge',
        'edgeTarget',
        'edgeKind',
        'weakSource',
        'weakTarget',
      ] as const) {
        expect(countDifferences(core[name], live[name]), name).toBe(0);
      }
      // How far into a scanned block a word lies is counted in the copy, where gaps are left out.
      const labels = (graph: HeapGraph) =>
        Array.from(graph.edgeLabel, (label, edge) =>
          graph.edgeKind[edge] === EdgeKind.conservative || label === NONE
            ? ''
            : graph.edgeKind[edge] === EdgeKind.item || graph.edgeKind[edge] === EdgeKind.stackValue
              ? label
              : graph.strings[label],
        );
      expect(countDifferences(labels(core), labels(live))).toBe(0);
    });

    test('has the same roots', () => {
      const roots = (graph: HeapGraph) =>
        Array.from(graph.rootNode, (node, row) => {
          const kind = graph.rootKind[row];
          const label = graph.rootLabel[row];
          // The names of threads are the kernel's.
          const text =
            label === NONE ? '' : graph.strings[label].replace(/ (in|of) thread .*$/, '');
          return { kind, text: `${graph.address[node]} ${kind} ${text}` };
        });
      const [inCore, inLive] = [roots(core), roots(live)];
      if (hasAllStacks(core)) {
        expect(
          countDifferences(
            inCore.map(({ text }) => text),
            inLive.map(({ text }) => text),
          ),
        ).toBe(0);
      }
      const ofStacks: number[] = [RootKind.local, RootKind.thread, RootKind.native];
      const others = (list: typeof inCore) =>
        list.filter(({ kind }) => !ofStacks.includes(kind)).map(({ text }) => text);
      expect(countDifferences(others(inCore), others(inLive))).toBe(0);
    });

    test('has the same blocks of C code', () => {
      if (hasAllStacks(core)) {
        expect(countDifferences(core.native!.blockAddress, live.native!.blockAddress)).toBe(0);
        expect(countDifferences(core.native!.blockSize, live.native!.blockSize)).toBe(0);
      }
      expect(core.native!.facts.ledger.checks).toEqual(live.native!.facts.ledger.checks);
      expect(core.native!.facts.allocator).toBe(live.native!.facts.allocator);
    });

    test('has a ledger of what is in it: no residue, and no account that is larger than the resident one', () => {
      const { accounts, rssBytes, residueBytes } = core.native!.facts.ledger;
      const resident = live.native!.facts.ledger.accounts;
      expect(residueBytes).toBe(0);
      expect(ACCOUNTS.reduce((sum, name) => sum + accounts[name], 0)).toBe(rssBytes);
      expect(core.capture.rssBytes).toBe(rssBytes);
      const larger = (name: Account) => accounts[name] > resident[name];
      if (hasAllStacks(core)) expect(ACCOUNTS.filter(larger)).toEqual([]);
      expect(accounts.pythonObjects).toBeGreaterThan(resident.pythonObjects * 0.999);
    });

    test('has the same threads and frames', () => {
      const threads = (graph: HeapGraph) =>
        // The kernel's names are not in a core.
        graph.execution!.facts.threads.map((thread) => ({ ...thread, kernelName: '' }));
      if (hasAllStacks(core)) {
        expect(threads(core)).toEqual(threads(live));
        for (const name of [
          'frameCode',
          'frameLine',
          'localNode',
          'generatorLine',
          'futureState',
        ] as const) {
          expect(countDifferences(core.execution![name], live.execution![name]), name).toBe(0);
        }
      } else {
        expect(threads(core).length).toBe(threads(live).length);
        const [problem] = core.capture.problems;
        expect(threads(core).filter(({ isCutOff }) => isCutOff).length).toBe(problem.count);
        expect(threads(core).find(({ isMain }) => isMain)?.isCutOff).toBe(false);
      }
    });

    test('tells about the process what the kernel does', () => {
      const { pid, python: version, build, command, collector, coverage } = live.capture;
      expect(core.capture).toMatchObject({
        pid,
        python: version,
        build,
        command,
        collector,
        coverage,
        pauseMs: 0,
        processStartedAt: 0,
        core: { signal: null, missingFiles: [], unverifiedFiles: [], cutOffBytes: 0 },
      });
    });
  },
);
