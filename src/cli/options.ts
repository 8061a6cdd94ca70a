// Options that several commands share, and how the texts of arguments become values. A text that cannot be understood is
// reported by commander as a usage error (exit code 2).

import { statSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';

export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'print the report as one line of JSON')
    .option('--quiet', 'no progress and no notes on stderr')
    .addOption(
      new Option('--progress', 'show progress even where stderr is no terminal').conflicts('quiet'),
    );
}

/** The same, for commands that take captures or read them from files. */
export const addTargetOptions = (command: Command): Command =>
  addOutputOptions(command)
    .option(
      '--max-memory <size>',
      'memory that leakscope may take, such as 4GB (default: what is left on the machine)',
      parseBytes,
    )
    .option('--exe <file>', 'of a core file: its program, if it is not at its path', parseFile)
    .option(
      '--sysroot <folder>',
      "of a core file: the files of the process's machine or image are below it, or in it",
      parseFolder,
    );

export interface RemoteCommandOptions {
  yes?: boolean;
  nudge?: boolean;
  /** Seconds. */
  timeout: number;
}

/** For commands that run code in a process; `when` is the option with which they do. */
export function addRemoteOptions(command: Command, when?: string): Command {
  const condition = when === undefined ? '' : `with ${when}: `;
  return command
    .option('--yes', `${condition}do not ask before code is run in the process`)
    .option(
      '--nudge',
      `${condition}wake a main thread that waits, by a SIGINT that is made harmless before (3.12 and later)`,
    )
    .option(
      '--timeout <duration>',
      `${condition}how long the process may take to come by`,
      parseDuration,
      10,
    );
}

/** Examples under the help text of a command. */
export const addExamples = (command: Command, examples: readonly string[]): Command =>
  command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  $ ${line}`).join('\n')}`);

const UNIT_SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600 };

const UNIT_BYTES: Record<string, number> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** `800MB`, `4GB`, `1.5GiB`, `4g`: units of 1000, with an i of 1024. Returns bytes. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * UNIT_BYTES[match[2].toLowerCase()];
  if (!(bytes > 0)) throw new InvalidArgumentError('Write a size such as 800MB, 4GB or 1.5GiB.');
  return Math.round(bytes);
}

/** `500ms`, `5s`, `1.5m`, `2h`; seconds without a unit. Returns seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)?$/.exec(text.trim());
  if (match === null) throw new InvalidArgumentError('Write a duration such as 500ms, 5s or 2m.');
  return Number(match[1]) * UNIT_SECONDS[match[2] ?? 's'];
}

/** A whole number of at least `least`. */
export const parseWholeNumber =
  (least: number, most = 1_000_000) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`);
    }
    return value;
  };

/** The name of a file to write. */
export function parseFileName(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('Write the name of a file.');
  return text;
}

/** The name of a file that is there. */
function parseFile(text: string): string {
  if (statSync(text, { throwIfNoEntry: false })?.isFile() === true) return text;
  throw new InvalidArgumentError('There is no such file.');
}

function parseFolder(text: string): string {
  if (statSync(text, { throwIfNoEntry: false })?.isDirectory() === true) return text;
  throw new InvalidArgumentError('There is no such folder.');
}

/** `0x7f3a2c1d9e50` or the same in decimal, as `id()` prints it. */
export function findAddress(text: string): number | undefined {
  const isAddress = /^(0x[0-9a-fA-F]{1,13}|\d{4,16})$/.test(text);
  const address = isAddress ? Number(text) : Number.NaN;
  return Number.isSafeInteger(address) ? address : undefined;
}

export function parseAddress(text: string): number {
  const address = findAddress(text);
  if (address === undefined)
    throw new InvalidArgumentError('Write an address such as 0x7f3a2c1d9e50, or what id() prints.');
  return address;
}
