// Leaks of CPython and its extension modules that were published as issues and that the Pythons at hand still have: hunt
// names their kind and counts them as often as they were triggered. The target tells by its allocators' own counts whether
// it has the leak; where it is fixed, hunt must find none. See tests/programs/published.

import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { HuntReport, Suspect } from '../../src/report/schemas.ts';
import { huntRounds } from '../support/hunting.ts';
import { allPythons, startPython, type TestPython } from '../support/pythons.ts';

const PROGRAM = fileURLToPath(new URL('../programs/published/run.py', import.meta.url));
const SNAPSHOTS = 4;
const ROUNDS = SNAPSHOTS - 1;
/** Per trigger; less is what the interpreter keeps for itself. */
const LEAST_BLOCKS = 0.5;
const LEAST_BYTES = 100;
const TOLERANCE = 0.05;
/** A stray pointer holds one or two. */
const STRAY = 3;

interface Expected {
  kind: Suspect['kind'];
  /** Of the suspect's type. */
  type: RegExp;
  /** Of what the suspect counts. */
  perTrigger: number;
  holder?: RegExp;
}

interface PublishedLeak {
  /** The function in the program, which names the issue. */
  name: string;
  /** Versions of which releases have it; later releases of these may have the fix. */
  minors: readonly string[];
  /** Triggers per round. */
  times?: number;
  told: readonly Expected[];
}

const BEFORE_310 = ['3.8', '3.9'];
const BEFORE_312 = ['3.8', '3.9', '3.10', '3.11'];
const BEFORE_314 = ['3.8', '3.9', '3.10', '3.11', '3.12', '3.13'];
const since = (minor: string, minors: readonly string[]) => minors.slice(minors.indexOf(minor));

const lost = (type: RegExp, perTrigger = 1): Expected => ({ kind: 'refcount', type, perTrigger });
const keptCycle = (type: RegExp): Expected => ({ kind: 'cycles', type, perTrigger: 1 });
const lostBlocks = (type: RegExp, perTrigger = 1): Expected => ({
  kind: 'native-lost',
  type,
  perTrigger,
});

const LEAKS: readonly PublishedLeak[] = [
  { name: 'math_dist', minors: BEFORE_310, told: [lost(/^tuple$/, 2)] },
  { name: 'pickle_build', minors: BEFORE_314, told: [lost(/^lost_references\.Refusing$/)] },
  { name: 'hash_that_is_text', minors: BEFORE_314, told: [lost(/^str$/)] },
  { name: 'hash_that_is_shared', minors: BEFORE_314, told: [lost(/^leaks\.Tag$/)] },
  {
    name: 'syntax_error_again',
    minors: ['3.10'],
    told: [lost(/^str$/, 2), lost(/^int$/), lost(/^int$/)],
  },
  // Small numbers are no objects of the heap.
  { name: 'syntax_error_again', minors: ['3.11', '3.12', '3.13'], told: [lost(/^str$/, 2)] },
  { name: 'address_refused_by_audit', minors: BEFORE_314, told: [lost(/^bytes$/)] },
  { name: 'os_error_set_early', minors: BEFORE_314, told: [lost(/^str$/, 2)] },
  {
    name: 'task_again',
    minors: since('3.11', BEFORE_314),
    told: [lost(/^_contextvars\.Context$/)],
  },
  { name: 'pickler_table', minors: BEFORE_310, told: [lost(/^dict$/)] },
  { name: 'dead_proxy', minors: ['3.13'], told: [lost(/^lost_references\.Added$/)] },
  {
    name: 'array_of_empty_text',
    minors: since('3.9', BEFORE_314),
    told: [lostBlocks(/^blocks of 16 B/)],
  },
  {
    name: 'ssl_session',
    minors: since('3.10', BEFORE_314),
    // The session leads to two more blocks.
    told: [lostBlocks(/^blocks of \d{3} B/)],
  },
  {
    name: 'match_interrupted',
    minors: BEFORE_314,
    times: 100,
    told: [lostBlocks(/^blocks of 32 B/)],
  },
  {
    name: 'bz2_decompressor_again',
    minors: BEFORE_312,
    times: 100,
    told: [lostBlocks(/^blocks of 64\.\d kB/)],
  },
  {
    name: 'profiler_cleared',
    minors: [...BEFORE_314, '3.14'],
    told: [lostBlocks(/^blocks of 32 B/, 11)],
  },
  {
    name: 'element_again',
    minors: [...BEFORE_314, '3.14', '3.15'],
    // The lost block holds the dict.
    told: [lostBlocks(/^blocks of 64 B/)],
  },
  {
    name: 'element_with_children_again',
    minors: [...BEFORE_314, '3.14', '3.15'],
    told: [lostBlocks(/^blocks of 64 B/)],
  },
  { name: 'context_cycle', minors: BEFORE_314, told: [keptCycle(/^leaks\.Tag$/)] },
  { name: 'type_variable_cycle', minors: ['3.12', '3.13'], told: [keptCycle(/^kept\.Name$/)] },
  { name: 'instance_dict_cycle', minors: ['3.13'], told: [keptCycle(/^kept\.Inline$/)] },
  { name: 'preshared_key_cycle', minors: ['3.13'], told: [keptCycle(/^ssl\.SSLContext$/)] },
  {
    name: 'threads_not_joined',
    minors: BEFORE_310,
    times: 100,
    told: [
      {
        kind: 'retained',
        type: /^_thread\.lock$/,
        perTrigger: 1,
        holder: /^threading\._shutdown_locks$/,
      },
    ],
  },
];

interface Counted {
  blocks: number;
  mallocBytes: number;
  references: number;
}

interface Hunted {
  report: HuntReport;
  /** Whether the target counts more in every round: blocks, bytes or references. */
  hasLeak: boolean;
}

/** Hunts with `times` triggers before each capture; undefined if this Python does not have the module. */
async function huntLeaks(
  python: TestPython,
  names: readonly string[],
  times: number,
): Promise<Hunted | undefined> {
  const target = await startPython<{ leaks: number }>(python, PROGRAM, {
    args: [...names],
    // Beside the programs.
    env: { PYTHONDONTWRITEBYTECODE: '1' },
  });
  try {
    if (target.ready.leaks === 0) return undefined;
    const counted: Counted[] = [];
    const report = await huntRounds(
      target.pid,
      async () => {
        target.send(`${times}`);
        counted.push(JSON.parse(await target.nextLine()) as Counted);
      },
      SNAPSHOTS,
    );
    const hasLeak = counted
      .slice(1)
      .every(
        ({ blocks, mallocBytes, references }) =>
          blocks > times * LEAST_BLOCKS ||
          mallocBytes > times * LEAST_BYTES ||
          references > times * LEAST_BLOCKS,
      );
    return { report, hasLeak };
  } finally {
    await target.stop();
  }
}

const near = (count: number) =>
  expect.toSatisfy(
    (value: number) => Math.abs(value - count) <= Math.max(STRAY, count * TOLERANCE),
    `near ${count}`,
  );

const toldOf = ({ suspects }: HuntReport) =>
  suspects.map(({ kind, type, count, perRound }) => ({
    kind,
    type,
    count,
    perRound: perRound.map((round) => round.count),
  }));

function expectNoLeak(report: HuntReport): void {
  expect({ verdict: report.verdict, told: toldOf(report) }, report.summary).toEqual({
    verdict: 'no-leak',
    told: [],
  });
}

function expectLeak(report: HuntReport, { told }: PublishedLeak, times: number): void {
  expect({ verdict: report.verdict, told: toldOf(report) }, report.summary).toEqual({
    verdict: 'leak',
    told: told.map(({ kind, type, perTrigger }) => ({
      kind,
      type: expect.stringMatching(type),
      count: near(ROUNDS * times * perTrigger),
      perRound: Array.from({ length: ROUNDS }, () => near(times * perTrigger)),
    })),
  });
  told.forEach(({ holder }, row) => {
    if (holder !== undefined) expect(report.suspects[row].holder).toMatch(holder);
  });
}

/** The oldest and the newest Python of these versions: what lies between has the same code. */
function ends(minors: readonly string[]): TestPython[] {
  const pythons = allPythons().filter(({ minor }) => minors.includes(minor));
  return [...new Set([pythons[0], pythons.at(-1)])].filter((python) => python !== undefined);
}

describe('a published leak is named and counted', () => {
  const cases = LEAKS.flatMap((leak) =>
    ends(leak.minors).map((python) => ({ name: leak.name, python: python.name, leak, on: python })),
  );
  test.each(cases)('$name on $python', { timeout: 60_000 }, async ({ leak, on }) => {
    const times = leak.times ?? 300;
    const hunted = await huntLeaks(on, [leak.name], times);
    if (hunted === undefined) return;
    // 3.8 and 3.9 get no more fixes; a later release of another may have this one.
    if (BEFORE_310.includes(on.minor)) expect(hunted.hasLeak).toBe(true);
    if (hunted.hasLeak) expectLeak(hunted.report, leak, times);
    else expectNoLeak(hunted.report);
  });
});

describe('what is fixed is no leak', () => {
  const pythons = allPythons().map((python) => ({ name: python.name, python }));
  test.each(pythons)('$name', { timeout: 60_000 }, async ({ python }) => {
    const leaking = LEAKS.filter(({ minors }) => minors.includes(python.minor));
    const names = LEAKS.map(({ name }) => name).filter(
      (name, row, all) => all.indexOf(name) === row && !leaking.some((leak) => leak.name === name),
    );
    const hunted = await huntLeaks(python, names, 300);
    if (hunted === undefined) return;
    expect(hunted.hasLeak).toBe(false);
    expectNoLeak(hunted.report);
  });
});
