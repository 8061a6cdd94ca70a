// Runs a program under memcheck and reports what its native code lost, by site. The options and the reasons for them:
// docs/native-tools.md. Memcheck writes XML into a folder of its own, one file for each process, decoded as a stream.

import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnsupportedError, UsageError } from '../base/errors.ts';
import type { ValgrindReport } from '../report/native-sites-schema.ts';
import { leakscopeVersion } from '../report/version.ts';
import { type FoundProgram, findProgram, refuseShell } from './find-program.ts';
import {
  addRecord,
  createSiteTable,
  foldUncertain,
  mergeSiteTables,
  type SiteTable,
} from './loss-sites.ts';
import { createWorkFolder, runUnderTool, type ToolHost, type ToolRun } from './run-tool.ts';
import { buildSitesReport, listProgramNotes, type SitesRun } from './sites-report.ts';
import { type FoundTool, findTool } from './tool-version.ts';
import { decodeMemcheckXml, type MemcheckFile } from './valgrind-xml.ts';

export interface ValgrindOptions {
  /** Leave Python's own allocator on: faster, but what it gave out is seen as its arenas only. */
  readonly pymalloc: boolean;
  /** Check programs that it starts as well. Children that are forked and run no other program are never checked. */
  readonly traceChildren: boolean;
  /** Suppression files besides ours. */
  readonly suppressions: readonly string[];
}

const NEEDS = {
  name: 'valgrind',
  oldest: [3, 14],
  because: 'its option --keep-debuginfo',
} as const;

const SUPPRESSIONS = fileURLToPath(new URL('../../suppressions/python.supp', import.meta.url));

/** A finalized interpreter leaves some 60 blocks that are possibly lost; one that was not leaves all of its objects. */
const UNFINALIZED_BLOCKS = 2000;

/** Throws UsageError for a command that cannot be started, UnsupportedError if valgrind cannot be used. */
export async function checkWithValgrind(
  command: readonly string[],
  options: ValgrindOptions,
  host: ToolHost,
): Promise<ValgrindReport> {
  const tool = findTool(NEEDS);
  const program = findProgram(command);
  if (!options.traceChildren) {
    refuseShell(
      program,
      'valgrind',
      'Name the program itself (of pyenv: pyenv which python), or add --trace-children',
    );
  }
  for (const file of options.suppressions) requireFile(file);
  const folder = createWorkFolder('valgrind', host);
  try {
    const flags = listFlags(options, folder.path);
    const environment = { ...process.env };
    if (!options.pymalloc) environment.PYTHONMALLOC = 'malloc';
    const run = await runUnderTool(
      [tool.path, ...flags, '--', ...program.command],
      environment,
      host,
      (elapsed) => `memcheck runs programs 20 to 50 times slower: ${elapsed} so far`,
    );
    host.progress('reading what memcheck found');
    const files = await readFolder(folder.path, host.signal);
    if (files.length === 0) throw refusedToRun(folder.path, run, tool);
    return buildReport(files, run, program, options, tool, flags);
  } finally {
    folder.remove();
  }
}

function requireFile(file: string): void {
  if (existsSync(file)) return;
  throw new UsageError({
    fact: `Cannot read the suppressions "${file}"`,
    reason: 'there is no such file',
    next: 'Check the name behind --suppressions.',
  });
}

const listFlags = (options: ValgrindOptions, folder: string): string[] => [
  '--tool=memcheck',
  '--leak-check=full',
  '--show-leak-kinds=definite,indirect,possible',
  '--undef-value-errors=no',
  '--num-callers=40',
  '--keep-debuginfo=yes',
  // No pipes of the debugger in /tmp, which would stay behind when the program is killed.
  '--vgdb=no',
  '--fair-sched=try',
  `--trace-children=${options.traceChildren ? 'yes' : 'no'}`,
  // Valgrind (3.19) lets a forked child write into its parent's XML, between its lines.
  '--child-silent-after-fork=yes',
  ...[SUPPRESSIONS, ...options.suppressions].map((file) => `--suppressions=${file}`),
  '--xml=yes',
  `--xml-file=${folder}/%p.xml`,
  `--log-file=${folder}/%p.log`,
];

interface CheckedProcess {
  readonly file: MemcheckFile;
  readonly table: SiteTable;
  /** The interpreter freed its objects; true without one. */
  readonly finalized: boolean;
}

async function readFolder(folder: string, signal: AbortSignal): Promise<CheckedProcess[]> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.xml'));
  const processes: CheckedProcess[] = [];
  for (const name of names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))) {
    const table = createSiteTable();
    const stream = createReadStream(join(folder, name), { encoding: 'utf8', signal });
    const file = await decodeMemcheckXml(stream, (record) => addRecord(table, record));
    // An empty file: valgrind gave up before it began.
    if (file.pid === 0) continue;
    const finalized =
      !table.hasPython ||
      (file.fatalSignal === undefined && table.interpreter.possible.blocks < UNFINALIZED_BLOCKS);
    foldUncertain(table, finalized);
    processes.push({ file, table, finalized });
  }
  return processes;
}

function buildReport(
  processes: readonly CheckedProcess[],
  run: ToolRun,
  program: FoundProgram,
  options: ValgrindOptions,
  tool: FoundTool,
  flags: readonly string[],
): ValgrindReport {
  const table = createSiteTable();
  const otherErrors = new Map<string, number>();
  let suppressed = 0;
  for (const each of processes) {
    mergeSiteTables(table, each.table);
    suppressed += each.file.suppressed;
    for (const [kind, count] of each.file.otherErrors) {
      otherErrors.set(kind, (otherErrors.get(kind) ?? 0) + count);
    }
  }
  const unchecked = run.descendants.filter(
    (pid) => !processes.some((each) => each.file.pid === pid),
  );
  const complete = unchecked.length === 0 && processes.every((each) => each.file.complete);
  const isPython = program.isPython || table.hasPython;
  const facts: SitesRun = {
    leakscope: leakscopeVersion,
    tool: {
      name: 'valgrind',
      version: tool.version,
      options: flags.filter((flag) => !/^--(?:xml|log)-file=/.test(flag)),
    },
    program: {
      command: [...program.command],
      pid: run.pid,
      python: isPython,
      pythonMalloc: options.pymalloc ? (process.env.PYTHONMALLOC ?? null) : 'malloc',
      exitCode: run.exitCode,
      signal: run.signal,
      interrupted: run.interrupted,
      processes: processes.length,
      seconds: run.seconds,
    },
    complete,
    incomplete: complete ? undefined : explainIncomplete(processes, run, unchecked, options),
    finalized: processes.every((each) => each.finalized),
    suppressed,
    otherErrors: [...otherErrors].map(([kind, count]) => ({ kind, count })),
    notes: listProgramNotes(program, isPython, processes.length),
  };
  return { schema: 'leakscope/valgrind@1', ...buildSitesReport(table, facts) };
}

function explainIncomplete(
  processes: readonly CheckedProcess[],
  run: ToolRun,
  unchecked: readonly number[],
  { traceChildren }: ValgrindOptions,
): { reason: string; next: string } {
  const main = processes.find((each) => each.file.pid === run.pid);
  if (run.signal !== null) {
    return {
      reason: `${run.signal} ended memcheck before its leak check`,
      next: 'run it again and let it end, or press Ctrl-C once',
    };
  }
  if (main?.file.complete === false) {
    return {
      reason: 'the program replaced itself by another (exec) before its leak check',
      next: 'run it again with --trace-children, or name the other program',
    };
  }
  if (unchecked.length > 0) {
    const which = unchecked.length === 1 ? 'a process' : `${unchecked.length} processes`;
    return {
      reason: `${which} that the program started (${unchecked.slice(0, 5).join(', ')}) ran without a leak check`,
      next: traceChildren
        ? 'a fork that starts no program of its own is not checked: do its work in the main process, or start it with multiprocessing\'s "spawn"'
        : 'run it again with --trace-children, or name the program itself and not its wrapper',
    };
  }
  return {
    reason: 'a child process was ended before its leak check',
    next: 'run it again and let all of its processes end by themselves',
  };
}

/** Valgrind ended without a report; its log says why. */
function refusedToRun(folder: string, run: ToolRun, tool: FoundTool): Error {
  const log = readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const line = log
    .split('\n')
    .map((each) =>
      each
        .replace(/^==\d+==\s*/, '')
        .replace(/^valgrind: */, '')
        .trim(),
    )
    .find((each) => each !== '');
  const ending = run.signal ?? `exit code ${run.exitCode}`;
  return new UnsupportedError({
    fact: `${tool.path} ${tool.version} did not check the program`,
    reason: line ?? `it ended with ${ending} and said nothing that could be read`,
    next: 'Its output may stand above. Try: valgrind --tool=memcheck -- CMD',
  });
}
