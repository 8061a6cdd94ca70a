// Where the program of a worker thread is: beside the module that starts it, compiled or, in the source tree, TypeScript.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** What to give to `new Worker`; `name` without its ending, `moduleUrl` is the `import.meta.url` of the module beside it. */
export function workerFileOf(name: string, moduleUrl: string): URL {
  if (!moduleUrl.endsWith('.ts')) return new URL(`./${name}.js`, moduleUrl);
  // tsx does not reach into threads by itself.
  const loader = pathToFileURL(
    createRequire(moduleUrl)
      .resolve('tsx/esm/api')
      .replace(/\.cjs$/, '.mjs'),
  ).href;
  const file = new URL(`./${name}.ts`, moduleUrl).href;
  const text = `import { register } from '${loader}'; register(); await import('${file}');`;
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}
