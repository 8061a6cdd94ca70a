// Runs a program with heaptrack's library preloaded and reports what it had not freed when it ended, by site. Cheap (1.4
// times slower with Python's own allocator, 5 times with malloc for everything), but lost and kept are not told apart. What
// heaptrack's own script does, without it: the data goes through a named pipe into heaptrack_interpret and from there
// into our decoder, so that nothing is written to disk. Attaching to a running process is not offered: it ended targets.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { UnsupportedError } from '../base/errors.ts';
import type { HeaptrackReport } from '../report/native-sites-schema.ts';
import { leakscopeVersion } from '../report/version.ts';
import { type FoundProgram, findProgram, refuseShell } from './find-program.ts';
import { HeaptrackDecoder } from './heaptrack-data.ts';
import { addRecord, createSiteTable } from './loss-sites.ts';
import { createWorkFolder, runUnderTool, type ToolHost, type ToolRun } from './run-tool.ts';
import { buildSitesReport, listProgramNotes, type SitesRun } from './sites-report.ts';
import { type FoundTool, findTool } from './tool-version.ts';

export interface HeaptrackOptions {
  /** PYTHONMALLOC=malloc: small objects are seen as well, at some five times the time. */
  readonly malloc: boolean;
}

const NEEDS = { name: 'heaptrack', oldest: [1, 2], because: 'the file format' } as const;
const SILENCE_MS = 30_000;
/** Below the folder that has bin/: Debian's and Fedora's. */
const LIBRARY_FOLDERS = ['lib/heaptrack', 'lib64/heaptrack'];

interface HeaptrackParts extends FoundTool {
  readonly preload: string;
  readonly interpret: string;
}

/** Throws UsageError for a command that cannot be started, UnsupportedError if heaptrack cannot be used. */
export async function checkWithHeaptrack(
  command: readonly string[],
  options: HeaptrackOptions,
  host: ToolHost,
): Promise<HeaptrackReport> {
  const tool = findParts();
  const program = findProgram(command);
  refuseShell(program, 'heaptrack', 'Name the program itself (of pyenv: pyenv which python).');
  const folder = createWorkFolder('heaptrack', host);
  try {
    const pipe = join(folder.path, 'data');
    makePipe(pipe);
    const reader = startReader(tool.interpret, pipe, host);
    let run: ToolRun;
    try {
      run = await runUnderTool(
        program.command,
        buildEnvironment(tool, pipe, options),
        host,
        (elapsed) => `recording allocations: ${elapsed} so far`,
      );
    } catch (error) {
      reader.stop();
      throw error;
    }
    host.progress('reading what heaptrack recorded');
    const decoder = await reader.finish();
    return buildReport(decoder, run, program, options, tool);
  } finally {
    folder.remove();
  }
}

function findParts(): HeaptrackParts {
  const tool = findTool(NEEDS);
  const prefix = dirname(dirname(realpathSync(tool.path)));
  for (const folder of LIBRARY_FOLDERS) {
    const preload = join(prefix, folder, 'libheaptrack_preload.so');
    const interpret = join(prefix, folder, 'libexec/heaptrack_interpret');
    if (existsSync(preload) && existsSync(interpret)) return { ...tool, preload, interpret };
  }
  throw new UnsupportedError({
    fact: `${tool.path} is not complete`,
    reason: `libheaptrack_preload.so or heaptrack_interpret is missing in ${LIBRARY_FOLDERS.map((folder) => join(prefix, folder)).join(' and ')}`,
    next: 'Install it again: apt-get install --reinstall heaptrack libheaptrack',
  });
}

function makePipe(path: string): void {
  const { status, error, stderr } = spawnSync('mkfifo', ['-m', '600', path], { encoding: 'utf8' });
  if (status === 0) return;
  throw new UnsupportedError({
    fact: 'Cannot create a named pipe for heaptrack',
    reason: error?.message ?? stderr.trim(),
    next: 'Install mkfifo (apt-get install coreutils), and check that TMPDIR can be written to.',
  });
}

function buildEnvironment(
  tool: HeaptrackParts,
  pipe: string,
  options: HeaptrackOptions,
): NodeJS.ProcessEnv {
  const others = process.env.LD_PRELOAD;
  return {
    ...process.env,
    ...(options.malloc ? { PYTHONMALLOC: 'malloc' } : {}),
    LD_PRELOAD: others ? `${tool.preload}:${others}` : tool.preload,
    DUMP_HEAPTRACK_OUTPUT: pipe,
  };
}

interface Reader {
  /** The decoded data, once the program has closed the pipe. */
  finish(): Promise<HeaptrackDecoder>;
  stop(): void;
}

function startReader(interpret: string, pipe: string, host: ToolHost): Reader {
  // The shell waits for the program to open its end, and is replaced by the interpreter.
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(
    'sh',
    ['-c', 'exec "$0" < "$1"', interpret, pipe],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  const stop = () => {
    child.kill('SIGKILL');
  };
  const forget = host.atExit(stop);
  const decoder = new HeaptrackDecoder();
  // Statistics, and modules without debug information: nothing for the user.
  child.stderr.resume();
  let lastChunkMs = performance.now();
  const ended = (async () => {
    for await (const chunk of child.stdout) {
      lastChunkMs = performance.now();
      decoder.write(chunk as Buffer);
    }
    return decoder;
  })();
  // Reported by `finish`; until then nobody waits for it.
  ended.catch(() => stop());
  return {
    stop,
    finish: async () => {
      // Whoever never opened the pipe will not do so now: opening our end lets the interpreter see its end.
      spawnSync('sh', ['-c', ': <> "$0"', pipe], { timeout: 5000 });
      // A daemon that the program left behind may hold the pipe for ever.
      lastChunkMs = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - lastChunkMs > SILENCE_MS) stop();
      }, 1000);
      try {
        return await ended;
      } finally {
        clearInterval(timer);
        stop();
        forget();
      }
    },
  };
}

function buildReport(
  decoder: HeaptrackDecoder,
  run: ToolRun,
  program: FoundProgram,
  options: HeaptrackOptions,
  tool: HeaptrackParts,
): HeaptrackReport {
  const table = createSiteTable();
  decoder.finish((record) => addRecord(table, record));
  const complete = decoder.hasBegun;
  const isPython = program.isPython || table.hasPython;
  const facts: SitesRun = {
    leakscope: leakscopeVersion,
    tool: { name: 'heaptrack', version: tool.version, options: [] },
    program: {
      command: [...program.command],
      pid: run.pid,
      python: isPython,
      pythonMalloc: options.malloc ? 'malloc' : (process.env.PYTHONMALLOC ?? null),
      exitCode: run.exitCode,
      signal: run.signal,
      interrupted: run.interrupted,
      processes: complete ? 1 : 0,
      seconds: run.seconds,
    },
    complete,
    incomplete: complete
      ? undefined
      : {
          reason:
            'heaptrack recorded nothing: the program is linked statically, or drops LD_PRELOAD',
          next: 'name the program itself, or use leakscope valgrind -- CMD',
        },
    finalized: run.signal === null,
    suppressed: 0,
    otherErrors: [],
    notes: listProgramNotes(program, isPython, 1),
  };
  return { schema: 'leakscope/heaptrack@1', ...buildSitesReport(table, facts) };
}
