// The in-process ways beside which leakscope is measured: installs the packages of PyPI that they need, starts the heap
// (heap.py) with them importable, and has it run one way after the other.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PACKAGES = ['objgraph', 'pympler', 'guppy3'];
/** Five million objects take the slowest of them a minute. */
const WAY_LIMIT_MS = 300_000;
const READY_LIMIT_MS = 900_000;

/** The quick ones first: the others leave the process larger than it was. */
export const WAYS = [
  'counter',
  'guppy',
  'objgraph',
  'guppy_referrers',
  'muppy',
  'walk',
  'asizeof',
] as const;
export type Way = (typeof WAYS)[number];

/** What a way did, or why it could not. */
export interface WayResult {
  way: Way | 'grow';
  ms?: number;
  result?: number;
  /** `pympler 1.1` */
  version?: string | null;
  missing?: string;
  failed?: string;
  /** Peak resident set of the target above what it had before. */
  grownBytes?: number;
}

export interface BenchPython {
  /** `3.13` */
  minor: string;
  program: string;
}

/** The folder for `PYTHONPATH`, and for each package that could not be installed one sentence. */
export function installRivals(python: BenchPython): { folder: string; problems: string[] } {
  const folder = fileURLToPath(
    new URL(`../../.cache/bench-packages/${python.minor}`, import.meta.url),
  );
  const problems: string[] = [];
  for (const name of PACKAGES) {
    if (existsSync(`${folder}/${name}`)) continue;
    const problem = installPackage(python, name, `${folder}/${name}`);
    if (problem !== undefined) problems.push(`${name} is not from PyPI here: ${problem}`);
  }
  return { folder: PACKAGES.map((name) => `${folder}/${name}`).join(':'), problems };
}

function installPackage(python: BenchPython, name: string, folder: string): string | undefined {
  const work = `${folder}.${process.pid}`;
  mkdirSync(dirname(folder), { recursive: true });
  const options = ['--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
  const pip = spawnSync(
    python.program,
    ['-m', 'pip', 'install', ...options, '--target', work, name],
    { encoding: 'utf8' },
  );
  if (pip.status === 0) renameSync(work, folder);
  else rmSync(work, { recursive: true, force: true });
  return pip.status === 0 ? undefined : (pip.stderr.trim().split('\n').at(-1) ?? 'pip failed');
}

/** A running heap.py. */
export class HeapProcess {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.pid = child.pid ?? 0;
    this.lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts a heap of about `objectCount` objects and waits until it stands. */
  static async start(
    python: BenchPython,
    pythonPath: string,
    objectCount: number,
  ): Promise<{ heap: HeapProcess; python: string }> {
    const program = fileURLToPath(new URL('heap.py', import.meta.url));
    const child = spawn(python.program, [program, String(objectCount)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, PYTHONPATH: pythonPath },
    });
    const heap = new HeapProcess(child);
    const ready = (await heap.nextAnswer(READY_LIMIT_MS)) as { python: string } | undefined;
    if (ready === undefined) {
      await heap.stop();
      throw new Error(`${python.program} did not build a heap of ${objectCount} objects`);
    }
    return { heap, python: ready.python };
  }

  /** Runs one way. After `failed` for time the process is of no more use. */
  async run(way: Way | 'grow'): Promise<WayResult> {
    // Makes the peak what it has now (proc(5)): an earlier way may have needed more.
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
    const before = this.peakBytes();
    this.child.stdin!.write(`${way}\n`);
    const answer = (await this.nextAnswer(WAY_LIMIT_MS)) as WayResult | undefined;
    if (answer === undefined) return { way, failed: `no answer in ${WAY_LIMIT_MS / 1000} s` };
    return { ...answer, grownBytes: Math.max(0, this.peakBytes() - before) };
  }

  private peakBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) * 1024;
  }

  private async nextAnswer(limitMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), limitMs);
    });
    const line = await Promise.race([this.lines.next(), late]);
    clearTimeout(timer);
    return line === undefined || line.done === true ? undefined : JSON.parse(line.value);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}
