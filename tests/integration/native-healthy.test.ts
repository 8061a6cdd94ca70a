// Programs that lose nothing: `native` finds next to nothing lost in any capture, and a hunt names no leak of C code and no
// forgotten reference. A wrong accusation is the worst that a tool for leaks can do. See tests/programs/native_healthy.py.

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { openCapture } from '../../src/capture/capture-heap.ts';
import { type HeapGraph, RootKind, typeNameOf } from '../../src/graph/heap-graph.ts';
import { BlockState } from '../../src/graph/native-heap.ts';
import { huntLive } from '../../src/watch/hunt.ts';
import {
  findPythonWithPackages,
  onePythonPerMinor,
  startPython,
  type TestPython,
} from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/native_healthy.py', import.meta.url));
const OF_C_CODE = ['native-lost', 'native-retained', 'refcount', 'mappings', 'threads'];
/** What interpreters and libraries themselves lose when they begin: some small blocks, once. */
const MAX_LOST_BYTES = 16 << 10;

interface Seen {
  lostBytes: number;
  /** `3 x 64 B malloc data`, `type address` */
  lost: string[];
  lostObjects: string[];
}

function seeLost(graph: HeapGraph): Seen {
  const { native } = graph;
  if (native === undefined) throw new Error('the capture did not look at C memory');
  const { groups } = native.facts;
  const counts = new Map<string, number>();
  let lostBytes = 0;
  for (const [row, bytes] of native.blockSize.entries()) {
    const { state, allocator, signature } = groups[native.blockGroup[row]];
    if (state !== BlockState.lost) continue;
    lostBytes += bytes;
    const text = `${bytes} B ${allocator} ${signature}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  const lostObjects = [...graph.rootNode]
    .filter((_, row) => graph.rootKind[row] === RootKind.lostReference)
    .map((node) => typeNameOf(graph, node));
  return { lostBytes, lost: [...counts].map(([text, n]) => `${n} x ${text}`), lostObjects };
}

async function checkHealthy(python: TestPython, name: string, skip: () => void): Promise<void> {
  const target = await startPython<{ pid?: number; missing?: string }>(python, PROGRAM, {
    args: [name],
  });
  const { pid } = target.ready;
  try {
    if (pid === undefined) return skip();
    const live = openCapture(pid);
    try {
      const seen: Seen[] = [];
      const source = {
        python: live.python,
        isAlive: true,
        findRssBytes: () => live.findRssBytes(),
        capture: async (options: Parameters<typeof live.capture>[0]) => {
          target.send('');
          await target.nextLine();
          const graph = await live.capture(options);
          seen.push(seeLost(graph));
          return graph;
        },
      };
      const report = await huntLive(source, {
        everySeconds: 0.1,
        snapshots: 4,
        signal: new AbortController().signal,
        onProgress: () => {},
      });
      const accused = report.suspects.filter(({ kind }) => OF_C_CODE.includes(kind));
      expect(
        {
          accused: accused.map(({ kind, type, count }) => `${kind} ${count} ${type}`),
          verdict: report.verdict,
          // 3.8 itself loses one: its first module of warnings.
          lostObjects: seen.map(({ lostObjects }) =>
            lostObjects.filter((type) => type !== 'module'),
          ),
          isClean: seen.map(({ lostBytes, lost }) => (lostBytes <= MAX_LOST_BYTES ? [] : lost)),
        },
        JSON.stringify([report.reasons, report.suspects]),
      ).toEqual({
        accused: [],
        verdict: expect.stringMatching(/^(no-leak|inconclusive)$/),
        lostObjects: seen.map(() => []),
        isClean: seen.map(() => []),
      });
    } finally {
      live.close();
    }
  } finally {
    await target.stop();
  }
}

/** Those whose memory differs the most. */
const MINORS = ['3.8', '3.11', '3.13', '3.14', '3.15'];
const pythons = onePythonPerMinor().filter(({ minor }) => MINORS.includes(minor));

describe.each(pythons.map((python) => ({ name: python.name, python })))(
  'nothing is lost on $name',
  ({ python }) => {
    test.each(['stdlib', 'tls', 'threads', 'cycles', 'forks', 'asyncio_server'])(
      'by %s',
      async (name) => {
        await checkHealthy(python, name, () => {});
      },
    );
  },
);

const withPackages = findPythonWithPackages();

describe.skipIf(withPackages === undefined)('nothing is lost by packages', () => {
  test.for(['numpy_arrays', 'scipy_sparse', 'pandas_frames', 'flask_app', 'aiohttp_app'])(
    '%s',
    async (name, { skip }) => {
      await checkHealthy(withPackages as TestPython, name, () => skip('the package is missing'));
    },
  );
});
