// The CPython versions that pyenv has built on this machine; none if it is not installed.

import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface PyenvVersion {
  /** `3.11.7` */
  version: string;
  /** `3.11` */
  minor: string;
  /** The folder that holds bin, lib and include. */
  prefix: string;
  /** The interpreter itself, not pyenv's shim. */
  program: string;
}

/** Releases only: no free-threaded builds (3.13.0t), other implementations or virtual environments; oldest first. */
export function findPyenvVersions(): PyenvVersion[] {
  const folder = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  if (!existsSync(folder)) return [];
  const versions = readdirSync(folder).flatMap((version) => {
    const minor = /^(3\.\d+)\.\d+$/.exec(version)?.[1];
    const prefix = join(folder, version);
    const program = join(prefix, `bin/python${minor}`);
    return minor !== undefined && existsSync(program) ? [{ version, minor, prefix, program }] : [];
  });
  return versions.sort((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true }));
}
