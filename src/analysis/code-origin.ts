// Whose code a file is, by its path alone: the program's, an installed library's or Python's own; and the name that its
// functions have: `asyncio.Queue.get` of `Queue.get` in lib/python3.11/asyncio/queues.py.

import { isStandardName, type ModuleOrigin } from './module-origin.ts';

const LIBRARY = /\/(?:site|dist)-packages\/(.+?)(?:\.pyc?)?$/;
const STANDARD = /\/lib(?:64)?\/python3\.?\d*(?:\.zip)?\/(.+?)(?:\.pyc?)?$/;

export function findFileOrigin(file: string): ModuleOrigin {
  if (file.startsWith('<frozen ')) return 'standard';
  if (LIBRARY.test(file)) return 'library';
  const module = STANDARD.exec(file)?.[1];
  return module !== undefined && isStandardName(`${module.split('/')[0]}.x`)
    ? 'standard'
    : 'application';
}

/** The function's name with that of its module, where the path tells it; asyncio's parts are known as `asyncio`. */
export function nameWithModule(qualname: string, file: string): string {
  const path = (LIBRARY.exec(file) ?? STANDARD.exec(file))?.[1];
  if (path === undefined || findFileOrigin(file) === 'application') return qualname;
  const module = path.replace(/\/__init__$/, '').replaceAll('/', '.');
  return `${module.startsWith('asyncio.') ? 'asyncio' : module}.${qualname}`;
}
